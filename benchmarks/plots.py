"""Plots as small SVG: curves over numbers. Needs matplotlib, which comes with the extra
`bench`."""

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

# Okabe and Ito's: told apart by colour-blind readers, and in curves by the marker too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
# One more than colours, so that a colour that comes again has another marker.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# What is written and drawn around the data, and on what.
INK, PAPER = "#1b1b1b", "#ffffff"
WIDTH = 4.6  # Inches: to be read on a phone, too.
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor")
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "benchmarks",
    # Letters stay letters: a tenth of the size of their outlines.
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
    **dict.fromkeys((*INKED, "xtick.color", "ytick.color"), INK),
}


@dataclass(frozen=True)
class Series:
    """What one name has in a plot.

    number: tells its colour and marker, the same for a name in all plots; places: where
    on the axis; values: of each place, one or several.
    """

    name: str
    number: int
    places: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Plot:
    """Curves over numbers, through the means of the values, with their spread.

    title; quantity: what values are, with the unit; places: what places are; logarithmic:
    whether a step of the axis of places is a factor."""

    title: str
    quantity: str
    series: tuple[Series, ...]
    places: str
    logarithmic: bool = False

    @property
    def alternative(self) -> str:
        """The text for those who do not see the plot."""
        return f"{self.title}: {self.quantity}"


def draw(plot: Plot) -> str:
    """The same SVG for the same plot. Raises ModuleNotFoundError without matplotlib."""

    def fill(figure: Any) -> None:
        axes = figure.subplots()
        _curves(axes, plot)
        axes.set_title(plot.title, loc="left")
        names = [series.name for series in plot.series]
        columns = 1 if max(map(len, names)) > 20 else 3
        # By hand: names that begin with a _ would be left out.
        drawn: Any = axes.containers
        figure.legend(drawn, names, loc="outside lower left", ncols=columns)
        figure.set_size_inches(WIDTH, 2.8 + 0.2 * -(-len(names) // columns))

    return svg_of(fill)


def svg_of(fill: Callable[[Any], None]) -> str:
    """The SVG of a figure that `fill` draws into.

    In a context, from matplotlib's defaults: neither do settings of the user's change
    the plots, nor the plots those."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        fill(figure)
        file = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    return rounded(file.getvalue())


def rounded(svg: str) -> str:
    """Coordinates with two digits after the point: a hundredth of a point is not seen."""
    short = re.sub(r"-?\d+\.\d{3,}", lambda own: f"{float(own[0]):.2f}", svg)
    return re.sub(r"[ \t]+$", "", short, flags=re.M)


def _curves(axes: Any, plot: Plot) -> None:
    places = sorted({place for series in plot.series for place in series.places})
    width = places[-1] - places[0]
    # Bars at the same place stand a little apart; points alone stand where they are.
    spread = any(len(values) > 1 for series in plot.series for values in series.values)
    step = width / 100 if spread else 0.0
    if plot.logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    for at, series in enumerate(plot.series):
        shift = step * (at - (len(plot.series) - 1) / 2)
        axes.errorbar(
            [place if plot.logarithmic else place + shift for place in series.places],
            [statistics.mean(values) for values in series.values],
            yerr=_spreads(series.values),
            color=COLOURS[series.number % len(COLOURS)],
            marker=MARKERS[series.number % len(MARKERS)],
            markersize=5,
            capsize=2,
        )
    # Where their numbers can be read one beside the other.
    apart = all(b - a >= width / 10 for a, b in zip(places, places[1:]))
    if apart and not plot.logarithmic:
        axes.set_xticks(places)
    axes.set_xlabel(plot.places)
    axes.set_ylabel(plot.quantity)
    # Zero belongs to it, so that the margin on top is a share of all that is shown.
    axes.update_datalim([(places[0], 0.0)])
    axes.autoscale_view()
    axes.set_ylim(bottom=0)


def _spreads(values: Sequence[Sequence[float]]) -> list[float]:
    """Standard deviations; a single value has none."""
    return [statistics.stdev(own) if len(own) > 1 else 0.0 for own in values]
