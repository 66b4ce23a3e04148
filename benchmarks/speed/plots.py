"""What was measured of speed, as plots."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from ..plots import COLOURS, MARKERS, svg_of
from .measure import Results, Row
from .tables import (
    CURVES,
    MOST,
    OTHER_MACHINES,
    RESULTS,
    SPEED,
    at,
    lines_of,
    three,
    unit_of,
)

LOGARITHMIC = ("texts", "length", "passes")
# Units that do not say by themselves what is measured.
QUANTITIES = {"s": "time (s)", "MB": "memory (MB)"}
GREY = "#999999"


def plots() -> dict[str, Callable[[], str]]:
    """What draws the plots, by name of the file."""
    files = dict.fromkeys((RESULTS, *OTHER_MACHINES.values()))
    return {
        name: draws
        for path in files
        for name, draws in drawn(Results.from_disk(path)).items()
    }


def drawn(results: Results) -> dict[str, Callable[[], str]]:
    names = dict.fromkeys(row.group for row in results.rows)
    return {
        f"speed-{name}.svg": partial(draw, results.of(name), name)
        for name in names
        if name in CURVES or name.startswith(SPEED)
    }


def draw(rows: Sequence[Row], name: str) -> str:
    """The plot of a group: the same SVG for the same rows."""
    fill = draw_curves if name in CURVES else draw_bars
    return svg_of(lambda figure: fill(figure, rows, name))


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
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
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
        axes.plot(x, y, color=colour, marker=marker, markersize=4, label=name)
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
