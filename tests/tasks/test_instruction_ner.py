"""Golden tests: the prompts and targets of InstructionNER, letter by letter."""

import pytest

from helpers.instruction_ner import GOLD, TEXT, answer, prompt, records
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold
from spacy_instructner.tasks.instruction_ner import build_instruction_ner_v1

INSTRUCTION = (
    "Instruction: please extract entities and their types from the input sentence, "
    "all entity types are in options\n"
)
OPTIONS = "Options: title, genre, actor, ratings average"


def test_text_last(encoder: TextEncoder) -> None:
    made = records(encoder, build_instruction_ner_v1())
    sentence = "\nSentence: are there any slow burn movies with ada quill\n"
    assert {task: prompt(encoder, record) for task, record in made.items()} == {
        "main": INSTRUCTION + OPTIONS + sentence + "Answer:",
        "extraction": (
            "Instruction: please extract entity words from the input sentence"
            + sentence
            + "Answer:"
        ),
        "typing": (
            "Instruction: please typing these entity words according to sentence\n"
            + OPTIONS
            + sentence
            + "Entity words: slow burn, ada quill\nAnswer:"
        ),
    }


def test_text_first_is_the_papers(encoder: TextEncoder) -> None:
    made = records(encoder, build_instruction_ner_v1(), layout="text_first")
    sentence = "Sentence: are there any slow burn movies with ada quill\n"
    assert {task: prompt(encoder, record) for task, record in made.items()} == {
        "main": sentence + INSTRUCTION + OPTIONS,
        "extraction": (
            sentence
            + "Instruction: please extract entity words from the input sentence"
        ),
        "typing": (
            sentence
            + "Instruction: please typing these entity words according to sentence: "
            "slow burn, ada quill\n" + OPTIONS
        ),
    }


def test_answers(encoder: TextEncoder) -> None:
    made = records(encoder, build_instruction_ner_v1())
    typed = " slow burn is a genre, ada quill is an actor.<|end|>"
    assert {task: answer(encoder, record) for task, record in made.items()} == {
        "main": typed,
        "extraction": " slow burn, ada quill.<|end|>",
        "typing": typed,
    }


def test_answers_without_entities(encoder: TextEncoder) -> None:
    made = records(encoder, build_instruction_ner_v1(), Gold(()))
    assert {task: answer(encoder, record) for task, record in made.items()} == {
        "main": " none.<|end|>",
        "extraction": " none.<|end|>",
    }


def test_what_does_not_change_stands_in_the_prefix(encoder: TextEncoder) -> None:
    made = records(encoder, build_instruction_ner_v1())
    prefix = encoder.tokenizer.decode(made["main"].prefix)
    assert prefix == INSTRUCTION + OPTIONS + "\nSentence:"
    assert len(made["main"].prefix) > len(made["main"].suffix)


def test_everything_can_be_replaced(encoder: TextEncoder) -> None:
    task = build_instruction_ner_v1(
        main_template="<|turn|>Texte : {sentence}\nTypes : {options}<|turn|>",
        extraction_weight=0.0,
        typing_weight=0.0,
        clause="« {entity} » est {article} {type}",
        article="un(e)",
        article_before_vowel="un(e)",
        separator=" ; ",
        terminator=" !",
        no_entity="rien !",
    )
    made = records(encoder, task)
    assert list(made) == ["main"]
    assert prompt(encoder, made["main"]) == (
        "<|turn|>Texte : are there any slow burn movies with ada quill\n"
        "Types : title, genre, actor, ratings average<|turn|>"
    )
    assert answer(encoder, made["main"]) == (
        "« slow burn » est un(e) genre ; « ada quill » est un(e) actor !<|end|>"
    )
    empty = records(encoder, task, Gold(()))["main"]
    assert answer(encoder, empty) == " rien !<|end|>"


