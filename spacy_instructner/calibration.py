"""Scores that say how often they are right.

Source: Platt scaling (Platt 1999) of the log-odds of a span's score, with a prior that
keeps the scores as they are where there is little to learn from: ours.
"""

import math
from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy

# The score of a predicted span, and whether it is right.
Judged = Tuple[float, bool]
# Scores closer to 0 or 1 tell nothing more.
EDGE = 1e-6
# How many spans the prior is worth.
PRIOR = 2.0
LEAST_SLOPE = 0.01


@dataclass(frozen=True)
class Calibration:
    """The log-odds of a score, times slope, plus intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, score: float) -> float:
        """The probability that a span of this score is right; not a number stays so."""
        if math.isnan(score) or self == Calibration():
            return score
        return 1.0 / (1.0 + math.exp(-self.slope * log_odds(score) - self.intercept))


def log_odds(score: float) -> float:
    inside = min(max(score, EDGE), 1.0 - EDGE)
    return math.log(inside / (1.0 - inside))


def fit(judged: Sequence[Judged]) -> Calibration:
    """The calibration under which what is right was most likely, by Newton's method.
    Higher scores stay higher. Raises ValueError for no span at all."""
    if not judged:
        raise ValueError("There is no span with a score to calibrate by.")
    odds = numpy.array([[log_odds(score), 1.0] for score, _ in judged])
    right = numpy.array([float(each) for _, each in judged])
    start = numpy.array([1.0, 0.0])
    at = start.copy()
    for _ in range(100):
        said = 1.0 / (1.0 + numpy.exp(-odds @ at))
        gradient = odds.T @ (said - right) + PRIOR * (at - start)
        curvature = (odds * (said * (1 - said))[:, None]).T @ odds
        step = numpy.linalg.solve(curvature + PRIOR * numpy.eye(2), gradient)
        # Never so far that it would jump over the best.
        step *= min(1.0, 2.0 / max(1e-12, float(numpy.abs(step).max())))
        at = at - step
        if float(numpy.abs(step).max()) < 1e-9:
            break
    return Calibration(max(LEAST_SLOPE, float(at[0])), float(at[1]))
