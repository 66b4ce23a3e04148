"""Runs of one setting: the interval of a method's mean F1, and of what it has more than
another on the draws that both have. Source: ours (the intervals: `evaluation.bootstrap`)."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..evaluation.bootstrap import Interval, mean_interval, same_sentences
from .study import Record
from .text_counts import text_counts

WITHOUT_COUNTS = "without counts by sentence"


@dataclass(frozen=True)
class Comparison:
    """Of one method with another. f1: of each, the mean of the paired draws; interval: of
    the difference, None where no draw is paired or nothing can be resampled; seeds: of the
    paired draws; left_out: why others are not, with their seeds."""

    f1: tuple[float, float]
    interval: Interval | None
    seeds: tuple[int, ...]
    left_out: tuple[str, ...]


def own_interval(records: Sequence[Record]) -> Interval | None:
    """Of the mean F1 of a method's runs; None where one of them is without counts by
    sentence, or where nothing can be resampled."""
    counts = [text_counts(record) for record in records]
    known = [own for own in counts if own is not None]
    return mean_interval(known) if len(known) == len(counts) else None


def compare(one: Sequence[Record], other: Sequence[Record]) -> Comparison:
    """What `one` has more than `other`: runs of the same setting, each of one method.
    A draw is left out where only one has it, where a row is without counts by sentence, or
    where both were scored on other sentences."""
    ours, theirs = ({r["seed"]: r for r in records} for records in (one, other))
    paired, reasons = [], {}
    for seed in sorted(ours.keys() | theirs.keys()):
        if seed not in ours or seed not in theirs:
            method = (ours.get(seed) or theirs[seed])["method"]
            reasons[seed] = f"{method} alone"
            continue
        pair = text_counts(ours[seed]), text_counts(theirs[seed])
        if pair[0] is None or pair[1] is None:
            reasons[seed] = WITHOUT_COUNTS
        elif not same_sentences(pair[0], pair[1]):
            reasons[seed] = "other sentences"
        else:
            paired.append((seed, pair[0], pair[1]))
    seeds = tuple(seed for seed, _, _ in paired)
    left_out = tuple(
        f"{plural([s for s, said in reasons.items() if said == reason])}: {reason}"
        for reason in dict.fromkeys(reasons.values())
    )
    if not paired:
        return Comparison((0.0, 0.0), None, (), left_out)
    means = [statistics.mean(own[s]["f1"] for s in seeds) for own in (ours, theirs)]
    found = mean_interval([own for _, own, _ in paired], [own for *_, own in paired])
    return Comparison((means[0], means[1]), found, seeds, left_out)


def plural(seeds: Iterable[int]) -> str:
    own = [str(seed) for seed in seeds]
    return f"{'draw' if len(own) == 1 else 'draws'} {', '.join(own)}"
