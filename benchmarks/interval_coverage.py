"""How often a 95 % interval of `spacy_instructner.evaluation.bootstrap` holds the true value:
`python -m benchmarks.interval_coverage`. It takes three minutes of one core.

Studies are simulated: two methods, some draws, 500 sentences that all draws are scored on. An
entity is found with a probability that depends (logit) on the method, on the draw (both
methods like it, and each has its own luck with it), and on the sentence. The truth is the
mean over very many draws and sentences. Source: ours.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import srsly
from numpy.typing import NDArray
from wasabi import msg

from spacy_instructner.evaluation.bootstrap import f1_of, mean_interval
from spacy_instructner.fewshot.markdown_tables import table

RESULTS = Path(__file__).parent / "results" / "interval_coverage.json"
SENTENCES = 500
# Logits: of both methods; standard deviations of a sentence, and of a sentence for a method.
METHODS = (0.6, 0.3)
SENTENCE, OWN_SENTENCE = 1.0, 0.7
# Standard deviations of a draw, and of a method in a draw. They give F1 that differs between
# draws as in the headline: on MIT, and on WNUT-17.
NOISES = (0.1, 0.35)
WRONG = 0.7  # Wrong predictions a sentence, at even odds to find an entity.
DRAWS = (1, 3, 5, 10)


def simulate(
    rng: np.random.Generator, draws: int, sentences: int, noise: float
) -> NDArray[np.int64]:
    """Counts (methods × draws × sentences × 3) of a study."""
    annotated = rng.poisson(1.8, sentences)
    shape = (len(METHODS), draws, sentences)
    logit = np.array(METHODS)[:, None, None] + np.zeros(shape)
    logit += rng.normal(0, noise, (1, draws, 1))
    logit += rng.normal(0, noise, (len(METHODS), draws, 1))
    logit += rng.normal(0, SENTENCE, (1, 1, sentences))
    logit += rng.normal(0, OWN_SENTENCE, (len(METHODS), 1, sentences))
    odds = 1 / (1 + np.exp(-logit))
    right = rng.binomial(np.broadcast_to(annotated, shape), odds)
    wrong = rng.poisson(2 * WRONG * (1 - odds))
    return np.stack([right, wrong, annotated - right], axis=-1)


def truth(noise: float) -> tuple[NDArray[np.float64], float]:
    """The F1 of both methods, from very many draws and sentences, and the standard
    deviation of the first over draws."""
    counts = simulate(np.random.default_rng(0), 400, 4000, noise)
    f1 = f1_of(counts.sum(axis=2))
    return f1.mean(axis=1), float(f1[0].std(ddof=1))


def coverage(draws: int, studies: int, resamples: int, noise: float) -> dict[str, Any]:
    """The share of studies whose interval holds the truth: of the mean of a method, and of
    the difference of two; and with sentences resampled within each draw for itself."""
    (mean, other), spread = truth(noise)
    kinds = {
        "mean": (mean, False, False),
        "difference": (mean - other, True, False),
        "difference, nested": (mean - other, True, True),
    }
    held, widths = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0.0)
    for number in range(studies):
        rng = np.random.default_rng((1, draws, number))
        one, against = simulate(rng, draws, SENTENCES, noise)
        for kind, (value, paired, nested) in kinds.items():
            # In another order, they are taken for other sentences.
            straight = np.arange(SENTENCES)
            order = [rng.permutation(straight) if nested else straight for _ in one]
            own = [counts[at] for counts, at in zip(one, order, strict=True)]
            others = [counts[at] for counts, at in zip(against, order, strict=True)]
            found = mean_interval(own, others if paired else None, resamples, number)
            assert found is not None
            held[kind] += int(found.low <= value <= found.high)
            widths[kind] += (found.high - found.low) / studies
    return {
        "spread": spread,
        "draws": draws,
        "studies": studies,
        "held": {kind: own / studies for kind, own in held.items()},
        "width": widths,
    }


def section(name: str, folder: str) -> str:
    """The table of the marker `interval_coverage`."""
    if name != "interval_coverage":
        raise KeyError(name)
    rows: list[Sequence[object]] = []
    for row in srsly.read_json(RESULTS)["rows"]:
        of = [
            f"{100 * row['held'][kind]:.0f} % (± {50 * row['width'][kind]:.1f})"
            for kind in row["held"]
        ]
        spread = f"{100 * row['spread']:.1f}"
        rows.append([spread, row["draws"], row["studies"], *of])
    kinds = ("mean F1", "difference", "difference, sentences apart for each draw")
    return table(["sd over draws", "draws", "studies", *kinds], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interval_coverage", description=__doc__
    )
    parser.add_argument(
        "--studies", type=int, default=200, help="of each number of draws"
    )
    args = parser.parse_args()
    rows = [
        coverage(draws, args.studies, 500, noise) for noise in NOISES for draws in DRAWS
    ]
    srsly.write_json(RESULTS, {"rows": rows})
    msg.good(str(RESULTS))


if __name__ == "__main__":
    main()
