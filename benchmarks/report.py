"""Results as tables on a page, and as plots beside it.

The page is prose with sections in it. A section stands between two lines:

    <!-- benchmarks: NAME -->
    <!-- end -->

What is between them is made here; everything else is left as it is.
"""

import os
import re
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from spacy_instructner.bench.markdown import table
from spacy_instructner.bench.plots import COLOURS

from .measure import Results, Row

NOT_MEASURED = "Not measured yet: `make bench`."
# What groups begin with of which there is one for each data set.
SPEED = "docs_s."
FLOOR = "floor."
# Groups of rows that are compared with one of them: its name.
OURS = {SPEED: "ours, greedy", "training": "ours", "methods": "InstructionNER"}
SIMPLE = ("floor", "agreement", "profile", "start", "vocabulary")
# Groups of rows with an x: what x is, with its unit.
CURVES = {
    "texts": "texts",
    "length": "length of the text (words)",
    "labels": "labels",
    "budget": "batch_tokens (model tokens)",
    "beams": "beams",
    "memory": "texts annotated",
    "passes": "ids of a pass (up to)",
}
LOGARITHMIC = ("texts", "length", "passes")
# Units that do not say by themselves what is measured.
QUANTITIES = {"s": "time (s)", "MB": "memory (MB)"}
NONE = "–"
MOST = 12  # Rows of memory in the table.
BEGIN = re.compile(r"<!--\s*benchmarks:\s*(.*?)\s*-->")
END = re.compile(r"<!--\s*end\s*-->")
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#999999"


def write(results: Results, page: Path, plots: Path) -> None:
    """Renew the sections of the page, and draw their plots into the folder.

    Nothing is written if the page or the results are not in order. Without
    matplotlib the plots stay as they are, with a warning.
    """
    text = page.read_bytes().decode("utf8")
    folder = Path(os.path.relpath(plots, page.parent)).as_posix()
    page_text = fill(text, lambda name: section(results, name, folder))
    names = list(dict.fromkeys(sections(text)))
    page.write_bytes(page_text.encode("utf8"))
    try:
        for name in names:
            draw(results.of(name), name, plots)
    except ModuleNotFoundError as error:
        warnings.warn(
            f"The plots in {plots} are not renewed, which needs matplotlib: {error}",
            stacklevel=2,
        )


# The page.


def sections(text: str) -> list[str]:
    """The names of the page's sections, in order."""
    names: list[str] = []

    def note(name: str) -> str:
        names.append(name)
        return ""

    fill(text, note)
    return names


def fill(text: str, make: Callable[[str], str]) -> str:
    """The text with what `make` returns for its name in each section."""
    out: list[str] = []
    name, begin = None, 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        begins = BEGIN.fullmatch(line.strip())
        if begins and name is not None:
            raise ValueError(f"Line {begin}: section '{name}' has no end marker.")
        if begins:
            name, begin = begins.group(1), number
            if not is_section(name):
                raise ValueError(f"Line {number}: there is no section '{name}'.")
            out.append(line.rstrip("\r\n") + f"\n\n{make(name)}\n\n")
        elif END.fullmatch(line.strip()):
            if name is None:
                raise ValueError(f"Line {number}: an end marker without a beginning.")
            name = None
            out.append(line)
        elif name is None:
            out.append(line)
    if name is not None:
        raise ValueError(f"Line {begin}: section '{name}' has no end marker.")
    return "".join(out)


def is_section(name: str) -> bool:
    known = (
        "machine",
        "training",
        "methods",
        "fewshot",
        "objectives",
        "curve",
        "zero-shot",
        "forgetting",
        *SIMPLE,
        *CURVES,
    )
    return name in known or bool(re.fullmatch(r"(docs_s|floor)\.[\w.-]+", name))


def section(results: Results, name: str, folder: str) -> str:
    """What stands in a section. folder: where the plots are, seen from the page."""
    rows = rows_of(results, name)
    if not (results.machine if name == "machine" else rows):
        return NOT_MEASURED
    if name == "machine":
        return machine_table(results.machine)
    if name in SIMPLE or name.startswith(FLOOR):
        return simple_table(rows)
    if name in ("training", "methods"):
        return compared_table(rows, OURS[name])
    if name in CURVES:
        parts = [curve_table(rows, name)]
        if name == "memory":
            parts += growth(rows)
    else:
        parts = [compared_table(rows, OURS[SPEED])]
    return "\n\n".join([*parts, f"![Plot: {name}]({folder}/{name}.svg)"])


def rows_of(results: Results, name: str) -> list[Row]:
    """The rows of a section. `floor` has those of every set, with the set's name."""
    rows = results.of(name)
    if name == "floor":
        rows += [
            replace(row, name=f"{row.group[len(FLOOR) :]}: {row.name}")
            for row in results.rows
            if row.group.startswith(FLOOR)
        ]
    return rows


# The tables.


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


