"""CLLMFS: prompts and answers letter by letter, what is shared, what is learned of
types that do not occur, both grammars, and answers of tiny models."""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
import torch
from conftest import byte_level_tokenizer, unigram_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_instructner.decoding.answers import (
    AnswerFormat,
    Clause,
    TokenizedWords,
    write_answer,
)
from spacy_instructner.decoding.beam_search import search
from spacy_instructner.decoding.grammar import read_answer
from spacy_instructner.decoding.request import Answer, DecodingRequest
from spacy_instructner.decoding.token_bag import LONGEST, TokenBagGrammar, TokenBagState
from spacy_instructner.models.thinc_model import get_backbone, get_inference_backbone
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold, TrainingRecord
from spacy_instructner.tasks.cllmfs import BoundCLLMFS, build_cllmfs_v1
from spacy_instructner.tasks.labels import LabelSet, make_label_set

MakeNLP = Callable[..., Language]
Ids = tuple[int, ...]
NAMES = ["TITLE", "genre", "Actor", "RATINGS-AVERAGE"]
MEANT = {
    "TITLE": "the name of a film",
    "genre": "a kind of film",
    "Actor": "a person on the screen",
    "RATINGS-AVERAGE": "how good others find it",
}
LABELS = make_label_set(NAMES, {}, MEANT)
TEXT = "are there any slow burn war movies with ada quill".split()
# Not by label: in text order.
GOLD = Gold(((3, 5, "genre"), (5, 6, "genre"), (8, 10, "Actor")))


AB = make_label_set(["A", "B"], {}, {"A": "first", "B": "second"})
letters = st.text("abé", min_size=1, max_size=3)

LAYOUTS = ["text_twice", "text_first", "text_last"]
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
# The bag needs markers.
every_way = pytest.mark.parametrize(
    "layout,grammar",
    [
        ("text_twice", "spans"),
        ("text_first", "spans"),
        ("text_last", "spans"),
        ("text_last", "bag"),
    ],
)
on_every_model = pytest.mark.parametrize(
    "make_nlp", ["causal", "t5", "bart"], indirect=True
)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(byte_level_tokenizer())


def encoded(
    encoder: TextEncoder, words: Sequence[str], spaces: Sequence[bool] | None = None
) -> TokenizedWords:
    spaces = [bool(at) for at in range(len(words))] if spaces is None else spaces
    return encoder.words(words, spaces, 50)


def bind(
    encoder: TextEncoder,
    labels: LabelSet = LABELS,
    max_span: int = 0,
    **config: object,
) -> BoundCLLMFS:
    end = encoder.tokenizer.eos_token_id
    return build_cllmfs_v1(**config).bind(encoder, labels, end, max_span)  # type: ignore[arg-type]


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


# Places.


@every_layout
def test_records_say_where_text_names_and_entities_stand(
    encoder: TextEncoder, layout: str
) -> None:
    bound = bind(encoder, layout=layout, absent=9.0)
    decode = encoder.tokenizer.decode
    records = bound.records(encoded(encoder, TEXT), GOLD)
    assert len(records) == 4
    names = ["genre", "actor"]
    for at, record in enumerate(records):
        ids = record.prefix + record.suffix + record.answer
        assert decode(ids[slice(*record.text)]) == " " + " ".join(TEXT)
        if at > 1:
            assert record.mentions == ()
            continue
        name = encoder.text(" " + names[at])
        ((place,),) = {(mention.type,) for mention in record.mentions}
        assert ids[place : place + len(name)] == name
        # The first time that it is asked for; what lists all types stands before that.
        if layout == "text_last":
            assert decode(ids[:place]).endswith("Please extract the entity of")
        else:
            assert place == record.text[1] + len(encoder.text("\n"))
    said = [
        (decode(ids[m.begin : m.end]), decode(ids[m.opening + 1 : m.opening + 3]))
        for record in records
        for m in record.mentions
        for ids in [record.prefix + record.suffix + record.answer]
    ]
    assert [entity for entity, _ in said] == [" slow burn", " war", " ada quill"]
    assert all(entity.startswith(begin) for entity, begin in said)


# What is shared.

TEXTS = [TEXT, ["war"], [], ["ada", "quill", "and", "war"]]


@pytest.mark.parametrize("layout", ["text_first", "text_twice"])
def test_the_text_is_shared_by_all_labels(encoder: TextEncoder, layout: str) -> None:
    bound = bind(encoder, layout=layout)
    again = encoder.text("\n") + encoder.text("Sentence:")
    prefixes = set()
    for text in TEXTS:
        words = encoded(encoder, text)
        requests = bound.requests(words)
        assert len(requests) == 4
        ((prefix, shared),) = {(q.prefix, q.shared) for q in requests}
        prefixes.add(prefix)
        # All but the name of the type and what follows it.
        before = words.text + again if layout == "text_twice" else ()
        assert shared == before + words.text + encoder.text("\n")
        assert [q.suffix for q in requests] == [
            encoder.text(f" {name}") + encoder.text(":")
            for name in ["title", "genre", "actor", "ratings average"]
        ]
    # And what stands before is the same from text to text.
    (prefix,) = prefixes
    assert encoder.tokenizer.decode(prefix).endswith("find it\nSentence:")


def test_text_last_shares_nothing_but_what_is_constant(encoder: TextEncoder) -> None:
    bound = bind(encoder, layout="text_last")
    asked = [bound.requests(encoded(encoder, text)) for text in TEXTS]
    for of_label in zip(*asked):
        (prefix,) = {request.prefix for request in of_label}
        assert {request.shared for request in of_label} == {()}
        said = encoder.tokenizer.decode(prefix)
        ((name, meant),) = [
            (name, meant)
            for name, meant in zip(LABELS.names, LABELS.definitions)
            if f"the entity of {name} refers" in said
        ]
        assert f"represents {meant} in the input" in said
        assert said.endswith("### Input:\n")
    assert len({requests[0].prefix for requests in zip(*asked)}) == 4


