"""Scores that say how often they are right, and thresholds."""

import math
import random
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from helpers.calibration import TEXTS
from helpers.pipelines import MakeNLP
from spacy_instructner.calibration import LEAST_SLOPE, PRIOR, Calibration, fit, log_odds
from spacy_instructner.evaluation.metrics import (
    Bin,
    expected_error,
    reliability,
)
from spacy_instructner.evaluation.support_set import folds

NAME = "instruction_ner"


def drawn(slope: float, intercept: float, count: int) -> list[tuple[float, bool]]:
    """Scores whose log-odds mean that much less than they say."""
    rng = random.Random(0)
    truth = Calibration(slope, intercept)
    scores = [1 / (1 + math.exp(-rng.gauss(3, 3))) for _ in range(count)]
    return [(score, rng.random() < truth(score)) for score in scores]


@pytest.mark.parametrize("slope,intercept", [(0.4, -0.5), (1.0, 0.0), (1.6, 1.0)])
def test_what_is_fitted_is_what_the_scores_mean(slope: float, intercept: float) -> None:
    judged = drawn(slope, intercept, 20_000)
    found = fit(judged)
    assert found.slope == pytest.approx(slope, rel=0.06)
    assert found.intercept == pytest.approx(intercept, abs=0.12)
    other = [(found(score), right) for score, right in drawn(slope, intercept, 8_000)]
    assert expected_error(reliability(other)) < 0.015


def slopes_of_loss(found: Calibration, judged: list[tuple[float, bool]]) -> list[float]:
    """Of the negative log-likelihood with its prior, by slope and by intercept."""
    by_slope = PRIOR * (found.slope - 1.0)
    by_intercept = PRIOR * found.intercept
    for score, right in judged:
        odds = log_odds(score)
        said = 1 / (1 + math.exp(-found.slope * odds - found.intercept))
        by_slope += (said - right) * odds
        by_intercept += said - right
    return [by_slope, by_intercept]


def test_overconfident_scores_come_down() -> None:
    judged = [(0.999, at % 5 < 3) for at in range(50)]
    found = fit(judged)
    assert found(0.999) == pytest.approx(0.605, abs=0.002)
    # Less than nothing cannot be said of high scores: all of them become the same.
    upside_down = [(0.999, False)] * 30 + [(0.6, True)] * 20
    found = fit(upside_down)
    assert found.slope == LEAST_SLOPE
    mean = sum(found(score) for score, _ in upside_down) / 50
    assert mean == pytest.approx(0.4, abs=0.02)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 0.999, 1.0])),
            st.booleans(),
        ),
        min_size=1,
        max_size=80,
    )
)
def test_nothing_is_more_likely(judged: list[tuple[float, bool]]) -> None:
    found = fit(judged)
    by_slope, by_intercept = slopes_of_loss(found, judged)
    assert abs(by_intercept) < 1e-5
    assert abs(by_slope) < 1e-5 or (found.slope == LEAST_SLOPE and by_slope > 0)


def test_what_becomes_a_score() -> None:
    calibration = Calibration(0.4, -0.7)
    for score in (0.001, 0.3, 0.99):
        assert calibration.inverse(calibration(score)) == pytest.approx(score)
    assert [calibration.inverse(edge) for edge in (0.0, 1.0)] == [0.0, 1.0]


def test_a_few_spans_change_little() -> None:
    assert fit([(0.9, True)]).slope == pytest.approx(1.0, abs=0.1)
    # All of them right: no score becomes a certainty.
    sure = fit([(0.6, True)] * 5)
    assert 0.6 < sure(0.6) < 0.97
    with pytest.raises(ValueError, match="no span with a score"):
        fit([])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_higher_scores_stay_higher(
    judged: list[tuple[float, bool]], one: float, other: float
) -> None:
    calibration = fit(judged)
    low, high = sorted((one, other))
    assert 0.0 <= calibration(low) <= calibration(high) <= 1.0


def test_without_calibration_scores_are_as_they_were() -> None:
    for score in (0.0, 1e-12, 0.3, 1.0):
        assert Calibration()(score) == score
    assert math.isnan(Calibration(2.0)(math.nan))
    assert log_odds(0.5) == 0.0
    assert log_odds(1.0) == pytest.approx(-log_odds(0.0))


