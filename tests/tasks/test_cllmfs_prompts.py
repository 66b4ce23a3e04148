"""CLLMFS: prompts and answers letter by letter."""

import pytest

from helpers.cllmfs import (
    AB,
    GOLD,
    LAYOUTS,
    MEANT,
    NAMES,
    TEXT,
    accepted,
    bind,
    encoded,
    every_layout,
)
from helpers.tiny_models import byte_level_tokenizer, unigram_tokenizer
from spacy_instructner.decoding.answers import (
    TokenizedWords,
)
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold
from spacy_instructner.tasks.cllmfs import BoundCLLMFS
from spacy_instructner.tasks.labels import make_label_set


def prompts(
    encoder: TextEncoder, bound: BoundCLLMFS, words: TokenizedWords
) -> list[str]:
    requests = bound.requests(words)
    return [encoder.tokenizer.decode(q.prefix + q.own) for q in requests]


def answers(
    encoder: TextEncoder, bound: BoundCLLMFS, gold: Gold = GOLD
) -> list[tuple[str, str]]:
    """Of every record its last line, and what it answers."""
    decode = encoder.tokenizer.decode
    return [
        (decode(r.prefix + r.suffix).split("\n")[-1], decode(r.answer))
        for r in bound.records(encoded(encoder, TEXT), gold)
    ]


# Letter by letter.


def test_text_last_is_the_papers_record(encoder: TextEncoder) -> None:
    found = prompts(encoder, bind(encoder, layout="text_last"), encoded(encoder, TEXT))
    assert found == [
        "Below is an instruction with an input. Write the response it asks for.\n"
        "\n"
        "### Instruction:\n"
        f"Please extract the entity of {name} in the input sentence given below , the "
        f"entity of {name} refers to the entity that represents {meant} in the input "
        "sentence.\n"
        "\n"
        "### Input:\n"
        " are there any slow burn war movies with ada quill\n"
        "\n"
        "### Response:\n"
        "<im_start> I can extract entities for you, the extracted entities are"
        for name, meant in zip(
            ["title", "genre", "actor", "ratings average"], MEANT.values()
        )
    ]


@pytest.mark.parametrize(
    "config,times",
    [({"layout": "text_first"}, 1), ({"layout": "text_twice"}, 2), ({}, 2)],
)
def test_all_types_are_listed_and_one_is_asked_for(
    encoder: TextEncoder, config: dict[str, str], times: int
) -> None:
    sentence = "Sentence: are there any slow burn war movies with ada quill\n"
    found = prompts(encoder, bind(encoder, **config), encoded(encoder, TEXT))
    assert found == [
        "Please extract the entities of each type from the sentence.\n"
        "Types: title: the name of a film. genre: a kind of film. actor: a person on "
        f"the screen. ratings average: how good others find it\n{times * sentence}"
        f" {name}:"
        for name in ["title", "genre", "actor", "ratings average"]
    ]


ANSWERS = {
    "text_first": [" slow burn; war<|end|>", " ada quill<|end|>", " none<|end|>"],
    "text_twice": [" slow burn; war<|end|>", " ada quill<|end|>", " none<|end|>"],
    "text_last": [
        " <<< slow burn >>> <<< war >>> <im_end><|end|>",
        " <<< ada quill >>> <im_end><|end|>",
        " <im_end><|end|>",
    ],
}


@every_layout
def test_answers_name_the_entities_in_text_order(
    encoder: TextEncoder, layout: str
) -> None:
    """The paper's with markers, ours as a list."""
    bound = bind(encoder, layout=layout, absent=0.0)
    decode = encoder.tokenizer.decode
    records = bound.records(encoded(encoder, TEXT), GOLD)
    assert [decode(record.answer) for record in records] == ANSWERS[layout][:2]
    end = encoder.tokenizer.eos_token_id
    for record in records:
        assert record.answer.count(end) == 1 and record.answer[-1] == end
        assert record.weights == (1.0,) * len(record.answer)
        assert record.task == "present"
    asked = prompts(encoder, bound, encoded(encoder, TEXT))
    own = [decode(record.prefix + record.suffix) for record in records]
    assert own == [asked[1], asked[2]]


@every_layout
def test_an_answer_without_entities(encoder: TextEncoder, layout: str) -> None:
    bound = bind(encoder, layout=layout, absent=9.0)
    records = bound.records(encoded(encoder, TEXT), Gold(()))
    answers = [encoder.tokenizer.decode(record.answer) for record in records]
    assert answers == [ANSWERS[layout][2]] * 4
    assert {record.task for record in records} == {"absent"}


@pytest.mark.parametrize(
    "pieces,answers",
    [
        ({"before_entity": "*", "after_entity": "*"}, (" * a*; * b c*", " none")),
        ({"separator": " |"}, (" a | b c", " none")),
        ({"separator": ",", "terminator": "."}, (" a, b c.", " none")),
        ({"after_entity": "!", "separator": ""}, (" a! b c!", " none")),
        ({"no_entity": "0", "terminator": " 1"}, (" a; b c 1", "0")),
        ({"layout": "text_last", "separator": " and"}, None),
    ],
)
def test_each_piece_can_be_replaced(
    encoder: TextEncoder, pieces: dict, answers: tuple[str, str] | None
) -> None:
    bound = bind(encoder, AB, **pieces)
    words = encoded(encoder, ["a", "b", "c"])
    found = bound.records(words, Gold(((0, 1, "A"), (1, 3, "A"))))
    if answers is None:
        answers = (" <<< a >>> and <<< b c >>> <im_end>", " <im_end>")
    decode = encoder.tokenizer.decode
    assert [decode(r.answer) for r in found] == [f"{a}<|end|>" for a in answers]
    for request, record in zip(bound.requests(words), found):
        spans = [(0, 1, 0), (1, 3, 0)] if record.task == "present" else []
        assert accepted(request, record.answer) == spans


