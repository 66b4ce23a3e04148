"""Calibrated scores: a score is the share of such spans that are right.

Source: Platt scaling (Platt 1999) of the log-odds of a span's score. Ours: a prior that
keeps the scores as they are if there is little to learn from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

# The score of a predicted span, and whether the span is right.
Judged = tuple[float, bool]
# Scores closer to 0 or 1 count as this far from them.
EDGE = 1e-6
# Precision (inverse variance) of the normal prior of slope and intercept. Its mean is a
# slope of 1 and an intercept of 0: scores as they are.
PRIOR = 2.0
LEAST_SLOPE = 0.01


@dataclass(frozen=True)
class Calibration:
    """The log-odds of a score, times `slope`, plus `intercept`, as a probability."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, score: float) -> float:
        """The probability that a span with this score is right. NaN stays NaN."""
        if math.isnan(score) or self == Calibration():
            return score
        return 1.0 / (1.0 + math.exp(-self.slope * log_odds(score) - self.intercept))

    def inverse(self, score: float) -> float:
        """The score that this calibration turns into `score`. 0 and 1 stay as they are."""
        if not 0.0 < score < 1.0 or self == Calibration():
            return score
        odds = (log_odds(score) - self.intercept) / self.slope
        return 1.0 / (1.0 + math.exp(-odds))


def log_odds(score: float) -> float:
    """The log-odds of a score, which is moved by `EDGE` from 0 and 1 first."""
    inside = min(max(score, EDGE), 1.0 - EDGE)
    return math.log(inside / (1.0 - inside))


def fit(judged: Sequence[Judged]) -> Calibration:
    """Fit a calibration: the most likely one, given the prior.

    judged (Sequence[Judged]): the score of each span, and whether the span is right.
    RETURNS (Calibration): its slope is above zero, so higher scores stay higher. Raises
        ValueError if there is no span."""
    if not judged:
        raise ValueError("There is no span with a score to calibrate by.")
    odds = numpy.array([log_odds(score) for score, _ in judged])
    right = numpy.array([float(each) for _, each in judged])
    ones = numpy.ones_like(odds)
    slope, intercept = _most_likely(
        numpy.stack([odds, ones], axis=1), 0.0 * odds, right, numpy.array([1.0, 0.0])
    )
    if slope < LEAST_SLOPE:
        slope = LEAST_SLOPE
        rest = ones[:, None], slope * odds
        (intercept,) = _most_likely(*rest, right, numpy.array([0.0]))
    return Calibration(float(slope), float(intercept))


def _most_likely(
    inputs: numpy.ndarray,
    given: numpy.ndarray,
    right: numpy.ndarray,
    prior: numpy.ndarray,
) -> numpy.ndarray:
    """Logistic regression by Newton's method with a line search.

    *Shape:* inputs: (spans, weights); given: (spans,), added to the log-odds; right:
    (spans,), 0 or 1; prior: (weights,), the mean of the prior.
    RETURNS: the weights, (weights,)."""

    def loss(at: numpy.ndarray) -> float:
        logits = inputs @ at + given
        likely = numpy.logaddexp(0.0, logits) - right * logits
        return float(likely.sum() + PRIOR / 2 * ((at - prior) ** 2).sum())

    at = prior.copy()
    for _ in range(100):
        probability = 1.0 / (1.0 + numpy.exp(-(inputs @ at + given)))
        gradient = inputs.T @ (probability - right) + PRIOR * (at - prior)
        variance = probability * (1 - probability)
        curvature = (inputs * variance[:, None]).T @ inputs
        curvature += PRIOR * numpy.eye(len(at))
        step = numpy.linalg.solve(curvature, gradient)
        # For scores close to 0 or 1 the loss is nearly linear, and a whole step is far too
        # long.
        size, now = 1.0, loss(at)
        while loss(at - size * step) > now - 1e-4 * size * float(gradient @ step):
            size /= 2
            if size < 1e-12:
                return at  # No step makes the loss smaller.
        at = at - size * step
        if float(numpy.abs(step).max()) < 1e-9:
            break
    return at
