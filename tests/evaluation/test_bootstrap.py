"""Intervals of mean F1 over draws, and of differences."""

import re
import time
from collections.abc import Sequence

import numpy as np
import pytest

from spacy_instructner.evaluation.bootstrap import (
    Array,
    f1_of,
    mean_interval,
    same_sentences,
)
from spacy_instructner.evaluation.metrics import Counts


def drawn(
    seed: int, odds: Sequence[float], sentences: int = 200, same: bool = True
) -> list[Array]:
    """Counts of draws, which find an entity with these odds. same: on the same sentences."""
    rng = np.random.default_rng(seed)
    own = np.random.default_rng(99)
    annotated = own.poisson(2.0, sentences)
    found = []
    for share in odds:
        annotated = annotated if same else own.poisson(2.0, sentences)
        right = rng.binomial(annotated, share)
        wrong = rng.poisson(1 - share, sentences)
        found.append(np.stack([right, wrong, annotated - right], axis=1))
    return found


def test_f1() -> None:
    counts = np.array([[3, 1, 2], [0, 0, 0], [0, 4, 0], [2, 0, 0]])
    expected = [Counts(tp, tp + fp, tp + fn).f1 for tp, fp, fn in counts.tolist()]
    assert f1_of(counts).tolist() == expected == [2 * 3 / 9, 0.0, 0.0, 1.0]


def test_a_method_beside_itself() -> None:
    """There is no difference in any resample."""
    for same in (True, False):
        draws = drawn(0, (0.5, 0.7, 0.6), same=same)
        found = mean_interval(draws, draws)
        assert found is not None
        assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("same", [True, False])
def test_methods_that_are_equally_good(same: bool) -> None:
    odds = (0.6, 0.5, 0.7, 0.6, 0.55)
    held = 0
    for seed in range(20):
        one, other = drawn(seed, odds, same=same), drawn(1000 + seed, odds, same=same)
        found = mean_interval(one, other, resamples=500)
        assert found is not None and found.low < found.value < found.high
        held += found.low <= 0 <= found.high
    assert held >= 16


@pytest.mark.parametrize("same", [True, False])
def test_a_method_that_is_better_in_each_sentence(same: bool) -> None:
    worse = drawn(0, (0.5, 0.6, 0.4), same=same)
    # One right entity more and one missed less, where one is missed; no wrong one.
    better = [
        np.stack([own[:, 0] + own[:, 2], 0 * own[:, 1], 0 * own[:, 2]], axis=1)
        for own in worse
    ]
    found = mean_interval(better, worse)
    assert found is not None and found.low > 0.2 and found.high < 0.7
    turned = mean_interval(worse, better)
    assert turned is not None and turned.value == -found.value
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_a_hard_sentence_is_hard_for_both() -> None:
    """Methods that differ little from sentence to sentence have a narrow difference, and
    each a wide interval of its own."""
    rng = np.random.default_rng(0)
    easy = rng.random(200) < 0.5
    one = np.stack([easy * 3, 0 * easy, ~easy * 3], axis=1).astype(np.int64)
    other = one.copy()
    (first,) = np.nonzero(easy)[0][:1]
    other[first] = (2, 0, 1)
    difference, own = mean_interval([one], [other]), mean_interval([one])
    assert difference is not None and own is not None
    assert own.high - own.low > 0.1 > 10 * (difference.high - difference.low)


def test_known_widths() -> None:
    """F1 of sentences with one entity that are right or missed, with nothing wrong, is
    2 p / (1 + p): its standard error is the binomial one times the slope, 2 / (1 + p)²."""
    right = np.arange(400) % 2
    draw = np.stack([right, 0 * right, 1 - right], axis=1)
    slope = 2 / 1.5**2
    error = slope * np.sqrt(0.25 / 400)
    found = mean_interval([draw])
    assert found is not None and found.value == pytest.approx(2 / 3)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.08)
    # Draws that are alike on the same sentences tell no more.
    again = mean_interval([draw] * 4)
    assert again is not None and again.draws == 4
    assert (again.low, again.high) == (found.low, found.high)
    # On sentences of their own, they do: half the width. One more is missed in each.
    others = [np.vstack([draw, [[0, 0, number]]]) for number in range(1, 5)]
    apart = mean_interval(others)
    assert apart is not None
    assert apart.high - apart.low == pytest.approx(1.96 * error, rel=0.15)


def test_draws_that_differ_widen_the_interval() -> None:
    all_right, all_missed = np.array([[2, 0, 0]] * 50), np.array([[0, 0, 2]] * 50)
    found = mean_interval([all_right, all_missed])
    assert found is not None
    # Both draws are the one, or both the other, in a quarter of the resamples each.
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_seeds_and_resamples() -> None:
    draws = drawn(1, (0.5, 0.6))
    assert mean_interval(draws) == mean_interval(draws)
    assert mean_interval(draws, seed=1) != mean_interval(draws)
    many, few = mean_interval(draws), mean_interval(draws, resamples=50)
    assert many is not None and few is not None and many.value == few.value


def test_one_draw_and_one_sentence() -> None:
    one = np.array([[1, 0, 1]])
    # Nothing can be resampled.
    assert mean_interval([one]) is mean_interval([one], [one]) is None
    # One draw: its sentences alone. One sentence: its draws alone.
    sentences = mean_interval([np.array([[1, 0, 0], [0, 0, 1]])])
    assert sentences is not None and (sentences.low, sentences.high) == (0.0, 1.0)
    assert sentences.draws == 1
    draws = mean_interval([np.array([[1, 0, 0]]), np.array([[0, 0, 1]])])
    assert draws is not None and (draws.low, draws.high, draws.draws) == (0.0, 1.0, 2)


@pytest.mark.parametrize(
    "draws,against,message",
    [
        ([], None, "no draw to make an interval of"),
        ([np.zeros((0, 3), int)], None, "Their shape is (0, 3)."),
        ([np.zeros((2, 2), int)], None, "Their shape is (2, 2)."),
        ([np.zeros(3, int)], None, "Their shape is (3,)."),
        ([np.ones((2, 3), int)], [], "One method has 1 draws, the other 0."),
        (
            [np.ones((2, 3), int)] * 2,
            [np.ones((2, 3), int), np.ones((3, 3), int)],
            "other sentences in draw 1",
        ),
        (
            [np.array([[1, 0, 0], [0, 0, 1]])],
            [np.array([[1, 0, 0], [0, 0, 2]])],
            "other sentences in draw 0",
        ),
    ],
)
def test_what_is_not_paired_is_refused(
    draws: list[Array], against: list[Array] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        mean_interval(draws, against)


def test_the_same_sentences() -> None:
    one = np.array([[1, 0, 1], [0, 3, 0]])
    assert same_sentences(one, np.array([[2, 5, 0], [0, 0, 0]]))
    assert not same_sentences(one, np.array([[2, 5, 1], [0, 0, 0]]))
    assert not same_sentences(one, one[:1])


def test_it_is_fast() -> None:
    draws = drawn(0, (0.5,) * 5, sentences=500)
    mean_interval(draws)
    begin = time.process_time()
    for _ in range(10):
        mean_interval(draws, draws)
    assert time.process_time() - begin < 2
