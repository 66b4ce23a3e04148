"""Results of benchmarks are kept, and written on their page, as they were measured."""

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from spacy.language import Language
from spacy.util import load_config

from benchmarks import base
from benchmarks.measure import Results, Row, in_turns
from benchmarks.report import (
    CURVES,
    NOT_MEASURED,
    ratios,
    section,
    slope,
    thin,
    three,
    write,
)
from spacy_instructner.bench.markdown import text_of

SPEED = [
    Row("docs_s.wnut2017", "generate()", "docs/s", [2.0, 4.0, 2.5], note="one by one"),
    Row("docs_s.wnut2017", "ours, greedy", "docs/s", [50.0, 49.25, 52.0]),
    Row("docs_s.wnut2017", "ours, beams 2", "docs/s", [30.0]),
]
TEXTS = [Row("texts", "ours", "s", [n / 50, n / 40], x=n) for n in (16, 64, 1024)]
MEMORY = [Row("memory", "resident", "MB", [900 + n / 1000], x=n) for n in range(0, 40)]
PAGE = """# Speed

What was measured.

<!-- benchmarks: machine -->
<!-- end -->

| of mine | 1 |
<!-- a comment -->
<!-- benchmarks: docs_s.wnut2017 -->
old figures
<!-- end -->
Between.
  <!-- benchmarks: texts -->
<!-- end -->
<!-- benchmarks: beams -->
<!-- end -->
The last line has no end."""


def results() -> Results:
    return Results({"cpu": "a | b", "cores": 2}, [*SPEED, *TEXTS, *MEMORY])


def lines(*rows: str) -> str:
    return "\n".join(rows)


# Results.


def test_results_come_back_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    assert Results.from_disk(path) == Results()
    results().to_disk(path)
    assert Results.from_disk(path) == results()
    before = path.read_bytes()
    Results.from_disk(path).to_disk(path)
    assert path.read_bytes() == before


def test_rows_replace_those_of_their_groups_only() -> None:
    kept = results()
    new = [Row("texts", "theirs", "s", [1.0], x=1), Row("start", "load", "s", [2.0])]
    kept.replace(new)
    assert kept.rows == [*SPEED, *MEMORY, *new]
    assert kept.of("texts") == new[:1] and kept.of("docs_s.wnut2017") == SPEED
    kept.replace([])
    assert len(kept.rows) == len(SPEED) + len(MEMORY) + 2


def test_in_turns() -> None:
    calls: list[str] = []
    seconds = in_turns({n: partial(calls.append, n) for n in "ab"}, 3)
    assert calls == list("ababab")
    assert [len(seconds[n]) for n in "ab"] == [3, 3]


# Tables.


@pytest.mark.parametrize(
    "value,text",
    [
        (0.0, "0"),
        (1.0, "1.00"),
        (2.5, "2.50"),
        (9.996, "10.0"),
        (99.96, "100"),
        (0.012345, "0.0123"),
        (1.234e-7, "0.000000123"),
        (-0.0456, "-0.0456"),
        (1234.5, "1,230"),
        (9.876e8, "988,000,000"),
        (1203, "1,203"),
    ],
)
def test_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert three(value) == text


def test_table_of_the_machine() -> None:
    assert section(results(), "machine", "plots") == lines(
        "| what | value |",
        "| --- | --- |",
        "| cpu | a \\| b |",
        "| cores | 2 |",
    )


def test_table_of_rates() -> None:
    assert section(results(), "docs_s.wnut2017", "plots") == lines(
        "| what | docs/s (median) | spread (min to max) | ours / this | note |",
        "| --- | --- | --- | --- | --- |",
        "| generate() | 2.50 | 2.00 to 4.00 | 20.0 | one by one |",
        "| ours, greedy | 50.0 | 49.2 to 52.0 | 1.00 |  |",
        "| ours, beams 2 | 30.0 | – | 1.67 |  |",
        "",
        "![Plot: docs_s.wnut2017](plots/docs_s.wnut2017.svg)",
    )


