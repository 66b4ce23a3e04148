"""From the answers about windows to one set of spans for a Doc. Source: ours."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .windows import Window


@dataclass(frozen=True)
class Found:
    """Tokens [start, end) of a Doc; score: probability, NaN where unknown."""

    start: int
    end: int
    label: str
    score: float


def merge(windows: Sequence[Window], found: Sequence[Sequence[Found]]) -> list[Found]:
    """One list of spans, in text order, from the windows of one Doc.

    A span that several windows saw keeps its best score. One that touches its
    window's edge, where another window saw past that edge, counts only if that
    fuller view found it too.
    """
    best: dict[tuple[int, int, str], Found] = {}
    for window, spans in zip(windows, found):
        for span in spans:
            if any(_fuller(other, window, span) for other in windows):
                continue
            key = (span.start, span.end, span.label)
            if key not in best or _rank(span) < _rank(best[key]):
                best[key] = span
    return sorted(best.values(), key=lambda s: (s.start, s.end, s.label))


def _fuller(other: Window, window: Window, span: Found) -> bool:
    """Does `other` see more around a span that touches the edge of `window`?"""
    if other == window or not (other.start <= span.start and span.end <= other.end):
        return False
    left = span.start == window.start and other.start < span.start
    right = span.end == window.end and other.end > span.end
    # Not fuller if it is itself cut off where the window saw more.
    short_left = span.start == other.start and window.start < span.start
    short_right = span.end == other.end and window.end > span.end
    return (left or right) and not (short_left or short_right)


def choose(
    found: Iterable[Found],
    taken: Iterable[tuple[int, int]],
    threshold: float = 0.0,
    thresholds: Mapping[str, float] | None = None,
) -> list[Found]:
    """The best spans that overlap neither each other nor what is taken.

    By score, then length, then position, then label. Spans under the threshold
    and spans of unknown score (unless the threshold is 0) are left out.
    taken: token borders of earlier annotation; thresholds: in the place of `threshold`,
    by label.
    """
    lowest = thresholds or {}
    chosen: list[Found] = []
    busy = {token for start, end in taken for token in range(start, end)}
    for span in sorted(found, key=_rank):
        least = lowest.get(span.label, threshold)
        if least > 0.0 and not span.score >= least:
            continue
        tokens = range(span.start, span.end)
        if busy.isdisjoint(tokens):
            busy.update(tokens)
            chosen.append(span)
    return sorted(chosen, key=lambda span: span.start)


def _rank(span: Found) -> tuple[float, int, int, str]:
    score = -1.0 if math.isnan(span.score) else span.score
    return (-score, span.start - span.end, span.start, span.label)
