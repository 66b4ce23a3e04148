"""Just Pass Twice: its prompt, what is scored in it, what is learned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.cllmfs import encoded, golds
from helpers.scoring import LABELS, bind_scoring
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold
from spacy_instructner.tasks.just_pass_twice import build_just_pass_twice_v1
from spacy_instructner.tasks.labels import make_label_set

TEXT = "Anna moved from New York to Rome".split()
GOLD = Gold(((0, 1, "PERSON"), (3, 5, "OLD_PLACE"), (6, 7, "OLD_PLACE")))
AFTER = "Types: {types}\nSentence: {sentence}\nTypes: {types}"


def test_the_prompt(encoder: TextEncoder) -> None:
    bound = bind_scoring(encoder)
    (request,) = bound.requests(encoded(encoder, TEXT))
    assert encoder.decode(request.prefix + request.suffix) == (
        "Please extract the entities of each type from the sentence.\n"
        "Types: person, old place: a place of old,\n"
        "Sentence: Anna moved from New York to Rome\n"
        "Sentence: Anna moved from New York to Rome\n"
    )
    # What does not change from text to text is read once.
    (other,) = bound.requests(encoded(encoder, ["Rome"]))
    assert other.prefix == request.prefix
    assert encoder.decode(request.prefix).endswith("of old,\nSentence:")
    assert bound.constant() == len(request.prefix + request.suffix) - 2 * len(
        encoded(encoder, TEXT).text
    )


@pytest.mark.parametrize("template", [None, AFTER, "{types}: {sentence}"])
def test_what_is_scored_is_in_the_last_copies(
    encoder: TextEncoder, template: str | None
) -> None:
    bound = bind_scoring(encoder, **({"template": template} if template else {}))
    words = encoded(encoder, TEXT)
    (request,) = bound.requests(words)
    ids = request.prefix + request.suffix
    assert request.labels == ("PERSON", "OLD_PLACE")
    before = [encoder.decode(ids[: place + 1]) for place in request.label_places]
    assert [text.rpartition("Types:")[2] for text in before] == [
        " person,",
        " person, old place: a place of old,",
    ]
    last = encoder.decode(ids).rindex("Anna")
    for word, place in zip(request.words, request.word_places):
        said = encoder.decode(ids[: place + 1])
        assert said[last:] == " ".join(TEXT[: word + 1])
    if template == AFTER:
        assert min(request.label_places) > max(request.word_places)


def test_words_without_ids_are_not_scored(encoder: TextEncoder) -> None:
    words = encoded(
        encoder, ["Anna", " ", "Bert", "x" * 400], [False, True, False, True]
    )
    (request,) = bind_scoring(encoder).requests(words)
    assert request.words == (0, 2)
    (record,) = bind_scoring(encoder).records(words, Gold(((0, 3, "PERSON"),)))
    assert record.spans is not None and record.spans.entities == ((0, 2, 0),)
    nothing = encoded(encoder, [" "])
    assert bind_scoring(encoder).records(nothing, Gold(())) == []


def test_a_record_learns_all_labels_at_once(encoder: TextEncoder) -> None:
    words = encoded(encoder, TEXT)
    bound = bind_scoring(encoder)
    (record,) = bound.records(words, GOLD)
    (request,) = bound.requests(words)
    assert (record.prefix, record.suffix) == (request.prefix, request.suffix)
    assert record.answer == () and len(record) == len(record.prefix + record.suffix)
    assert record.spans is not None
    assert record.spans.words == request.word_places
    assert record.spans.labels == request.label_places
    assert record.spans.entities == ((0, 1, 0), (3, 5, 1), (6, 7, 1))
    assert record.weight == len(TEXT)
    ids = record.prefix + record.suffix
    assert encoder.decode(ids[slice(*record.text)]) == " " + " ".join(TEXT)
    assert [encoder.decode(ids[m.begin : m.end]) for m in record.mentions] == [
        " Anna", " New York", " Rome",
    ]  # fmt: skip
    assert {m.opening for m in record.mentions} == {None}
    assert [m.type for m in record.mentions] == [
        request.label_places[0], request.label_places[1], request.label_places[1],
    ]  # fmt: skip


def test_what_is_not_known_is_not_learned(encoder: TextEncoder) -> None:
    words = encoded(encoder, TEXT)
    # Of "moved" nothing is known; "to" may be in a place that is cut.
    gold = Gold(GOLD.entities, frozenset({1}), ((5, 6, "OLD_PLACE"),))
    (record,) = bind_scoring(encoder).records(words, gold)
    assert record.spans is not None
    assert record.spans.unknown == {(1, 0), (1, 1), (5, 1)}
    # A word counts as long as anything is known of it.
    assert record.weight == len(TEXT) - 1
    everything = Gold((), frozenset(range(len(TEXT))))
    assert bind_scoring(encoder).records(words, everything) == []


@given(golds(st.lists(st.text("abé", min_size=1, max_size=3), max_size=6)))
def test_targets_say_the_gold(encoder: TextEncoder, drawn: tuple) -> None:
    text, entities = drawn
    labels = make_label_set(["A", "B"], {}, {})
    bound = bind_scoring(encoder, labels)
    found = bound.records(encoded(encoder, text), Gold(entities))
    assert len(found) == bool(text)
    for record in found:
        assert record.spans is not None
        assert record.spans.entities == tuple(
            (start, end, "AB".index(label)) for start, end, label in entities
        )


@pytest.mark.parametrize(
    "config, match",
    [
        ({"template": "{sentence}"}, "must have the field {types}"),
        ({"template": "{types}"}, "must have the field {sentence}"),
        ({"template": "{types} {sentence} {entities}"}, "means nothing there"),
        ({"definition": "{type}"}, "must have the field {definition}"),
        ({"separator": " "}, "must not be empty"),
        ({"floor": 0.0}, "`floor` must be between 0 and 1, not 0.0"),
        ({"threshold": 1.0}, "`threshold` must be between 0 and 1, not 1.0"),
        ({"head_size": 0}, "`head_size` must be at least 1, not 0"),
        ({"template": "{types}" + 4 * "{sentence}"}, "{sentence} 4 times"),
    ],
)
def test_settings_that_cannot_be(config: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build_just_pass_twice_v1(**config)


def test_labels_are_called_as_they_are_worded() -> None:
    task = build_just_pass_twice_v1(definition="{type} ({definition})")
    assert task.entry("drug", "a medicine") == "drug (a medicine)"
    assert task.entry("drug", "") == "drug"
    assert LABELS.definitions == ("", "a place of old")