def test_table_of_training() -> None:
    rows = [
        Row("training", "ours", "tokens/s", [800.0]),
        Row("training", "Trainer", "tokens/s", [300.0, 500.0]),
    ]
    assert section(Results({}, rows), "training", "plots") == lines(
        "| what | tokens/s (median) | spread (min to max) | ours / this | note |",
        "| --- | --- | --- | --- | --- |",
        "| ours | 800 | – | 1.00 |  |",
        "| Trainer | 400 | 300 to 500 | 2.00 |  |",
    )


def test_ratios() -> None:
    rows = [Row("g", name, "docs/s", [value]) for name, value in zip("abc", (8, 2, 0))]
    assert ratios(rows, "a") == ["1.00", "4.00", "–"]
    assert ratios(rows, "b") == ["0.250", "1.00", "–"]
    assert ratios(rows, "ours") == ["–"] * 3


@pytest.mark.parametrize("name", ["floor", "agreement", "start"])
def test_simple_table(name: str) -> None:
    rows = [
        Row(name, "share", "", [0.5, 0.25, 1.0], note="of the  floor\nsee | <!-- end"),
        Row(name, "other answers", "texts", [3]),
    ]
    assert section(Results({}, rows), name, "plots") == lines(
        "| name | median | unit | spread (min to max) | note |",
        "| --- | --- | --- | --- | --- |",
        "| share | 0.500 |  | 0.250 to 1.00 | of the floor see \\| &lt;!-- end |",
        "| other answers | 3 | texts | – |  |",
    )


def test_floors_by_set_are_one_section_or_several() -> None:
    rows = [Row(f"floor.{name}", "floor", "docs/s", [9.0]) for name in ("a", "b")]
    kept = Results({}, rows)
    assert "\n| a: floor | 9.00 |" in section(kept, "floor", "plots")
    assert "\n| b: floor | 9.00 |" in section(kept, "floor", "plots")
    assert section(kept, "floor.b", "plots").count("| floor | 9.00 |") == 1


def test_table_of_a_curve() -> None:
    assert section(results(), "texts", "plots") == lines(
        "| texts | median | unit | spread (min to max) |",
        "| --- | --- | --- | --- |",
        "| 16 | 0.360 | s | 0.320 to 0.400 |",
        "| 64 | 1.44 | s | 1.28 to 1.60 |",
        "| 1,024 | 23.0 | s | 20.5 to 25.6 |",
        "",
        "![Plot: texts](plots/texts.svg)",
    )


def test_table_of_a_curve_with_names_and_notes() -> None:
    rows = [
        Row("beams", "ours", "docs/s", [9.0], x=1, note="greedy"),
        Row("beams", "theirs", "docs/s", [1.0], x=1),
    ]
    assert section(Results({}, rows), "beams", "plots") == lines(
        "| name | beams | median | unit | spread (min to max) | note |",
        "| --- | --- | --- | --- | --- | --- |",
        "| ours | 1 | 9.00 | docs/s | – | greedy |",
        "| theirs | 1 | 1.00 | docs/s | – |  |",
        "",
        "![Plot: beams](plots/beams.svg)",
    )


def test_memory_is_thinned_and_its_slope_said() -> None:
    text = section(results(), "memory", "plots")
    xs = re.findall(r"^\| (\d+) \|", text, re.M)
    assert len(xs) == 12 and xs[0] == "0" and xs[-1] == "39"
    assert "\nSlope after the first quarter: 1.00 MB per 1,000 texts.\n" in text
    assert thin(MEMORY[:12], 12) == MEMORY[:12]
    # Two lines, each with its own.
    other = [Row("memory", "other", "MB", [5.0], x=row.x) for row in MEMORY]
    text = section(Results({}, MEMORY + other), "memory", "plots")
    assert "Slope of resident after the first quarter: 1.00 MB" in text
    assert "Slope of other after the first quarter: 0 MB" in text
    assert text.count("| resident |") == text.count("| other |") == 12