def test_everything_can_be_replaced(encoder: TextEncoder) -> None:
    labels = make_label_set(
        ["A", "B"], {"A": "person, or group"}, {"B": 'a "b"\nor two'}
    )
    with pytest.warns(UserWarning, match="A.*as 'was {type} heißt'"):
        bound = bind(
            encoder,
            labels,
            template="<|turn|>{type}? {sentence} {type} ({definition}) "
            "[{definitions}]<|turn|>",
            before_entity="«",
            after_entity="»",
            separator="<|turn|>",
            terminator=" fin<|turn|>",
            no_entity=" rien<|turn|>",
            default_definition="was {type} heißt",
            absent=1.0,
        )
    text = encoded(encoder, ["Anna", "’s", "Bert"], [False, False, True])
    every = 'person, or group: was person, or group heißt. b: a "b" or two'
    assert prompts(encoder, bound, text) == [
        "<|turn|> person, or group? Anna’s Bert person, or group ( was person, or group"
        f" heißt) [ {every}]<|turn|>",
        f'<|turn|> b? Anna’s Bert b ( a "b" or two) [ {every}]<|turn|>',
    ]
    (record, absent) = bound.records(text, Gold(((0, 2, "A"), (2, 3, "A"))))
    decode = encoder.tokenizer.decode
    # An entity brings the space before it.
    assert decode(record.answer) == " « Anna’s»<|turn|> « Bert» fin<|turn|><|end|>"
    assert decode(absent.answer) == " rien<|turn|><|end|>"
    turn = encoder.tokenizer.convert_tokens_to_ids("<|turn|>")
    assert record.answer.count(turn) == 2 and record.prefix[0] == turn
    assert absent.answer.count(turn) == 1


def test_control_tokens_come_first_and_once(encoder: TextEncoder) -> None:
    own = TextEncoder(byte_level_tokenizer())
    turn = own.tokenizer.convert_tokens_to_ids("<|turn|>")
    own.start = (turn,)
    for layout in LAYOUTS:
        plain = bind(encoder, layout=layout).requests(encoded(encoder, TEXT))
        found = bind(own, layout=layout).requests(encoded(own, TEXT))
        for one, other in zip(plain, found):
            assert other.prefix == (turn, *one.prefix)
            assert (other.shared, other.suffix) == (one.shared, one.suffix)


def test_names_may_be_all_that_is_said(
    encoder: TextEncoder, recwarn: pytest.WarningsRecorder
) -> None:
    """Where some labels have a definition, one without was likely forgotten."""
    bound = bind(encoder, make_label_set(["A"], {}, {}))
    assert (
        "Types: a: a specific a\n" in prompts(encoder, bound, TokenizedWords((), ()))[0]
    )
    assert not recwarn.list


def test_labels_without_a_definition_get_one_and_are_named(
    encoder: TextEncoder,
) -> None:
    labels = make_label_set(NAMES, {"genre": "kind"}, {"Actor": "a person"})
    with pytest.warns(UserWarning, match="as 'a specific {type}'") as caught:
        bound = bind(encoder, labels)
    messages = " | ".join(str(warning.message) for warning in caught)
    named = [label for label in NAMES if label in messages]
    assert named == ["TITLE", "genre", "RATINGS-AVERAGE"]
    assert prompts(encoder, bound, encoded(encoder, ["x"]))[0].split("\n")[1] == (
        "Types: title: a specific title. kind: a specific kind. actor: a person. "
        "ratings average: a specific ratings average"
    )
    with pytest.warns(UserWarning, match="as 'such as {type}'"):
        bound = bind(
            encoder,
            labels,
            layout="text_last",
            default_definition="such as {type}",
        )
    asked = prompts(encoder, bound, encoded(encoder, ["x"]))
    assert ["represents such as kind in" in prompt for prompt in asked] == [
        False,
        True,
        False,
        False,
    ]
    assert "represents a person in" in asked[2]


def test_with_all_definitions_there_is_no_warning(
    encoder: TextEncoder, recwarn: pytest.WarningsRecorder
) -> None:
    bind(encoder)
    bind(encoder, layout="text_last")
    assert not recwarn.list


def test_what_the_template_does_not_say_needs_no_words(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """No definitions, and no signs to write them with."""
    own = TextEncoder(unigram_tokenizer())
    with pytest.raises(ValueError, match="cannot write ';'"):
        own.written(";")
    labels = make_label_set(["A", "B"], {}, {"A": "this; that"})
    bound = bind(
        own,
        labels,
        template="{sentence} {type}:",
        separator=",",
    )
    assert prompts(own, bound, encoded(own, ["Anna"])) == ["Anna a:", "Anna b:"]
    assert not recwarn.list


def test_the_constant_part_is_the_longest_prompt_without_its_text(
    encoder: TextEncoder,
) -> None:
    for layout in LAYOUTS:
        bound = bind(encoder, layout=layout)
        nothing = bound.requests(TokenizedWords((), ()))
        lengths = [len(q.prefix + q.own) for q in nothing]
        assert bound.constant() == max(lengths) > min(lengths)
