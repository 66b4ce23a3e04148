"""F1 of a few shots by method: `python -m benchmarks.fewshot`.

Each cell (data set, draw, method) is trained and scored by itself and kept as a JSON
file; what is there is not done again. The table of all that is there goes to
docs/methods.md. Several may run at once: who works at a cell holds its lock, which the
system takes back from a process that is killed.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import spacy
from filelock import FileLock, Timeout
from spacy.cli.train import train
from spacy.util import load_config
from wasabi import msg

from spacy_instructner.cli.evaluate import evaluate
from spacy_instructner.corpora import read_docs
from spacy_instructner.sampling import draw

from .measure import machine
from .models import CONFIGS, ROOT, definitions
from .report import fill, table

CELLS = ROOT / "benchmarks" / "fewshot"
PAGE = ROOT / "docs" / "methods.md"
COMPONENT = "components.instruction_ner"
# By name: the config, objectives taken out, other settings.
METHODS: Dict[str, Tuple[str, Sequence[str], Dict[str, Any]]] = {
    "InstructionNER": ("instructionner.cfg", (), {}),
    "CLLMFS": ("cllmfs.cfg", (), {}),
    "CLLMFS without InfoNCE": ("cllmfs.cfg", ("contrast",), {}),
    "CLLMFS without FGM": ("cllmfs.cfg", ("adversary",), {}),
    "CLLMFS without absent types": (
        "cllmfs.cfg",
        (),
        {f"{COMPONENT}.task.absent": 0.0},
    ),
    "CLLMFS, text last": (
        "cllmfs.cfg",
        (),
        {f"{COMPONENT}.task.layout": "text_last"},
    ),
}
ALL = tuple(METHODS)
SOME = ("InstructionNER", "CLLMFS", "CLLMFS without InfoNCE")


@dataclass(frozen=True)
class Benchmark:
    """A data set with its draws. support: file of the given draws in a folder of their
    own, or None for draws of at least k from the train split."""

    name: str
    k: int
    methods: Sequence[str]
    support: Optional[str] = None


BENCHMARKS = (
    Benchmark("mit_restaurant", 10, ALL),
    Benchmark("gum", 5, SOME, "gum_supports/support-5shot-{draw}.jsonl.gz"),
    Benchmark("wnut2017", 5, SOME, "wnut2017_supports/support-5shot-{draw}.jsonl.gz"),
)
DRAWS = (0, 1, 2)


def cells() -> Iterator[Tuple[Benchmark, int, str]]:
    """All cells, the first draw of everything first."""
    for number in DRAWS:
        for benchmark in BENCHMARKS:
            for method in benchmark.methods:
                yield benchmark, number, method


def path_of(benchmark: Benchmark, number: int, method: str) -> Path:
    name = method.lower().replace(",", "").replace(" ", "-")
    return CELLS / f"{benchmark.name}.{number}.{name}.json"


def run(benchmark: Benchmark, number: int, method: str, data: Path) -> Dict[str, Any]:
    """Train and score one cell."""
    config_name, dropped, settings = METHODS[method]
    test = data / benchmark.name / "test.jsonl.gz"
    overrides: Dict[str, Any] = {
        "paths.exclude": str(test),
        "corpora.train.seed": number,
        "corpora.train.k": benchmark.k,
        "system.seed": number,
        "training.logger.progress_bar": None,
        **settings,
    }
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
    chosen = draw(docs, "sentences", k=500, seed=0)
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


def results() -> List[Dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(CELLS.glob("*.json"))]


def report() -> str:
    """The table of the cells that are there."""
    found: Dict[Tuple[str, str], List[Dict[str, Any]]] = {}
    for cell in results():
        found.setdefault((cell["set"], cell["method"]), []).append(cell)
    rows = []
    for benchmark in BENCHMARKS:
        for method in benchmark.methods:
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


def f1(rows: Sequence[Dict[str, Any]], protocol: str) -> str:
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
    for folder in (CELLS, locks):
        folder.mkdir(exist_ok=True)
    for cell in [] if args.report else cells():
        path = path_of(*cell)
        try:
            with FileLock(locks / f"{path.stem}.lock", timeout=0):
                if path.exists():
                    continue
                done = run(*cell, args.data)
                aside = path.with_suffix(".part")
                aside.write_text(json.dumps(done, indent=1, sort_keys=True) + "\n")
                aside.replace(path)
        except Timeout:
            # Somebody else is at it.
            continue
        benchmark, number, method = cell
        msg.good(f"{benchmark.name} {number} {method}: {done['scores']['all_types']}")
    text = PAGE.read_text(encoding="utf8")
    PAGE.write_text(fill(text, lambda name: report()), encoding="utf8")


if __name__ == "__main__":
    main()
