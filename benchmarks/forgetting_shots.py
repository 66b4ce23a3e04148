"""What five shots make a component forget, without and with rehearsal, and what self-training adds:
`python -m benchmarks.forgetting_shots [rehearsal|self-training]`.

`rehearsal` asks a pipeline for the labels of a data set that it does not learn, before and after it
learns another from five shots (`configs/fewshot.cfg`), and scores what it learned on test sentences.
`self-training` does the same with 200 further training sentences, without their annotation. Each run
is written when it is done; what is there is not measured again.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_config
from wasabi import msg

from spacy_instructner.data.sampling import draw
from spacy_instructner.evaluation.support_set import train_on
from spacy_instructner.evaluation.weight_choice import f1_counts
from spacy_instructner.fewshot.draws import Draw, draws
from spacy_instructner.fewshot.grid import DataSet, Method, Run
from spacy_instructner.fewshot.machine import machine
from spacy_instructner.fewshot.markdown_tables import table
from spacy_instructner.fewshot.study import Record, Study
from spacy_instructner.files import to_lines
from spacy_instructner.formats.docs import read_docs

from .few_shots import CONFIG, NAME, ROOT, TEXTS, asked_for, drawn_of, read_runs

STUDY = Study(ROOT / "benchmarks" / "results" / "forgetting_shots.jsonl")
FEWNERD = "fewnerd_inter dev"
# What is learned, and whose labels are asked for before and after.
OTHERS = {
    "mit_movie_trivia": ("mit_restaurant", FEWNERD),
    "mit_restaurant": ("mit_movie_trivia",),
}
SEEDS = (0, 1, 2)
# Sentences that nobody annotated.
UNLABELLED = 200
BLOCK = f"initialize.components.{NAME}"
# By method: settings of the training.
METHODS: dict[str, dict[str, Any]] = {
    "none": {},
    "rehearsal": {
        f"{BLOCK}.rehearsal": {"@misc": "spacy-instructner.Rehearsal.v1"},
    },
    "self-training": {
        f"{BLOCK}.self_training": {
            "@misc": "spacy-instructner.SelfTraining.v1",
            "after": 40,
        },
    },
}
PARTS = {"rehearsal": ("none", "rehearsal"), "self-training": ("none", "self-training")}


def runs_of(data: Path) -> dict[str, Run]:
    """A run of each data set, by its name."""
    own = DataSet(
        FEWNERD,
        test=data / "fewnerd_inter" / "dev.jsonl.gz",
        train=data / "fewnerd_inter" / "dev.jsonl.gz",
        definitions=ROOT / "assets" / "definitions" / "fewnerd.json",
    )
    fewnerd = Run(own, "at-least-k", 5, 0, Method("none"), TEXTS)
    return {**read_runs(data), FEWNERD: fewnerd}


def settings(method: str, unlabelled: Path) -> dict[str, Any]:
    """The blocks of a method. unlabelled: texts of the same data set."""
    blocks = {key: dict(block) for key, block in METHODS[method].items()}
    if method == "self-training":
        blocks[f"{BLOCK}.self_training"]["path"] = str(unlabelled)
    return blocks


def write_unlabelled(run: Run, drawn: Draw, path: Path) -> int:
    """Write training sentences that are neither learned nor scored, without their annotation.
    RETURNS (int): how many."""
    docs, _ = read_docs(Path(str(run.data.train)), spacy.blank("en"), run.data.encoding)
    barred = [*drawn.support, *drawn.test]
    own = draw(docs, "sentences", UNLABELLED, run.seed, barred)
    path.write_bytes(to_lines({"text": doc.text} for doc in own))
    return len(own)


def measure(
    runs: Mapping[str, Run],
    trained: str,
    seed: int,
    method: str,
    overrides: Mapping[str, Any] | None = None,
) -> Record:
    """A row: F1 of the labels that are not learned, by their data, before and after; and of those
    that are. runs: by their data; overrides: further settings of the training."""
    blank = spacy.blank("en")
    run = drawn_of(runs[trained], seed)
    others = {asked: drawn_of(runs[asked], 0) for asked in OTHERS[trained]}
    docs = {asked: draws(other, blank).test for asked, other in others.items()}
    drawn = draws(run, blank)
    f1: dict[str, dict[str, float]] = {}

    def ask(nlp: Language, when: str) -> None:
        for asked, other in others.items():
            with asked_for(nlp, other):
                f1.setdefault(asked, {})[when] = f1_counts(nlp, docs[asked]).f1

    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "unlabelled.jsonl"
        write_unlabelled(run, drawn, path)
        own = {
            "system.seed": seed,
            "paths.definitions": str(run.data.definitions),
            **settings(method, path),
            **(overrides or {}),
        }
        began = time.monotonic()
        nlp = trained_with(drawn.support, own, lambda nlp: ask(nlp, "before"))
        seconds = time.monotonic() - began
    ask(nlp, "after")
    return {
        "trained": trained,
        "seed": seed,
        "method": method,
        "asked": f1,
        "learned": f1_counts(nlp, drawn.test).f1,
        "texts": {"test": len(drawn.test), **{a: len(own) for a, own in docs.items()}},
        "seconds": seconds,
        "machine": machine(),
    }


def trained_with(
    support: Sequence[Doc], overrides: Mapping[str, Any], on_begin: Any
) -> Language:
    """The shipped config, trained on a support set."""
    config = load_config(CONFIG)
    blocks = {key: each for key, each in overrides.items() if isinstance(each, dict)}
    for key, block in blocks.items():
        node = config
        *parents, last = key.split(".")
        for name in parents:
            node = node[name]
        node[last] = block
    rest = {key: each for key, each in overrides.items() if key not in blocks}
    return train_on(config, support, rest, quiet=True, on_begin=on_begin)


def section(name: str, folder: str) -> str:
    """The table of the marker `forgetting_shots PART`."""
    part = name.partition(" ")[2]
    return results_table(STUDY.records(), PARTS[part])


def results_table(records: Sequence[Record], methods: Sequence[str]) -> str:
    """Means over draws, in percent; a line for each pair of data sets and method."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record["trained"], record["method"]), []).append(record)
    lines: list[list[object]] = []
    for trained, others in OTHERS.items():
        for asked, method in product(others, methods):
            if own := found.get((trained, method)):
                values = (
                    [each["asked"][asked]["before"] for each in own],
                    [each["asked"][asked]["after"] for each in own],
                    [each["learned"] for each in own],
                )
                said = [f"{100 * statistics.mean(each):.1f}" for each in values]
                lines.append([trained, asked, method, *said, len(own)])
    if not lines:
        return "Not measured yet."
    head = ("Learned", "Asked", "With", "Before", "After", "F1 of the learned", "Draws")
    return table(head, lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.forgetting_shots", description=__doc__
    )
    # fmt: off
    parser.add_argument("part", nargs="?", choices=tuple(PARTS), default="rehearsal")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data",
                        help="folder with the data sets")
    parser.add_argument("--learned", nargs="+", choices=tuple(OTHERS), default=list(OTHERS),
                        help="data sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="draws")
    # fmt: on
    args = parser.parse_args()
    runs = runs_of(args.data)
    for seed, trained, method in product(args.seeds, args.learned, PARTS[args.part]):
        own = (trained, seed, method)
        name = ".".join(map(str, own))
        if record := STUDY.once(name, partial(measure, runs, *own)):
            msg.good(f"{name}: learned {record['learned']:.3f}, {record['asked']}")
    msg.info("The tables: python -m benchmarks.pages --no-plots")


if __name__ == "__main__":
    main()
