"""What a method has more than another, on the draws that both have."""

from typing import Any

import pytest

from spacy_instructner.fewshot.comparisons import compare, own_interval
from spacy_instructner.fewshot.text_counts import encode

# Of ten sentences with two entities each.
SENTENCES = 10


def record(method: str, seed: int, right: int, **more: Any) -> dict[str, Any]:
    """A run that finds so many of the two entities of every sentence."""
    counts = encode([[right, 0, 2 - right]] * SENTENCES)
    return {
        "name": f"one.given-5.{seed}.{method}",
        "method": method,
        "seed": seed,
        "texts": SENTENCES,
        "by_text": counts,
        "f1": 2 * right / (right + 2),
        **more,
    }


def test_draws_that_only_one_has_are_left_out_and_named() -> None:
    ours = [record("a", seed, 2) for seed in range(5)]
    theirs = [record("b", seed, 1) for seed in (0, 1, 2, 7)]
    found = compare(ours, theirs)
    assert found.seeds == (0, 1, 2)
    assert found.left_out == ("draws 3, 4: a alone", "draw 7: b alone")
    assert found.f1 == (1.0, pytest.approx(2 / 3))
    interval = found.interval
    assert interval is not None and interval.draws == 3
    # No resample differs from another.
    assert (interval.value, interval.low, interval.high) == pytest.approx((1 / 3,) * 3)
    turned = compare(theirs[::-1], ours[::-1])
    assert turned.seeds == (0, 1, 2) and turned.f1 == found.f1[::-1]
    assert turned.interval is not None
    assert turned.interval.high == pytest.approx(-1 / 3)


def test_rows_without_counts_and_of_other_sentences_are_left_out() -> None:
    ours = [record("a", seed, 2) for seed in range(4)]
    theirs = [record("b", seed, 1) for seed in range(4)]
    del theirs[1]["by_text"]
    ours[3]["by_text"] = None
    theirs[2].update(texts=3, by_text=encode([[1, 0, 1]] * 3))
    found = compare(ours, theirs)
    assert found.seeds == (0,)
    assert found.left_out == (
        "draws 1, 3: without counts by sentence",
        "draw 2: other sentences",
    )
    # F1 is of the paired draw, and so is the interval.
    assert found.interval is not None and found.interval.draws == 1


def test_nothing_to_pair() -> None:
    found = compare([record("a", 0, 2)], [record("b", 1, 1)])
    assert (found.interval, found.seeds) == (None, ())
    assert found.left_out == ("draw 0: a alone", "draw 1: b alone")


def test_the_interval_of_a_method() -> None:
    own = [record("a", 0, 2), record("a", 1, 1)]
    found = own_interval(own)
    assert found is not None and found.draws == 2
    assert (found.low, found.high) == pytest.approx((2 / 3, 1.0))
    # Of other draws than the mean, it would be another method's.
    assert own_interval([*own, record("a", 2, 1, by_text=None)]) is None
