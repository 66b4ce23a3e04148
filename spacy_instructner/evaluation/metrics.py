"""Measures of predicted spans against annotated ones: plain data, strict. A span is right
if start, end and label are right. Source: as usual for NER; what is ours is marked."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..char_spans import CharSpan, ScoredCharSpan

# How many entities of a label count as much as what is known of all labels.
SHRINKAGE = 20
ERRORS = ("wrong type", "wrong border", "wrong type and border", "spurious", "missed")


@dataclass(frozen=True)
class Counts:
    """Numbers of spans. right: both predicted and annotated; predicted, annotated: in
    all."""

    right: int
    predicted: int
    annotated: int

    @property
    def precision(self) -> float:
        """From 0 to 1; 0 if nothing is predicted."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """From 0 to 1; 0 if nothing is annotated."""
        return self.right / self.annotated if self.annotated else 0.0

    @property
    def f1(self) -> float:
        """From 0 to 1; 0 if nothing is predicted or annotated."""
        both = self.predicted + self.annotated
        return 2 * self.right / both if both else 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.right + other.right,
            self.predicted + other.predicted,
            self.annotated + other.annotated,
        )


def count(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[ScoredCharSpan]]
) -> dict[str, Counts]:
    """The counts of each label, by label.

    gold, predicted: the entities of each text."""
    counts: dict[str, Counts] = {}
    for ours, theirs in zip(predicted, gold, strict=True):
        found, there = {entity[:3] for entity in ours}, set(theirs)
        for label in {entity[2] for entity in found | there}:
            mine = {entity for entity in found if entity[2] == label}
            own = {entity for entity in there if entity[2] == label}
            more = Counts(len(mine & own), len(mine), len(own))
            counts[label] = counts.get(label, Counts(0, 0, 0)) + more
    return dict(sorted(counts.items()))


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of counts, for micro averages."""
    return sum(counts, Counts(0, 0, 0))


def errors(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[ScoredCharSpan]]
) -> dict[str, int]:
    """How often each kind of `ERRORS` occurs. Source: ours.

    A wrong prediction is compared with the annotated entity that it shares most
    characters with; one with the same borders comes first, then one with the same label.
    A "spurious" prediction shares no character with any. A "missed" entity shares none
    with any prediction.
    """
    found = dict.fromkeys(ERRORS, 0)
    for ours, theirs in zip(predicted, gold, strict=True):
        spans = [entity[:3] for entity in ours]
        for span in set(spans) - set(theirs):
            touched = [other for other in theirs if _shared(span, other)]
            if not touched:
                found["spurious"] += 1
            elif any(other[:2] == span[:2] for other in touched):
                found["wrong type"] += 1
            else:
                most = max(_shared(span, other) for other in touched)
                nearest = [other for other in touched if _shared(span, other) == most]
                same = any(other[2] == span[2] for other in nearest)
                found["wrong border" if same else "wrong type and border"] += 1
        found["missed"] += sum(
            not any(_shared(span, other) for span in spans) for other in theirs
        )
    return found


def _shared(one: Sequence, other: Sequence) -> int:
    """Characters that two spans share."""
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def best_threshold(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[ScoredCharSpan]]
) -> tuple[float, float] | None:
    """The threshold with the highest micro F1, and that F1. Source: ours.

    gold, predicted: the entities of each text. A predicted span is kept if its score is
    not below the threshold, or if it has no score.
    RETURNS (tuple[float, float] | None): the middle of the widest range of thresholds
        with the highest F1, and this F1 (from 0 to 1). None if no span has a score."""
    pairs = judged(gold, predicted)
    if not pairs:
        return None
    rest = [[span for span in ours if span[3] is None] for ours in predicted]
    kept = total(count(gold, rest).values())
    pairs.sort(reverse=True)
    # F1, and the range of thresholds that give it: above one score, up to the next.
    ranges: list[tuple[float, float, float]] = []
    high = 1.0
    for score, right in pairs:
        if score < high:
            ranges.append((kept.f1, score, high))
            high = score
        kept += Counts(int(right), 1, 0)
    ranges.append((kept.f1, 0.0, high))
    best = max(f1 for f1, _, _ in ranges)
    plateaus: list[tuple[float, float]] = []
    for f1, low, high in ranges:
        if f1 == best and plateaus and plateaus[-1][0] == high:
            plateaus[-1] = (low, plateaus[-1][1])
        elif f1 == best:
            plateaus.append((low, high))
    low, high = max(plateaus, key=lambda plateau: plateau[1] - plateau[0])
    return (low + high) / 2, best


def best_thresholds(
    gold: Sequence[Sequence[CharSpan]],
    predicted: Sequence[Sequence[ScoredCharSpan]],
    common: float,
) -> dict[str, float]:
    """A threshold for each label: between the one with the highest F1 of this label and
    the common one, the nearer to its own the more entities the label has. Source: ours.

    gold: the entities of each text; predicted: its spans, those of each label without
    overlap; common: the threshold of all labels.
    RETURNS (dict[str, float]): by label. Labels that are never found keep the common one,
        and are left out."""
    entities = Counter(entity[2] for ours in gold for entity in ours)
    found: dict[str, float] = {}
    for label, number in sorted(entities.items()):
        own = best_threshold(
            [[entity for entity in ours if entity[2] == label] for ours in gold],
            [[entity for entity in ours if entity[2] == label] for ours in predicted],
        )
        # Where nothing is right, any threshold is as good.
        if own is not None and own[1] > 0.0:
            share = number / (number + SHRINKAGE)
            found[label] = share * own[0] + (1 - share) * common
    return found


@dataclass(frozen=True)
class Bin:
    """Spans of about the same score. spans: their number; score: their mean score; right:
    the share of them that is right."""

    spans: int
    score: float
    right: float


def reliability(pairs: Sequence[tuple[float, bool]], bins: int = 10) -> list[Bin]:
    """A reliability table.

    pairs: the score of each span, and whether the span is right.
    bins (int): number of bins of equal width between 0 and 1.
    RETURNS (list[Bin]): the bins that are not empty, by score."""
    by_bin: dict[int, list[tuple[float, bool]]] = {}
    for score, right in pairs:
        by_bin.setdefault(min(int(score * bins), bins - 1), []).append((score, right))
    return [
        Bin(
            len(own),
            sum(s for s, _ in own) / len(own),
            sum(r for _, r in own) / len(own),
        )
        for _, own in sorted(by_bin.items())
    ]


def expected_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the mean distance of the score of a bin from its share
    of right spans, weighted by the number of spans. Source: Naeini et al. 2015."""
    gaps = sum(each.spans * abs(each.score - each.right) for each in bins)
    return gaps / sum(each.spans for each in bins)


def calibration_error(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[ScoredCharSpan]]
) -> float | None:
    """`expected_error` in ten bins. Spans without a score do not count; None if no span
    has one."""
    pairs = judged(gold, predicted)
    return expected_error(reliability(pairs)) if pairs else None


def judged(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[ScoredCharSpan]]
) -> list[tuple[float, bool]]:
    """The score of each predicted span that has one, and whether the span is right."""
    pairs: list[tuple[float, bool]] = []
    for ours, theirs in zip(predicted, gold, strict=True):
        there = set(theirs)
        pairs += [(e[3], e[:3] in there) for e in ours if e[3] is not None]
    return pairs