def slope(line: Sequence[Row]) -> "float | None":
    """By least squares, of the rows after the first quarter: while a process warms
    up, its memory grows. None if there are not two x."""
    rest = line[len(line) // 4 :]
    x, y = [at(row) for row in rest], [row.median for row in rest]
    return statistics.linear_regression(x, y).slope if len(set(x)) > 1 else None


# The plots.


def draw(rows: Sequence[Row], name: str, folder: Path) -> None:
    """The plot of a section, if it has one: the same bytes for the same rows."""
    if not rows or not (name in CURVES or name.startswith(SPEED)):
        return
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    # In a context, from the defaults: neither do settings of the user's change the
    # plots, nor the plots those.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.hashsalt": "benchmarks",
                "svg.fonttype": "none",
                "font.size": 9,
                "axes.spines.top": False,
                "axes.spines.right": False,
            }
        )
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        (draw_curves if name in CURVES else draw_bars)(figure, rows, name)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})


def draw_bars(figure: Any, rows: Sequence[Row], name: str) -> None:
    """A bar for each row with its least and most, the first on top; ours in colour."""
    figure.set_size_inches(6.5, 0.7 + 0.3 * len(rows))
    axes = figure.subplots()
    medians = [row.median for row in rows]
    low, high = extremes(rows)
    axes.barh(
        range(len(rows)),
        medians,
        color=[COLOURS[0] if row.name.startswith("ours") else GREY for row in rows],
        xerr=[
            [median - value for median, value in zip(medians, low)],
            [value - median for median, value in zip(medians, high)],
        ],
        capsize=2,
    )
    for place, row in enumerate(rows):
        axes.annotate(
            three(row.median),
            (high[place], place),
            (5, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(rows)), [literal(row.name) for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    # A bar on such an axis has no zero to begin at. Room for the figures on the right.
    axes.set_xlim(min(low) / 2, max(high) * (max(high) / min(low) * 2) ** 0.12)
    axes.set_xlabel(f"{unit_of(rows)} (median; line: min to max)")
    plain_ticks(axes.xaxis, min(low), max(high))


def draw_curves(figure: Any, rows: Sequence[Row], name: str) -> None:
    """A line for each name, from the least to the most in a band; one plot beside
    the other if there are several units."""
    units = list(dict.fromkeys(row.unit for row in rows))
    figure.set_size_inches(5 * len(units), 3)
    for axes, unit in zip(figure.subplots(1, len(units), squeeze=False)[0], units):
        those = [row for row in rows if row.unit == unit]
        draw_lines(axes, those, name in LOGARITHMIC)
        axes.set_xlabel(CURVES[name])
        axes.set_ylabel(QUANTITIES.get(unit, unit))
        if len(axes.get_lines()) > 1 or len(lines_of(rows)) > 1:
            axes.legend(frameon=False, fontsize="small")


def draw_lines(axes: Any, rows: Sequence[Row], logarithmic: bool) -> None:
    """The lines of one unit."""
    lines = lines_of(rows)
    for place, (name, line) in enumerate(lines.items()):
        x, y = points(line)
        low, high = extremes(line)
        colour = COLOURS[place % len(COLOURS)]
        marker = MARKERS[place % len(MARKERS)] if len(line) <= 3 * MOST else None
        label = literal(name)
        axes.plot(x, y, color=colour, marker=marker, markersize=4, label=label)
        if low != high:
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    low, high = extremes(rows)
    if logarithmic:
        if rows[0].unit == "s":
            # Time in proportion to x, to see what grows faster.
            x, y = points(next(iter(lines.values())))
            ends = [x[0], max(map(at, rows))]
            proportional = [y[0] * end / x[0] for end in ends]
            axes.plot(
                ends, proportional, color=GREY, linestyle="--", label="proportional"
            )
            high = [*high, *proportional]
        axes.set_xscale("log")
        axes.set_yscale("log")
        plain_ticks(axes.xaxis, min(map(at, rows)), max(map(at, rows)))
        plain_ticks(axes.yaxis, min(low), max(high))
    else:
        if min(low) >= 0:
            axes.set_ylim(0, 1.1 * max(high) or 1)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(tick)


def points(line: Sequence[Row]) -> tuple[list[float], list[float]]:
    return [at(row) for row in line], [row.median for row in line]


def extremes(rows: Sequence[Row]) -> tuple[list[float], list[float]]:
    """The least and the most of each row."""
    return [min(row.values) for row in rows], [max(row.values) for row in rows]


def plain_ticks(axis: Any, low: float, high: float) -> None:
    """Ticks of a logarithmic axis with plain numbers, the more the shorter it is."""
    from matplotlib.ticker import LogLocator, NullFormatter

    subs = [1, 2, 5] if high > 10 * low else list(range(1, 10))
    axis.set_major_locator(LogLocator(subs=[1] if high > 1000 * low else subs))
    axis.set_major_formatter(tick)
    axis.set_minor_formatter(NullFormatter())


def tick(value: float, _: int) -> str:
    """As it is, without an exponent."""
    return f"{Decimal(f'{value:.6g}'):,f}"


def literal(text: str) -> str:
    """A dollar sign begins no formula."""
    return text.replace("$", r"\$")
