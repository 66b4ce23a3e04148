"""Spans that several labels claim: what is asked about them, and how it counts."""

import math
from dataclasses import replace
from unittest import mock

import pytest
from spacy.language import Language

from helpers.pipelines import LORA, MakeNLP
from helpers.search import make_backbone
from helpers.training import initialized
from spacy_instructner.calibration import log_odds
from spacy_instructner.claims import (
    SAY,
    ClaimDecider,
    claimed,
    rescored,
    share_out,
)
from spacy_instructner.decoding.request import Answer, ScoredSpan
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.tasks.labels import make_label_set
from spacy_instructner.tasks.typing_questions import TypingQuestions
from spacy_instructner.windows import BoundWindow, Window

NAME = "instruction_ner"
LABELS = make_label_set(
    ["PERSON", "PLACE", "OLD_PLACE"], {"OLD_PLACE": "place of old"}, {}
)
WORDS = ["Anna", "lives", "in", "old", "Rome", "."]
A, B, C = "PERSON", "PLACE", "OLD_PLACE"


def answer(*spans: tuple[int, int, str, float]) -> Answer:
    return Answer(tuple(ScoredSpan(*span) for span in spans), (), 0.0)


ANSWERS = [
    answer((0, 1, A, 0.9), (4, 5, A, 0.6)),
    answer((4, 5, B, 0.8)),
    answer((4, 5, C, 0.7), (3, 5, C, 0.5)),
]


def test_claims_are_spans_of_several_labels() -> None:
    windows = [Window(0, 0, 6), Window(0, 2, 8), Window(1, 0, 6)]
    # The second window sees the same span two words further left, and another label there.
    other = [answer((2, 3, B, 0.95), (0, 1, "D", math.nan)), answer((2, 3, "D", 0.1))]
    claims, where = claimed(windows, [ANSWERS, other, [ANSWERS[0]]])
    assert claims == {(0, 4, 5): {A: 0.6, B: 0.95, C: 0.7, "D": 0.1}}
    assert where[0, 4, 5] == 0 and where[1, 4, 5] == 2
    assert claimed([], []) == ({}, {})


def test_labels_share_the_best_claim() -> None:
    scores = {A: 0.6, B: 0.8, C: 0.7}
    said = {A: -3.0, B: -1.0, C: -0.5}
    shares = share_out(scores, said)
    assert sum(shares.values()) == pytest.approx(0.8)
    for one, other in ((A, B), (B, C)):
        expected = log_odds(scores[one]) - log_odds(scores[other])
        expected += SAY * (said[one] - said[other])
        assert math.log(shares[one] / shares[other]) == pytest.approx(expected)
    found = rescored(ANSWERS[0].spans, Window(0, 10, 16), {(0, 14, 15): shares})
    # What nobody else claims stays as it is.
    assert [span.score for span in found] == [0.9, shares[A]]
    assert rescored(ANSWERS[0].spans, Window(1, 10, 16), {(0, 14, 15): shares}) == (
        ANSWERS[0].spans
    )


def bound_window(backbone: Backbone) -> BoundWindow:
    words = backbone.encoder.words(WORDS, [bool(i) for i in range(len(WORDS))], 50)
    return BoundWindow(Window(0, 0, len(WORDS)), words, LABELS, None)  # type: ignore[arg-type]


def questions(backbone: Backbone) -> TypingQuestions:
    end = backbone.tokenizer.eos_token_id
    return TypingQuestions(backbone.encoder, LABELS, end, backbone.layout)


