"""The base that scores spans, and how it learned: `python -m benchmarks.second_base FOLDER`.

Each stage has two runs, which draw other texts, side by side on a thread each. The next one
begins from the mean of their weights (as local SGD does: Stich 2019, arXiv:1805.09767). The learn
rate falls to 0 at the end of the fourth; it rises and falls again in the fifth and the sixth, which
learn what is new there: to be asked for labels that hold one another. Runs go on where they were stopped.
FOLDER/adapter, the mean of the last two means, is the adapter; the curve goes into benchmarks/results/second_base.json.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.language import Language
from wasabi import msg

from spacy_instructner.evaluation.metrics import Counts
from spacy_instructner.fewshot.machine import machine
from spacy_instructner.fewshot.markdown_tables import table

from .base import percent
from .held_out import (
    CONFIG,
    NAME,
    Found,
    ask,
    at_thresholds,
    by_source,
)
from .without_shots import settings_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "second_base.json"
MODEL = "--components.instruction_ner.model"
RATE = "--training.optimizer.learn_rate"
# Asked for by names alone, and with what they mean.
ASKED = {"names alone": False, "with meanings": True}


@dataclass(frozen=True)
class Stage:
    """steps: of each run, of 8 texts; scored: after how many of them it is scored; rate: the
    learn rate that it begins with; zero: the step at which that would have fallen to 0;
    settings: further ones, by their paths."""

    steps: int
    scored: int
    rate: float
    zero: int
    seeds: tuple[int, int]
    settings: Mapping[str, float] = field(default_factory=dict)


# The last stage that never asks for labels that hold one another.
BEFORE_NESTED = 4
# Labels that hold one another are asked for together, and the sources that have them come
# more often.
NESTED = {
    "corpora.train.nested": 0.5,
    "corpora.train.weights.few_nerd_1k": 2.0,
    "corpora.train.weights.hands": 2.0,
    "corpora.train.weights.multiconer2_en": 3.0,
}
# The same once more, with more of it, and with what labels mean more often: the stage before
# had lost some of that.
NESTED_AGAIN = {
    **NESTED,
    "corpora.train.nested": 0.6,
    "corpora.train.undefined": 0.5,
    "corpora.train.many": 0.1,
}
STAGES = (
    Stage(400, 400, 0.001, 3000, (11, 12)),
    Stage(1000, 500, 0.001, 4000, (21, 22)),
    Stage(1300, 650, 0.00075, 2800, (31, 32)),
    Stage(1500, 500, 0.0004, 1500, (41, 42)),
    Stage(900, 450, 0.0007, 1000, (51, 52), NESTED),
    Stage(900, 450, 0.0007, 1000, (61, 62), NESTED_AGAIN),
)


# The stages whose means the adapter is the mean of.
LAST = (5, 6)
ADAPTER = f"the adapter: mean of {LAST[0]} and {LAST[1]}"


@dataclass(frozen=True)
class HeldOut:
    """What is found of held-out labels and sources: at every threshold, and, at that of the
    task, of each source."""

    thresholds: list[Found]
    sources: dict[str, Counts]

    def at(self, threshold: float) -> Counts:
        (found,) = [each for each in self.thresholds if each.threshold == threshold]
        return found.counts


def run_folder(folder: Path, stage: int, run: int) -> Path:
    return folder / f"{stage}{'ab'[run]}"


def commands(folder: Path, data: Path, stage: int) -> list[list[str]]:
    """The two runs of a stage (from 1). Raises IndexError where there is none."""
    own = STAGES[stage - 1]
    # The first begins from the adapter that the config names.
    start = [f"{MODEL}.start", str(folder / f"mean-{stage - 1}")] if stage > 1 else []
    instructner = [sys.executable, "-m", "spacy", "instructner"]
    return [
        [
            *instructner, "pretrain", str(CONFIG), str(run_folder(folder, stage, run)),
            "--paths.data", str(data),
            "--corpora.train.seed", str(seed),
            "--training.max_steps", str(own.steps),
            "--training.eval_frequency", str(own.scored),
            f"{RATE}.initial_rate", str(own.rate),
            f"{RATE}.total_steps", str(own.zero),
            *(part for key, value in own.settings.items() for part in (f"--{key}", str(value))),
            *start,
        ]
        for run, seed in enumerate(own.seeds)
    ]  # fmt: skip


def train(folder: Path, data: Path) -> None:
    """All stages that are not there yet. Raises CalledProcessError where one fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for stage in range(1, len(STAGES) + 1):
        mean = folder / f"mean-{stage}"
        # Written last.
        if (mean / "info.json").is_file():
            continue
        runs = [
            subprocess.Popen(command, env=environment, cwd=ROOT)
            for command in commands(folder, data, stage)
        ]
        try:
            for run in runs:
                if run.wait():
                    raise subprocess.CalledProcessError(run.returncode, run.args)
        finally:
            # None goes on where another failed, or where somebody interrupts.
            for run in runs:
                run.terminate()
                run.wait()
        average(mean, [run_folder(folder, stage, run) / "adapter" for run in (0, 1)])
    if not (adapter_of(folder) / "info.json").is_file():
        average(adapter_of(folder), [folder / f"mean-{stage}" for stage in LAST])