@pytest.mark.parametrize(
    "template,shared",
    [
        (None, " war\nSentence: war\n"),
        # Names that begin alike, and what follows the text, are shared.
        ("{sentence}\nOf type{type}: {definition}", " war\nOf type"),
        ("{type}: {sentence}\n", ""),
        ("{definition}: {sentence}\n{type}", ""),
        # A text that stands there twice.
        ("{sentence} /{sentence}\n{type}", " war / war\n"),
        ("{sentence} {type} {sentence}", " war"),
        ("{type} {sentence}/{sentence}\n", ""),
    ],
)
def test_what_is_shared_follows_from_the_template(
    encoder: TextEncoder, template: str | None, shared: str
) -> None:
    bound = bind(encoder, template=template)
    requests = bound.requests(encoded(encoder, ["war"]))
    decode = encoder.tokenizer.decode
    assert {decode(request.shared) for request in requests} == {shared}
    assert all(request.suffix for request in requests)


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{sentence} {type}",
        "{type} {sentence}",
        "{sentence} {sentence}\n{type}",
        "{sentence} {type} {sentence}",
    ],
)
@every_layout
@pytest.mark.parametrize("count", [1, 4])
def test_questions_are_what_is_learned(
    encoder: TextEncoder, template: str | None, layout: str, count: int
) -> None:
    labels = make_label_set(NAMES[:count], {}, MEANT)
    bound = bind(encoder, labels, template=template, layout=layout, absent=9.0)
    kept = tuple(entity for entity in GOLD.entities if entity[2] in labels.labels)
    for text, gold in ((TEXT, Gold(kept)), (["war"], Gold(()))):
        words = encoded(encoder, text)
        asked = [(q.prefix, q.own) for q in bound.requests(words)]
        learned = [(r.prefix, r.suffix) for r in bound.records(words, gold)]
        assert len(asked) == count and sorted(asked) == sorted(learned)
        for request in bound.requests(words):
            assert request.own == request.shared + request.suffix


@pytest.mark.parametrize(
    "template,before,named",
    [
        ("{sentence} / {sentence} {type}", " Anna war / Anna", " Anna war / Anna war"),
        ("{sentence} {type} / {sentence}", " Anna war b / Anna", " Anna war"),
        ("{type} {sentence} / {sentence}", " b Anna war / Anna", ""),
    ],
)
def test_of_a_text_given_twice_the_last_is_meant(
    encoder: TextEncoder, template: str, before: str, named: str
) -> None:
    """There the model has read what follows each token, too."""
    bound = bind(encoder, make_label_set(["b"], {}, {"b": "x"}), template=template)
    (record,) = bound.records(encoded(encoder, ["Anna", "war"]), Gold(((1, 2, "b"),)))
    (mention,) = record.mentions
    ids = record.prefix + record.suffix
    decode = encoder.tokenizer.decode
    start = len(encoder.start)
    assert decode(ids[slice(*record.text)]) == " Anna war"
    assert decode(ids[start : mention.begin]) == before
    assert decode(ids[mention.begin : mention.end]) == " war"
    assert decode(ids[start : mention.type]) == named
    assert mention.opening == len(ids) - 1


# Types that do not occur.


def tasks_of(records: Iterable[TrainingRecord]) -> list[str]:
    return [record.task for record in records]


@pytest.mark.parametrize(
    "absent,gold,present,expected",
    [
        (0.0, GOLD, 2, 0),
        (1.0, GOLD, 2, 2),
        (3.0, GOLD, 2, 2),
        (99.0, GOLD, 2, 2),
        (1.0, Gold(GOLD.entities[:2]), 1, 1),
        (2.0, Gold(GOLD.entities[:2]), 1, 2),
        (3.0, Gold(GOLD.entities[:2]), 1, 3),
        (9.0, Gold(GOLD.entities[:2]), 1, 3),
        # A text without entities counts as one type.
        (0.0, Gold(()), 0, 0),
        (1.0, Gold(()), 0, 1),
        (3.0, Gold(()), 0, 3),
        (5.0, Gold(()), 0, 4),
        # Of a text that is not annotated throughout nobody knows what is absent.
        (3.0, Gold(GOLD.entities, frozenset({0})), 2, 0),
        (3.0, Gold((), frozenset({0})), 0, 0),
    ],
)
def test_how_many_absent_types_are_learned(
    encoder: TextEncoder, absent: float, gold: Gold, present: int, expected: int
) -> None:
    bound = bind(encoder, absent=absent)
    words = encoded(encoder, TEXT)
    random.seed(0)
    for _ in range(5):
        found = bound.records(words, gold)
        assert tasks_of(found) == ["present"] * present + ["absent"] * expected
        # Each type once.
        assert len({record.prefix + record.suffix for record in found}) == len(found)
        for record in found[present:]:
            assert record.mentions == ()
            assert encoder.tokenizer.decode(record.answer) == " none<|end|>"


