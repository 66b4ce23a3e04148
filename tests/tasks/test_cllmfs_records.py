"""CLLMFS: what is shared, and what is learned of types that do not occur."""

import random
from collections.abc import Iterable

import pytest

from helpers.cllmfs import GOLD, LABELS, MEANT, NAMES, TEXT, bind, encoded, every_layout
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold, TrainingRecord
from spacy_instructner.tasks.labels import make_label_set


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
