"""How far a mean F1, or a difference of two, may be off: a bootstrap over draws and
sentences.

Counts (array) of a draw: true positives, false positives, false negatives (columns) of each
sentence (rows). What is resampled is the same for both methods, as in the paired bootstrap
of Berg-Kirkpatrick et al. (2012, An Empirical Investigation of Statistical Significance in
NLP); the interval is of percentiles (Efron and Tibshirani 1993).

Two levels, draws and the sentences of each: ours. Where all draws are scored on the same
sentences, these are resampled alike for all of them, and apart from the draws, as factors
that are crossed (Owen 2007, The pigeonhole bootstrap): a hard sentence is hard in every
draw, and would be averaged away if each draw had sentences of its own. Other sentences are
resampled within their draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
SEED = 0
KINDS = 3  # TP, FP, FN.

Array = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """value: the mean over draws, from -1 to 1; low, high: the ends of its interval;
    draws: how many it is of. With one draw, the interval is of its sentences alone."""

    value: float
    low: float
    high: float
    draws: int


def f1_of(counts: NDArray) -> NDArray[np.float64]:
    """F1 (...) from true positives, false positives, false negatives (..., 3); 0 where
    nothing is annotated or predicted."""
    right, wrong = 2.0 * counts[..., 0], counts[..., 1] + counts[..., 2]
    return right / np.maximum(right + wrong, 1.0)


def same_sentences(one: Array, other: Array) -> bool:
    """Whether two arrays of counts may be of the same sentences: they are as many, and
    have as many annotated entities, one by one."""
    annotated = one[:, 0] + one[:, 2], other[:, 0] + other[:, 2]
    return len(one) == len(other) and bool((annotated[0] == annotated[1]).all())


def mean_interval(
    draws: Sequence[Array],
    against: Sequence[Array] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval | None:
    """The mean strict micro F1 over draws, with its 95 % interval.

    draws (Sequence[Array]): the counts of each.
    against (Sequence[Array]): of another method, on the same draws in the same order: its
        F1 is subtracted, draw by draw.
    RETURNS (Interval | None): None where nothing can be resampled: one draw with one
        sentence. Raises ValueError where there is no draw, or one without a sentence, or
        where both methods have not the same draws or sentences."""
    _check(draws, against)
    others = [against] if against is not None else []
    # By draw: sentences × methods × 3.
    stacks = [np.stack(own, axis=1) for own in zip(draws, *others, strict=True)]
    value = float(np.mean([_measured(own.sum(axis=0)) for own in stacks]))
    if len(draws) == len(draws[0]) == 1:
        return None
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(draws), size=(resamples, len(draws)))
    if all(same_sentences(draws[0], own) for own in draws):
        found = _crossed(stacks, chosen, seed)
    else:
        found = _nested(stacks, chosen, rng)
    ends = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(ends[0]), float(ends[1]), len(draws))


def _check(draws: Sequence[Array], against: Sequence[Array] | None) -> None:
    if not draws:
        raise ValueError("There is no draw to make an interval of.")
    for own in draws:
        if own.ndim != 2 or own.shape[1] != KINDS or not len(own):
            raise ValueError(
                "The counts of a draw are three numbers for each of its sentences, of "
                f"which there is one at least. Their shape is {own.shape}."
            )
    if against is None:
        return
    if len(against) != len(draws):
        raise ValueError(
            f"One method has {len(draws)} draws, the other {len(against)}. Give both "
            "the draws that both have."
        )
    for number, (own, other) in enumerate(zip(draws, against, strict=True)):
        if not same_sentences(own, other):
            raise ValueError(f"Both methods have other sentences in draw {number}.")


def _measured(sums: NDArray) -> NDArray[np.float64]:
    """F1 of a method, or what the first has more than the second (... × methods × 3)."""
    f1 = f1_of(sums)
    return f1[..., 0] - f1[..., 1] if f1.shape[-1] == 2 else f1[..., 0]


def _crossed(stacks: Sequence[NDArray], chosen: Array, seed: int) -> NDArray:
    """Means of resamples: sentences that all draws share, and draws."""
    everything = np.stack(stacks, axis=1)  # Sentences × draws × methods × 3.
    times = _times(len(everything), len(chosen), seed)
    sums = times @ everything.reshape(len(everything), -1).astype(np.float32)
    values = _measured(sums.reshape(-1, *everything.shape[1:]))
    return np.take_along_axis(values, chosen, axis=1).mean(axis=1)


@lru_cache(maxsize=4)
def _times(sentences: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """How often each sentence is in each resample (resamples × sentences). Kept, as
    tables ask for the same ones many times; float32 has whole numbers to 16 millions."""
    # Not what the draws are chosen with.
    rng = np.random.default_rng((seed, sentences))
    shares = np.full(sentences, 1 / sentences)
    return rng.multinomial(sentences, shares, size=resamples).astype(np.float32)


def _nested(
    stacks: Sequence[NDArray], chosen: Array, rng: np.random.Generator
) -> NDArray:
    """Means of resamples: draws, and of each the sentences that only it has. A draw that
    is chosen twice has other sentences the second time."""
    found = np.zeros(len(chosen))
    for slot in chosen.T:
        for number, own in enumerate(stacks):
            (here,) = np.nonzero(slot == number)
            shares = np.full(len(own), 1 / len(own))
            times = rng.multinomial(len(own), shares, size=len(here))
            sums = times @ own.reshape(len(own), -1)
            found[here] += _measured(sums.reshape(-1, *own.shape[1:]))
    return found / len(stacks)
