"""The report: what it says, and how it is written down."""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from test_bench import record_of
from typer.testing import CliRunner

from spacy_instructner.bench import figures, markdown, tables, webpage
from spacy_instructner.bench.budget import budget, left
from spacy_instructner.bench.examples import read_examples
from spacy_instructner.bench.matrix import PROTOCOLS, Matrix, read_matrix
from spacy_instructner.bench.origins import origins
from spacy_instructner.bench.page import Marked, Page, Plot, Section, Series, Table
from spacy_instructner.bench.published import UNCHECKED, published, read_published
from spacy_instructner.bench.report import PROTOCOLS as MEANT
from spacy_instructner.bench.report import report
from spacy_instructner.cli import app

ROOT = Path(__file__).parents[1]
WORKSHOP = ROOT / "assets" / "workshop"
PUBLISHED = ROOT / "configs" / "published.yml"
# As a label, a method and a data set may be called.
NASTY = "<b>|`\\|$x$ --> </svg><script>alert(1)</script> &lt; \"'"
MATRIX = """
data:
  one: {train: train.jsonl, test: test.jsonl}
  two: {train: train.jsonl, test: test.jsonl}
methods:
  first: {config: a.cfg}
  second: {config: a.cfg}
runs:
  - data: [one]
    protocol: at-least-k
    k: [10, 5]
    seeds: [0, 1]
    methods: [first, second]
  - {data: [two], protocol: sentences, k: [5], seeds: [0, 1], methods: [second]}
published: figures.yml
"""
FIGURES = """
- source: a paper
  protocol: theirs
  checked: true
  note: Bigger.
  figures:
    - {data: one, k: 5, model: A, f1: 50.25, sd: 1.5, size: 3B, note: Old.}
    - {data: one, k: 5, model: B, f1: 60.0}
- source: another
  protocol: others
  checked: false
  figures: [{data: one, k: 0, model: C, f1: 70.0}]
"""


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    (tmp_path / "matrix.yml").write_text(MATRIX)
    (tmp_path / "figures.yml").write_text(FIGURES)
    return read_matrix(tmp_path / "matrix.yml", tmp_path)


def records_of(matrix: Matrix) -> list[dict]:
    """F1 goes up from cell to cell, by one hundredth."""
    return [record_of(c, 0.3 + 0.01 * n) for n, c in enumerate(matrix.cells)]