def test_the_question() -> None:
    backbone = make_backbone("llama")
    words = bound_window(backbone).words
    records = questions(backbone).records(words, 4, 5, [A, C])
    decode = backbone.encoder.decode
    assert decode(records[0].prefix + records[0].suffix) == (
        "Instruction: please typing these entity words according to sentence\n"
        "Options: person, place, place of old\n"
        "Sentence: Anna lives in old Rome .\n"
        "Entity words: Rome\n"
        "Answer:"
    )
    assert [decode(record.answer) for record in records] == [
        " Rome is a person.",
        " Rome is a place of old.",
    ]
    for record in records:
        # All but the entity is read for other spans, too.
        assert decode(record.trunk).endswith(" Rome .\nEntity words:")
        assert record.allowed is not None
        # The span is given; only the labels that claim it can be said.
        choices = [len(ids) for ids in record.allowed]
        weighed = [bool(weight) for weight in record.weights]
        assert all(n == 1 for n, weight in zip(choices, weighed) if not weight)
        assert sorted(choices)[-1] == 2 and choices.count(2) == 1


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_likelihoods_are_a_distribution_over_the_labels(kind: str) -> None:
    """Also where the words of a label begin those of another."""
    backbone = make_backbone(kind)
    window = bound_window(backbone)
    decider = ClaimDecider(10_000)
    for labels in ([A, B], [B, C], [A, B, C]):
        records = [
            record
            for start, end in ((0, 1), (3, 5))
            for record in questions(backbone).records(window.words, start, end, labels)
        ]
        said = decider._likelihoods(backbone, records)
        size = len(labels)
        for own in (said[:size], said[size:]):
            assert sum(math.exp(each) for each in own) == pytest.approx(1.0, abs=1e-4)
        # Packs change nothing.
        few = ClaimDecider(1)._likelihoods(backbone, records)
        assert few == pytest.approx(said, abs=1e-3)


def test_decided_as_by_the_definition() -> None:
    backbone = make_backbone("llama")
    window = bound_window(backbone)
    decider = ClaimDecider(10_000)
    decided = decider.decide(backbone, [window], [ANSWERS])
    records = questions(backbone).records(window.words, 4, 5, [A, B, C])
    likelihoods = dict(zip((A, B, C), decider._likelihoods(backbone, records)))
    shares = share_out({A: 0.6, B: 0.8, C: 0.7}, likelihoods)
    found = [span for each in decided[0] for span in each.spans]
    assert [span.score for span in found] == pytest.approx(
        [0.9, shares[A], shares[B], shares[C], 0.5]
    )
    # Windows that overlap agree: the question is asked once.
    later = replace(window, window=Window(0, 2, 8))
    twice = decider.decide(
        backbone, [window, later], [ANSWERS, [answer((2, 3, B, 0.1))]]
    )
    assert twice[0] == decided[0]
    assert twice[1][0].spans[0].score == pytest.approx(shares[B])
    # Nothing is asked where nothing is claimed twice.
    alone = [ANSWERS[1:2], []]
    with mock.patch.object(backbone, "forward_records") as read:
        assert decider.decide(backbone, [window, window], alone) == alone
    assert not read.called


def scores(nlp: Language, text: str) -> dict[tuple[int, int, str], float]:
    doc = nlp(text)
    group = doc.spans[NAME]
    return {
        (s.start, s.end, s.label_): float(x)
        for s, x in zip(group, group.attrs["scores"])
    }


@pytest.mark.parametrize("make_nlp", ["causal cllmfs"], indirect=True)
def test_in_a_pipeline(make_nlp: MakeNLP) -> None:
    text = "Anna met Bert in Paris and Carl in Rome."
    one = initialized(make_nlp, model={"adapter": LORA})
    other = initialized(make_nlp, model={"adapter": LORA}, typing=True)
    before, after = scores(one, text), scores(other, text)
    assert before.keys() == after.keys()
    by_span: dict[tuple[int, int], list[str]] = {}
    for start, end, label in before:
        by_span.setdefault((start, end), []).append(label)
    several = {span: own for span, own in by_span.items() if len(own) > 1}
    assert several
    for (start, end), labels in by_span.items():
        own = [(start, end, label) for label in labels]
        if (start, end) in several:
            best = max(before[each] for each in own)
            assert sum(after[each] for each in own) == pytest.approx(best, abs=1e-5)
        else:
            assert [after[each] for each in own] == [before[each] for each in own]
    # The same alone and in a batch.
    docs = [doc.spans[NAME].attrs["scores"] for doc in other.pipe([text, "Rome", text])]
    assert list(docs[0]) == pytest.approx(list(after.values()), abs=1e-4)
    assert list(docs[2]) == pytest.approx(list(after.values()), abs=1e-4)