@pytest.mark.parametrize(
    "absent,gold,expected",
    [(0.5, Gold(()), 0.5), (0.5, Gold(GOLD.entities[:1]), 0.5), (0.75, GOLD, 1.5)],
)
def test_a_fraction_holds_on_the_average_and_all_types_come(
    encoder: TextEncoder, absent: float, gold: Gold, expected: float
) -> None:
    bound = bind(encoder, absent=absent)
    words = encoded(encoder, TEXT)
    random.seed(0)
    drawn = [bound.records(words, gold) for _ in range(1000)]
    counts = [tasks_of(records).count("absent") for records in drawn]
    assert sum(counts) / 1000 == pytest.approx(expected, abs=0.06)
    assert set(counts) == {int(expected), int(expected) + 1}
    names: dict[str, int] = {}
    for records in drawn:
        for record in records:
            if record.task == "absent":
                last = encoder.tokenizer.decode(record.suffix).split("\n")[-1]
                names[last] = names.get(last, 0) + 1
    said = {label for _, _, label in gold.entities}
    assert set(names) == {
        f" {name}:" for name, label in zip(LABELS.names, NAMES) if label not in said
    }
    even = sum(counts) / len(names)
    assert all(abs(count - even) < 0.25 * even for count in names.values())
    random.seed(0)
    assert [bound.records(words, gold) for _ in range(1000)] == drawn


def counted_of(encoder: TextEncoder, records: list[TrainingRecord]) -> list[str]:
    """What of the answers carries loss."""
    return [
        encoder.tokenizer.decode([t for t, w in zip(r.answer, r.weights) if w])
        for r in records
    ]


@pytest.mark.parametrize("layout", ["text_first", "text_last"])
def test_missing_annotation_costs_what_it_may_hide(
    encoder: TextEncoder, layout: str
) -> None:
    """An entity may begin at a word without annotation: which one is next after the
    last before it is not learnt, and no label is learnt as absent. All else is."""
    bound = bind(encoder, absent=9.0, layout=layout)
    before, after, between, closing = {
        "text_first": ("", "", ";", "<|end|>"),
        "text_last": (" <<<", " >>>", "", " <im_end><|end|>"),
    }[layout]

    def rest(entity: str) -> str:
        first = encoder.text(" " + entity.split()[0])[:1]
        return entity.removeprefix(encoder.tokenizer.decode(first)) + after

    for missing, expected in (
        # In front of all entities.
        (
            {0},
            [
                before
                + rest(" slow burn")
                + between
                + before
                + " war"
                + after
                + closing,
                before + rest(" ada quill") + closing,
            ],
        ),
        # Behind the last of the one label, in front of the first of the other.
        (
            {6},
            [
                before + " slow burn" + after + between + before + " war" + after,
                before + rest(" ada quill") + closing,
            ],
        ),
    ):
        gold = Gold(GOLD.entities, frozenset(missing))
        records = bound.records(encoded(encoder, TEXT), gold)
        assert counted_of(encoder, records) == expected
        assert {weight for r in records for weight in r.weights} == {0.0, 1.0}
        # What objectives look at is known all the same.
        assert [len(record.mentions) for record in records] == [2, 1]


def test_an_entity_that_is_lost_costs_its_own_label_alone(encoder: TextEncoder) -> None:
    bound = bind(encoder, absent=9.0)
    words = encoded(encoder, TEXT)

    def learnt(gold: Gold) -> dict[str, str]:
        made = bound.records(words, gold)
        by_prompt = {(r.prefix, r.suffix): r for r in made}
        return {
            label: counted_of(encoder, [by_prompt[q.prefix, q.own]])[0]
            for label, q in zip(bound.prompts, bound.requests(words))
            if (q.prefix, q.own) in by_prompt
        }

    whole = learnt(GOLD)
    absent = [label for label, said in whole.items() if "none" in said]
    assert len(whole) == 4 and len(absent) == 2
    # Of a label that is not there otherwise: it is not learnt as absent.
    torn = learnt(Gold(GOLD.entities, lost=((6, 7, absent[0]),)))
    assert torn == {k: v for k, v in whole.items() if k != absent[0]}
    # Of one that is: what may follow its last entity is not learnt.
    torn = learnt(Gold(GOLD.entities, lost=((6, 7, "genre"),)))
    assert torn.pop("genre") == " slow burn; war"
    assert torn == {k: v for k, v in whole.items() if k != "genre"}


def test_ids_that_a_hidden_entity_begins_with_are_not_learnt(
    encoder: TextEncoder,
) -> None:
    """ "war films" may be hidden in front of "war movies": only where they part is it
    certain which one is said."""
    bound = bind(encoder)
    words = encoded(encoder, "war films or war movies".split())
    gold = Gold(((3, 5, "genre"),), frozenset({0, 1}))
    (record,) = bound.records(words, gold)
    answer = "".join(encoder.tokenizer.decode([t]) for t in record.answer)
    (counted,) = counted_of(encoder, [record])
    assert answer == " war movies<|end|>" and answer.endswith(counted)
    hidden = answer.removesuffix(counted)
    assert " war " in hidden + " " and len(hidden) < len(" war movies")


# Both grammars read what is learned.


@st.composite
def golds(draw: st.DrawFn, words: st.SearchStrategy[list[str]]) -> tuple:
    """Words, and entities of two labels that do not overlap."""
    text = draw(words)
    borders = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    entities = []
    # Neighbours may touch.
    for start, end in zip(borders, borders[1:]):
        label = draw(st.sampled_from(["A", "B", None]))
        if label:
            entities.append((start, end, label))
    return text, tuple(entities)


def said_of(
    bound: BoundCLLMFS, words: TokenizedWords, gold: Gold
) -> list[tuple[str, DecodingRequest, TrainingRecord]]:
    """Records by label, with the question each answers."""
    records = {(r.prefix, r.suffix): r for r in bound.records(words, gold)}
    requests = bound.requests(words)
    assert len(records) == len(requests) == 2
    return [
        (label, request, records[request.prefix, request.own])
        for label, request in zip(("A", "B"), requests)
    ]


