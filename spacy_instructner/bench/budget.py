"""What cells take: those that are measured, and by them those that are not."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from .cells import Record
from .matrix import Cell, Matrix
from .page import Table


def left(matrix: Matrix, records: Sequence[Record]) -> tuple[int, float | None]:
    """How many cells are not measured, and about how many seconds they take: as the
    measured ones of the same method and data, else of the method, else all. None where
    nothing is measured."""
    done = {record["name"] for record in records}
    cells = [cell for cell in matrix.cells if cell.name not in done]
    if not records:
        return len(cells), None
    expected = _expected(records)
    return len(cells), float(sum(map(expected, cells)))


def budget(matrix: Matrix, records: Sequence[Record]) -> Table:
    """A row for each data set and method, and one for all: mean seconds of the cells
    that are measured, and minutes that the rest may take."""
    by_name = {record["name"]: record for record in records}
    kinds: dict[tuple[str, str], list[Cell]] = {}
    for cell in matrix.cells:
        kinds.setdefault((cell.data.name, cell.method.name), []).append(cell)
    expected = _expected(records) if records else None
    rows = []
    for names, cells in [*kinds.items(), (("all", ""), list(matrix.cells))]:
        own = [by_name[cell.name] for cell in cells if cell.name in by_name]
        rest = [cell for cell in cells if cell.name not in by_name]
        times = [
            f"{statistics.mean(r['seconds'][part] for r in own):.0f}" if own else ""
            for part in ("train", "annotate")
        ]
        minutes = f"{sum(map(expected, rest)) / 60:.0f}" if expected else ""
        rows.append([*names, len(own), *times, len(rest), minutes])
    header = [
        "data",
        "method",
        "cells measured",
        "mean seconds to train",
        "mean seconds to annotate",
        "cells left",
        "minutes left (estimate)",
    ]
    return Table(header, rows)


def _expected(records: Sequence[Record]) -> Callable[[Cell], float]:
    """Seconds of a cell, by the measured ones that are most like it."""
    known: dict[Any, list[float]] = {}
    for record in records:
        seconds = sum(record["seconds"].values())
        for key in ((record["method"], record["data"]), record["method"], None):
            known.setdefault(key, []).append(seconds)
    means = {key: statistics.mean(values) for key, values in known.items()}

    def expected(cell: Cell) -> float:
        keys = ((cell.method.name, cell.data.name), cell.method.name, None)
        return next(means[key] for key in keys if key in means)

    return expected
