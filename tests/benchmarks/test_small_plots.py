"""Plots: small SVG, the same for the same figures."""

import re
from xml.etree import ElementTree

import pytest

from benchmarks.plots import COLOURS, Plot, Series, draw, rounded


def test_plots_depend_on_the_data_alone() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    series = tuple(
        Series(f"method {n}", n, (5, 10), ((30.0 + n, 34.0), (40.0,))) for n in range(3)
    )
    plot = Plot("one, at-least-k $x$", "F1 (%)", series, "k")
    settings = dict(matplotlib.rcParams)
    svg = draw(plot)
    assert dict(matplotlib.rcParams) == settings
    with matplotlib.rc_context({"font.size": 30, "axes.labelsize": 30}):
        assert draw(plot) == svg
        assert matplotlib.rcParams["font.size"] == 30
    ElementTree.fromstring(svg)
    assert "one, at-least-k $x$" in svg and ">F1 (%)<" in svg
    for own in series:
        assert f">{own.name}<" in svg and COLOURS[own.number].lower() in svg
    assert draw(Plot("other", "F1 (%)", series[:1], "k")) != svg
    # Dark on white, on whatever page it stands; no date.
    assert "#1b1b1b" in svg and "fill: #ffffff" in svg and "date>" not in svg
    assert not re.search(r"\d\.\d{3}", svg)
    assert plot.alternative == "one, at-least-k $x$: F1 (%)"


def test_rounded() -> None:
    svg = '<path d="M 10.123456 -0.005 L 1.25 2 " id="m0a1.5"/>   \n<text>0.1</text>'
    assert rounded(svg) == (
        '<path d="M 10.12 -0.01 L 1.25 2 " id="m0a1.5"/>\n<text>0.1</text>'
    )


def test_a_name_is_in_the_legend_whatever_it_begins_with() -> None:
    pytest.importorskip("matplotlib")
    series = tuple(Series(f"_{n}", n, (1, 2), ((1.0, 2.0), (3.0,))) for n in range(9))
    svg = draw(Plot("title", "F1", series, "k"))
    assert all(f">_{n}<" in svg for n in range(9))


def test_places_are_marked_where_their_numbers_have_room() -> None:
    pytest.importorskip("matplotlib")

    def marks(*places: float, logarithmic: bool = False) -> list[str]:
        series = Series("one", 0, places, tuple((1.0,) for _ in places))
        svg = draw(Plot("title", "F1", (series,), "k", logarithmic))
        # Of the horizontal axis: what comes before the vertical one.
        return re.findall(r">([^<>\s]+)</text>", svg.split('id="matplotlib.axis_2"')[0])

    assert marks(5, 10, 20) == ["5", "10", "20", "k"]
    assert marks(1, 10, 100, logarithmic=True) == ["1", "10", "100", "k"]
    *numbers, _ = marks(0, 1, 20)
    assert [float(number) for number in numbers] == [2.5 * at for at in range(9)]