def accepted(request: DecodingRequest, ids: Sequence[int]) -> list[Clause]:
    """Step by step; the answer is finished at its end, and not before."""
    state = request.grammar.start()
    for token in ids:
        assert not state.done
        assert token in state.allowed
        state = state.step(token)
    assert state.done and not state.allowed
    ends = [clause[3] for clause in state.read()]
    assert ends == sorted(ends) and all(0 < end < len(ids) for end in ends)
    return [clause[:3] for clause in state.read()]


@every_way
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=golds(st.lists(letters, max_size=6, unique=True)))
def test_what_is_learned_is_read_back(
    encoder: TextEncoder, layout: str, grammar: str, data: tuple
) -> None:
    text, entities = data
    bound = bind(encoder, AB, layout=layout, grammar=grammar, absent=9.0)
    words = encoded(encoder, text)
    for label, request, record in said_of(bound, words, Gold(entities)):
        spans = [(start, end, 0) for start, end, own in entities if own == label]
        assert accepted(request, record.answer) == spans
        assert request.grammar.format.labels == (label,)


awkward = st.sampled_from(
    ["a", "b", "ab", "'s", " ", "<<<", ">>>", "<im_end>", ".", ";", "none"]
)


@every_way
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    data=golds(st.lists(awkward, max_size=6)),
    spaces=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_repeated_words_and_words_like_markers_are_accepted(
    encoder: TextEncoder, layout: str, grammar: str, data: tuple, spaces: list[bool]
) -> None:
    """What is read back may be another place, but writes the same."""
    text, entities = data
    if grammar == "bag":
        # Any order of ids admits the markers too, and there they are markers.
        text = ["a" if word[-1] in "<>" else word for word in text]
    bound = bind(encoder, AB, grammar=grammar, absent=9.0, layout=layout)
    words = encoded(
        encoder, text, [bool(at) and s for at, s in enumerate(spaces)][: len(text)]
    )
    sayable = tuple(
        (start, end, label)
        for start, end, label in entities
        if words.writable(start) and words.writable(end - 1)
    )
    for label, request, record in said_of(bound, words, Gold(sayable)):
        found = accepted(request, record.answer)
        pieces = [[], []]  # type: ignore[var-annotated]
        spans = [(start, end, 0) for start, end, own in sayable if own == label]
        format = request.grammar.format
        if grammar == "spans":
            for which, clauses in enumerate((found, spans)):
                pieces[which] = [
                    piece.ids for piece in write_answer(words, format, clauses)
                ]
            assert sum(pieces[0], ()) == sum(pieces[1], ()) == record.answer
        else:
            # In another order, perhaps, but as many, and each place once.
            assert len(set(found)) == len(spans)
            assert all(
                words.writable(start) and words.writable(end - 1)
                for start, end, _ in found
            )


# The bag, in words: a dictionary stands in for the tokenizer.

VOCABULARY: dict[str, int] = {}


def ids_of(text: str) -> Ids:
    return tuple(VOCABULARY.setdefault(w, 1000 + len(VOCABULARY)) for w in text.split())


def worded(text: str) -> TokenizedWords:
    ids = tuple(ids_of(word) for word in text.split())
    return TokenizedWords(ids, ids)


FORMAT = AnswerFormat(
    first_lead=ids_of("[ ["),
    next_lead=ids_of("[ ["),
    tails=(("PERSON", ids_of("] ]")),),
    closing=ids_of("the end <end>"),
    empty=ids_of("the end <end>"),
)


def stepped(grammar: TokenBagGrammar, ids: Sequence[int]) -> TokenBagState:
    state = grammar.start()
    for token in ids:
        state = state.step(token)
    return state


def bag_reads(grammar: TokenBagGrammar, answer: str) -> list[tuple[int, int]]:
    state = stepped(grammar, ids_of(answer + " the end <end>"))
    assert state.done
    return [(start, end) for start, end, _, _ in state.read()]


@pytest.mark.parametrize(
    "text,answer,spans",
    [
        ("anna met bert", "", []),
        ("anna met bert", "[ [ anna ] ]", [(0, 1)]),
        ("anna met bert", "[ [ anna met ] ] [ [ bert ] ]", [(0, 2), (2, 3)]),
        # In any order, and overlapping.
        ("anna met bert", "[ [ bert ] ] [ [ anna ] ]", [(2, 3), (0, 1)]),
        ("anna met bert", "[ [ anna met ] ] [ [ met bert ] ]", [(0, 2), (1, 3)]),
        # What does not stand in the text is dropped, and nothing else.
        ("anna met bert", "[ [ bert anna ] ] [ [ met ] ]", [(1, 2)]),
        ("anna met bert", "[ [ anna bert ] ]", []),
        ("anna met bert", "[ [ ] ] [ [ bert ] ]", [(2, 3)]),
        ("anna met bert", "[ [ anna the ] ] [ [ bert ] ]", [(2, 3)]),
        # A run of words is found once for each time that it stands there.
        ("paris and paris", "[ [ paris ] ]", [(0, 1)]),
        ("paris and paris", "[ [ paris ] ] [ [ paris ] ]", [(0, 1), (2, 3)]),
        (
            "paris and paris",
            "[ [ paris ] ] [ [ paris ] ] [ [ paris ] ] [ [ and ] ]",
            [(0, 1), (2, 3), (1, 2)],
        ),
        ("a a a", "[ [ a a ] ] [ [ a a ] ] [ [ a a ] ]", [(0, 2), (1, 3)]),
        # Markers that do not close, or open again, say nothing.
        ("anna met bert", "anna ] ] [ [ bert", []),
        ("anna met bert", "[ [ anna [ [ bert ] ]", [(2, 3)]),
        ("anna met bert", "[ [ anna ] ] bert ] ]", [(0, 1)]),
        ("anna met bert", "[ anna ] [ [ bert ] ] ] ]", [(2, 3)]),
        ("", "[ [ ] ]", []),
        ("anna ] ] bert", "[ [ anna ] ] bert ] ]", [(0, 1)]),
    ],
)
def test_the_bag_finds_what_stands_in_the_text(
    text: str, answer: str, spans: list[tuple[int, int]]
) -> None:
    assert bag_reads(TokenBagGrammar(worded(text), FORMAT), answer) == spans


