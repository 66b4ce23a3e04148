"""Measurements as plain data: what was measured, how often, on what machine."""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Row:
    """One thing measured.

    group: what it is compared with (docs_s.mit_restaurant, length, labels …); name:
    what it is; unit: docs/s, tokens/s, s, MB …; values: one for each repetition;
    x: where it stands on the axis of its group, if that has one; note: what a reader
    must know of it.
    """

    group: str
    name: str
    unit: str
    values: list[float]
    x: "float | None" = None
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass
class Results:
    """machine: what it ran on; rows: what was measured."""

    machine: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def of(self, group: str) -> list[Row]:
        return [row for row in self.rows if row.group == group]

    def replace(self, rows: Sequence[Row]) -> None:
        """Put these in place of the rows of their groups."""
        groups = {row.group for row in rows}
        self.rows = [row for row in self.rows if row.group not in groups] + list(rows)

    def to_disk(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {"machine": self.machine, "rows": [asdict(row) for row in self.rows]}
        path.write_text(json.dumps(data, indent=1) + "\n")

    @classmethod
    def from_disk(cls, path: Path) -> "Results":
        if not path.exists():
            return cls()
        data = json.loads(path.read_text())
        return cls(data["machine"], [Row(**row) for row in data["rows"]])


def timed(
    function: Callable[[], Any], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds by a clock."""
    begin = clock()
    function()
    return clock() - begin


def in_turns(
    functions: dict[str, Callable[[], Any]],
    times: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each by a clock, by turns: a machine that slows down slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(times):
        for name, function in functions.items():
            seconds[name].append(timed(function, clock))
    return seconds