def average(mean: Path, adapters: Sequence[Path]) -> None:
    command = ["-m", "spacy", "instructner", "average", str(mean), *map(str, adapters)]
    subprocess.run([sys.executable, *command], check=True)


def adapter_of(folder: Path) -> Path:
    """What all stages come to."""
    return folder / "adapter"


def curve(folder: Path, last: Counts, adapter: Counts) -> list[dict[str, Any]]:
    """What the logs say. last: of the mean of the last stage; that of every other stage is
    what the runs after it begin with. adapter: of what all stages come to."""
    rows: list[dict[str, Any]] = []
    before = 0
    for stage in range(1, len(STAGES) + 1):
        logs = [
            list(srsly.read_jsonl(run_folder(folder, stage, run) / "log.jsonl"))
            for run in (0, 1)
        ]
        first, *_ = logs[0]
        if stage > 1:
            rows.append({"what": f"mean of {stage - 1}", **scores(first["dev"])})
        for name, log in zip("ab", logs):
            rows += [
                {
                    "what": f"{stage}{name}",
                    "steps": line["step"],
                    "ids": before + line["ids"],
                    "loss": line["loss"],
                    **scores(line["dev"]),
                }
                for line in log[1:]
            ]
        before += sum(log[-1]["ids"] for log in logs)
    rows.append({"what": f"mean of {len(STAGES)}", "ids": before, **scores_of(last)})
    rows.append({"what": ADAPTER, **scores_of(adapter)})
    return rows


def score_nested(name: str, adapter: Path, data: Path) -> dict[str, Any]:
    """Of an adapter, by names alone: F1 of labels that hold one another, and of their spans
    whatever the label. name: of the row."""
    nlp = pipeline_of(adapter)
    found, sources = ask(nlp, data, False, 400, "nested")
    threshold = threshold_of(nlp)
    (row,) = [each for each in at_thresholds(found) if each.threshold == threshold]
    own = by_source(found, sources, threshold)
    return {
        "what": name,
        "f1": row.counts.f1,
        "whatever": row.whatever.f1,
        "sources": {source: counts.f1 for source, counts in own.items()},
    }


def pipeline_of(adapter: Path) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config=settings_of(str(adapter)))
    return nlp


def as_json(found: HeldOut) -> dict[str, Any]:
    return {
        "thresholds": [
            {"at": f"{each.threshold:g}", "f1": each.counts.f1}
            for each in found.thresholds
        ],
        "sources": {
            source: {"f1": counts.f1, "entities": counts.annotated}
            for source, counts in found.sources.items()
        },
    }


def scores(found: Mapping[str, float]) -> dict[str, float]:
    return {"p": found["ents_p"], "r": found["ents_r"], "f": found["ents_f"]}


def scores_of(counts: Counts) -> dict[str, float]:
    return {"p": counts.precision, "r": counts.recall, "f": counts.f1}


