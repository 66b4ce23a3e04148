"""Figures that others have published: a YAML file, and what is said of it.

    - source: where the figures are from
      protocol: how they were measured
      checked: true        # false: from memory
      note: ...            # optional
      figures:
        - {data: gum, k: 5, model: ..., f1: 24.4, sd: 1.0, size: 110M, note: ...}

The last three are optional. k is 0 where a model has seen no example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy_instructner.fewshot.grid import Block
from spacy_instructner.fewshot.markdown_tables import table
from spacy_instructner.formats.text_files import read_yaml

UNCHECKED = "from memory, not checked"


@dataclass(frozen=True)
class Figure:
    """f1, sd: in percent; size: parameters, "" where unknown; checked: False where the
    figure is from memory."""

    data: str
    k: int
    model: str
    size: str
    f1: float
    sd: float | None
    protocol: str
    source: str
    note: str
    checked: bool


def read_published(path: Path) -> list[Figure]:
    """Raises OSError for a missing file, and ValueError with the place of what is
    wrong."""
    raw = read_yaml(path)
    if not isinstance(raw, list):
        raise ValueError(f"{path}: there must be a list of sources.")
    figures = []
    for number, own in enumerate(raw, 1):
        source = Block(own, f"{path}, source {number}")
        shared = {
            "source": source.pop("source", str),
            "protocol": source.pop("protocol", str),
            "checked": source.pop("checked", bool),
        }
        note = source.pop("note", str, "")
        rows = source.pop("figures", list)
        source.done()
        for at, row in enumerate(rows, 1):
            section = Block(row, f"{source.where}, figure {at}")
            figures.append(_figure(section, note, shared))
    return figures


def _figure(row: Block, note: str, shared: dict) -> Figure:
    notes = [own for own in (row.pop("note", str, ""), note) if own]
    sd = row.pop("sd", float, -1.0)
    figure = Figure(
        data=row.pop("data", str),
        k=row.pop("k", int),
        model=row.pop("model", str),
        size=row.pop("size", str, ""),
        f1=row.pop("f1", float),
        sd=None if sd < 0 else sd,
        note=" ".join(notes),
        **shared,
    )
    row.done()
    return figure


def published(figures: Sequence[Figure]) -> str:
    """A table, by data set and k."""
    header = ["data", "k", "model", "size", "F1", "protocol", "source", "note"]
    rows: list[list[Any]] = []
    for figure in sorted(figures, key=lambda own: (own.data, own.k, -own.f1)):
        spread = "" if figure.sd is None else f" ± {figure.sd}"
        notes = ["" if figure.checked else f"{UNCHECKED}.", figure.note]
        rows.append(
            [
                figure.data,
                figure.k,
                figure.model,
                figure.size,
                f"{figure.f1}{spread}",
                figure.protocol,
                figure.source,
                " ".join(filter(None, notes)),
            ]
        )
    return table(header, rows)
