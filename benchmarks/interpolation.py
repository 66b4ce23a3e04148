"""F1 between the weights that training begins with and those that it reaches, after five shots:
`python -m benchmarks.interpolation DATA:SEED …`, such as `mit_movie_trivia:0`.

On the test set, on the labels of another set, which were not learned, and on the support set
itself by cross-fitting, as `spacy-instructner.Interpolation.v1` chooses. Rows of other draws
stay as they were measured.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_config
from wasabi import msg

from spacy_instructner.evaluation.support_set import train_on
from spacy_instructner.evaluation.weight_choice import (
    SHARES,
    WeightChoice,
    choose_share,
    f1_counts,
    fold_config,
)
from spacy_instructner.fewshot.draws import draws
from spacy_instructner.fewshot.grid import Run
from spacy_instructner.fewshot.machine import machine
from spacy_instructner.fewshot.markdown_tables import table
from spacy_instructner.models.thinc_model import get_backbone, interpolate
from spacy_instructner.models.weight_interpolation import Named, trained_weights

from .few_shots import CONFIG, NAME, ROOT, asked_for, drawn_of, read_runs

RESULTS = ROOT / "benchmarks" / "results" / "interpolation.json"
OTHER_TEXTS = 150
# What is learned, and whose labels are asked for besides.
OTHERS = {
    "mit_movie_trivia": "mit_restaurant",
    "mit_restaurant": "mit_movie_eng",
    "mit_movie_eng": "mit_restaurant",
    "wnut2017": "mit_movie_trivia",
}


def f1_by_share(nlp: Language, start: Named, docs: Sequence[Doc]) -> dict[str, float]:
    """Of a trained pipeline. start: the weights that it began with."""
    found = {}
    for share in SHARES:
        interpolate(nlp.get_pipe(NAME).model, share, start)
        found[f"{share:g}"] = f1_counts(nlp, docs).f1
    return found


def measure(runs: Mapping[str, Run], data: str, seed: int) -> dict[str, Any]:
    """A row: F1 by share of what was learned, on each of the three. runs: by their data."""
    blank = spacy.blank("en")
    run, other = drawn_of(runs[data], seed), drawn_of(runs[OTHERS[data]], 0)
    drawn = draws(run, blank)
    overrides = {"system.seed": seed, "paths.definitions": str(run.data.definitions)}
    config = load_config(CONFIG)
    start: Named = {}

    def keep(nlp: Language) -> None:
        start.update(trained_weights(get_backbone(nlp.get_pipe(NAME).model)))

    nlp = train_on(config, drawn.support, overrides, quiet=True, on_begin=keep)
    parts = fold_config(nlp, nlp.get_pipe(NAME), 2)
    row = {"data": data, "seed": seed, "test": f1_by_share(nlp, start, drawn.test)}
    docs = draws(other, blank).test[:OTHER_TEXTS]
    with asked_for(nlp, other):
        row["other"] = f1_by_share(nlp, start, docs)
    crossed = WeightChoice(SHARES, 2, 500).cross_fit(parts, NAME, drawn.support)
    row["crossed"] = {f"{share:g}": f1 for share, f1 in crossed.items()}
    return {**row, "machine": machine()}


def section(name: str, folder: str) -> str:
    """The table of the marker `interpolation`."""
    if name != "interpolation":
        raise KeyError(name)
    return results_table(srsly.read_json(RESULTS))


def results_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """F1 by share, three lines for each draw."""
    lines: list[list[object]] = []
    for row in rows:
        draw = f"{row['data']}, draw {row['seed']}"
        chosen = choose_share({float(s): f1 for s, f1 in row["crossed"].items()})
        asked = {
            "test": "test sentences",
            "crossed": f"its own sentences, by cross-fitting: {chosen:g} is chosen",
            "other": f"labels of {OTHERS[row['data']]}",
        }
        lines += [
            [draw, said, *(f"{100 * f1:.1f}" for f1 in row[key].values())]
            for key, said in asked.items()
        ]
    return table(["Learned", "Asked", *(f"{share:g}" for share in SHARES)], lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interpolation", description=__doc__
    )
    # fmt: off
    parser.add_argument("draws", nargs="+", metavar="DATA:SEED")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data",
                        help="folder with the data sets")
    # fmt: on
    args = parser.parse_args()
    runs = read_runs(args.data)
    for each in args.draws:
        data, _, seed = each.partition(":")
        row = measure(runs, data, int(seed))
        there = srsly.read_json(RESULTS) if RESULTS.exists() else []
        rest = [r for r in there if (r["data"], r["seed"]) != (data, int(seed))]
        key = {name: at for at, name in enumerate(OTHERS)}
        rows = sorted([*rest, row], key=lambda r: (key[r["data"]], r["seed"]))
        srsly.write_json(RESULTS, rows)
        msg.good(f"{each}: {row['test']}")


if __name__ == "__main__":
    main()
