"""F1 of a few shots by method: `python -m benchmarks.fewshot`.

Each cell (data set, draw, method) is trained and scored by itself and kept as a JSON
file; what is there is not done again. The tables of all that is there go to
docs/methods.md. Several may run at once: who works at a cell holds its lock, which the
system takes back from a process that is killed.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from spacy.cli.train import train
from spacy.util import load_config
from wasabi import msg

from spacy_instructner.bench.cells import once
from spacy_instructner.bench.machine import machine
from spacy_instructner.bench.markdown import table
from spacy_instructner.data.corpora import read_docs
from spacy_instructner.data.sampling import draw
from spacy_instructner.evaluation.protocols import evaluate

from .models import CONFIGS, ROOT, definitions
from .report import fill

CELLS = ROOT / "benchmarks" / "fewshot"
PAGE = ROOT / "docs" / "methods.md"
COMPONENT = "components.instruction_ner"
CONTRAST = f"{COMPONENT}.objectives.contrast"
ADVERSARY = f"{COMPONENT}.objectives.adversary"
# The config, objectives taken out, other settings.
Method = tuple[str, Sequence[str], dict[str, Any]]
METHODS: dict[str, Method] = {
    "InstructionNER": ("instructionner.cfg", (), {}),
    "CLLMFS": ("cllmfs.cfg", (), {}),
    "CLLMFS without InfoNCE": ("cllmfs.cfg", ("contrast",), {}),
    "CLLMFS without FGM": ("cllmfs.cfg", ("adversary",), {}),
    "CLLMFS without absent types": (
        "cllmfs.cfg",
        (),
        {f"{COMPONENT}.task.absent": 0.0},
    ),
}
# Slow: one draw of it must do.
LAST: dict[str, Method] = {
    "CLLMFS, text last": (
        "cllmfs.cfg",
        (),
        {f"{COMPONENT}.task.layout": "text_last"},
    ),
}
SOME = {
    name: METHODS[name]
    for name in ("InstructionNER", "CLLMFS", "CLLMFS without InfoNCE")
}


def _contrast(**settings: Any) -> Method:
    own = {f"{CONTRAST}.{name}": value for name, value in settings.items()}
    return "cllmfs.cfg", ("adversary",), own


def _adversary(**settings: Any) -> Method:
    own = {f"{ADVERSARY}.{name}": value for name, value in settings.items()}
    return "cllmfs.cfg", ("contrast",), own


# One objective at a time, with other settings.
SWEEP: dict[str, Method] = {
    "no objective": ("cllmfs.cfg", ("contrast", "adversary"), {}),
    "InfoNCE, default": _contrast(),
    "InfoNCE, weight 0.1": _contrast(weight=0.1),
    "InfoNCE, weight 0.1, opening": _contrast(weight=0.1, anchor="opening"),
    "InfoNCE, weight 0.1, opening, layer 0.5": _contrast(
        weight=0.1, anchor="opening", layer=0.5
    ),
    "InfoNCE, weight 0.1, opening, temperature 0.1": _contrast(
        weight=0.1, anchor="opening", temperature=0.1
    ),
    "InfoNCE, weight 1, opening, temperature 0.1": _contrast(
        weight=1.0, anchor="opening", temperature=0.1
    ),
    "FGM, default": _adversary(),
    "FGM, strength 0.005": _adversary(strength=0.005),
    "FGM, strength 0.05": _adversary(strength=0.05),
    "FGM, uniform, strength 0.1": _adversary(kind="uniform", strength=0.1),
}
DRAWS = (0, 1, 2)


@dataclass(frozen=True)
class Benchmark:
    """A data set with its draws.

    methods: by name; support: file of the given draws in a folder of their own, or None
    for draws of at least k from the train split; texts: of the test split; steps: None
    for the config's; section: the table it goes to."""

    name: str
    k: int
    methods: Mapping[str, Method]
    support: str | None = None
    draws: Sequence[int] = DRAWS
    texts: int = 500
    steps: int | None = None
    section: str = "fewshot"


BENCHMARKS = (
    Benchmark("mit_restaurant", 10, METHODS),
    Benchmark("mit_restaurant", 10, LAST, draws=(0,)),
    Benchmark("gum", 5, SOME, "gum_supports/support-5shot-{draw}.jsonl.gz"),
    Benchmark("wnut2017", 5, SOME, "wnut2017_supports/support-5shot-{draw}.jsonl.gz"),
    Benchmark(
        "mit_movie_trivia",
        5,
        SWEEP,
        draws=(0,),
        texts=200,
        steps=40,
        section="objectives",
    ),
)


