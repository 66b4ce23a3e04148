"""Folders of annotated texts, as a base learns from them, with made-up text."""

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spacy_instructner.pretraining.held_out_draws import HeldOutDraws, build_held_out_v2
from spacy_instructner.pretraining.label_draws import LabelDraws, build_label_variety_v2

MARKED = re.compile(r"\[([^\[\]|]+)\|([^\[\]|]+)\]")


def marked(text: str, **more: Any) -> dict[str, Any]:
    """A row of "in [Rome|city]"; of "[vet|vet,person]" one with types."""
    plain, spans, types, done = "", [], [], 0
    for found in MARKED.finditer(text):
        plain += text[done : found.start()]
        own = found[2].split(",")
        start = len(plain)
        plain += found[1]
        spans.append({"start": start, "end": len(plain), "label": own[0]})
        types.append(own)
        done = found.end()
    row: dict[str, Any] = {"text": plain + text[done:], "spans": spans, **more}
    if any(len(own) > 1 for own in types):
        row["types"] = types
    return row


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress("".join(lines).encode()))


def write_source(
    folder: Path,
    train: Sequence[dict[str, Any]],
    dev: Sequence[dict[str, Any]] = (),
    **about: Any,
) -> Path:
    """A folder of texts. about: what dataset.json says besides the language."""
    folder.mkdir(parents=True)
    write_rows(folder / "train.jsonl.gz", train)
    if dev:
        write_rows(folder / "dev.jsonl.gz", dev)
    (folder / "dataset.json").write_text(json.dumps({"language": "en", **about}))
    return folder


def write_wording(
    base: Path, words: dict[str, Sequence[str]], **near: list[str]
) -> None:
    """wording.json. words: names, by "source/label"; near: near labels, by the same with
    a blank for the slash."""
    content: dict[str, Any] = {
        label: {"names": list(names), "definitions": [f"what {label} means"]}
        for label, names in words.items()
    }
    for key, labels in near.items():
        content[key.replace("__", "/")]["near"] = labels
    (base / "wording.json").write_text(json.dumps(content))


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def draws(base: Path | None, **more: Any) -> LabelDraws:
    """Draws that change no text, unless told to."""
    still = {"lowered": 0.0, "joined": 0.0, "masked": 0.0}
    return build_label_variety_v2(base, **{**still, **more})


def scored(held_out: Path, base: Path | None, **more: Any) -> HeldOutDraws:
    return build_held_out_v2(held_out, base, **more)
