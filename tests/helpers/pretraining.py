"""Texts of a base, their wording, and training on them."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from spacy.training import Example

from helpers.places import ROOT
from spacy_instructner.pretraining.corpus import LabelVariety, build_label_variety_v1
from spacy_instructner.pretraining.loop import LOG, MODEL, read_log

WORKSHOP = ROOT / "assets" / "workshop" / "train.jsonl"
WORDING = {
    "PART": {"names": ["component", "bicycle part"], "definitions": ["a piece", "x"]},
    "TOOL": {"names": ["device", "tool"], "definitions": ["to work with"]},
}


def variety(wording: Path, **more: Any) -> LabelVariety:
    config: dict[str, Any] = {
        "sources": {"workshop": WORKSHOP},
        "shares": {"workshop": 1.0},
        "wording": wording,
        "held_out": ["TOOL"],
        **more,
    }
    return build_label_variety_v1(**config)


def asked(example: Example) -> dict[str, dict[str, str]]:
    labels: dict[str, dict[str, str]] = example.predicted.user_data[
        "instruction_ner_labels"
    ]
    return labels


def annotated(path: Path, *rows: dict[str, str]) -> Path:
    """A file of texts: word to label, in order."""
    with path.open("w") as file_:
        for words in rows:
            text, spans = "", []
            for word, label in words.items():
                start = len(text)
                text += f"{word} "
                if label:
                    end = start + len(word)
                    spans.append({"start": start, "end": end, "label": label})
            file_.write(json.dumps({"text": text, "spans": spans}) + "\n")
    return path


def steps_of(folder: Path) -> list[int]:
    return [line["step"] for line in read_log(folder / LOG)]


def result(folder: Path) -> dict[str, Any]:
    found = (folder / MODEL).rglob("adapter.safetensors")
    return {
        name: values.tolist()
        for path in found
        for name, values in load_file(path).items()
    }


def told(folder: Path) -> list[dict]:
    lines = read_log(folder / LOG)
    for line in lines:
        line.pop("seconds")
    return lines