def test_the_text_may_stand_twice(encoder: TextEncoder) -> None:
    task = build_instruction_ner_v1(main_template="{sentence}\n{sentence} {options}:")
    text = " ".join(TEXT)
    made = records(encoder, task)["main"]
    assert prompt(encoder, made) == (
        f" {text}\n {text} title, genre, actor, ratings average:"
    )
    assert made.prefix == ()


@pytest.mark.parametrize(
    "name,article",
    [("actor", "an"), ("genre", "a"), ("Award", "an"), ("8-bit game", "a"), ("", "a")],
)
def test_article(name: str, article: str) -> None:
    assert build_instruction_ner_v1().say(name) == ("", f" is {article} {name}")


def test_weights_of_tasks(encoder: TextEncoder) -> None:
    task = build_instruction_ner_v1(extraction_weight=0.5, typing_weight=0.25)
    made = records(encoder, task)
    weights = {name: set(record.weights) for name, record in made.items()}
    assert weights == {"main": {1.0}, "extraction": {0.5}, "typing": {0.25}}
    assert all(len(r.weights) == len(r.answer) for r in made.values())


def test_missing_annotation_teaches_no_absence(encoder: TextEncoder) -> None:
    """Which span is next, where one may be hidden, is not learnt; all else is."""
    gold = Gold(GOLD.entities, frozenset({0}))
    made = records(encoder, build_instruction_ner_v1(), gold)
    counted: dict[str, list[str]] = {}
    for name, record in made.items():
        ids = [t for t, weight in zip(record.answer, record.weights) if weight]
        counted[name] = [encoder.tokenizer.decode(ids)]
    whole = answer(encoder, made["main"])
    assert counted["typing"] == [whole]
    first = encoder.tokenizer.decode(encoder.text(" slow")[:1])
    second = encoder.tokenizer.decode(encoder.text(" ada")[:1])
    assert counted["main"] == [whole.removeprefix(first)]
    # Of all labels at once: what is lost to one is lost to the answer.
    for behind in (
        Gold(GOLD.entities, frozenset({9})),
        Gold(GOLD.entities, lost=((9, 10, "title"),)),
    ):
        text = [*TEXT, "again"]
        record = records(encoder, build_instruction_ner_v1(), behind, text=text)["main"]
        ids = [t for t, weight in zip(record.answer, record.weights) if weight]
        said = whole.removesuffix(".<|end|>")
        assert encoder.tokenizer.decode(ids) == said
    between = Gold(GOLD.entities, frozenset({5}))
    record = records(encoder, build_instruction_ner_v1(), between)["main"]
    ids = [t for t, weight in zip(record.answer, record.weights) if weight]
    start, end = whole.split(" ada")
    silent = " ada".removeprefix(second)
    assert encoder.tokenizer.decode(ids) == start + silent + end
    nothing = records(encoder, build_instruction_ner_v1(), Gold((), frozenset({0})))
    assert nothing == {}


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"main_template": "no text: {options}"}, "main_template.*{sentence}"),
        ({"main_template": "{sentence} {labels}"}, "{labels} that means nothing"),
        ({"main_template": "{sentence} {options!r}"}, "means nothing"),
        ({"main_template": "{sentence"}, "not a template"),
        ({"typing_template": "{sentence}"}, "typing_template.*{entities}"),
        ({"clause": "{type}: {entity}"}, "before its"),
        ({"clause": "{entity} is {article}"}, "clause.*{type}"),
        ({"main_weight": 0.0}, "main_weight"),
        ({"typing_weight": -1.0}, "typing_weight"),
        ({"definition": "{type}"}, "`definition`.*{definition}, once"),
        ({"definition": "{definition} {options}"}, "means nothing"),
        ({"extraction_template": "{sentence} {definitions}"}, "means nothing"),
        ({"terminator": ""}, "terminator"),
        ({"no_entity": " "}, "no_entity"),
    ],
)
def test_bad_settings_are_refused_when_read(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_instruction_ner_v1(**settings)
