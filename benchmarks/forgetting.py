"""What a few shots make a base forget: `python -m benchmarks.forgetting`.

A pipeline is asked for the labels of one data set before and after it has learned
another from a few shots. Each cell is one JSON file, and is not done again; the table of
what is there goes to docs/base.md.
"""

import argparse
import statistics
from pathlib import Path
from typing import Dict, List, Sequence

import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_config
from wasabi import msg

from spacy_instructner.annotations import LABELS_KEY
from spacy_instructner.bench.cells import Record, once, read_records
from spacy_instructner.bench.draws import draws
from spacy_instructner.bench.machine import machine
from spacy_instructner.bench.markdown import table
from spacy_instructner.bench.matrix import Cell, DataSet, Matrix, read_matrix
from spacy_instructner.scores import count, total
from spacy_instructner.supports import predicted, train_on

from .report import fill

ROOT = Path(__file__).parents[1]
CELLS = ROOT / "benchmarks" / "cells" / "forgetting"
PAGE = ROOT / "docs" / "base.md"
CONFIG = ROOT / "configs" / "fewshot.cfg"
# Learned, and asked for before and after.
PAIRS = (("mit_restaurant", "mit_movie_eng"), ("mit_movie_eng", "mit_restaurant"))
SEEDS = (0, 1, 2)
K = 5


def cell_of(matrix: Matrix, data: str, seed: int) -> Cell:
    """The draw of the headline."""
    (found,) = matrix.matching([f"{data}.at-least-k-{K}.{seed}.default"])
    return found


def asking(docs: Sequence[Doc], data: DataSet) -> List[Doc]:
    """The texts, each of which asks for all labels of their data set."""
    if data.definitions is None:
        raise ValueError(f"{data.name} has no definitions.")
    for doc in docs:
        doc.user_data[LABELS_KEY] = srsly.read_json(data.definitions)
    return list(docs)


def f1(nlp: Language, docs: Sequence[Doc]) -> float:
    return total(count(*predicted(nlp, docs)).values()).f1


def measure(matrix: Matrix, learned: str, asked: str, seed: int) -> Record:
    """F1 of the labels that are asked for, with each start, before and after."""
    blank = spacy.blank("en")
    cell, other = cell_of(matrix, learned, seed), cell_of(matrix, asked, seed)
    support = draws(cell, blank).support
    docs = asking(draws(other, blank).test, other.data)
    overrides = {"system.seed": seed, "paths.definitions": str(cell.data.definitions)}
    config = load_config(CONFIG)
    before = f1(train_on(config, support, overrides, learn=False), docs)
    after = f1(train_on(config, support, overrides), docs)
    return {
        "learned": learned,
        "asked": asked,
        "seed": seed,
        "texts": len(docs),
        "before": before,
        "after": after,
        "machine": machine(),
    }


def rows(records: Sequence[Record]) -> List[List[str]]:
    """Means over draws, in percent."""
    found: Dict[str, List[Record]] = {}
    for record in records:
        found.setdefault(f"{record['learned']}, {record['asked']}", []).append(record)
    return [
        [
            *names.split(", "),
            *(f"{100 * statistics.mean(r[when] for r in own):.1f}" for when in WHEN),
            str(len(own)),
        ]
        for names, own in found.items()
    ]


WHEN = ("before", "after")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    data = parser.parse_args().data
    matrix = read_matrix(ROOT / "configs" / "benchmark.yml", data)
    for learned, asked in PAIRS:
        for seed in SEEDS:
            path = CELLS / f"{learned}.{asked}.{seed}.json"
            record = once(
                path,
                CELLS / "locks",
                lambda own=(learned, asked, seed): measure(matrix, *own),  # type: ignore[misc]
            )
            if record:
                msg.good(f"{path.stem}: {record['before']:.3f} {record['after']:.3f}")
    head = ("Learned", "Asked for", "F1 before", "F1 after", "Draws")
    made = table(head, rows(read_records(CELLS)))
    text = PAGE.read_text(encoding="utf8")
    PAGE.write_text(fill(text, lambda name: made), encoding="utf8")


if __name__ == "__main__":
    main()
