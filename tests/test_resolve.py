import random
from math import nan

import pytest

from spacy_instructner.resolve import Found, choose, merge
from spacy_instructner.windows import Window


def test_a_span_seen_twice_keeps_its_best_score() -> None:
    windows = [Window(0, 0, 8), Window(0, 4, 12)]
    found = [[Found(5, 6, "A", 0.4)], [Found(5, 6, "A", 0.9), Found(5, 6, "B", 0.1)]]
    assert merge(windows, found) == [Found(5, 6, "A", 0.9), Found(5, 6, "B", 0.1)]


@pytest.mark.parametrize(
    "windows,found,expected",
    [
        # Touches the first window's edge; the second saw more and found another.
        (
            [(0, 8), (4, 12)],
            [[Found(6, 8, "A", 0.9)], [Found(6, 9, "A", 0.5)]],
            [Found(6, 9, "A", 0.5)],
        ),
        # The second saw more and found nothing there.
        ([(0, 8), (4, 12)], [[Found(6, 8, "A", 0.9)], []], []),
        # The second saw more and agrees.
        (
            [(0, 8), (4, 12)],
            [[Found(6, 8, "A", 0.9)], [Found(6, 8, "A", 0.5)]],
            [Found(6, 8, "A", 0.5)],
        ),
        # At the left edge of the second.
        ([(0, 8), (4, 12)], [[], [Found(4, 6, "A", 0.9)]], []),
        # Longer than the overlap: no window saw more of it.
        ([(0, 8), (6, 12)], [[Found(3, 8, "A", 0.9)], []], [Found(3, 8, "A", 0.9)]),
        # At the Doc's own edges nothing more is to be seen.
        (
            [(0, 8), (4, 12)],
            [[Found(0, 1, "A", 0.9)], [Found(11, 12, "B", 0.8)]],
            [Found(0, 1, "A", 0.9), Found(11, 12, "B", 0.8)],
        ),
        # Fills the overlap: each window sees more on one side, neither is fuller.
        ([(0, 8), (4, 12)], [[Found(4, 8, "A", 0.9)], []], [Found(4, 8, "A", 0.9)]),
        # A window inside a wider one gives way to it.
        ([(0, 12), (2, 6)], [[], [Found(4, 6, "A", 0.9)]], []),
    ],
)
def test_windows_edges(windows: list, found: list, expected: list) -> None:
    assert merge([Window(0, *borders) for borders in windows], found) == expected


def test_choice_is_by_score_then_length_then_position() -> None:
    found = [
        Found(0, 2, "A", 0.5),
        Found(1, 3, "B", 0.6),
        Found(4, 5, "A", 0.5),
        Found(4, 6, "A", 0.5),
        Found(6, 7, "B", 0.5),
        Found(6, 7, "A", 0.5),
    ]
    assert choose(found, []) == [
        Found(1, 3, "B", 0.6),
        Found(4, 6, "A", 0.5),
        Found(6, 7, "A", 0.5),
    ]


def test_threshold_and_taken_tokens() -> None:
    found = [Found(0, 1, "A", 0.5), Found(2, 3, "A", 0.49), Found(4, 5, "A", nan)]
    assert choose(found, []) == found
    assert choose(found, [], threshold=0.5) == found[:1]
    (label,) = {span.label for span in found[:1]}
    assert choose(found, [], threshold=0.5, thresholds={label: 1.0}) == []
    lower = {span.label: 0.0 for span in found}
    assert choose(found, [], threshold=0.5, thresholds=lower) == found
    assert choose(found, [(2, 4)]) == [found[0], found[2]]
    assert choose(found, [(0, 5)]) == []


def test_unknown_scores_lose_against_known_ones() -> None:
    known, unknown = Found(0, 1, "A", 0.01), Found(0, 3, "A", nan)
    assert choose([unknown, known], []) == [known]


@pytest.mark.parametrize("seed", range(100))
def test_choice_properties(seed: int) -> None:
    rng = random.Random(seed)
    found = []
    for _ in range(12):
        start = rng.randint(0, 9)
        end = start + rng.randint(1, 4)
        found.append(Found(start, end, rng.choice("AB"), rng.random()))
    chosen = choose(found, [])
    tokens = [t for f in chosen for t in range(f.start, f.end)]
    assert len(tokens) == len(set(tokens))
    # Whatever lost overlaps something at least as good.
    for lost in set(found) - set(chosen):
        assert any(
            f.score >= lost.score and f.start < lost.end and lost.start < f.end
            for f in chosen
        )
    assert chosen == choose(list(reversed(found)), [])
