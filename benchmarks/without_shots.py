"""F1 without shots on the sets for development, of the default and of adapters with a head, on the
same texts: `python -m benchmarks.without_shots NAME=ADAPTER …`.

An adapter is a folder that `pretrain` wrote; the default is always there. Of each, F1 at its own
threshold and at the one that is best for all sets together (one setting for all).
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

from spacy_instructner.evaluation.metrics import count, total
from spacy_instructner.evaluation.predicted_texts import PredictedTexts, predict_texts
from spacy_instructner.fewshot.machine import machine
from spacy_instructner.fewshot.report import table

from .claims import Texts, read_texts
from .held_out import CONFIG, THRESHOLDS, entities_at

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "without_shots.json"
SETS = (("mit_movie_trivia", "test"), ("fewnerd_inter", "dev"), ("gum", "test"))
DEFAULT = "the default"


@dataclass(frozen=True)
class Reading:
    """What is found in the texts of each set: by name, and CPU seconds for all."""

    found: Mapping[str, PredictedTexts]
    seconds: float

    def f1(self, threshold: float | None) -> dict[str, float]:
        """In percent, set by set; None for the threshold of the task."""
        found = {
            name: texts.found if threshold is None else entities_at(texts, threshold)
            for name, texts in self.found.items()
        }
        return {
            name: 100 * total(count(texts.gold, found[name]).values()).f1
            for name, texts in self.found.items()
        }

    def best(self) -> float:
        """The threshold of the highest mean over all sets."""
        return max(THRESHOLDS, key=lambda each: sum(self.f1(each).values()))


def read(sets: Mapping[str, Texts], config: dict[str, Any]) -> Reading:
    """All sets with one pipeline. config: of the component."""
    found: dict[str, PredictedTexts] = {}
    seconds = 0.0
    for name, texts in sets.items():
        nlp = spacy.blank("en", vocab=texts.docs[0].vocab)
        own = {**config, "labels": list(texts.names), "label_names": texts.names}
        nlp.add_pipe("instruction_ner", config=own)
        nlp("nothing")
        begin = time.process_time()
        found[name] = predict_texts(nlp, texts.docs)
        seconds += time.process_time() - begin
    return Reading(found, seconds)


def settings_of(adapter: str) -> dict[str, Any]:
    """Of the component, with the adapter as `configs/base2.cfg` reads."""
    config = load_config(CONFIG, interpolate=True)["components"]["instruction_ner"]
    return {
        "task": config["task"],
        "model": {**config["model"], "start": adapter},
    }


def measure(data: Path, most: int, adapters: Mapping[str, str]) -> list[dict[str, Any]]:
    sets = {
        f"{name}, {part}": read_texts(data, name, part, most) for name, part in SETS
    }
    configs = {
        DEFAULT: {},
        **{name: settings_of(path) for name, path in adapters.items()},
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
            "seconds": reading.seconds,
            "texts": {each: len(texts.docs) for each, texts in sets.items()},
        }
        rows.append(row)
        msg.text(f"{name}: {row['own']}; at {best}: {row['best']}")
    return rows


def section(name: str, folder: str) -> str:
    """The table of the marker `without_shots`."""
    if name != "without_shots":
        raise KeyError(name)
    results = srsly.read_json(RESULTS)["rows"]
    sets = list(results[0]["own"])
    rows: list[Sequence[object]] = [
        [
            row["name"],
            *(f"{row['own'][each]:.1f}" for each in sets),
            *(f"{row['best'][each]:.1f}" for each in sets),
            f"{row['threshold']:g}",
            f"{row['seconds']:.0f}",
        ]
        for row in results
    ]
    head = ["what", *sets, *(f"{each}, best threshold" for each in sets)]
    return table([*head, "best threshold", "CPU s"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.without_shots", description=__doc__
    )
    # fmt: off
    parser.add_argument("adapters", nargs="*", metavar="NAME=ADAPTER")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data",
                        help="folder with the data sets")
    parser.add_argument("--texts", type=int, default=60, help="texts of each set")
    # fmt: on
    args = parser.parse_args()
    adapters = dict(each.split("=", 1) for each in args.adapters)
    rows = measure(args.data, args.texts, adapters)
    srsly.write_json(RESULTS, {"machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
