"""What was measured of speed, as tables."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from spacy_instructner.fewshot.markdown_tables import table

from .measure import Results, Row

RESULTS = Path(__file__).parents[1] / "results" / "speed.json"
# Parts that were measured on another machine have a file of their own: with what it was.
OTHER_MACHINES = {
    **{
        name: RESULTS.with_name("readings.json")
        for name in ("readings", "readings-bfloat16", "drafts")
    },
    "load": RESULTS.with_name("load.json"),
}
MACHINE_OF = "machine of "
NOT_MEASURED = "Not measured yet: `make bench`."
# What groups begin with of which there is one for each data set.
SPEED = "docs_s."
FLOOR = "floor."
READINGS = "readings."
# Groups of rows that are compared with one of them: its name.
OURS = {SPEED: "ours, greedy", "training": "ours", "methods": "InstructionNER"}
SIMPLE = ("floor", "agreement", "profile", "start", "vocabulary")
# Groups of rows with an x: what x is, with its unit.
CURVES = {
    "texts": "texts",
    "length": "length of the text (words)",
    "labels": "labels",
    "readings": "labels",
    "readings-bfloat16": "labels",
    "drafts": "labels",
    "budget": "batch_tokens (model tokens)",
    "beams": "beams",
    "memory": "texts annotated",
    "passes": "ids of a pass (up to)",
}
LOAD = "load."
KNOWN = ("machine", "training", "methods", "load", *SIMPLE, *CURVES)
NONE = "–"
MOST = 12  # Rows of memory in the table.


def section(name: str, folder: str) -> str:
    """The table of a marker, `speed TABLE`. folder: where the plots are, seen from the
    page. Raises KeyError for a table that there cannot be."""
    table_name = name.partition(" ")[2]
    part = table_name.removeprefix(MACHINE_OF)
    results = Results.from_disk(path_of(part))
    return table_of(results, "machine" if part != table_name else part, folder)


def path_of(name: str) -> Path:
    """Where the figures of a part, or of one of its groups, are."""
    return OTHER_MACHINES.get(name.split(".")[0], RESULTS)


def table_of(results: Results, name: str, folder: str) -> str:
    """What stands in a section."""
    if (
        not re.fullmatch(r"(docs_s|floor|readings)\.[\w.-]+", name)
        and name not in KNOWN
    ):
        raise KeyError(name)
    rows = rows_of(results, name)
    if not (results.machine if name == "machine" else rows):
        return NOT_MEASURED
    if name == "machine":
        return machine_table(results.machine)
    if name in SIMPLE or name.startswith((FLOOR, READINGS)):
        return simple_table(rows)
    if name == "load":
        return load_table(rows)
    if name in ("training", "methods"):
        return compared_table(rows, OURS[name])
    if name in CURVES:
        parts = [curve_table(rows, name)]
        if name == "memory":
            parts += growth(rows)
    else:
        parts = [compared_table(rows, OURS[SPEED])]
    return "\n\n".join([*parts, f"![Plot: {name}]({folder}/speed-{name}.svg)"])


def rows_of(results: Results, name: str) -> list[Row]:
    """The rows of a section. `floor` has those of every set, with the set's name; `load`
    all that was measured of it."""
    rows = results.of(name)
    if name == "load":
        rows = [row for row in results.rows if row.group.startswith(LOAD)]
    if name == "floor":
        rows += [
            replace(row, name=f"{row.group[len(FLOOR) :]}: {row.name}")
            for row in results.rows
            if row.group.startswith(FLOOR)
        ]
    return rows


def three(value: float) -> str:
    """With three significant digits, and no exponent. What was counted stays exact."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{Decimal(f'{value:.2e}'):,f}" if value else "0"


def count(value: float) -> str:
    """What was chosen, not measured: as it is, if it is whole."""
    return f"{int(value):,}" if value == int(value) else three(value)


def spread(row: Row) -> str:
    """The least and the most of the repetitions, if there were any."""
    if len(row.values) < 2:
        return NONE
    return f"{three(min(row.values))} to {three(max(row.values))}"


def machine_table(machine: dict[str, Any]) -> str:
    return table(["what", "value"], list(machine.items()))