def score(nlp: Language, data: Path, texts: int, defined: bool) -> HeldOut:
    """Of a pipeline. texts: how many; defined: whether it is told what labels mean."""
    found, sources = ask(nlp, data, defined, texts)
    return HeldOut(at_thresholds(found), by_source(found, sources, threshold_of(nlp)))


def threshold_of(nlp: Language) -> float:
    pipe: Any = nlp.get_pipe(NAME)
    return float(pipe.cfg["threshold"])


def section(name: str, folder: str) -> str:
    """The table of the marker `second_base`, of `second_base nested`, of `second_base
    thresholds` or of `second_base sources`."""
    tables = {
        "second_base": curve_table,
        "second_base nested": nested_table,
        "second_base thresholds": thresholds_table,
        "second_base sources": sources_table,
    }
    return tables[name](srsly.read_json(RESULTS))


def nested_table(results: Mapping[str, Any]) -> str:
    """F1 of labels that hold one another, before and after they were learned."""
    rows = results["nested"]
    header = ["Adapter", "F1", "Whatever the label", *rows[0]["sources"]]
    return table(
        header,
        [
            [
                row["what"],
                percent(row["f1"]),
                percent(row["whatever"]),
                *map(percent, row["sources"].values()),
            ]
            for row in rows
        ],
    )


def thresholds_table(results: Mapping[str, Any]) -> str:
    """F1 at each threshold, as labels are asked for."""
    held_out = results["held_out"]
    thresholds = [each["at"] for each in held_out["names alone"]["thresholds"]]
    rows = [
        [asked, *(percent(each["f1"]) for each in held_out[asked]["thresholds"])]
        for asked in held_out
    ]
    return table(["Asked for", *thresholds], rows)


def sources_table(results: Mapping[str, Any]) -> str:
    """F1 of each source at the threshold of the task, as labels are asked for."""
    held_out = results["held_out"]
    rows: list[Sequence[object]] = [
        [
            source,
            found["entities"],
            *(percent(held_out[asked]["sources"][source]["f1"]) for asked in held_out),
        ]
        for source, found in held_out["names alone"]["sources"].items()
    ]
    return table(["Source", "Entities", *held_out], rows)


def curve_table(results: Mapping[str, Any]) -> str:
    """How it learned."""
    rows: list[Sequence[object]] = [
        [
            row["what"],
            row.get("steps", ""),
            f"{row['ids'] / 1e6:.2f}" if "ids" in row else "",
            f"{row['loss']:.3f}" if row.get("loss") is not None else "",
            *(percent(row[each]) for each in "prf"),
        ]
        for row in results["curve"]
    ]
    return table(["Run", "Steps", "Million ids", "Loss", "P", "R", "F1"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.second_base", description=__doc__
    )
    # fmt: off
    parser.add_argument("folder", type=Path, help="of runs and means")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data",
                        help="folder with the data sets")
    parser.add_argument("--texts", type=int, default=1200,
                        help="texts of held-out labels and sources")
    # fmt: on
    args = parser.parse_args()
    folder, data = args.folder.resolve(), args.data.resolve()
    train(folder, data)
    nlp = pipeline_of(adapter_of(folder))
    # As many as runs are scored by; then more, which say more.
    adapter, last = (
        score(own, data, 400, defined=False).at(threshold_of(own))
        for own in (nlp, pipeline_of(folder / f"mean-{len(STAGES)}"))
    )
    found = {
        asked: score(nlp, data, args.texts, defined) for asked, defined in ASKED.items()
    }
    results = {
        "machine": machine(),
        "curve": curve(folder, last, adapter),
        "nested": [
            *(
                score_nested(f"mean of {stage}", folder / f"mean-{stage}", data)
                for stage in range(BEFORE_NESTED, len(STAGES) + 1)
            ),
            score_nested(ADAPTER, adapter_of(folder), data),
        ],
        "held_out": {asked: as_json(each) for asked, each in found.items()},
    }
    srsly.write_json(RESULTS, results)
    msg.good(f"F1: {100 * adapter.f1:.1f}")


if __name__ == "__main__":
    main()
