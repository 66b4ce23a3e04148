"""A grid on workshop sentences, and records of runs as a study has them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spacy.tokens import Span

from spacy_instructner.evaluation.metrics import errors
from spacy_instructner.fewshot.grid import Grid, Run, read_grid

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
WORKSHOP = ROOT / "assets" / "workshop"

GRID = """
data:
  workshop: {train: train.jsonl, test: test.jsonl}
  one-file: {train: test.jsonl, test: test.jsonl}
  drawn: {support: "draw-{k}-{seed}.jsonl", test: test.jsonl}
methods:
  quick:
    config: quick.cfg
    overrides: {training.max_steps: 4, training.eval_frequency: 4}
  untrained: {config: quick.cfg, train: false}
runs:
  - data: [workshop, one-file]
    protocol: at-least-k
    k: [1, 2]
    seeds: [0, 1]
    methods: [quick, untrained]
    texts: 10
  - {data: [drawn], protocol: given, k: [5], seeds: [3], methods: [quick], texts: 0}
"""


def write_grid(folder: Path, text: str = GRID) -> Grid:
    """A grid, its config, and data, in a folder."""
    (folder / "grid.yml").write_text(text)
    baseline = (CONFIGS / "baselines" / "tok2vec.cfg").read_text()
    (folder / "quick.cfg").write_text(baseline)
    for name in ("train", "test"):
        lines = (WORKSHOP / f"{name}.jsonl").read_text().splitlines()
        (folder / f"{name}.jsonl").write_text("\n".join(lines[:30]))
    (folder / "draw-5-3.jsonl").write_text((folder / "train.jsonl").read_text())
    return read_grid(folder / "grid.yml", folder)


def first_words(nlp: Any, support: Any, seed: int, label: str, weights: str) -> Any:
    """A method: calls the first word of a text what it is told to."""
    assert nlp.vocab is support[0].vocab and (Path(weights) / "config.json").is_file()

    def annotate(docs: Any) -> Iterator[Any]:
        for doc in docs:
            doc.set_ents([Span(doc, 0, 1, label)], default="outside")
            yield doc

    return annotate


def record_of(run: Run, f1: float, **more: Any) -> dict[str, Any]:
    """Of a hundred entities, with this F1."""
    right = round(100 * f1)
    return {
        "name": run.name,
        "data": run.data.name,
        "protocol": run.protocol,
        "ways": run.ways,
        "k": run.k,
        "seed": run.seed,
        "method": run.method.name,
        "support": {"texts": 7, "entities": {"X": 4, "Y": 5}},
        "texts": 50,
        "counts": {"X": [right, 100 - right, 100 - right], "Y": [0, 0, 0]},
        "f1": f1,
        "errors": dict(zip(errors([], []), (1, 2, 3, 4, 10), strict=True)),
        "calibration_error": None,
        "threshold_f1": None,
        "seconds": {"train": 60.0, "annotate": 20.0},
        "machine": {"cpu": "fast", "threads": 1},
        **more,
    }
