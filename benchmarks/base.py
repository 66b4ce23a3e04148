"""How a base learned, what it knows, and what a few shots make it forget:
`python -m benchmarks.base`.

`curve` keeps the log of its training. `forgetting` asks a pipeline for the labels of one
data set before and after it has learned another from a few shots, run by run; what the
study has is not measured again. `python -m benchmarks.pages` makes the tables.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_config
from wasabi import msg

from spacy_instructner.evaluation.metrics import count, total
from spacy_instructner.evaluation.predicted_texts import predict_texts
from spacy_instructner.evaluation.support_set import train_on
from spacy_instructner.fewshot.draws import draws
from spacy_instructner.fewshot.grid import Grid, Run, read_grid
from spacy_instructner.fewshot.machine import machine
from spacy_instructner.fewshot.markdown_tables import table
from spacy_instructner.fewshot.study import Record, Study
from spacy_instructner.files import to_lines, write_whole
from spacy_instructner.pretraining.loop import read_log

from .plots import Plot, Series, draw

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FORGETTING = Study(RESULTS / "forgetting.jsonl")
HEADLINE = Study(RESULTS / "headline.jsonl")
LOG = RESULTS / "base.jsonl"
# Single runs, each with the command that makes it again.
PILOTS = RESULTS / "pilots.json"
# Folders of the project's workflow `base`.
STAGES = ("base", "base-posts", "base-settled")
CONFIG = ROOT / "configs" / "written.cfg"
# Learned, and asked for before and after.
PAIRS = (("mit_restaurant", "mit_movie_eng"), ("mit_movie_eng", "mit_restaurant"))
SEEDS = (0, 1, 2)
K = 5
# Without shots: methods of the benchmark, and what they are.
WITHOUT = {
    "zero-shot-base": "base, CLLMFS's prompts, names of labels",
    "zero-shot-base-defined": "the same, with what labels mean",
    "zero-shot-base-instructionner": "base, InstructionNER's prompts, names of labels",
    "zero-shot-raw": "raw model, CLLMFS's prompts, names of labels",
}


def run_of(grid: Grid, data: str, seed: int) -> Run:
    """The draw of the headline."""
    (found,) = grid.matching([f"{data}.at-least-k-{K}.{seed}.from-base"])
    return found


def f1(nlp: Language, docs: Sequence[Doc], asked: dict[str, str]) -> float:
    """Of a pipeline that is asked for these labels, with what they mean, and no others."""
    nlp.get_pipe("instruction_ner").set_labels(list(asked), definitions=asked)
    texts = predict_texts(nlp, docs)
    return total(count(texts.gold, texts.found).values()).f1


def measure(grid: Grid, learned: str, asked: str, seed: int) -> Record:
    """F1 of the labels that are asked for, with each start, before and after."""
    blank = spacy.blank("en")
    run, other = run_of(grid, learned, seed), run_of(grid, asked, seed)
    support = draws(run, blank).support
    docs = draws(other, blank).test
    if other.data.definitions is None:
        raise ValueError(f"{asked} has no definitions.")
    meanings = srsly.read_json(other.data.definitions)
    overrides = {"system.seed": seed, "paths.definitions": str(run.data.definitions)}
    config = load_config(CONFIG)
    before = f1(train_on(config, support, overrides, learn=False), docs, meanings)
    after = f1(train_on(config, support, overrides), docs, meanings)
    return {
        "learned": learned,
        "asked": asked,
        "seed": seed,
        "texts": len(docs),
        "before": before,
        "after": after,
        "machine": machine(),
    }


def forget(data: Path) -> None:
    """Measure what is not there yet."""
    grid = read_grid(ROOT / "configs" / "benchmark.yml", data)
    for seed in SEEDS:
        for learned, asked in PAIRS:
            own = (learned, asked, seed)
            name = f"{learned}.{asked}.{seed}"
            if record := FORGETTING.once(name, partial(measure, grid, *own)):
                msg.good(f"{name}: {record['before']:.3f} {record['after']:.3f}")


def pilot(name: str) -> str:
    """The table of some single runs."""
    runs = srsly.read_json(PILOTS)[name]
    rows = [[str(cell) for cell in row] for row in runs["rows"]]
    lines = [runs["columns"], ["---"] * len(runs["columns"]), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def forgetting(records: Sequence[Record]) -> str:
    """Means over draws, in percent."""
    if not records:
        return "Not measured yet."
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record["learned"], record["asked"]), []).append(record)
    rows = [
        [
            *names,
            *(
                percent(statistics.mean(record[when] for record in own))
                for when in ("before", "after")
            ),
            len(own),
        ]
        for names, own in found.items()
    ]
    return table(("Learned", "Asked for", "F1 before", "F1 after", "Draws"), rows)


def zero_shot(records: Sequence[Record]) -> str:
    """F1 in percent of each method without shots, a column a data set."""
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        if record["method"] in WITHOUT:
            found.setdefault(record["data"], {})[record["method"]] = record
    if not found:
        return "Not measured yet."
    heads = [
        name + (", train split seen" if any(r["seen"] for r in own.values()) else "")
        for name, own in found.items()
    ]
    rows = [
        [said, *(f1_of(own.get(method)) for own in found.values())]
        for method, said in WITHOUT.items()
    ]
    return table(("Asked", *heads), rows)


def f1_of(record: Record | None) -> str:
    return "" if record is None else percent(record["f1"])


def chained(logs: Sequence[Sequence[Record]]) -> list[Record]:
    """The logs of stages, each begun from what the one before it made, as one."""
    found: list[Record] = []
    for log in logs:
        before = found[-1] if found else {}
        # What a stage begins from was scored at the end of the one before.
        for line in log[1:] if found else log:
            counted = ("step", "texts", "ids", "seconds")
            found.append({**line, **{n: line[n] + before.get(n, 0) for n in counted}})
    return found


def curve(log: Sequence[Record]) -> str:
    """The log of training."""
    if not log:
        return "Not trained yet."
    rows = [
        (
            line["step"],
            line["texts"],
            f"{line['ids'] / 1e6:.2f}",
            f"{line['seconds'] / 60:.0f}",
            "" if line["loss"] is None else f"{line['loss']:.3f}",
            *(percent(line["dev"][f"ents_{name}"] or 0.0) for name in "prf"),
        )
        for line in log
    ]
    head = ("Steps", "Texts", "Million ids", "Minutes", "Loss", "P", "R", "F1")
    return table(head, rows)


def plotted(log: Sequence[Record]) -> Plot:
    places = tuple(line["ids"] / 1e6 for line in log)
    values = tuple((100 * (line["dev"]["ents_f"] or 0.0),) for line in log)
    series = (Series("held-out labels", 0, places, values),)
    title = "F1 on labels that training never sees"
    return Plot(title, "F1 (%)", series, "million ids")


def section(name: str, folder: str) -> str:
    """The table of a marker, `base TABLE`. folder: where the plots are, seen from the
    page. Raises KeyError where there is none."""
    log = read_log(LOG)
    plot = f"![{plotted(log).alternative}]({folder}/base-curve.svg)"
    made = {
        "base curve": f"{curve(log)}\n\n{plot}",
        "base zero-shot": zero_shot(sorted(HEADLINE.records(), key=name_of)),
        "base forgetting": forgetting(FORGETTING.records()),
        **{f"base {name}": pilot(name) for name in srsly.read_json(PILOTS)},
    }
    return made[name]


def name_of(record: Record) -> str:
    return str(record["name"])


def plots() -> dict[str, Callable[[], str]]:
    """What draws the plots, by name of the file."""
    return {"base-curve.svg": lambda: draw(plotted(read_log(LOG)))}


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("curve", "forgetting"))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    logs = [ROOT / "training" / stage / "log.jsonl" for stage in STAGES]
    parser.add_argument("--log", type=Path, nargs="+", default=logs)
    given = parser.parse_args()
    if given.part == "curve":
        write_whole(LOG, to_lines(chained([read_log(log) for log in given.log])))
    else:
        forget(given.data)
    msg.info("The tables: python -m benchmarks.pages")


if __name__ == "__main__":
    main()
