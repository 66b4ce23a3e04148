"""Plots as SVG. Needs matplotlib, which comes with the extra `bench`."""

import statistics
from collections.abc import Sequence
from io import StringIO
from typing import Any

from .page import Page, Plot

# Okabe and Ito's: told apart by colour-blind readers, and in curves by the marker too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
# One more than colours, so that a colour that comes again has another marker.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...")
# What is written and drawn around the data, and on what.
INK, PAPER = "#1b1b1b", "#ffffff"
WIDTH = 4.6  # Inches: to be read on a phone, too.
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "bench",
    "svg.fonttype": "none",
    # A dollar sign begins no formula.
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.facecolor": PAPER,
    "legend.frameon": False,
    "legend.fontsize": "small",
    "axes.titlesize": "medium",
    **dict.fromkeys(
        (
            "text.color",
            "axes.edgecolor",
            "axes.labelcolor",
            "axes.titlecolor",
            "xtick.color",
            "ytick.color",
        ),
        INK,
    ),
}


def draw_all(page: Page) -> dict[str, str]:
    """SVG of all plots of a page, by name. Raises ModuleNotFoundError without
    matplotlib."""
    return {plot.name: draw(plot) for plot in page.plots()}


def draw(plot: Plot) -> str:
    """The same SVG for the same plot."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # In a context, from the defaults: neither do settings of the user's change the
    # plots, nor the plots those.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        if plot.kind == "curves":
            height = _curves(axes, plot)
        elif plot.kind == "points":
            height = _points(axes, plot)
        else:
            height = _bars(axes, plot, stacked=plot.kind == "stacked")
        axes.set_title(plot.title, loc="left")
        if plot.kind != "points":
            names = [series.name for series in plot.series]
            columns = 1 if max(map(len, names)) > 20 else 3
            height += 0.2 * -(-len(names) // columns)
            # By hand: names that begin with a _ would be left out.
            drawn: Any = axes.containers
            figure.legend(drawn, names, loc="outside lower left", ncols=columns)
        figure.set_size_inches(WIDTH, height)
        file = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    return file.getvalue()


def _curves(axes: Any, plot: Plot) -> float:
    """A line for each name through the means, with the standard deviation. Returns the
    height in inches, as the others do."""
    places = sorted({place for series in plot.series for place in series.places})
    width = places[-1] - places[0]
    # Bars at the same place stand a little apart; points alone stand where they are.
    spread = any(len(values) > 1 for series in plot.series for values in series.values)
    step = width / 100 if spread else 0.0
    for at, series in enumerate(plot.series):
        shift = step * (at - (len(plot.series) - 1) / 2)
        axes.errorbar(
            [place + shift for place in series.places],
            [statistics.mean(values) for values in series.values],
            yerr=_spreads(series.values),
            color=_colour(series.number),
            marker=MARKERS[series.number % len(MARKERS)],
            markersize=5,
            capsize=2,
        )
    # Where their numbers can be read one beside the other.
    if all(b - a >= width / 10 for a, b in zip(places, places[1:])):
        axes.set_xticks(places)
    axes.set_xlabel(plot.places)
    axes.set_ylabel(plot.quantity)
    # Zero belongs to it, so that the margin on top is a share of all that is shown.
    axes.update_datalim([(places[0], 0.0)])
    axes.autoscale_view()
    axes.set_ylim(bottom=0)
    return 2.8


def _points(axes: Any, plot: Plot) -> float:
    """The mean with the standard deviation, and each value, small."""
    lines = _lines(axes, plot)
    for series in plot.series:
        for place, values in zip(series.places, series.values):
            line = [lines[place]] * len(values)
            axes.plot(values, line, "|", color=_colour(series.number), markersize=8)
            axes.errorbar(
                statistics.mean(values),
                lines[place],
                xerr=_spreads([values]),
                color=_colour(series.number),
                marker=MARKERS[series.number % len(MARKERS)],
                markersize=5,
                capsize=2,
            )
    axes.set_xlim(left=0)
    return 0.9 + 0.3 * len(lines)


def _bars(axes: Any, plot: Plot, stacked: bool) -> float:
    """Means as bars: for each place one beside the other, or one behind the other."""
    lines = _lines(axes, plot)
    thick = 0.7 if stacked else 0.8 / len(plot.series)
    ends = dict.fromkeys(lines, 0.0)
    for at, series in enumerate(plot.series):
        widths = [statistics.mean(values) for values in series.values]
        shift = 0.0 if stacked else thick * (at - (len(plot.series) - 1) / 2)
        axes.barh(
            [lines[place] + shift for place in series.places],
            widths,
            height=thick,
            left=[ends[place] for place in series.places],
            color=_colour(series.number),
            hatch=HATCHES[series.number // len(COLOURS) % len(HATCHES)],
            edgecolor=PAPER,
            linewidth=0,
        )
        if stacked:
            for place, width in zip(series.places, widths):
                ends[place] += width
    axes.set_xlim(left=0)
    rows = len(lines) if stacked else len(lines) * max(1.0, 0.4 * len(plot.series))
    return 0.9 + 0.3 * rows


def _lines(axes: Any, plot: Plot) -> dict[Any, int]:
    """A line of the plot for each name of a place, the first on top."""
    names = list(dict.fromkeys(p for series in plot.series for p in series.places))
    axes.set_yticks(range(len(names)), [str(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(plot.quantity)
    return {name: line for line, name in enumerate(names)}


def _spreads(values: Sequence[Sequence[float]]) -> list[float]:
    """Standard deviations; a single value has none."""
    return [statistics.stdev(own) if len(own) > 1 else 0.0 for own in values]


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
