"""F1 without shots by the names of labels alone, of the default, of written answers and of adapters
with a head, on the same texts: `python -m benchmarks.without_shots NAME …` or `NAME=ADAPTER …`.

An adapter is a folder that `pretrain` wrote; "the default" and "written answers" need none. The sets
for development choose: of each, F1 at its own threshold and at the one that is best for all sets
together. `--reported` measures those that choose nothing, at the own threshold, with errors by
kind. Rows of other names stay as they were measured.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.util import load_config
from wasabi import msg

from spacy_instructner.evaluation.metrics import ERRORS, count, errors, total
from spacy_instructner.evaluation.predicted_texts import PredictedTexts, predict_texts
from spacy_instructner.fewshot.machine import machine
from spacy_instructner.fewshot.markdown_tables import table

from .claims import Texts, read_texts
from .held_out import CONFIG, THRESHOLDS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "without_shots.json"
CROSSNER = tuple(
    f"crossner_{each}" for each in ("ai", "literature", "music", "politics", "science")
)
# By what they are for: sets, and their parts.
SETS = {
    "development": (
        ("mit_movie_trivia", "test"),
        ("fewnerd_inter", "dev"),
        ("gum", "test"),
    ),
    "reported": (
        ("mit_movie_eng", "test"),
        ("mit_restaurant", "test"),
        *((name, "test") for name in CROSSNER),
        ("wnut2017", "dev"),
        ("gum", "test"),
    ),
}
# What a reader of figures must know, beside the name of the set.
NOTES = {"wnut2017": "train split seen by the bases"}
DEFAULT = "the default"
# What is measured by this name, and its settings.
KNOWN: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "written answers": {"task": {"@misc": "spacy-instructner.CLLMFS.v1"}},
}


@dataclass(frozen=True)
class Reading:
    """What is found in the texts of each set, and in how many CPU seconds: by name."""

    found: Mapping[str, PredictedTexts]
    seconds: Mapping[str, float]

    def f1(self, threshold: float | None) -> dict[str, float]:
        """In percent, set by set; None for the threshold of the task."""
        found = {
            name: texts.found
            if threshold is None
            else texts.entities_above(threshold, {})
            for name, texts in self.found.items()
        }
        return {
            name: 100 * total(count(texts.gold, found[name]).values()).f1
            for name, texts in self.found.items()
        }

    def errors(self) -> dict[str, dict[str, int]]:
        """How often each kind occurs at the threshold of the task, set by set."""
        return {
            name: errors(each.gold, each.found) for name, each in self.found.items()
        }

    def best(self) -> float:
        """The threshold of the highest mean over all sets."""
        return max(THRESHOLDS, key=lambda each: sum(self.f1(each).values()))


def read(sets: Mapping[str, Texts], config: dict[str, Any]) -> Reading:
    """All sets with one pipeline. config: of the component."""
    found: dict[str, PredictedTexts] = {}
    seconds: dict[str, float] = {}
    for name, texts in sets.items():
        nlp = spacy.blank("en", vocab=texts.docs[0].vocab)
        own = {**config, "labels": list(texts.names), "label_names": texts.names}
        nlp.add_pipe("instruction_ner", config=own)
        nlp("nothing")
        begin = time.process_time()
        found[name] = predict_texts(nlp, texts.docs)
        seconds[name] = round(time.process_time() - begin, 2)
    return Reading(found, seconds)


def settings_of(adapter: str) -> dict[str, Any]:
    """Of the component, with the adapter as `configs/base2.cfg` reads."""
    config = load_config(CONFIG, interpolate=True)["components"]["instruction_ner"]
    return {
        "task": config["task"],
        "model": {**config["model"], "start": adapter},
    }


def measure(
    data: Path, purpose: str, most: int, configs: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """purpose: of `SETS`; most: texts of each set; configs: of the component, by name."""
    sets = {
        f"{name}, {part}": read_texts(data, name, part, most)
        for name, part in SETS[purpose]
    }
    rows = []
    for name, config in configs.items():
        reading = read(sets, config)
        best = reading.best()
        row = {
            "name": name,
            "own": reading.f1(None),
            "best": reading.f1(best),
            "threshold": best,
            "errors": reading.errors(),
            "seconds": reading.seconds,
            "texts": {each: len(texts.docs) for each, texts in sets.items()},
            "machine": machine(),
        }
        rows.append(row)
        msg.text(f"{name}: {row['own']}; at {best}: {row['best']}")
    return rows


def section(name: str, folder: str) -> str:
    """The table of the marker `without_shots`, of `without_shots reported` or of
    `without_shots errors`."""
    tables = {
        "without_shots": chosen_by,
        "without_shots reported": reported,
        "without_shots errors": errors_by_kind,
    }
    return tables[name](srsly.read_json(RESULTS))


def noted(texts: str) -> str:
    """A set and its split, with the note of the set."""
    note = NOTES.get(texts.partition(",")[0])
    return f"{texts} ({note})" if note else texts


def chosen_by(results: Mapping[str, Any]) -> str:
    """The sets for development."""
    measured = results["development"]
    sets = list(measured[0]["own"])
    rows: list[Sequence[object]] = [
        [
            row["name"],
            *(f"{row['own'][each]:.1f}" for each in sets),
            *(f"{row['best'][each]:.1f}" for each in sets),
            f"{row['threshold']:g}",
            f"{sum(row['seconds'].values()):.0f}",
        ]
        for row in measured
    ]
    heads = [noted(each) for each in sets]
    head = ["what", *heads, *(f"{each}, best threshold" for each in heads)]
    return table([*head, "best threshold", "CPU s"], rows)


def reported(results: Mapping[str, Any]) -> str:
    """The sets that choose nothing; those of CrossNER one by one, and their mean."""
    rows: list[Sequence[object]] = []
    for row in results["reported"]:
        own = row["own"]
        crossner = [own[f"{name}, test"] for name in CROSSNER]
        found = [*own.values(), sum(crossner) / len(crossner)]
        seconds = f"{sum(row['seconds'].values()):.0f}"
        rows.append([row["name"], *(f"{each:.1f}" for each in found), seconds])
    sets = map(noted, results["reported"][0]["own"])
    return table(["what", *sets, "CrossNER, mean of five", "CPU s"], rows)


def errors_by_kind(results: Mapping[str, Any]) -> str:
    """Of the sets that choose nothing, all together."""
    rows: list[Sequence[object]] = []
    for row in results["reported"]:
        kinds = [sum(own[kind] for own in row["errors"].values()) for kind in ERRORS]
        rows.append([row["name"], *kinds])
    return table(["what", *ERRORS], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.without_shots", description=__doc__
    )
    # fmt: off
    parser.add_argument("what", nargs="*", metavar="NAME[=ADAPTER]", default=[*KNOWN],
                        help=f"{' or '.join(KNOWN)}; or a name for an adapter")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data",
                        help="folder with the data sets")
    parser.add_argument("--texts", type=int, default=200, help="texts of each set")
    parser.add_argument("--reported", action="store_true",
                        help="the sets that choose nothing")
    # fmt: on
    args = parser.parse_args()
    named = {
        name: path for name, _, path in (each.partition("=") for each in args.what)
    }
    for name, path in named.items():
        if not path and name not in KNOWN:
            parser.error(f"{name} needs an adapter: {name}=FOLDER")
    configs = {n: settings_of(path) if path else KNOWN[n] for n, path in named.items()}
    purpose = "reported" if args.reported else "development"
    rows = measure(args.data, purpose, args.texts, configs)
    results = srsly.read_json(RESULTS) if RESULTS.is_file() else {}
    by_name = {row["name"]: row for row in [*results.get(purpose, []), *rows]}
    order = dict.fromkeys([*KNOWN, *by_name])
    results[purpose] = [by_name[name] for name in order if name in by_name]
    srsly.write_json(RESULTS, results)


if __name__ == "__main__":
    main()