def test_slope_leaves_out_the_first_quarter() -> None:
    values = [500.0, 100.0, 3.0, 5.0, 4.0, 6.0, 8.0, 10.0]
    rows = [Row("memory", "m", "MB", [y], x=10 * i) for i, y in enumerate(values)]
    # By hand: x 20 … 70 (mean 45), y 3 5 4 6 8 10 (mean 6): 230 / 1750.
    assert slope(rows) == pytest.approx(230 / 1750)
    assert slope(rows[:1]) is None


@pytest.mark.parametrize(
    "name",
    ["machine", "docs_s.new", "floor", "agreement", "training", "start", *CURVES],
)
def test_not_measured_yet(name: str) -> None:
    assert section(Results(), name, "plots") == NOT_MEASURED


def test_rows_that_do_not_fit_are_refused() -> None:
    rows = [Row("labels", "ours", "s", [1.0])]
    with pytest.raises(ValueError, match="row 'ours' has no x"):
        section(Results({}, rows), "labels", "plots")
    rows = [Row("docs_s.a", "a", unit, [1.0]) for unit in ("s", "docs/s")]
    with pytest.raises(ValueError, match="several units"):
        section(Results({}, rows), "docs_s.a", "plots")


# The page.


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page that is written without plots."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = tmp_path / "docs" / "page.md"
    path.parent.mkdir()
    path.write_text(PAGE)
    return path


def test_sections_are_filled_and_the_rest_is_left(page: Path) -> None:
    with pytest.warns(UserWarning, match="needs matplotlib"):
        write(results(), page, page.parent / "plots")
    made = {
        name: section(results(), name, "plots")
        for name in ("machine", "docs_s.wnut2017", "texts", "beams")
    }
    assert made["beams"] == NOT_MEASURED
    text = page.read_text()
    expected = PAGE.replace("old figures\n", "")
    for name, content in made.items():
        marker = f"<!-- benchmarks: {name} -->\n"
        expected = expected.replace(marker, f"{marker}\n{content}\n\n")
    assert text == expected
    assert not (page.parent / "plots").exists()


@pytest.mark.filterwarnings("ignore:The plots")
def test_writing_twice_changes_nothing(page: Path) -> None:
    write(results(), page, page.parent / "plots")
    before = page.read_bytes()
    write(results(), page, page.parent / "plots")
    assert page.read_bytes() == before
    # Nor do other results in between.
    write(Results(), page, page.parent / "plots")
    assert page.read_bytes() != before
    write(results(), page, page.parent / "plots")
    assert page.read_bytes() == before


@pytest.mark.filterwarnings("ignore:The plots")
def test_line_ends_of_the_prose_are_left(page: Path) -> None:
    page.write_bytes(b"a\r\n<!-- benchmarks: start -->\n<!-- end -->\r\nb\x0cc\r\n\r\n")
    write(Results(), page, page.parent / "plots")
    assert page.read_bytes() == (
        b"a\r\n<!-- benchmarks: start -->\n\n"
        + NOT_MEASURED.encode()
        + b"\n\n<!-- end -->\r\nb\x0cc\r\n\r\n"
    )


@pytest.mark.parametrize(
    "text,message",
    [
        ("a\n<!-- benchmarks: spede -->\n<!-- end -->", "Line 2: there is no section"),
        ("<!-- benchmarks: docs_s. -->\n<!-- end -->", "no section 'docs_s.'"),
        ("<!-- benchmarks: -->\n<!-- end -->", "no section ''"),
        ("\n\n<!-- benchmarks: start -->\na", "Line 3: section 'start' has no end"),
        (
            "<!-- benchmarks: start -->\n<!-- benchmarks: beams -->\n<!-- end -->",
            "Line 1: section 'start' has no end",
        ),
        ("a\n<!-- end -->\n", "Line 2: an end marker without a beginning"),
    ],
)
def test_markers_out_of_order_are_refused(page: Path, text: str, message: str) -> None:
    page.write_text(text)
    with pytest.raises(ValueError, match=message):
        write(results(), page, page.parent / "plots")
    assert page.read_text() == text


# Plots.


