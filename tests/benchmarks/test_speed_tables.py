"""Figures of speed are kept, and said, as they were measured."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from spacy.language import Language

from benchmarks.speed import tables
from benchmarks.speed.measure import Results, Row, in_turns
from benchmarks.speed.plots import drawn
from benchmarks.speed.tables import (
    CURVES,
    NOT_MEASURED,
    ratios,
    section,
    slope,
    table_of,
    thin,
    three,
)

SPEED = [
    Row("docs_s.wnut2017", "generate()", "docs/s", [2.0, 4.0, 2.5], note="one by one"),
    Row("docs_s.wnut2017", "ours, greedy", "docs/s", [50.0, 49.25, 52.0]),
    Row("docs_s.wnut2017", "ours, beams 2", "docs/s", [30.0]),
]
TEXTS = [Row("texts", "ours", "s", [n / 50, n / 40], x=n) for n in (16, 64, 1024)]
MEMORY = [Row("memory", "resident", "MB", [900 + n / 1000], x=n) for n in range(0, 40)]


def results() -> Results:
    return Results({"cpu": "a | b", "cores": 2}, [*SPEED, *TEXTS, *MEMORY])


def lines(*rows: str) -> str:
    return "\n".join(rows)


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
    assert table_of(results(), "machine", "plots") == lines(
        "| what | value |",
        "| --- | --- |",
        "| cpu | a \\| b |",
        "| cores | 2 |",
    )


def test_table_of_rates() -> None:
    assert table_of(results(), "docs_s.wnut2017", "plots") == lines(
        "| what | docs/s (median) | spread (min to max) | ours / this | note |",
        "| --- | --- | --- | --- | --- |",
        "| generate() | 2.50 | 2.00 to 4.00 | 20.0 | one by one |",
        "| ours, greedy | 50.0 | 49.2 to 52.0 | 1.00 |  |",
        "| ours, beams 2 | 30.0 | – | 1.67 |  |",
        "",
        "![Plot: docs_s.wnut2017](plots/speed-docs_s.wnut2017.svg)",
    )


def test_table_of_training() -> None:
    rows = [
        Row("training", "ours", "tokens/s", [800.0]),
        Row("training", "Trainer", "tokens/s", [300.0, 500.0]),
    ]
    assert table_of(Results({}, rows), "training", "plots") == lines(
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
    assert table_of(Results({}, rows), name, "plots") == lines(
        "| name | median | unit | spread (min to max) | note |",
        "| --- | --- | --- | --- | --- |",
        "| share | 0.500 |  | 0.250 to 1.00 | of the floor see \\| &lt;!-- end |",
        "| other answers | 3 | texts | – |  |",
    )


def test_floors_by_set_are_one_section_or_several() -> None:
    rows = [Row(f"floor.{name}", "floor", "docs/s", [9.0]) for name in ("a", "b")]
    kept = Results({}, rows)
    assert "\n| a: floor | 9.00 |" in table_of(kept, "floor", "plots")
    assert "\n| b: floor | 9.00 |" in table_of(kept, "floor", "plots")
    assert table_of(kept, "floor.b", "plots").count("| floor | 9.00 |") == 1


def test_table_of_a_curve() -> None:
    assert table_of(results(), "texts", "plots") == lines(
        "| texts | median | unit | spread (min to max) |",
        "| --- | --- | --- | --- |",
        "| 16 | 0.360 | s | 0.320 to 0.400 |",
        "| 64 | 1.44 | s | 1.28 to 1.60 |",
        "| 1,024 | 23.0 | s | 20.5 to 25.6 |",
        "",
        "![Plot: texts](plots/speed-texts.svg)",
    )


def test_table_of_a_curve_with_names_and_notes() -> None:
    rows = [
        Row("beams", "ours", "docs/s", [9.0], x=1, note="greedy"),
        Row("beams", "theirs", "docs/s", [1.0], x=1),
    ]
    assert table_of(Results({}, rows), "beams", "plots") == lines(
        "| name | beams | median | unit | spread (min to max) | note |",
        "| --- | --- | --- | --- | --- | --- |",
        "| ours | 1 | 9.00 | docs/s | – | greedy |",
        "| theirs | 1 | 1.00 | docs/s | – |  |",
        "",
        "![Plot: beams](plots/speed-beams.svg)",
    )


def test_memory_is_thinned_and_its_slope_said() -> None:
    text = table_of(results(), "memory", "plots")
    xs = re.findall(r"^\| (\d+) \|", text, re.M)
    assert len(xs) == 12 and xs[0] == "0" and xs[-1] == "39"
    assert "\nSlope after the first quarter: 1.00 MB per 1,000 texts.\n" in text
    assert thin(MEMORY[:12], 12) == MEMORY[:12]
    # Two lines, each with its own.
    other = [Row("memory", "other", "MB", [5.0], x=row.x) for row in MEMORY]
    text = table_of(Results({}, MEMORY + other), "memory", "plots")
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
    assert table_of(Results(), name, "plots") == NOT_MEASURED


def test_rows_that_do_not_fit_are_refused() -> None:
    rows = [Row("labels", "ours", "s", [1.0])]
    with pytest.raises(ValueError, match="row 'ours' has no x"):
        table_of(Results({}, rows), "labels", "plots")
    rows = [Row("docs_s.a", "a", unit, [1.0]) for unit in ("s", "docs/s")]
    with pytest.raises(ValueError, match="several units"):
        table_of(Results({}, rows), "docs_s.a", "plots")


def test_a_table_that_there_cannot_be() -> None:
    for name in ("spede", "docs_s.", ""):
        with pytest.raises(KeyError):
            table_of(results(), name, "plots")
        with pytest.raises(KeyError):
            section(f"speed {name}", "plots")
    assert section("speed docs_s.none", "plots") == NOT_MEASURED


def test_plots_are_the_same_each_time() -> None:
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
    first = {name: draw() for name, draw in drawn(kept).items()}
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True}):
        assert {name: draw() for name, draw in drawn(kept).items()} == first
    assert set(first) == {
        f"speed-{name}.svg"
        for name in ("docs_s.wnut2017", "texts", "memory", "length", "labels")
    }
    for text in first.values():
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
        assert f">{label}</text>" in first[f"speed-{name}.svg"], (name, label)
    assert "proportional" not in first["speed-memory.svg"]


def test_a_profile_has_all_its_parts(
    make_nlp: Callable[..., Language], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.speed import profiling

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
    assert profiling.searching.decide is profiling.speculative.decide


def test_passes_are_timed_by_their_size(
    make_nlp: Callable[..., Language], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.speed import profiling

    nlp = make_nlp(labels=["PERSON", "PLACE"])
    docs = [nlp.make_doc("Anna met Bert in Paris. " * n) for n in (1, 8, 2)]
    monkeypatch.setattr(profiling, "tuned", lambda *_: nlp)
    monkeypatch.setattr(profiling, "test_docs", lambda *_: docs)
    own = profiling.PackedSession.forward
    rows = profiling.passes(Path(), ["one", "two"], Path(), 3, times=2)
    assert profiling.PackedSession.forward is own
    assert {row.name for row in rows} == {"one", "two"}
    for name in ("one", "two"):
        sizes = [row.x for row in rows if row.name == name]
        # Texts are read in a big pass, the last answers written in small ones.
        assert sizes == sorted(sizes) and len(sizes) > 1
        assert min(sizes) == 16 and set(sizes) <= set(profiling.SIZES)
    assert all(len(row.values) == 2 and min(row.values) > 0 for row in rows)


@pytest.mark.long
def test_what_is_compared_runs(
    make_nlp: Callable[..., Language], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.speed import decoding

    nlp = make_nlp(labels=["PERSON", "PLACE"])
    texts = ["Anna met Bert in Paris.", "Bert lives in Rome."]
    docs = [nlp.make_doc(text) for text in texts]
    monkeypatch.setattr(decoding, "tuned", lambda *_: nlp)
    monkeypatch.setattr(decoding, "test_docs", lambda *_: docs)
    monkeypatch.setattr(decoding, "floor", lambda *_: [])
    monkeypatch.setattr(decoding.rivals, "minilm_folder", lambda: None)
    monkeypatch.setattr(decoding.rivals, "gliner_small", lambda labels: None)
    before = nlp.get_pipe(decoding.NAME).decoder
    rows = decoding.compare(Path(), "any", Path(), 2, 2, times=2)
    assert nlp.get_pipe(decoding.NAME).decoder == before
    names = [row.name for row in rows]
    assert names[:2] == ["ours, greedy", "ours, beam 4"] and "spaCy `ner`" in names
    assert sum(name.startswith("generate()") for name in names) == 6
    assert {row.group for row in rows} == {"docs_s.any"}
    assert all(len(row.values) == 2 and min(row.values) > 0 for row in rows)


def test_parts_that_another_machine_measured_have_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, other = tmp_path / "speed.json", tmp_path / "readings.json"
    Results({"cpu": "one"}, [Row("start", "first text", "s", [1.0])]).to_disk(ours)
    row = Row("drafts", "answers", "ms CPU a text", [2.0], x=4)
    Results({"cpu": "another"}, [row]).to_disk(other)
    monkeypatch.setattr(tables, "RESULTS", ours)
    monkeypatch.setattr(tables, "OTHER_MACHINES", {"drafts": other})
    assert "| cpu | one |" in tables.section("speed machine", "plots")
    assert "| cpu | another |" in tables.section("speed machine of drafts", "plots")
    assert "first text" in tables.section("speed start", "plots")
    assert "| 4 | 2.00 |" in tables.section("speed drafts", "plots")
    assert tables.path_of("drafts.some") == other