def test_the_bag_counts_where_each_span_ends() -> None:
    grammar = TokenBagGrammar(worded("anna met bert"), FORMAT)
    ids = ids_of("[ [ bert anna ] ] [ [ bert ] ] [ [ anna met ] ] the end <end>")
    assert stepped(grammar, ids).read() == ((2, 3, 0, 11), (0, 2, 0, 17))
    broken = stepped(grammar, ids[:13])
    assert broken.read_so_far() == ((2, 3, 0, 11),)
    with pytest.raises(ValueError, match="not finished"):
        broken.read()


def test_the_bag_admits_any_id_of_text_and_pieces() -> None:
    state = TokenBagGrammar(worded("anna met bert anna"), FORMAT).start()
    free = set(ids_of("anna met bert [ ] the end"))
    for token in ids_of("met [ the ] bert bert the"):
        assert set(state.allowed) == free
        assert len(state.allowed) == len(free)
        assert state.ended == () and state.guess() is None and not state.done
        state = state.step(token)
    assert set(state.allowed) == free
    state = state.step(*ids_of("end"))
    # What is closed is closed.
    assert state.allowed == ids_of("<end>")
    assert state.step(*ids_of("<end>")).done
    for token in ids_of("<end> carl"):
        with pytest.raises(ValueError, match="not legal at answer id 0"):
            TokenBagGrammar(worded("anna"), FORMAT).start().step(token)


def test_an_answer_over_the_longest_closes() -> None:
    grammar = TokenBagGrammar(worded("anna met bert"), FORMAT)
    one = stepped(grammar, ids_of("[ [ anna ] ] [ [" + " bert" * (LONGEST - 7)))
    assert len(one.ids) == LONGEST == 128
    for token in ids_of("the end <end>"):
        assert one.allowed == (token,)
        one = one.step(token)
    assert one.done and one.read() == ((0, 1, 0, 5),)
    # One id less leaves a choice; half a terminator is made a whole one.
    assert len(stepped(grammar, ids_of("bert " * (LONGEST - 1))).allowed) > 1
    half = stepped(grammar, ids_of("bert " * (LONGEST - 1) + "the"))
    assert half.allowed == ids_of("end") and half.step(*ids_of("end")).allowed == (
        ids_of("<end>")
    )


def test_a_terminator_may_repeat_itself() -> None:
    closing = ids_of("no no <end>")
    format = replace(FORMAT, closing=closing, empty=closing)
    state = TokenBagGrammar(worded("anna"), format).start()
    for token in ids_of("no anna no"):
        state = state.step(token)
        assert len(state.allowed) > 1
    state = state.step(closing[1])
    assert state.allowed == closing[2:] and state.step(closing[2]).done


def test_the_bag_keeps_to_max_span() -> None:
    text = worded("new york city new york")
    answer = "[ [ new york city ] ] [ [ new york ] ] [ [ york city new ] ]"
    assert bag_reads(TokenBagGrammar(text, FORMAT), answer) == [(0, 3), (0, 2), (1, 4)]
    assert bag_reads(TokenBagGrammar(text, FORMAT, max_span=2), answer) == [(0, 2)]


def test_the_bag_passes_over_words_without_ids() -> None:
    (anna,), (bert,) = ids_of("anna"), ids_of("bert")
    words = TokenizedWords(
        ((), (anna,), (), (bert,), ()), ((), (anna,), (), (bert,), ())
    )
    grammar = TokenBagGrammar(words, FORMAT)
    assert bag_reads(grammar, "[ [ anna bert ] ]") == [(1, 4)]
    assert bag_reads(grammar, "[ [ anna ] ] [ [ bert ] ]") == [(1, 2), (3, 4)]
    assert (
        bag_reads(TokenBagGrammar(words, FORMAT, max_span=2), "[ [ anna bert ] ]") == []
    )


def test_the_bag_finds_a_word_written_either_way() -> None:
    """As after a space, and as it stands."""
    (lone,), (close,), (bert,) = ids_of("_anna"), ids_of("anna"), ids_of("bert")
    words = TokenizedWords(((lone,), (lone,), (bert,)), ((lone,), (close,), (bert,)))
    grammar = TokenBagGrammar(words, FORMAT)
    assert bag_reads(grammar, "[ [ anna bert ] ]") == [(1, 3)]
    assert bag_reads(grammar, "[ [ _anna bert ] ]") == [(1, 3)]
    assert bag_reads(grammar, "[ [ _anna anna ] ]") == [(0, 2)]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=golds(st.lists(letters, max_size=8, unique=True)))
def test_the_bag_reads_what_is_written(data: tuple) -> None:
    text, entities = data
    words = worded(" ".join(text))
    clauses = [(start, end, 0) for start, end, _ in entities]
    ids = [
        token for piece in write_answer(words, FORMAT, clauses) for token in piece.ids
    ]
    state = stepped(TokenBagGrammar(words, FORMAT), ids)
    assert state.done and [clause[:3] for clause in state.read()] == clauses