def written(folder: Path, kept: Results) -> dict[str, bytes]:
    page = folder / "page.md"
    folder.mkdir()
    names = dict.fromkeys([row.group for row in kept.rows])
    page.write_text("".join(f"<!-- benchmarks: {n} -->\n<!-- end -->\n" for n in names))
    write(kept, page, folder / "plots")
    links = re.findall(r"\]\((.*?)\)", page.read_text())
    assert {folder / link for link in links} == set((folder / "plots").iterdir())
    return {path.name: path.read_bytes() for path in (folder / "plots").iterdir()}


def test_plots_are_the_same_each_time(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    more = [
        Row("length", "ours", "s", [0.1, 0.2], x=10),
        Row("length", "ours", "s", [900.0], x=5000),
        Row("length", "costs $ and $", "MB", [7.0], x=10),
        Row("labels", "a", "points", [-1.0], x=1),
        Row("labels", "b", "points", [0.0], x=2),
        Row("start", "load", "s", [1.0]),
    ]
    kept = Results({}, [*results().rows, *more])
    before = dict(matplotlib.rcParams)
    first = written(tmp_path / "a", kept)
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True}):
        assert written(tmp_path / "b", kept) == first
    assert set(first) == {
        f"{name}.svg"
        for name in ("docs_s.wnut2017", "texts", "memory", "length", "labels")
    }
    texts = {name: data.decode() for name, data in first.items()}
    for text in texts.values():
        assert "date>" not in text and len(text) < 60_000
    for name, label in [
        ("docs_s.wnut2017", "generate()"),
        ("docs_s.wnut2017", "docs/s (median; line: min to max)"),
        ("texts", "time (s)"),
        ("texts", "proportional"),
        ("memory", "texts annotated"),
        ("memory", "memory (MB)"),
        ("length", "costs $ and $"),
    ]:
        assert f">{label}</text>" in texts[f"{name}.svg"], (name, label)
    assert "proportional" not in texts["memory.svg"]


