"""What is said of predicted spans beside the annotated ones."""

from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_instructner.evaluation.metrics import (
    Counts,
    best_threshold,
    best_thresholds,
    calibration_error,
    count,
    errors,
    total,
)

GOLD = [
    [(0, 4, "A"), (10, 14, "B")],
    [(0, 9, "A"), (20, 25, "B"), (30, 33, "A")],
    [],
]
PREDICTED: list[list[Any]] = [
    [(0, 4, "A", 0.9), (10, 14, "A", 0.8)],
    [(0, 5, "A", 0.35), (18, 25, "A", 0.31), (40, 44, "B", None)],
    [(0, 3, "B", 1.0)],
]


def test_counts() -> None:
    counts = count(GOLD, PREDICTED)
    assert counts == {"A": Counts(1, 4, 3), "B": Counts(0, 2, 2)}
    all_ = total(counts.values())
    assert (all_.precision, all_.recall) == (1 / 6, 1 / 5)
    assert all_.f1 == pytest.approx(2 / 11)
    assert Counts(0, 0, 0).f1 == Counts(0, 0, 4).precision == 0.0
    with pytest.raises(ValueError):
        count(GOLD, PREDICTED[:2])


def test_errors() -> None:
    assert errors(GOLD, PREDICTED) == {
        "wrong type": 1,
        "wrong border": 1,
        "wrong type and border": 1,
        "spurious": 2,
        "missed": 1,
    }


def test_calibration_error() -> None:
    # Bins: 0.9 (right), 0.8 (wrong), 0.31 and 0.35 (both wrong), 1.0 (wrong).
    by_hand = (abs(0.9 + 1.0 - 1) + 0.8 + (0.31 + 0.35)) / 5
    assert calibration_error(GOLD, PREDICTED) == pytest.approx(by_hand)
    assert calibration_error(GOLD, [[], [], []]) is None
    perfect = [[(*entity, 1.0) for entity in text] for text in GOLD]
    assert calibration_error(GOLD, perfect) == 0.0


@pytest.mark.parametrize(
    "scores,threshold,f1",
    [
        # By score: right, wrong, right, wrong; four are annotated.
        ([0.9, 0.8, 0.6, 0.2], 0.4, 4 / 7),
        # The same with the wrong ones first: nothing is better than all.
        ([0.5, 1.0, 0.4, 0.9], 0.2, 4 / 8),
        # Equal scores are kept together or not at all.
        ([0.5, 0.5, 0.5, 0.2], 0.35, 4 / 7),
        ([1.0, 1.0, 1.0, 0.0], 0.5, 4 / 7),
    ],
)
def test_best_threshold(scores: list[float], threshold: float, f1: float) -> None:
    gold = [[(at, at + 1, "A") for at in (0, 2, 4, 6)]]
    predicted = [[(at, at + 1, "A", x) for at, x in zip((0, 1, 2, 3), scores)]]
    assert best_threshold(gold, predicted) == pytest.approx((threshold, f1))
    # One without a score is always kept.
    unsure = [[*predicted[0], (4, 5, "A", None)]]
    found = best_threshold(gold, unsure)
    assert found is not None and found[1] > f1
    assert best_threshold(gold, [[(0, 1, "A", None)]]) is None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_no_threshold_is_better_than_the_best(judged: list[tuple[float, bool]]) -> None:
    gold = [[(at, at + 1, "A") for at, (_, right) in enumerate(judged) if right]]
    gold[0].append((99, 100, "A"))
    predicted = [[(at, at + 1, "A", score) for at, (score, _) in enumerate(judged)]]

    def f1_at(threshold: float) -> float:
        kept = [[span for span in predicted[0] if span[3] >= threshold]]
        return total(count(gold, kept).values()).f1

    found = best_threshold(gold, predicted)
    assert found is not None
    threshold, f1 = found
    assert 0.0 <= threshold <= 1.0 and f1 == pytest.approx(f1_at(threshold))
    assert f1 >= max(f1_at(at / 8) for at in range(9)) - 1e-12


def test_counts_are_those_of_spacys_scorer() -> None:
    nlp = spacy.blank("en")
    examples = []
    for gold, predicted in zip(GOLD, PREDICTED):
        # A character a token.
        docs = [Doc(nlp.vocab, ["x"] * 50, [False] * 50) for _ in range(2)]
        for doc, entities in zip(docs, (predicted, gold)):
            ents = [Span(doc, e[0], e[1], e[2]) for e in entities]
            doc.set_ents(ents, default="outside")
        examples.append(Example(*docs))
    theirs = get_ner_prf(examples)
    ours = count(GOLD, PREDICTED)
    assert total(ours.values()).f1 == pytest.approx(theirs["ents_f"])
    for label, own in ours.items():
        assert own.precision == pytest.approx(theirs["ents_per_type"][label]["p"])
        assert own.recall == pytest.approx(theirs["ents_per_type"][label]["r"])


def test_thresholds_by_label_stay_near_the_common_one() -> None:
    # Of A there are 60 entities, of B one: both are right above 0.8 alone.
    gold = [[(0, 1, "A")]] * 60 + [[(0, 1, "B")]]
    right = [[(0, 1, label, 0.9), (2, 3, label, 0.7)] for label in "A" * 60 + "B"]
    found = best_thresholds(gold, right, 0.4)
    assert found["A"] == pytest.approx(0.75 * 0.8 + 0.25 * 0.4)
    assert found["B"] == pytest.approx((0.8 + 20 * 0.4) / 21)
    # Nothing right, nothing to choose by.
    wrong = [[(2, 3, "A", 0.7)]] * 60
    assert best_thresholds(gold[:60], wrong, 0.8) == {}
    # What nobody annotated, and what has no score, keeps the common one.
    other = [[(0, 1, "C", 0.9)], [(0, 1, "D", None)]]
    assert best_thresholds([[], [(0, 1, "D")]], other, 0.4) == {}
