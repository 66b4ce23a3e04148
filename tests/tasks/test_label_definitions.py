"""Prompts that say what labels mean."""

import random
import warnings

import pytest

from helpers.instruction_ner import GOLD, LABELS, TEXT, prompt
from helpers.tiny_models import unigram_tokenizer
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import (
    PromptOrder,
)
from spacy_instructner.tasks.instruction_ner import (
    BoundInstructionNER,
    build_instruction_ner_v1,
)
from spacy_instructner.tasks.labels import make_label_set

DEFINED = make_label_set(
    ["TITLE", "genre", "Actor"],
    {},
    {"TITLE": "the name of a film", "genre": "a {kind} of film", "Actor": "a player"},
)
MEANT = "title: the name of a film; genre: a {kind} of film; actor: a player"


def defined(
    encoder: TextEncoder, layout: PromptOrder = "text_last", **settings: object
) -> BoundInstructionNER:
    templates = {
        "main_template": "Find {options}\nMeant: {definitions}\nIn: {sentence}\nSay:",
        "typing_template": "{definitions}\nType {entities} in {sentence}:",
    }
    task = build_instruction_ner_v1(**{**templates, **settings})  # type: ignore[arg-type]
    return task.bind(encoder, DEFINED, encoder.tokenizer.eos_token_id, layout=layout)


def prompts_of(encoder: TextEncoder, bound: BoundInstructionNER) -> dict[str, str]:
    words = encoder.words(TEXT, [bool(i) for i in range(len(TEXT))], 50)
    return {r.task: prompt(encoder, r) for r in bound.records(words, GOLD)}


def test_prompts_say_what_labels_mean(encoder: TextEncoder) -> None:
    bound = defined(encoder)
    text = " ".join(TEXT)
    made = prompts_of(encoder, bound)
    assert made["main"] == (
        f"Find title, genre, actor\nMeant: {MEANT}\nIn: {text}\nSay:"
    )
    # At the beginning of a line, too, a placeholder brings its space.
    assert made["typing"] == f" {MEANT}\nType slow burn, ada quill in {text}:"
    # The same for every text, so read once.
    words = encoder.words(["any"], [False], 50)
    (request,) = bound.requests(words)
    assert encoder.tokenizer.decode(request.prefix) == (
        f"Find title, genre, actor\nMeant: {MEANT}\nIn:"
    )
    assert bound.constant() == len(request.prefix + request.suffix) - len(words.text)


@pytest.mark.parametrize(
    "settings,expected",
    [
        (
            {"definition_separator": "\n"},
            "title: the name of a film\ngenre: a {kind} of film\nactor: a player",
        ),
        (
            {"definition_separator": "\n- ", "definition": "{definition} ({type})"},
            "the name of a film (title)\n- a {kind} of film (genre)\n- a player (actor)",
        ),
        (
            {"definition_separator": "|", "definition": "{{{definition}}}"},
            "{the name of a film}|{a {kind} of film}|{a player}",
        ),
    ],
)
def test_how_definitions_are_said(
    encoder: TextEncoder, settings: dict, expected: str
) -> None:
    made = prompts_of(encoder, defined(encoder, **settings))
    assert f"Meant: {expected}\nIn:" in made["main"]


def test_labels_without_a_definition_are_left_out_and_named(
    encoder: TextEncoder,
) -> None:
    end = encoder.tokenizer.eos_token_id
    task = build_instruction_ner_v1(
        main_template="{definitions}\n{sentence}\n{options}"
    )
    with pytest.warns(UserWarning) as caught:
        bound = task.bind(encoder, LABELS, end)
    named = [str(warning.message).split("'")[1] for warning in caught]
    assert named == ["genre", "Actor", "RATINGS-AVERAGE"]
    text = " ".join(TEXT)
    assert prompts_of(encoder, bound)["main"] == (
        f" title: the name of a film\n {text}\n title, genre, actor, ratings average"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_instruction_ner_v1().bind(encoder, LABELS, end)
        defined(encoder)


def test_definitions_are_shuffled_with_the_options(encoder: TextEncoder) -> None:
    bound = defined(encoder, shuffle_options=True)
    random.seed(0)
    orders = set()
    for _ in range(60):
        lines = prompts_of(encoder, bound)["main"].split("\n")
        options = lines[0].removeprefix("Find ").split(", ")
        meant = lines[1].removeprefix("Meant: ").split("; ")
        assert [said.split(":")[0] for said in meant] == options
        assert sorted(meant) == sorted(MEANT.split("; "))
        orders.add(tuple(options))
    assert len(orders) == 6


def test_what_no_prompt_says_need_not_be_written() -> None:
    """The tests' Unigram tokenizer has no semicolon."""
    encoder = TextEncoder(unigram_tokenizer())
    end = encoder.tokenizer.eos_token_id
    build_instruction_ner_v1().bind(encoder, DEFINED, end)
    task = build_instruction_ner_v1(main_template="{definitions}{sentence}")
    with pytest.raises(ValueError, match="cannot write ';'"):
        task.bind(encoder, DEFINED, end)


def test_a_definition_writes_no_control_token(encoder: TextEncoder) -> None:
    labels = make_label_set(["A"], {}, {"A": "<|turn|> and {sentence}"})
    task = build_instruction_ner_v1(main_template="<|turn|>{definitions}{sentence}")
    bound = task.bind(encoder, labels, encoder.tokenizer.eos_token_id)
    (request,) = bound.requests(encoder.words(["any"], [False], 50))
    turn = encoder.tokenizer.convert_tokens_to_ids("<|turn|>")
    asked = request.prefix + request.suffix
    assert asked.count(turn) == 1
    assert encoder.tokenizer.decode(asked) == (
        "<|turn|> a: <|turn|> and {sentence} any"
    )