def test_a_profile_has_all_its_parts(
    make_nlp: Callable[..., Language], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import profiling

    nlp = make_nlp(labels=["PERSON", "PLACE"])
    texts = ["Anna met Bert in Paris.", "Bert lives in Rome."]
    docs = [nlp.make_doc(text) for text in texts]
    before = [doc.ents for doc in nlp.pipe(texts)]
    monkeypatch.setattr(profiling, "tuned", lambda *_: nlp)
    monkeypatch.setattr(profiling, "test_docs", lambda *_: docs)
    rows = profiling.profile(Path(), "any", Path(), 2, times=2)
    parts = {part for _, _, part in profiling.WATCHED}
    assert parts < {row.name for row in rows}
    assert {"norms", "attention", profiling.PRODUCTS} < {row.name for row in rows}
    for at in range(2):
        assert sum(row.values[at] for row in rows) == pytest.approx(100)
        assert all(row.values[at] > 0 for row in rows)
    # All is put back.
    assert [str(doc.ents) for doc in nlp.pipe(texts)] == [str(e) for e in before]
    assert profiling.searching.decide is profiling.drafts.decide


def test_passes_are_timed_by_their_size(
    make_nlp: Callable[..., Language], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import profiling

    nlp = make_nlp(labels=["PERSON", "PLACE"])
    docs = [nlp.make_doc("Anna met Bert in Paris. " * n) for n in (1, 8, 2)]
    monkeypatch.setattr(profiling, "tuned", lambda *_: nlp)
    monkeypatch.setattr(profiling, "test_docs", lambda *_: docs)
    own = profiling.CausalSession.extend
    rows = profiling.passes(Path(), ["one", "two"], Path(), 3, times=2)
    assert profiling.CausalSession.extend is own
    assert {row.name for row in rows} == {"one", "two"}
    for name in ("one", "two"):
        sizes = [row.x for row in rows if row.name == name]
        # Texts are read in a big pass, the last answers written in small ones.
        assert sizes == sorted(sizes) and len(sizes) > 1
        assert min(sizes) == 16 and set(sizes) <= set(profiling.SIZES)
    assert all(len(row.values) == 2 and min(row.values) > 0 for row in rows)


def test_every_few_shot_cell_has_a_file_of_its_own() -> None:
    from benchmarks import fewshot

    cells = list(fewshot.cells())
    assert len(cells) == len({fewshot.path_of(*cell) for cell in cells}) == 34 + 11
    # A first draw of everything comes before the second of anything.
    assert [number for _, number, _ in cells] == [0] * 23 + [1] * 11 + [2] * 11
    for benchmark, _, method in cells:
        config, dropped, settings = benchmark.methods[method]
        blocks = load_config(fewshot.CONFIGS / config)["components"]["instruction_ner"]
        assert set(dropped) <= set(blocks["objectives"])
        for name in settings:
            # What is overridden is there, in what is left.
            *path, last = name.split(".")[2:]
            assert path[-1] not in dropped
            block = blocks
            for part in path:
                block = block[part]
            assert last in block
        folder = Path(fewshot.__file__).parents[1] / "assets" / "definitions"
        assert (folder / f"{benchmark.name}.json").exists()


def test_few_shot_cells_are_done_once_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import fewshot

    page = tmp_path / "page.md"
    page.write_text(
        "Before.\n<!-- benchmarks: fewshot -->\nold\n<!-- end -->\nAfter.\n"
        "<!-- benchmarks: objectives -->\nold\n<!-- end -->\n"
    )
    monkeypatch.setattr(fewshot, "CELLS", tmp_path / "cells")
    monkeypatch.setattr(fewshot, "PAGE", page)
    gum = next(b for b in fewshot.BENCHMARKS if b.name == "gum")
    monkeypatch.setattr(
        fewshot, "cells", lambda: [(gum, draw, "CLLMFS") for draw in (0, 1, 2)]
    )
    monkeypatch.setattr("sys.argv", ["fewshot"])
    asked = []

    def run(benchmark, number, method, data):  # type: ignore[no-untyped-def]
        asked.append(number)
        if number == 1 and asked.count(1) == 1:
            raise KeyboardInterrupt
        f = {0: 0.2, 1: 0.3, 2: 0.4}[number]
        scores = {"all_types": {"ents_f": f}, "types_known": {"ents_f": f + 0.2}}
        return {"set": "gum", "method": method, "draw": number, "scores": scores}

    monkeypatch.setattr(fewshot, "run", run)
    with pytest.raises(KeyboardInterrupt):
        fewshot.main()
    # What was broken off is not taken for done.
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [
        "gum.0.cllmfs.json"
    ]
    fewshot.main()
    assert asked == [0, 1, 1, 2]
    assert page.read_text().splitlines() == [
        "Before.",
        "<!-- benchmarks: fewshot -->",
        "",
        "| data | method | F1, all types | F1, types known | draws |",
        "| --- | --- | --- | --- | --- |",
        "| gum, 5 shots | CLLMFS | 30.0 ± 10.0 | 50.0 ± 10.0 | 3 |",
        "",
        "<!-- end -->",
        "After.",
        "<!-- benchmarks: objectives -->",
        "",
        "Not measured yet: `python -m benchmarks.fewshot`.",
        "",
        "<!-- end -->",
    ]


def test_the_page_of_reliability_says_what_was_measured() -> None:
    from benchmarks.reliability import page_of

    bins = [{"spans": 2, "score": 0.9, "right": 0.5}]
    results = {
        "threads": {
            "texts": 7,
            "rows": [{"threads": 8, "wall": 1.25, "cpu": 2.0, "other": 3}],
            "pipe": {"wall": 0.5, "cpu": 0.75},
        },
        "kills": {"chunks": 60, "shares": [0.5, 0.02], "between": 1, "same": 2},
        "ray": {"workers": 2, "done": 10, "chunks": 60, "same": False},
        "long": {
            "rows": [
                {"words": 9, "before": 1.0, "peak": 2.0, "seconds": 3.4, "entities": 5}
            ]
        },
        "calibration": {
            "rows": [
                {
                    "data": "some",
                    "k": 10,
                    "support": 40,
                    "spans": 2,
                    "before": bins,
                    "after": bins,
                    "errors": [0.4, 0.1],
                }
            ]
        },
    }
    page = page_of(results)
    text = text_of(page, "plots", {plot.name: "" for plot in page.plots()})
    assert "killed (SIGKILL) 2 times" in text and "2 outputs were the same" in text
    assert "| 8 threads | 1.2 | 2.0 | 3 |" in text and "| 0.5 | 0.8 | - |" in text
    assert "in %: 2, 50." in text and "NOT the same as" in text
    assert (
        "| 9 | 1 | 2 | 3 | 5 |" in text
        and "| some | 10 | 40 | 2 | 0.400 | 0.100 |" in text
    )
    assert "plots/long.svg" in text and "plots/calibration-some.svg" in text
    alone = text_of(page_of({"ray": results["ray"]}), "plots", {})
    assert "reliability ray" in alone and "reliability kills" not in alone


def test_the_table_of_faults_names_tests_that_there_are() -> None:
    from benchmarks.faults import FAULTS

    root = Path(__file__).parent
    for _, holds, tests in FAULTS:
        assert holds[-1] == "." and tests
        for test in tests:
            name, _, function = test.partition("::")
            assert f"\ndef {function}(" in (root / name).read_text("utf8"), test
    page = (root.parent / "docs" / "reliability.md").read_text("utf8")
    assert all(f"`{test}`" in page for *_, tests in FAULTS for test in tests)


def test_a_base_is_asked_for_other_labels_than_it_learned(make_nlp: Callable) -> None:
    meanings = {"PERSON": "somebody", "PLACE": "somewhere"}
    own, other = make_nlp(), make_nlp(labels=["DISH", "PRICE"])
    own.get_pipe("instruction_ner").set_labels(list(meanings), definitions=meanings)
    docs = list(own.pipe(["Anna met Bert in Rome", "the Rhine near Basel"]))
    assert any(doc.ents for doc in docs)
    assert base.f1(other, docs, meanings) == 1.0


def test_what_a_base_knows_and_forgets() -> None:
    def cell(data: str, method: str, f1: float, seen: bool = False) -> dict[str, Any]:
        return {"data": data, "method": method, "f1": f1, "seen": seen}

    assert base.zero_shot([cell("films", "minilm", 0.5)]) == "Not measured yet."
    told = base.zero_shot(
        [
            cell("films", "zero-shot-base", 0.3456),
            cell("films", "zero-shot-raw", 0.02),
            cell("posts", "zero-shot-base", 0.5, seen=True),
        ]
    )
    assert told == lines(
        "| Asked | films | posts, train split seen |",
        "| --- | --- | --- |",
        "| base, CLLMFS's prompts, names of labels | 34.6 | 50.0 |",
        "| the same, with what labels mean |  |  |",
        "| base, InstructionNER's prompts, names of labels |  |  |",
        "| raw model, CLLMFS's prompts, names of labels | 2.0 |  |",
    )
    assert base.forgetting([]) == "Not measured yet."
    pairs = [(0.2, 0.1), (0.4, 0.2)]
    records = [
        {"learned": "films", "asked": "posts", "before": one, "after": other}
        for one, other in pairs
    ]
    assert base.forgetting(records).splitlines()[-1] == (
        "| films | posts | 30.0 | 15.0 | 2 |"
    )
    dev = {"ents_p": 0.5, "ents_r": None, "ents_f": 0.25}
    log = [
        {"step": 0, "texts": 0, "ids": 0, "seconds": 0.0, "loss": None, "dev": dev},
        {"step": 9, "texts": 72, "ids": 45e4, "seconds": 90.0, "loss": 1.5, "dev": dev},
    ]
    rows = base.curve(log).splitlines()
    assert rows[2] == "| 0 | 0 | 0.00 | 0 |  | 50.0 | 0.0 | 25.0 |"
    assert rows[3] == "| 9 | 72 | 0.45 | 2 | 1.500 | 50.0 | 0.0 | 25.0 |"
    assert rows[-1].startswith("![") and rows[-1].endswith("](base_plots/curve.svg)")
    assert base.chained([log]) == log
    later = base.chained([log, log])
    assert [line["step"] for line in later] == [0, 9, 18]
    assert later[2] == {
        **log[1],
        "step": 18,
        "texts": 144,
        "ids": 9e5,
        "seconds": 180.0,
    }