def simple_table(rows: Sequence[Row]) -> str:
    return table(
        ["name", "median", "unit", "spread (min to max)", "note"],
        [
            [row.name, three(row.median), row.unit, spread(row), row.note]
            for row in rows
        ],
    )


def load_table(rows: Sequence[Row]) -> str:
    """A row for each number of clients and each way, with all that was measured."""
    groups = {row.group: row.unit for row in rows}
    cells = {(at(row), row.name, row.group): row for row in rows}
    head = [f"{group[len(LOAD) :]} ({unit})" for group, unit in groups.items()]
    pairs = dict.fromkeys((at(row), row.name) for row in rows)
    return table(
        ["clients", "texts are answered", *head, f"spread of the {head[0]}"],
        [
            [
                count(clients),
                way,
                *(three(cells[clients, way, group].median) for group in groups),
                spread(cells[clients, way, next(iter(groups))]),
            ]
            for clients, way in sorted(pairs, key=lambda pair: pair[0])
        ],
    )


def compared_table(rows: Sequence[Row], ours: str) -> str:
    """With the ratio of the rate of `ours` to each: above 1, it is faster."""
    return table(
        ["what", f"{unit_of(rows)} (median)", "spread (min to max)"]
        + [f"{ours.split(',')[0]} / this", "note"],
        [
            [row.name, three(row.median), spread(row), ratio, row.note]
            for row, ratio in zip(rows, ratios(rows, ours))
        ],
    )


def ratios(rows: Sequence[Row], ours: str) -> list[str]:
    """Of the median of the row with that name to the median of each."""
    medians = [row.median for row in rows if row.name == ours]
    if not medians:
        return [NONE] * len(rows)
    return [three(medians[0] / row.median) if row.median else NONE for row in rows]


def unit_of(rows: Sequence[Row]) -> str:
    """The one unit of rows that are compared."""
    units = sorted({row.unit for row in rows})
    if len(units) > 1:
        raise ValueError(f"Group '{rows[0].group}' has several units: {units}.")
    return units[0]


def curve_table(rows: Sequence[Row], group: str) -> str:
    """A row for each x; the name and the note only where they tell something."""
    named = lines_of(rows)
    if group == "memory":
        rows = [row for line in named.values() for row in thin(line, MOST)]
    columns: dict[str, list[str]] = {}
    if len(named) > 1:
        columns["name"] = [row.name for row in rows]
    columns[CURVES[group]] = [count(at(row)) for row in rows]
    columns["median"] = [three(row.median) for row in rows]
    columns["unit"] = [row.unit for row in rows]
    columns["spread (min to max)"] = [spread(row) for row in rows]
    if any(row.note for row in rows):
        columns["note"] = [row.note for row in rows]
    return table(list(columns), list(zip(*columns.values())))


def lines_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each name, in the order of x."""
    lines: dict[str, list[Row]] = {}
    for row in sorted(rows, key=at):
        lines.setdefault(row.name, []).append(row)
    # Names in the order stored.
    return {row.name: lines[row.name] for row in rows}


def at(row: Row) -> float:
    """Its x, which a row of a curve must have."""
    if row.x is None:
        raise ValueError(f"Group '{row.group}': row '{row.name}' has no x.")
    return row.x


def thin(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many of the rows, evenly spaced, with the first and the last."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def growth(rows: Sequence[Row]) -> list[str]:
    """A sentence on how memory grows, for each line that is long enough."""
    lines = lines_of(rows)
    out = []
    for name, line in lines.items():
        value = slope(line)
        if value is not None:
            of = f" of {name}" if len(lines) > 1 else ""
            out.append(
                f"Slope{of} after the first quarter: {three(1000 * value)} "
                f"{line[0].unit} per 1,000 texts."
            )
    return out


def slope(line: Sequence[Row]) -> float | None:
    """By least squares, of the rows after the first quarter: while a process warms
    up, its memory grows. None if there are not two x."""
    rest = line[len(line) // 4 :]
    x, y = [at(row) for row in rest], [row.median for row in rest]
    return statistics.linear_regression(x, y).slope if len(set(x)) > 1 else None