def test_the_spans_grammar_admits_what_the_bag_does_not_refuse(
    encoder: TextEncoder,
) -> None:
    """The bag is the wider of the two."""
    words = encoded(encoder, ["a", "b"])
    spans, bag = (
        bind(encoder, AB, layout="text_last", grammar=kind).requests(words)[0].grammar
        for kind in ("spans", "bag")
    )
    stack, admitted = [((), spans.start())], 0
    while stack:
        ids, state = stack.pop()
        if state.done:
            found = stepped(bag, ids)
            assert found.done
            assert [c[:3] for c in found.read()] == [c[:3] for c in state.read()]
            admitted += 1
        stack.extend(((*ids, token), state.step(token)) for token in state.allowed)
    # None; a; b; a b; a and b.
    assert admitted == 5
    backwards = encoder.text(" <<<") + encoder.text(" b") + encoder.text(" a")
    backwards += encoder.text(" >>>") + bag.format.closing
    assert (
        stepped(bag, backwards).read() == () and read_answer(spans, backwards) is None
    )


def test_the_bag_reads_an_empty_answer_of_its_own(encoder: TextEncoder) -> None:
    """Where it is not the terminator, or there is none."""
    words = encoded(encoder, ["a", "b"])
    for pieces in ({}, {"terminator": " end"}, {"no_entity": " end"}):
        marked = {"before_entity": "[", "after_entity": "]", **pieces}
        bound = bind(encoder, AB, grammar="bag", absent=9.0, **marked)
        for entities in ((), ((0, 1, "A"),), ((0, 1, "A"), (1, 2, "A"))):
            gold = Gold(entities)
            for label, request, record in said_of(bound, words, gold):
                spans = [
                    (start, end, 0) for start, end, own in entities if own == label
                ]
                assert accepted(request, record.answer) == spans


@every_way
def test_max_span_holds(encoder: TextEncoder, layout: str, grammar: str) -> None:
    words = encoded(encoder, ["a", "b", "c"])
    free = bind(encoder, AB, absent=0.0, layout=layout)
    (long,) = free.records(words, Gold(((0, 3, "A"),)))
    (short,) = free.records(words, Gold(((1, 3, "A"),)))
    bound = bind(encoder, AB, max_span=2, layout=layout, grammar=grammar)
    request = bound.requests(words)[0]
    assert accepted(request, short.answer) == [(1, 3, 0)]
    if grammar == "spans":
        assert read_answer(request.grammar, long.answer) is None
    else:
        assert accepted(request, long.answer) == []


# Through the pipe.

TRAIN = [
    ("Anna met Bert in Paris.", [(0, 1, "PERSON"), (2, 3, "PERSON"), (4, 5, "PLACE")]),
    ("Paris Brown lives in Rome.", [(0, 2, "PERSON"), (4, 5, "PLACE")]),
    ("It is an old place.", []),
    ("Rome, Paris and Anna", [(0, 1, "PLACE"), (2, 3, "PLACE"), (4, 5, "PERSON")]),
]
DOCS = [
    "Anna met Bert in Paris.",
    "",
    "Rome",
    "  Anna's friend lives in Rome \n and Bert lives in Paris, an old place. ",
    "Rome",
    "Anna and Bert and Anna and Bert met in Rome and Paris and lived there. " * 2,
    "None.",
]
DEFINED = {"PERSON": "a human", "PLACE": "a town or land", "WORK": "a creative work"}
TASK = {"@misc": "spacy-instructner.CLLMFS.v1"}
# With signs that the tests' T5 can write.
PLAIN: dict[str, dict[str, object]] = {
    "text_twice": {"separator": ","},
    "text_first": {"separator": ","},
    "text_last": {
        "template": "Options: {type}, {definition}\nSentence: {sentence}\nAnswer:",
        "before_entity": "begin",
        "after_entity": " end",
        "terminator": " stop",
        "no_entity": " stop",
    },
}


def asking(make_nlp: MakeNLP, layout: str = "text_twice", **config: object) -> Language:
    """With the layout as it is, but for T5, which cannot write its signs."""
    name = make_nlp().get_pipe("instruction_ner").model.attrs["config"].name
    task: dict[str, object] = {**TASK, "layout": layout}
    task.update(PLAIN[layout] if "t5" in name else {})
    task.update(config.pop("task", {}))  # type: ignore[call-overload]
    labels = config.pop("labels", list(DEFINED))
    return make_nlp(task=task, labels=labels, label_definitions=DEFINED, **config)


def spans_of(doc: Doc) -> list[tuple]:
    group = doc.spans["instruction_ner"]
    scores = [pytest.approx(float(x), abs=1e-4) for x in group.attrs["scores"]]
    return [(s.start, s.end, s.label_, x) for s, x in zip(group, scores)]


@on_every_model
@every_way
def test_answers_are_spans_of_the_text_with_labels_of_the_set(
    make_nlp: MakeNLP, layout: str, grammar: str
) -> None:
    nlp = asking(make_nlp, layout, task={"grammar": grammar})
    count = 0
    for text in DOCS:
        doc = nlp(text)
        group = doc.spans["instruction_ner"]
        assert doc.text == text and len(group.attrs["scores"]) == len(group)
        for span, score in zip(group, group.attrs["scores"]):
            assert span.label_ in DEFINED
            assert 0 <= span.start < span.end <= len(doc)
            assert not span[0].is_space and not span[-1].is_space
            assert 0.0 <= score <= 1.0
            count += 1
        if grammar == "spans":
            # Of one label in text order, without overlap.
            for label in DEFINED:
                own = [s for s in group if s.label_ == label]
                assert all(a.end <= b.start for a, b in zip(own, own[1:]))
    assert count > 5 or grammar == "bag"


