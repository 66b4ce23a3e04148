"""From the scores of words to spans.

For each word and each label there are three probabilities: that a span of this label starts
with the word, that one ends with it, and that the word is inside of one (its borders
included). Labels compete: each of the three is a distribution over all labels and none. Every
run of words is a candidate for which all of these reach the floor:

    words      moved   from    New     York    to
    start       .01     .00   [.97]    .05     .00
    end         .00     .00    .10    [.96]    .00
    inside      .02     .01   [.98    .97]     .01        New York: (.97 · .96 · .97)^(1/3)

Its score is the geometric mean of its start, its end, and the least of its insides. So the
score is on the scale of the probabilities, and one that is low lowers it. Candidates may
overlap; which of them become entities is the business of `resolve`. Source: ours.
"""

from dataclasses import dataclass

import numpy

START, END, INSIDE = range(3)
CHANNELS = 3


@dataclass(frozen=True)
class Candidate:
    """Words [start, end), the index of the label, and the score from 0 to 1."""

    start: int
    end: int
    label: int
    score: float


def read_candidates(
    probabilities: numpy.ndarray, floor: float, max_span: int = 0
) -> list[Candidate]:
    """All candidates of a window, by start, end and label.

    probabilities: (words, labels, 3) of starts, ends and insides.
    floor (float): what each of a candidate's probabilities must reach.
    max_span (int): most words in a span; 0 for no limit."""
    start, end, inside = numpy.moveaxis(probabilities, 2, 0)
    count = len(probabilities)
    found: list[Candidate] = []
    starts = numpy.argwhere((start >= floor) & (inside >= floor))
    for begin, label in starts.tolist():
        stop = min(count, begin + max_span) if max_span else count
        least = 1.0
        for last in range(begin, stop):
            least = min(least, float(inside[last, label]))
            if least < floor:
                break
            if end[last, label] >= floor:
                product = float(start[begin, label]) * float(end[last, label]) * least
                found.append(Candidate(begin, last + 1, label, product ** (1 / 3)))
    return sorted(found, key=lambda each: (each.start, each.end, each.label))
