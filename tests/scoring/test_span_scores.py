"""How spans are read off the scores of words."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_instructner.scoring.span_scores import Candidate, read_candidates


def table(*rows: list[float]) -> numpy.ndarray:
    """(words, 1 label, 3) of rows of starts, ends and insides."""
    return numpy.stack([numpy.array(row) for row in rows], axis=-1)[:, None]


def test_the_picture_of_the_module() -> None:
    probabilities = table(
        [0.01, 0.00, 0.97, 0.05, 0.00],
        [0.00, 0.00, 0.10, 0.96, 0.00],
        [0.02, 0.01, 0.98, 0.97, 0.01],
    )
    (found,) = read_candidates(probabilities, 0.2)
    assert (found.start, found.end, found.label) == (2, 4, 0)
    assert found.score == pytest.approx((0.97 * 0.96 * 0.97) ** (1 / 3))
    # With a lower floor, the shorter one is there, too, and scores less.
    shorter, longer = read_candidates(probabilities, 0.1)
    assert (shorter.start, shorter.end) == (2, 3) and longer == found
    assert shorter.score == pytest.approx((0.97 * 0.10 * 0.98) ** (1 / 3))


def test_one_word_that_is_not_inside_parts_a_span() -> None:
    probabilities = table([0.9, 0, 0], [0, 0, 0.9], [0.9, 0.01, 0.9])
    assert read_candidates(probabilities, 0.1) == []


def by_definition(
    probabilities: numpy.ndarray, floor: float, max_span: int
) -> list[Candidate]:
    count, labels, _ = probabilities.shape
    found = []
    for start in range(count):
        for end in range(start + 1, count + 1):
            for label in range(labels):
                parts = [
                    probabilities[start, label, 0],
                    probabilities[end - 1, label, 1],
                    probabilities[start:end, label, 2].min(),
                ]
                if min(parts) >= floor and not (max_span and end - start > max_span):
                    score = float(numpy.prod(parts)) ** (1 / 3)
                    found.append(Candidate(start, end, label, score))
    return found


@given(
    st.integers(0, 6),
    st.integers(1, 3),
    st.sampled_from([0.05, 0.3, 0.5]),
    st.integers(0, 4),
    st.randoms(use_true_random=False),
)
def test_all_runs_of_words_that_reach_the_floor_and_no_others(
    count: int, labels: int, floor: float, max_span: int, rng: object
) -> None:
    values = [rng.random() for _ in range(count * labels * 3)]  # type: ignore[attr-defined]
    probabilities = numpy.array(values).reshape(count, labels, 3)
    found = read_candidates(probabilities, floor, max_span)
    expected = by_definition(probabilities, floor, max_span)
    assert [(c.start, c.end, c.label) for c in found] == [
        (c.start, c.end, c.label) for c in expected
    ]
    assert [c.score for c in found] == pytest.approx([c.score for c in expected])
    assert all(floor <= c.score <= 1.0 for c in found)
