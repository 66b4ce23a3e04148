"""Every table that stands on a page can be made again from what is tracked."""

import re
from pathlib import Path

import pytest

from benchmarks import pages, studies
from benchmarks.pages import DOCS, DRAWN, PLOTS, SECTIONS, fill, made

ROOT = DOCS.parent
PAGES = list(pages.pages())
LARGEST = 60_000  # Bytes of a plot.


def markers(path: Path) -> list[str]:
    names: list[str] = []
    fill(path.read_text(encoding="utf8"), lambda name: names.append(name) or "")
    return names


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_says_what_was_measured(path: Path) -> None:
    """`python -m benchmarks.pages` makes it anew."""
    text = path.read_text(encoding="utf8")
    assert made(path) == text
    assert "Not measured yet" not in text and "Not trained yet" not in text
    images = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert all((path.parent / image).is_file() for image in images)


def test_every_study_stands_on_a_page() -> None:
    named = {name for path in PAGES for name in markers(path)}
    assert {name.partition(" ")[0] for name in named} == set(SECTIONS)
    for study in ("headline", "tuning", "ablations"):
        tables = ("f1", "errors", "calibration", "thresholds", "costs", "methods")
        assert {f"{study} {table}" for table in (*tables, "machines")} <= named
    assert {f"headline {table}" for table in ("labels", "published", "means")} <= named
    assert {"objectives known", "objectives known-sweep"} <= named
    for part in ("threads", "kills", "ray", "long", "calibration"):
        assert f"reliability {part}" in named
    for part in ("curve", "zero-shot", "forgetting"):
        assert f"base {part}" in named
    assert len([name for name in named if name.startswith("speed ")]) >= 15


def test_plots_are_small_and_all_there() -> None:
    files = {path.name: path for path in PLOTS.iterdir()}
    assert set(files) == set(DRAWN)
    linked = {
        Path(image).name
        for path in PAGES
        for image in re.findall(r"\]\((\S+\.svg)\)", path.read_text(encoding="utf8"))
    }
    assert linked == set(files)
    for path in files.values():
        assert path.stat().st_size <= LARGEST, path
        # Letters are letters, and coordinates short.
        text = path.read_text(encoding="utf8")
        assert "</text>" in text and not re.search(r"\d\.\d{3}", text), path


@pytest.mark.parametrize("name", ["headline-f1-mit_movie_eng.svg", "speed-texts.svg"])
def test_a_plot_is_of_what_was_measured(name: str) -> None:
    """Versions of matplotlib draw a little differently: words and numbers are compared."""
    pytest.importorskip("matplotlib")

    def words(svg: str) -> list[str]:
        return re.findall(r">([^<>]+)</text>", svg)

    assert words(DRAWN[name]()) == words((PLOTS / name).read_text(encoding="utf8"))


def test_links_of_research_pages() -> None:
    for path in PAGES:
        text = path.read_text(encoding="utf8")
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", text):
            assert "://" in link or (path.parent / link).exists(), (path, link)


def test_tests_that_reliability_names_are_there() -> None:
    (page,) = (path for path in PAGES if "reliability kills" in markers(path))
    named = re.findall(
        r"`((?:\w+/)*test_\w+\.py)::(\w+)`", page.read_text(encoding="utf8")
    )
    assert len(named) > 40
    for file_, function in named:
        path = ROOT / "tests" / file_
        assert f"\ndef {function}(" in path.read_text("utf8"), (file_, function)


# How a page is filled.

PAGE = """# Speed

<!-- table: headline f1 -->
<!-- end -->

| of mine | 1 |
<!-- a comment -->
<!-- table: speed texts -->
old figures
<!-- end -->
Between.
  <!-- table: base curve -->
<!-- end -->
The last line has no end."""


def test_sections_are_filled_and_the_rest_is_left() -> None:
    expected = PAGE.replace("old figures\n", "")
    for name in ("headline f1", "speed texts", "base curve"):
        marker = f"<!-- table: {name} -->\n"
        expected = expected.replace(marker, f"{marker}\n{name}: 1\n\n")
    assert fill(PAGE, "{}: 1".format) == expected
    assert fill(expected, "{}: 1".format) == expected
    # Other figures in between change nothing for good.
    assert fill(fill(expected, "{}: 2".format), "{}: 1".format) == expected


def test_line_ends_of_the_prose_are_left() -> None:
    text = "a\r\n<!-- table: x -->\n<!-- end -->\r\nb\x0cc\r\n\r\n"
    assert fill(text, "made {}".format) == (
        "a\r\n<!-- table: x -->\n\nmade x\n\n<!-- end -->\r\nb\x0cc\r\n\r\n"
    )


@pytest.mark.parametrize(
    "text,message",
    [
        (
            "a\n<!-- table: spede x -->\n<!-- end -->",
            "Line 2: there is no table 'spede",
        ),
        ("<!-- table: speed docs_s. -->\n<!-- end -->", "no table 'speed docs_s.'"),
        ("<!-- table: headline f3 -->\n<!-- end -->", "no table 'headline f3'"),
        ("<!-- table: -->\n<!-- end -->", "no table ''"),
        ("\n\n<!-- table: base curve -->\na", "Line 3: table 'base curve' has no end"),
        (
            "<!-- table: base curve -->\n<!-- table: speed beams -->\n<!-- end -->",
            "Line 1: table 'base curve' has no end",
        ),
        ("a\n<!-- end -->\n", "Line 2: an end marker without a beginning"),
    ],
)
def test_markers_out_of_order_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "page.md"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        made(path)
    assert path.read_text() == text


def test_pages_are_written_where_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "deep" / "page.md"
    page.parent.mkdir()
    page.write_text("<!-- table: headline f1-plots -->\n<!-- end -->\n")
    (tmp_path / "other.md").write_text("no table")
    monkeypatch.setattr("sys.argv", ["pages", "--no-plots"])
    for name, value in (("ROOT", tmp_path), ("PLOTS", tmp_path / "plots")):
        monkeypatch.setattr(pages, name, value)
    monkeypatch.setattr(pages, "pages", lambda own=pages.pages: own(tmp_path))
    pages.main()
    images = re.findall(r"\]\((.*?)\)", page.read_text())
    assert images == [
        f"../plots/headline-f1-{data}.svg"
        for data in ("mit_restaurant", "mit_movie_eng")
    ]
    assert list((tmp_path / "plots").iterdir()) == []
    assert studies.STUDIES["headline"].reference == "from-scratch"
