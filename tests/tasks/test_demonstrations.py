"""Prompts with examples in front of them, and options in another order."""

import random

import pytest

from helpers.instruction_ner import GOLD, LABELS, TEXT, answer, prompt, records
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import (
    Demonstration,
    Gold,
    PromptOrder,
)
from spacy_instructner.tasks.instruction_ner import (
    BoundInstructionNER,
    build_instruction_ner_v1,
)

SHOWN = (
    Demonstration(("ada", "quill", "!"), (False, True, False), ((0, 2, "Actor"),)),
    Demonstration(("hm",), (False,), ((0, 1, "OTHER"),)),
)


@pytest.mark.parametrize("layout", ["text_last", "text_first"])
def test_examples_stand_in_front_of_the_main_prompt(
    encoder: TextEncoder, layout: PromptOrder
) -> None:
    end = encoder.tokenizer.eos_token_id
    task = build_instruction_ner_v1()
    plain = task.bind(encoder, LABELS, end, layout=layout)
    bound = task.bind(encoder, LABELS, end, layout=layout, demonstrations=SHOWN)

    def prompt_of(task: BoundInstructionNER, text: str) -> str:
        parts = text.split()
        words = encoder.words(parts, [bool(i) for i in range(len(parts))], 50)
        (request,) = task.requests(words)
        return encoder.tokenizer.decode(request.prefix + request.suffix)

    # Each is a whole prompt with its answer; labels that are not asked are left out.
    demonstrations = (
        prompt_of(plain, "ada quill !").replace(" !", "!")
        + " ada quill is an actor.\n\n"
        + prompt_of(plain, "hm")
        + " none.\n\n"
    )
    assert prompt_of(bound, "any films") == demonstrations + prompt_of(
        plain, "any films"
    )
    if layout == "text_last":
        # All of it is read once for all texts.
        (request,) = bound.requests(encoder.words(["any"], [False], 50))
        prefix = encoder.tokenizer.decode(request.prefix)
        assert prefix.startswith(demonstrations) and prefix.endswith("Sentence:")


@pytest.mark.parametrize("layout", ["text_last", "text_first"])
@pytest.mark.parametrize(
    "text,demonstrations",
    [
        # Spacing does not tell them apart.
        ("ada quill !", ["hm"]),
        ("hm", ["ada quill!"]),
        # A window of it.
        ("quill !", ["hm"]),
        # Not a run of its words, and more than its words.
        ("ada !", ["ada quill!", "hm"]),
        ("hm ada quill !", ["ada quill!", "hm"]),
    ],
)
def test_a_text_to_learn_from_is_not_shown_with_its_answer(
    encoder: TextEncoder, layout: PromptOrder, text: str, demonstrations: list[str]
) -> None:
    """When asked, all examples are shown."""
    end = encoder.tokenizer.eos_token_id
    task = build_instruction_ner_v1(typing_weight=0.0, extraction_weight=0.0)
    bound = task.bind(encoder, LABELS, end, layout=layout, demonstrations=SHOWN)

    def texts(prompt: str) -> list[str]:
        lines = [line for line in prompt.split("\n") if line.startswith("Sentence: ")]
        return [line.removeprefix("Sentence: ") for line in lines]

    parts = text.split()
    words = encoder.words(parts, [bool(i) for i in range(len(parts))], 50)
    (record,) = bound.records(words, Gold(((len(words) - 1, len(words), "Actor"),)))
    assert texts(prompt(encoder, record)) == [*demonstrations, text]
    (request,) = bound.requests(words)
    asked = encoder.tokenizer.decode(request.prefix + request.suffix)
    assert texts(asked) == ["ada quill!", "hm", text]
    # What stands where is counted with the examples that are left.
    ids = record.prefix + record.suffix + record.answer
    assert ids[record.text[0] : record.text[1]] == words.text
    (mention,) = record.mentions
    assert ids[mention.begin : mention.end] == words.text[words.places[-2] :]
    assert mention.type is not None
    assert ids[mention.type :][:1] == encoder.text(" actor")[:1]


# Options in another order.


def options_of(text: str) -> list[str]:
    (line,) = (line for line in text.split("\n") if line.startswith("Options: "))
    return line.removeprefix("Options: ").split(", ")


@pytest.mark.parametrize("layout", ["text_last", "text_first"])
def test_options_are_shuffled_for_learning(
    encoder: TextEncoder, layout: PromptOrder
) -> None:
    task = build_instruction_ner_v1(shuffle_options=True)
    end = encoder.tokenizer.eos_token_id
    bound = task.bind(encoder, LABELS, end, layout=layout)
    words = encoder.words(TEXT, [bool(i) for i in range(len(TEXT))], 50)
    orders = []
    random.seed(3)
    for _ in range(200):
        made = {record.task: record for record in bound.records(words, GOLD)}
        order = options_of(prompt(encoder, made["main"]))
        assert options_of(prompt(encoder, made["typing"])) == order
        assert "Options" not in prompt(encoder, made["extraction"])
        # Each entity's type is where its name now stands.
        ids = made["main"].prefix + made["main"].suffix
        names = [" genre", " actor"]
        for mention, name in zip(made["main"].mentions, names):
            assert mention.type is not None
            written = encoder.text(name)
            assert ids[mention.type : mention.type + len(written)] == written
        orders.append(tuple(order))
        assert answer(encoder, made["main"]).startswith(" slow burn is a genre")
    assert {frozenset(order) for order in orders} == {
        frozenset({"title", "genre", "actor", "ratings average"})
    }
    # All of the 24 orders come.
    assert len(set(orders)) == 24
    # Asked is in the labels' own order.
    (request,) = bound.requests(words)
    asked = encoder.tokenizer.decode(request.prefix + request.suffix)
    assert options_of(asked) == ["title", "genre", "actor", "ratings average"]
    random.seed(3)
    again = [
        tuple(options_of(prompt(encoder, bound.records(words, GOLD)[0])))
        for _ in range(200)
    ]
    assert again == orders


def test_by_default_nothing_is_drawn(encoder: TextEncoder) -> None:
    random.seed(3)
    before = random.getstate()
    made = records(encoder, build_instruction_ner_v1())
    assert random.getstate() == before
    names = ["title", "genre", "actor", "ratings average"]
    assert options_of(prompt(encoder, made["main"])) == names
