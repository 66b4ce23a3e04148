"""A few shots of a data set, and labels of another that are asked for besides: what several
benchmarks share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import srsly
from spacy.language import Language

from spacy_instructner.fewshot.grid import GIVEN, Run, read_grid

ROOT = Path(__file__).parents[1]
GRIDS = ("benchmark.yml", "parallel.yml")
CONFIG = ROOT / "configs" / "fewshot.cfg"
NAME = "instruction_ner"
K, TEXTS = 5, 300


def read_runs(data: Path) -> dict[str, Run]:
    """A run of each data set of the grids, by its name."""
    grids = [read_grid(ROOT / "configs" / each, data) for each in GRIDS]
    return {run.data.name: run for grid in grids for run in grid.runs}


def drawn_of(run: Run, seed: int) -> Run:
    """The draw of five shots from its data. Its method does not matter."""
    protocol = GIVEN if run.data.support else "at-least-k"
    return replace(run, protocol=protocol, k=K, seed=seed, texts=TEXTS, ways=0)


@contextmanager
def asked_for(nlp: Language, run: Run) -> Iterator[None]:
    """Within it, a pipeline is asked for the labels of a run's data, with what they mean, and for no
    others. Raises ValueError for data without definitions."""
    if run.data.definitions is None:
        raise ValueError(f"{run.data.name} has no definitions.")
    meanings = srsly.read_json(run.data.definitions)
    pipe = nlp.get_pipe(NAME)
    kept = dict(pipe.cfg)
    pipe.set_labels(list(meanings), {}, meanings)
    try:
        yield
    finally:
        pipe.cfg.clear()
        pipe.cfg.update(kept)