@on_every_model
def test_spans_of_labels_may_overlap_and_the_best_are_entities(
    make_nlp: MakeNLP,
) -> None:
    nlp = asking(make_nlp)
    overlaps = 0
    for doc in nlp.pipe(DOCS):
        spans = doc.spans["instruction_ner"]
        ranked = sorted(
            zip(spans, map(float, spans.attrs["scores"])),
            key=lambda item: (-item[1], item[0].start - item[0].end, item[0].start),
        )
        chosen: list[Span] = []
        for span, _ in ranked:
            clash = [s for s in chosen if s.start < span.end and span.start < s.end]
            overlaps += any(other.label != span.label for other in clash)
            if not clash:
                chosen.append(span)
        expected = sorted((s.start, s.end, s.label_) for s in chosen)
        assert [(e.start, e.end, e.label_) for e in doc.ents] == expected
    assert overlaps > 2


@on_every_model
@every_way
def test_a_batch_is_as_good_as_one_by_one(
    make_nlp: MakeNLP, layout: str, grammar: str
) -> None:
    nlp = asking(make_nlp, layout, task={"grammar": grammar})
    together = [spans_of(doc) for doc in nlp.pipe(DOCS)]
    assert together == [spans_of(nlp(text)) for text in DOCS]


def folded(request: DecodingRequest) -> DecodingRequest:
    """The same, with nothing shared."""
    return DecodingRequest(request.prefix, request.own, request.grammar)


def assert_same(found: Sequence[Answer], expected: Sequence[Answer]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert one.ids == other.ids and one.complete == other.complete
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4 * len(other.ids))
        assert [(s.start, s.end, s.label) for s in one.spans] == [
            (s.start, s.end, s.label) for s in other.spans
        ]
        for a, b in zip(one.spans, other.spans):
            assert a.score == pytest.approx(b.score, abs=1e-4)


@on_every_model
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("batch_tokens", [1, 150, 10_000])
def test_sharing_changes_nothing(
    make_nlp: MakeNLP, width: int, batch_tokens: int
) -> None:
    nlp = asking(make_nlp)
    pipe = nlp.get_pipe("instruction_ner")
    backbone = get_inference_backbone(pipe.model)
    docs = [nlp.make_doc(text) for text in DOCS]
    requests = [q for _, asked in pipe.requests(docs) for q in asked]
    # Two of the texts are the same.
    assert len(requests) == 18 and len({q.shared for q in requests}) == 5
    alone = [search(backbone, [folded(q)], 1, width)[0] for q in requests]
    assert_same(search(backbone, requests, batch_tokens, width), alone)
    # Some share, some do not, some are far longer.
    mixed = [q if at % 3 else folded(q) for at, q in enumerate(requests)]
    assert_same(search(backbone, mixed, batch_tokens, width), alone)
    assert sum(len(answer.spans) for answer in alone) > 5


@on_every_model
@every_way
@pytest.mark.parametrize("width", [1, 3])
def test_the_same_text_twice_is_answered_twice(
    make_nlp: MakeNLP, layout: str, grammar: str, width: int
) -> None:
    """Also where the text is the last of the prompt, and all that there is to share."""
    task = {"template": "Find {type}: {sentence}", "grammar": grammar}
    nlp = asking(make_nlp, layout, labels=["PERSON"], task=task)
    pipe = nlp.get_pipe("instruction_ner")
    backbone = get_inference_backbone(pipe.model)
    docs = [nlp.make_doc(text) for text in ("Rome", "Anna in Rome", "Rome", "Rome")]
    requests = [q for _, asked in pipe.requests(docs) for q in asked]
    alone = [search(backbone, [q], width=width)[0] for q in requests]
    assert_same(search(backbone, requests, width=width), alone)


@on_every_model
def test_a_text_given_twice_is_read_once_for_all_labels(make_nlp: MakeNLP) -> None:
    task = {"template": "{sentence} / {sentence}\n{type}:"}
    nlp = asking(make_nlp, task=task)
    pipe = nlp.get_pipe("instruction_ner")
    backbone = get_inference_backbone(pipe.model)
    requests = [
        request
        for _, asked in pipe.requests([nlp.make_doc(text) for text in DOCS])
        for request in asked
    ]
    apart = [replace(request, shared=(), suffix=request.own) for request in requests]
    assert_same(search(backbone, requests), search(backbone, apart))


# What does not fit.


@every_way
@pytest.mark.parametrize("width", [1, 3])
def test_an_answer_that_does_not_fit_is_broken_off(
    make_nlp: MakeNLP, layout: str, grammar: str, width: int
) -> None:
    """Too long even for the prompt, for the prompt's end, for the answer; the others
    go on."""
    nlp = asking(make_nlp, layout, task={"grammar": grammar})
    pipe = nlp.get_pipe("instruction_ner")
    backbone = get_inference_backbone(pipe.model)
    bound = pipe._bind(backbone, pipe._label_set(None))
    room = backbone.positions - bound.constant()
    (one,) = backbone.encoder.text(" in")
    requests: list[DecodingRequest] = []
    for size in (3, room + 100, room + 1, room, room - 1, room - 20, 5):
        words = TokenizedWords(((one,),) * size, ((one,),) * size)
        requests.extend(bound.requests(words))
    found = search(backbone, requests, width=width)
    alone = [search(backbone, [folded(q)], width=width)[0] for q in requests]
    assert_same(found, alone)
    complete = [answer.complete for answer in found]
    assert all(complete[:3]) and all(complete[-3:])
    # The longest do not fit themselves; of the others, some have room to answer.
    assert not any(complete[3:6]) and complete.count(False) > 5
    for request, answer in zip(requests, found):
        length = len(request.grammar.words)
        assert all(0 <= s.start < s.end <= length for s in answer.spans)
        if not answer.complete:
            asked = len(request.prefix + request.own)
            assert asked + len(answer.ids) > backbone.positions - 16