def test_reliability() -> None:
    judged = [(0.05, False), (0.15, True), (0.11, False), (1.0, True), (0.95, True)]
    bins = reliability(judged)
    expected = [(1, 0.05, 0.0), (2, 0.13, 0.5), (2, 0.975, 1.0)]
    assert [(b.spans, b.score, b.right) for b in bins] == [
        pytest.approx(row) for row in expected
    ]
    by_hand = (0.05 + 2 * 0.37 + 2 * 0.025) / 5
    assert expected_error(bins) == pytest.approx(by_hand)
    assert expected_error([Bin(3, 0.4, 0.4)]) == 0.0


def test_folds() -> None:
    docs = [Doc(spacy.blank("en").vocab, words=[str(n)]) for n in range(10)]
    parts = [
        ([d[0].text for d in a], [d[0].text for d in b]) for a, b in folds(docs, 3, 0)
    ]
    assert sorted(sum((left_out for _, left_out in parts), [])) == [
        str(n) for n in range(10)
    ]
    for rest, left_out in parts:
        assert sorted(rest + left_out) == [str(n) for n in range(10)]
        assert len(left_out) in (3, 4)
    # A text that comes twice is never on both sides.
    for rest, left_out in folds([*docs, *docs], 3, 0):
        assert not {d.text for d in rest} & {d.text for d in left_out}
        assert len(rest) + len(left_out) == 20
    again = [[d[0].text for d in b] for _, b in folds(docs, 3, 0)]
    assert again == [left_out for _, left_out in parts]
    for count in (1, 11):
        with pytest.raises(ValueError, match="cannot be divided into"):
            list(folds(docs, count, 0))


# In a pipeline.


def scores_of(nlp: Language, texts: list[str]) -> list[list[tuple]]:
    return [
        [
            (span.start, span.end, span.label_, float(score))
            for span, score in zip(doc.spans[NAME], doc.spans[NAME].attrs["scores"])
        ]
        for doc in nlp.pipe(texts)
    ]


def test_scores_of_a_pipeline(make_nlp: MakeNLP, tmp_path: Path) -> None:
    nlp = make_nlp()
    bare = scores_of(nlp, TEXTS)
    pipe = nlp.get_pipe(NAME)
    calibration = Calibration(0.5, -1.0)
    pipe.set_calibration(calibration)
    changed = scores_of(nlp, TEXTS)
    assert sum(map(len, bare)) > 5
    for one, other in zip(bare, changed):
        assert [span[:3] for span in one] == [span[:3] for span in other]
        for before, after in zip(one, other):
            assert after[3] == pytest.approx(calibration(before[3]), abs=1e-5)
    # The threshold is of the scores as they are written.
    cut = sorted(span[3] for of in changed for span in of)[2]
    pipe.cfg["threshold"] = cut + 1e-6
    for doc in nlp.pipe(TEXTS):
        assert all(ent._.instruction_ner_score > cut for ent in doc.ents)
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe(NAME).calibration == calibration
    bytes_ = nlp.to_bytes()
    other = make_nlp()
    other.get_pipe(NAME).set_calibration(Calibration(3.0, 3.0))
    assert other.from_bytes(bytes_).get_pipe(NAME).calibration == calibration
    # A pipeline without one does not keep that of another.
    plain = make_nlp().to_bytes()
    assert other.from_bytes(plain).get_pipe(NAME).calibration == Calibration()


def test_the_threshold_follows_the_scores(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    pipe = nlp.get_pipe(NAME)
    scores = sorted(span[3] for of in scores_of(nlp, TEXTS) for span in of)
    pipe.cfg["threshold"] = (scores[3] + scores[4]) / 2
    before = [[(e.text, e.label_) for e in doc.ents] for doc in nlp.pipe(TEXTS)]
    for calibration in (Calibration(0.4, -1.0), Calibration(2.0, 0.5), Calibration()):
        old = pipe.cfg["threshold"]
        pipe.set_calibration(calibration)
        after = [[(e.text, e.label_) for e in doc.ents] for doc in nlp.pipe(TEXTS)]
        assert after == before and pipe.cfg["threshold"] != old
    pipe.cfg["threshold"] = 0.0
    pipe.set_calibration(Calibration(0.4, -1.0))
    assert pipe.cfg["threshold"] == 0.0
    # What is learned after it makes it void.
    doc = nlp("Anna met Bert.")
    nlp.update([Example(doc, doc.copy())], sgd=nlp.create_optimizer())
    assert pipe.calibration == Calibration()