def cells() -> Iterator[tuple[Benchmark, int, str]]:
    """All cells, the first draw of everything first."""
    for number in DRAWS:
        for benchmark in BENCHMARKS:
            if number in benchmark.draws:
                for method in benchmark.methods:
                    yield benchmark, number, method


def path_of(benchmark: Benchmark, number: int, method: str) -> Path:
    name = method.lower().replace(",", "").replace(" ", "-")
    return CELLS / f"{benchmark.name}.{number}.{name}.json"


def run(benchmark: Benchmark, number: int, method: str, data: Path) -> dict[str, Any]:
    """Train and score one cell."""
    config_name, dropped, settings = benchmark.methods[method]
    test = data / benchmark.name / "test.jsonl.gz"
    overrides: dict[str, Any] = {
        "paths.exclude": str(test),
        "corpora.train.seed": number,
        "corpora.train.k": benchmark.k,
        "system.seed": number,
        "training.logger.progress_bar": None,
        **settings,
    }
    if benchmark.steps is not None:
        overrides["training.max_steps"] = benchmark.steps
        overrides["training.eval_frequency"] = benchmark.steps
    if benchmark.support is None:
        overrides["paths.train"] = str(data / benchmark.name / "train.jsonl.gz")
    else:
        support = benchmark.support.format(draw=number)
        overrides.update(
            {"paths.train": str(data / support), "corpora.train.protocol": "all"}
        )
    if config_name == "cllmfs.cfg":
        overrides["paths.definitions"] = definitions(benchmark.name)
    config = load_config(CONFIGS / config_name)
    for name in dropped:
        del config["components"]["instruction_ner"]["objectives"][name]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "config.cfg"
        config.to_disk(path)
        begin = time.perf_counter()
        train(path, Path(temporary) / "out", overrides=overrides)
        seconds = time.perf_counter() - begin
        nlp = spacy.load(Path(temporary) / "out" / "model-last")
    docs, _ = read_docs(test, nlp)
    chosen = draw(docs, "sentences", k=benchmark.texts, seed=0)
    return {
        "set": benchmark.name,
        "k": benchmark.k,
        "draw": number,
        "method": method,
        "overrides": {
            name: value for name, value in overrides.items() if "paths" not in name
        },
        "train_seconds": seconds,
        "scores": evaluate(nlp, chosen),
        "machine": machine(),
    }


def results() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(CELLS.glob("*.json"))]


def report(section: str) -> str:
    """The table of a section's cells that are there."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in results():
        found.setdefault((cell["set"], cell["method"]), []).append(cell)
    rows = []
    for benchmark in BENCHMARKS:
        for method in benchmark.methods if benchmark.section == section else ():
            of = found.get((benchmark.name, method), [])
            if of:
                rows.append(
                    (
                        f"{benchmark.name}, {benchmark.k} shots",
                        method,
                        f1(of, "all_types"),
                        f1(of, "types_known"),
                        str(len(of)),
                    )
                )
    if not rows:
        return "Not measured yet: `python -m benchmarks.fewshot`."
    head = ["data", "method", "F1, all types", "F1, types known", "draws"]
    return table(head, rows)


def f1(rows: Sequence[dict[str, Any]], protocol: str) -> str:
    """Mean, and the standard deviation where there are several draws."""
    values = [100 * row["scores"][protocol]["ents_f"] for row in rows]
    mean = f"{statistics.mean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fewshot")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--report", action="store_true", help="only write the table")
    args = parser.parse_args()
    locks = CELLS.with_name("fewshot-locks")
    for cell in [] if args.report else cells():
        path = path_of(*cell)
        done = once(path, locks, lambda cell=cell: run(*cell, args.data), indent=1)  # type: ignore[misc]
        if done is None:
            continue
        benchmark, number, method = cell
        msg.good(f"{benchmark.name} {number} {method}: {done['scores']['all_types']}")
    text = PAGE.read_text(encoding="utf8")
    PAGE.write_text(fill(text, report), encoding="utf8")


if __name__ == "__main__":
    main()