@pytest.mark.parametrize("grammar", ["spans", "bag"])
def test_a_long_text_is_cut_and_what_does_not_fit_is_told(
    make_nlp: MakeNLP, grammar: str
) -> None:
    """Markers take more room than is kept for an answer."""
    nlp = make_nlp(
        task={**TASK, "layout": "text_last", "grammar": grammar},
        labels=["PERSON"],
        label_definitions={"PERSON": "a human being " * 25},
        window_overlap=8,
    )
    pipe = nlp.get_pipe("instruction_ner")
    text = " ".join(["Anna met Bert in Paris"] * 40)
    asked = pipe.requests([nlp.make_doc(text)])
    assert len(asked) > 3
    with pytest.warns(UserWarning) as caught:
        doc = nlp(text)
    requests = [request for _, of_window in asked for request in of_window]
    found = search(get_inference_backbone(pipe.model), requests)
    broken = sum(not answer.complete for answer in found)
    assert broken > 3
    message = f"{broken} answers did not fit into the model's 512 positions"
    assert message in str(caught[0].message)
    spans = doc.spans["instruction_ner"]
    assert all(0 <= span.start < span.end <= len(doc) for span in spans)
    # What they said before is kept.
    assert len(spans) > 5 or grammar == "bag"


def test_a_prompt_without_room_for_a_text_is_refused(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(
        task=TASK, labels=["A"], label_definitions={"A": "a human being " * 200}
    )
    with pytest.raises(ValueError, match="no room for a text"):
        nlp("Anna")


# Learning.


def examples(nlp: Language) -> list[Example]:
    found = []
    for text, entities in TRAIN:
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, *entity) for entity in entities], default="outside")
        found.append(Example(nlp.make_doc(text), doc))
    return found


@every_way
def test_a_few_sentences_are_learned_by_heart(
    make_nlp: MakeNLP, layout: str, grammar: str
) -> None:
    fix_random_seed(0)
    nlp = asking(
        make_nlp,
        layout,
        labels=["PERSON", "PLACE"],
        task={"grammar": grammar},
        model={"adapter": None, "pack_tokens": 4096},
    )
    nlp.initialize(lambda: examples(nlp))
    sgd = Adam(2e-3)
    losses = [nlp.update(examples(nlp), sgd=sgd)["instruction_ner"] for _ in range(60)]
    assert losses[-1] < 0.2 * losses[0]
    assert nlp.evaluate(examples(nlp))["ents_f"] == 1.0
    for text, entities in TRAIN:
        found = [span[:3] for span in spans_of(nlp(text))]
        assert sorted(found) == sorted(entities)


# What is refused.


@pytest.mark.parametrize(
    "config,message",
    [
        ({"template": "{type}:"}, "`template` must have the field {sentence}."),
        ({"template": "{sentence}: {definitions}"}, "must have the field {type}"),
        ({"template": "{sentence} {type} {options}"}, "{options} that means nothing"),
        ({"template": "{sentence} {type!r}"}, "{type} that means nothing"),
        ({"template": "{sentence} {type"}, "`template` is no template"),
        ({"default_definition": "a {label}"}, "default_definition.*{label}"),
        ({"absent": -0.5}, "`absent` must not be negative: -0.5"),
        ({"no_entity": " \n"}, "`no_entity` must not be empty"),
        ({"separator": " "}, "must say where an entity ends"),
        ({"layout": "text_last", "after_entity": ""}, "must say where an entity ends"),
        ({"grammar": "bag"}, "grammar.*bag.*markers"),
        ({"grammar": "bag", "before_entity": "["}, "grammar.*bag.*markers"),
        ({"grammar": "bag", "after_entity": "]"}, "grammar.*bag.*markers"),
    ],
)
def test_bad_settings_are_refused_when_read(
    make_nlp: MakeNLP, config: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_cllmfs_v1(**config)
    with pytest.raises(ValueError, match=message):
        make_nlp(task={**TASK, **config})


@pytest.mark.parametrize("config", [{"layout": "wrong"}, {"grammar": "wrong"}])
def test_unknown_choices_are_refused_when_read(make_nlp: MakeNLP, config: dict) -> None:
    with pytest.raises(ValueError, match="'wrong' is not typing.Literal"):
        make_nlp(task={**TASK, **config})


@pytest.mark.parametrize("make_nlp", ["t5"], indirect=True)
@every_layout
def test_signs_that_the_tokenizer_has_not_are_named(
    make_nlp: MakeNLP, layout: str
) -> None:
    """When the weights are there, and with them the tokenizer."""
    task = {**TASK, "layout": layout}
    nlp = make_nlp(task=task, labels=list(DEFINED), label_definitions=DEFINED)
    with pytest.raises(ValueError, match="other signs, such as letters and") as caught:
        nlp("Anna")
    said = re.search(
        "tokenizer cannot write '(.)', which stands in '(.*)', a part of the task's "
        "templates",
        str(caught.value),
    )
    assert said and said[1] in said[2]
    assert said[1] in ("<>_#" if layout == "text_last" else ";")


def test_the_tests_models_run_in_float32(make_nlp: MakeNLP) -> None:
    """What the comparisons above rest on."""
    nlp = asking(make_nlp)
    nlp("Anna")
    assert get_backbone(nlp.get_pipe("instruction_ner").model).hf.dtype == torch.float32