class Reader(HTMLParser):
    """What stands in a page. Raises AssertionError for tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.said: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        tag = self.open[-1] if self.open else ""
        self.said[tag] = self.said.get(tag, "") + data
        if tag in ("td", "th"):
            self.rows[-1][-1] += data


def markdown_rows(text: str) -> list[list[str]]:
    """The entries of all tables, as a reader of Markdown sees them."""
    rows = [
        re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("| --- |")
    ]
    return [[plain(entry.strip()) for entry in row] for row in rows]


def plain(text: str) -> str:
    text = re.sub(r"\\([^\w\s])", r"\1", text)
    return text.replace("&lt;", "<").replace("&amp;", "&")


# What is said.


def test_plots_of_f1(matrix: Matrix) -> None:
    groups = tables.group(matrix, records_of(matrix))
    over_k, by_method = figures.f1(groups)
    assert (over_k.kind, over_k.title, over_k.places) == (
        "curves",
        "one, at-least-k",
        "k",
    )
    # Cells are seed by seed, in these k by k (10, then 5) and method by method.
    first, second = over_k.series
    assert (first.name, first.places, first.number) == ("first", (5, 10), 0)
    assert first.values == (approx(32, 36), approx(30, 34))
    assert (second.name, second.places, second.number) == ("second", (5, 10), 1)
    assert second.values == (approx(33, 37), approx(31, 35))
    assert (by_method.kind, by_method.title) == ("points", "two, sentences 5")
    (only,) = by_method.series
    # The same colour as above, though it is the first here.
    assert (only.name, only.places, only.number) == ("second", ("second",), 1)
    assert only.values == (approx(38, 39),)
    assert len({plot.name for plot in report(matrix, records_of(matrix)).plots()}) == 8


def approx(*values: float) -> Any:
    return pytest.approx(values)


def test_plots_by_label_and_of_errors(matrix: Matrix) -> None:
    groups = tables.group(matrix, records_of(matrix))
    plot = figures.by_label(groups, ("one", "at-least-k", 5))
    assert plot.kind == "bars" and plot.title == "one, at-least-k 5"
    # X: 32 and 36 of 100 right; of Y there is nothing.
    assert plot.series[0] == Series("first", 0, ("X", "Y"), ((34.0,), (0.0,)))
    assert [series.name for series in plot.series] == ["first", "second"]
    stacked = figures.errors(groups)
    assert [plot.title for plot in stacked] == [
        "one, at-least-k 10",
        "one, at-least-k 5",
        "two, sentences 5",
    ]
    assert {(s.name, s.places, s.values) for s in stacked[-1].series} == {
        ("wrong type", ("second",), ((1,),)),
        ("wrong border", ("second",), ((2,),)),
        ("wrong type and border", ("second",), ((3,),)),
        ("spurious", ("second",), ((4,),)),
        ("missed", ("second",), ((10,),)),
    }


def test_rows_stand_in_the_matrix_order_whatever_is_measured(matrix: Matrix) -> None:
    records = [r for r in records_of(matrix) if r["method"] == "second" or r["seed"]]
    groups = tables.group(matrix, records[::-1])
    assert [(k, method) for (_, _, k), method in groups] == [
        (10, "first"),
        (10, "second"),
        (5, "first"),
        (5, "second"),
        (5, "second"),
    ]
    assert tables.f1(groups).rows[0] == ["first", "34.0 (1)", "36.0 (1)", ""]


def test_every_protocol_is_explained() -> None:
    assert set(MEANT) == set(PROTOCOLS)


def test_one_method_is_compared_with_none(matrix: Matrix) -> None:
    records = [r for r in records_of(matrix) if r["method"] == "second"]
    titles = [section.title for section in report(matrix, records).sections]
    assert titles[:2] == ["F1", "Errors, in percent of all"]


def test_budget(matrix: Matrix) -> None:
    names = ["one.at-least-k-10.0.first", "one.at-least-k-10.0.second"]
    slow = {"train": 600.0, "annotate": 0.0}
    records = [r for r in records_of(matrix) if r["name"] in names]
    records[1]["seconds"] = slow
    table = budget(matrix, records)
    assert list(zip(*table.rows)) == [
        ("one", "one", "two", "all"),
        ("first", "second", "second", ""),
        (1, 1, 0, 2),
        ("60", "600", "", "330"),
        ("20", "0", "", "10"),
        (3, 3, 2, 8),
        # 80 s each, 600 s each, and that again for the data set without any.
        ("4", "30", "20", "54"),
    ]
    assert left(matrix, records) == (8, 3 * 80.0 + 5 * 600.0)
    nothing = budget(matrix, []).rows
    assert nothing[-1] == ["all", "", 0, "", "", 10, ""]


def test_origins(matrix: Matrix) -> None:
    records = records_of(matrix)
    (table,) = origins(records)
    assert isinstance(table, Table)
    assert list(table.header) == ["what", "machine 1"]
    assert ["cpu", "fast"] in table.rows and ["cells", 10] in table.rows
    assert ["methods", "first, second"] in table.rows
    records[3]["machine"] = {"cpu": "fast", "threads": 8, "torch": "3"}
    warning, table = origins(records)
    assert "What differs: threads, torch." in str(warning)
    assert isinstance(table, Table)
    assert ["threads", 1, 8] in table.rows and ["torch", "", "3"] in table.rows
    assert ["cells", 9, 1] in table.rows
    assert ["methods", "first, second", "second"] in table.rows


def test_published_figures_stand_apart(matrix: Matrix) -> None:
    assert matrix.published is not None
    theirs = read_published(matrix.published)
    said, table = published(theirs)
    assert isinstance(table, Table)
    assert [row[:5] for row in table.rows] == [
        ["one", 0, "C", "", "70.0"],
        ["one", 5, "B", "", "60.0"],
        ["one", 5, "A", "3B", "50.25 ± 1.5"],
    ]
    assert [row[5:] for row in table.rows] == [
        ["others", "another", f"{UNCHECKED}."],
        ["theirs", "a paper", "Bigger."],
        ["theirs", "a paper", "Old. Bigger."],
    ]
    records = records_of(matrix)
    alone = report(matrix, records).sections
    both = report(matrix, records, literature=theirs).sections
    assert both[:-1] == alone
    assert both[-1] == Section("Published, not measured here", [said, table])


@pytest.mark.parametrize(
    "old,new,message",
    [
        ("f1: 60.0", "f1: high", "source 1, figure 2: `f1` must be of type float"),
        ("k: 0", "k: 0, year: 1", "source 2, figure 1: unknown: year"),
        ("checked: false", "", "source 2: `checked` is missing"),
        ("note: Bigger.", "nota: Bigger.", "source 1: unknown: nota"),
        (FIGURES, "a: 1", "there must be a list of sources"),
        ("- source: a", "\t- source: a", "is not a YAML file"),
    ],
)
def test_what_is_wrong_with_published_figures_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in FIGURES
    (tmp_path / "a.yml").write_text(FIGURES.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_published(tmp_path / "a.yml")


def test_the_projects_published_figures() -> None:
    matrix = read_matrix(ROOT / "configs" / "benchmark.yml", Path())
    assert matrix.published == PUBLISHED
    own = read_published(PUBLISHED)
    assert len({(f.data, f.k, f.model, f.source, f.note) for f in own}) == len(own)
    assert {f.data for f in own} == {
        "mit_restaurant",
        "MIT Movie (eng or trivia)",
        "wnut2017",
        "gum",
    }
    assert {f.k for f in own} == {0, 5, 10}
    assert all(0 < f.f1 < 100 and f.protocol and f.source for f in own)
    assert {f.checked for f in own} == {True, False}


# How it is written.


def nasty(matrix: Matrix) -> Page:
    """A report with names that are fit to break a page."""
    records = json.loads(json.dumps(records_of(matrix)))
    for record in records:
        record["counts"] = {NASTY: record["counts"]["X"]}
        record["machine"]["cpu"] = NASTY
    example = Marked([[(NASTY, ""), (f"x {NASTY}", NASTY)]])
    page = report(matrix, records, literature=[], examples=example)
    plot = Plot("bars", "more", NASTY, NASTY, (Series(NASTY, 0, (NASTY,), ((1.0,),)),))
    return Page(NASTY, [*page.sections, Section(NASTY, [NASTY, plot])])


def test_names_break_neither_page(matrix: Matrix) -> None:
    pytest.importorskip("matplotlib")
    from spacy_instructner.bench.plots import draw_all

    page = nasty(matrix)
    drawn = draw_all(page)
    html = webpage.text_of(page, drawn)
    read = Reader(html)
    assert "script" not in read.tags
    assert read.said["title"] == read.said["h1"] == NASTY
    assert [NASTY, "34.0", "35.0"] in read.rows
    assert read.said["text"].count(NASTY) > 2
    # The only bold thing is the label.
    assert read.said["b"] == NASTY and read.said["mark"] == f"x {NASTY}"
    text = markdown.text_of(page, "plots", drawn)
    assert "<" not in text
    assert [NASTY, "34.0", "35.0"] in markdown_rows(text)


def test_both_pages_have_the_same_tables(matrix: Matrix) -> None:
    assert matrix.published is not None
    theirs = read_published(matrix.published)
    page = report(matrix, records_of(matrix), literature=theirs)
    count = sum(isinstance(b, Table) for s in page.sections for b in s.blocks)
    assert count == 7 + 3 + 2 + 1
    rows = Reader(webpage.text_of(page, {})).rows
    assert rows == markdown_rows(markdown.text_of(page, "", {}))
    assert len(rows) > 40


def test_the_web_page_needs_nothing_else(matrix: Matrix) -> None:
    pytest.importorskip("matplotlib")
    from spacy_instructner.bench.plots import draw_all

    page = report(matrix, records_of(matrix))
    html = webpage.text_of(page, draw_all(page))
    read = Reader(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(read.tags)
    ids = [value for name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 100
    links = [v for n, v in read.attributes if n in ("href", "xlink:href", "src")]
    links += re.findall(r"url\((.*?)\)", html)
    assert len(links) > 20 and {link[0] for link in links} == {"#"}
    assert {link[1:] for link in links} <= set(ids)
    assert "@import" not in html and "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    plots = re.findall(r"<svg.*?</svg>", html, re.S)
    assert len(plots) == 8
    for plot in plots:
        ElementTree.fromstring(plot)
        # In the colours of the page.
        assert "currentColor" in plot
        assert "#1b1b1b" not in plot and "fill: #ffffff" not in plot


def test_plots_depend_on_the_data_alone(matrix: Matrix) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    from spacy_instructner.bench.plots import COLOURS, draw

    plots = list(report(matrix, records_of(matrix)).plots())
    before = list(map(draw, plots))
    with matplotlib.rc_context({"font.size": 30, "axes.labelsize": 30}):
        assert list(map(draw, plots)) == before
        assert matplotlib.rcParams["font.size"] == 30
    assert len(set(before)) == len(plots)
    for plot, svg in zip(plots, before):
        for series in plot.series:
            assert series.name in svg
            assert COLOURS[series.number].lower() in svg


def test_a_name_is_in_the_legend_whatever_it_begins_with() -> None:
    pytest.importorskip("matplotlib")
    from spacy_instructner.bench.plots import draw

    for kind, places in (("curves", (1, 2)), ("bars", ("a", "b"))):
        series = tuple(
            Series(f"_{n}", n, places, ((1.0, 2.0), (3.0,))) for n in range(9)
        )
        svg = draw(Plot(kind, "name", "title", "F1", series))  # type: ignore[arg-type]
        assert all(f">_{n}<" in svg for n in range(9))


def test_places_are_marked_where_their_numbers_have_room() -> None:
    pytest.importorskip("matplotlib")
    from spacy_instructner.bench.plots import draw

    def marks(*places: float) -> list[str]:
        series = Series("one", 0, places, tuple((1.0,) for _ in places))
        svg = draw(Plot("curves", "name", "title", "F1", (series,), "k"))
        # Of the horizontal axis: what comes before the vertical one.
        return re.findall(r">([^<>\s]+)</text>", svg.split('id="matplotlib.axis_2"')[0])

    assert marks(5, 10, 20) == ["5", "10", "20", "k"]
    *numbers, _ = marks(0, 1, 20)
    assert [float(number) for number in numbers] == [2.5 * at for at in range(9)]


# Examples.


def test_examples(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [
        {
            "text": "The bent rear axle",
            "spans": [
                {"start": 4, "end": 8, "label": "FAULT"},
                {"start": 9, "end": 18, "label": "PART"},
            ],
        },
        {"text": "Nothing", "spans": [{"start": 0, "end": 3, "label": "PART"}]},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    marked, problems = read_examples(path)
    assert marked.texts == [
        [("The ", ""), ("bent", "FAULT"), (" ", ""), ("rear axle", "PART")],
        [("Nothing", "")],
    ]
    assert len(problems) == 1 and "line 2" in problems[0].where
    page = Page("P", [Section("S", [marked])])
    assert markdown.text_of(page, "", {}) == (
        "# P\n\n## S\n\n| text |\n| --- |\n"
        "| The \\[bent\\|FAULT\\] \\[rear axle\\|PART\\] |\n| Nothing |\n"
    )
    html = webpage.text_of(page, {})
    assert html.count("<mark") == 2 and "rear axle<b>PART</b></mark>" in html


# The command.


def bench(folder: Path, *arguments: Any) -> Any:
    line = ["bench", folder / "matrix.yml", folder / "cells", "--data", folder]
    done = CliRunner().invoke(app, [str(a) for a in (*line, "--list", *arguments)])
    return done.exit_code, " ".join(done.output.split())


def with_cells(folder: Path, matrix: Matrix) -> None:
    (folder / "cells").mkdir()
    for record in records_of(matrix):
        path = folder / "cells" / f"{record['name']}.json"
        path.write_text(json.dumps(record))


def test_one_command_makes_both_pages(matrix: Matrix, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with_cells(tmp_path, matrix)
    code, said = bench(
        tmp_path,
        *("--report", tmp_path / "new" / "r.md", "--report", tmp_path / "new/r.html"),
        *("--examples", WORKSHOP / "test.jsonl"),
    )
    assert code == 0, said
    assert "10 of 10 cells measured; left: 0" in said
    text = (tmp_path / "new" / "r.md").read_text()
    names = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(names) == 8
    for name in names:
        svg = (tmp_path / "new" / name).read_text()
        ElementTree.fromstring(svg)
        # Dark on white, on whatever page it stands.
        assert "#1b1b1b" in svg and "fill: #ffffff" in svg
    html = (tmp_path / "new" / "r.html").read_text()
    assert html.count("<svg") == 8 and html.count("<mark") == 250
    titles = re.findall(r"^## (.*)$", text, re.M)
    assert titles == re.findall(r"<h2>(.*?)</h2>", html)
    assert titles[-2:] == ["Published, not measured here", "Examples"]


def test_without_matplotlib_there_are_no_plots(
    matrix: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_cells(tmp_path, matrix)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, said = bench(
        tmp_path, "--report", tmp_path / "r.md", "-r", tmp_path / "r.html"
    )
    assert code == 0 and "pip install matplotlib" in said
    assert "![" not in (tmp_path / "r.md").read_text()
    assert not (tmp_path / "r_plots").exists()
    html = (tmp_path / "r.html").read_text()
    assert "<svg" not in html and "34.0 ± 2.8 (2)" in html
    Reader(html)


def test_the_command_says_what_it_cannot_read(matrix: Matrix, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("[]")
    code, said = bench(tmp_path, "--examples", tmp_path / "a.jsonl")
    assert code == 1 and "Cannot read the examples" in said and "line 1" in said
    row = {"text": "Nothing", "spans": [{"start": 0, "end": 3, "label": "PART"}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    code, said = bench(tmp_path, "--examples", tmp_path / "a.jsonl")
    assert code == 0 and "A span is not shown" in said
    (tmp_path / "figures.yml").unlink()
    code, said = bench(tmp_path)
    assert code == 1 and "There is no file" in said and "figures.yml" in said
