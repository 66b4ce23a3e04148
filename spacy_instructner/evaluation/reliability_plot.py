"""A reliability diagram: how often scores are right, before and after calibration.
Source: ours."""

from collections.abc import Sequence
from io import StringIO
from typing import Any

from .metrics import Bin


def draw_reliability(before: Sequence[Bin], after: Sequence[Bin]) -> str:
    """Draw the share of right spans by score.

    before, after (Sequence[Bin]): reliability tables.
    RETURNS (str): SVG, the same for the same tables. Raises ModuleNotFoundError without
        matplotlib."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # In a context and from the defaults, so that the user's settings do not change the
    # plot, nor the plot the settings.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        own: Any = {"svg.fonttype": "none", "svg.hashsalt": "calibrate", "font.size": 9}
        matplotlib.rcParams.update(own)
        figure = Figure((4.6, 3.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], "--", color="#999999", label="as often as it says")
        for name, bins, style in (("before", before, "o-"), ("after", after, "s-")):
            scores, shares = [b.score for b in bins], [b.right for b in bins]
            axes.plot(scores, shares, style, label=name)
        axes.set(xlabel="score", ylabel="share that is right", ylim=(0, None))
        axes.set_title("Scores and how often they are right", loc="left")
        axes.legend(frameon=False)
        file = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    return file.getvalue()
