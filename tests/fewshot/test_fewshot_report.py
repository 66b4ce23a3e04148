"""The report: what it says, and that names break nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from helpers.fewshot import GRID, record_of, write_grid
from spacy_instructner.cli import app
from spacy_instructner.fewshot import report
from spacy_instructner.fewshot.grid import PROTOCOLS, Grid
from spacy_instructner.fewshot.report import markdown
from spacy_instructner.fewshot.study import Study
from spacy_instructner.fewshot.text_counts import encode

# As a label, a method and a data set may be called.
NASTY = "<b>|`\\|$x$ --> </svg><script>alert(1)</script> &lt; \"'"
TWO = """
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
"""


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    return write_grid(tmp_path, TWO)


def records_of(grid: Grid) -> list[dict[str, Any]]:
    """F1 goes up from run to run, by one hundredth."""
    return [record_of(r, 0.3 + 0.01 * n) for n, r in enumerate(grid.runs)]


def rows_of(text: str) -> list[list[str]]:
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


def test_report(tmp_path: Path) -> None:
    grid = write_grid(tmp_path)
    scores = {"quick": {0: 0.5, 1: 0.7}, "untrained": {0: 0.2, 1: 0.1}}
    records = [
        record_of(run, scores[run.method.name][run.seed])
        for run in grid.matching(["workshop.at-least-k-1.*"])
    ]
    records[1]["calibration_error"] = 0.25
    text = markdown(grid, records)
    assert text.startswith(
        "# Few-shot results\n\n"
        "## F1\n\n"
        "Strict micro F1 in percent over all labels, mean ± standard deviation over "
        "draws (number of draws). A seed is the same draw for all methods. Draws are "
        "at-least-k: at least k entities of each label, drawn greedily.\n\n"
        "| method | workshop, at-least-k 1 |\n"
        "| --- | --- |\n"
        "| quick | 60.0 ± 14.1 (2) |\n"
        "| untrained | 15.0 ± 7.1 (2) |\n\n"
        "No interval, as rows are without counts by sentence: quick (workshop, "
        "at-least-k 1), untrained (workshop, at-least-k 1).\n\n"
        "## F1 beside quick, on the same draws\n\n"
    )
    assert (
        "| method | workshop, at-least-k 1 |\n"
        "| --- | --- |\n"
        "| untrained | -45.0 ± 21.2 (2), better on 0 |\n"
    ) in text
    assert (
        "| workshop, at-least-k 1 | quick | 2 | 100 | 5 | 10 | 15 | 20 | 50 |" in text
    )
    assert "| untrained | 0.250 (1) |" in text
    # Without scores, no row; nor is the reference compared with itself.
    assert text.count("| untrained |") == 6 and text.count("| quick |") == 3
    left_out = "| none | draws 0, 1: without counts by sentence |"
    assert f"| workshop, at-least-k 1 | untrained |  |  |  |  {left_out}" in text
    assert "| runs | 4 |" in text.split("## Machines and versions")[1]
    assert "| workshop, at-least-k 1 | quick | 2 | 60 | 2.5 | 7 | 9 | 50 |" in text
    assert "## F1 by label: workshop, at-least-k 1" in text
    assert "| label | quick (2) | untrained (2) |" in text
    assert "| X | 60.0 | 15.0 |\n| Y | 0.0 | 0.0 |" in text
    assert "better on 2" in markdown(grid, records, "untrained")
    with pytest.raises(ValueError, match="no run of 'best'. There are: quick, un"):
        markdown(grid, records, "best")
    nothing = "# Few-shot results\n\nNothing is measured yet.\n"
    assert markdown(grid, []) == nothing


def test_cpu_seconds_stand_beside_those_of_the_clock(grid: Grid) -> None:
    records = records_of(grid)
    assert "CPU" not in markdown(grid, records)
    for record, train in zip(records, (10.0, 90.0)):
        record["cpu_seconds"] = {"train": train, "annotate": 2.5}
    section = markdown(grid, records).split("## CPU seconds")[1].split("\n## ")[0]
    # The other runs kept none.
    assert [record["method"] for record in records[:2]] == ["first", "second"]
    assert rows_of(section)[1:] == [
        ["one, at-least-k 10", name, "1", seconds, "20"]
        for name, seconds in (("first", "10"), ("second", "90"))
    ]


def test_all_sentences_have_no_number() -> None:
    assert report.called(report.Setting("one", "all", 0)) == "one, all"
    assert (
        report.called(report.Setting("one", "sentences", 500)) == "one, sentences 500"
    )


def test_what_has_seen_the_train_split_is_marked_and_not_compared(
    tmp_path: Path,
) -> None:
    """It is no few-shot figure of that data; of other data it is one."""
    seen = GRID.replace("train: false", "train: false, seen: [one-file]")
    grid = write_grid(tmp_path, seen + "title: What was seen\n")
    runs = grid.matching(["*.at-least-k-*.0.*"])
    assert [run.seen for run in runs] == [False] * 5 + [True, False, True]
    records = [record_of(run, 0.25, seen=run.seen) for run in runs]
    text = markdown(grid, records)
    assert text.startswith("# What was seen\n")
    assert "† is not few-shot: the method had learned the train split before" in text
    assert "| untrained | 25.0 (1) | 25.0 (1) | 25.0 (1) † | 25.0 (1) † |" in text
    assert "| untrained | 0.0 (1), better on 0 | 0.0 (1), better on 0 |  |  |" in text
    # Nor is anything compared with what is no few-shot figure.
    turned = markdown(grid, records, "untrained")
    assert "| quick | 0.0 (1), better on 0 | 0.0 (1), better on 0 |  |  |" in turned
    for said, other in ((text, "untrained"), (turned, "quick")):
        reference = "quick" if other == "untrained" else "untrained"
        assert (
            f"Not compared, as {reference} or the other had learned the train split "
            f"before: one-file, at-least-k 1: {other}.\n\n"
        ) in said
    assert "| one-file, at-least-k 1 | untrained † | 1 |" in text
    assert "| label | quick (1) | untrained (1) † |" in text
    assert "†" not in markdown(grid, records[:4])


def test_a_draw_that_only_one_has_is_not_compared(tmp_path: Path) -> None:
    grid = write_grid(tmp_path)
    runs = grid.matching(["workshop.at-least-k-1.*"])
    records = [record_of(run, 0.1 * number) for number, run in enumerate(runs)]
    # quick 0, untrained 0.1, and of the second draw untrained alone, 0.3.
    text = markdown(grid, [records[0], records[1], records[3]])
    assert "| untrained | 20.0 ± 14.1 (2) |" in text
    assert "| untrained | 10.0 (1), better on 1 |" in text


def counted(run: Any, right: int) -> dict[str, Any]:
    """A run that finds so many of the two entities of each of fifty texts, with nothing
    wrong: of one more in each tenth text, to have something to resample."""
    rows = [[min(right + (at % 10 == 0), 2), 0, 0] for at in range(50)]
    rows = [[tp, 0, 2 - tp] for tp, _, _ in rows]
    found = sum(tp for tp, _, _ in rows)
    return record_of(run, 2 * found / (found + 100), by_text=encode(rows))


def test_methods_with_three_and_with_five_draws(tmp_path: Path) -> None:
    """Means are of all draws that a method has, differences of those that both have."""
    five = GRID.replace("seeds: [0, 1]", "seeds: [0, 1, 2, 3, 4]")
    grid = write_grid(tmp_path, five.replace("[1, 2]", "[1]"))
    runs = grid.matching(["workshop.at-least-k-1.*"])
    # quick misses the first three draws a little, and finds all in the other two.
    records = [
        counted(run, 1 if run.seed < 3 else 2)
        if run.method.name == "quick"
        else counted(run, 0)
        for run in runs
        if run.method.name == "quick" or run.seed < 3
    ]
    groups = report.group(grid, records)
    one, other = 2 * 55 / 155, 2 * 5 / 105
    rows = {row[0]: row[1] for row in rows_of(report.f1(groups))}
    mean = (3 * one + 2) / 5
    assert rows["quick"].startswith(f"{100 * mean:.1f} ± ")
    assert "(5), " in rows["quick"]
    low, high = map(float, rows["quick"].split("(5), ")[1].split(" to "))
    assert 100 * one - 3 < low < 100 * mean < high <= 100.0
    assert rows["untrained"].startswith(f"{100 * other:.1f} ± 0.0 (3), ")
    (row,) = rows_of(report.compared(groups, "quick"))[1:]
    gap = f"{100 * (one - other):.1f}"
    assert row[:5] == [
        "workshop, at-least-k 1", "untrained", f"{100 * one:.1f}", f"{100 * other:.1f}", gap,
    ]  # fmt: skip
    low, high = map(float, row[5].split(" to "))
    assert 50 < low < float(gap) < high < 75
    assert row[6:] == ["3", "draws 3, 4: quick alone"]
    assert f"-{gap} ± 0.0 (3), better on 0" in report.beside(groups, "quick")
    assert report.notes(groups) == [
        "Methods do not all have the same draws. Compare them only on draws that both "
        "have. Numbers of draws: workshop, at-least-k 1 (3 or 5)."
    ]
    text = markdown(grid, records)
    assert "in 95 % of 2,000 resamples of draws and sentences; of one draw" in text
    assert "## F1 of quick minus each other method\n\nF1 of quick minus F1 of" in text
    # With the draws that both have alone, it is the same comparison.
    few = [record for record in records if record["seed"] < 3]
    again = rows_of(report.compared(report.group(grid, few), "quick"))[1]
    assert again == [*row[:7], ""] and report.notes(report.group(grid, few)) == []


def test_draws_with_other_settings_are_named(tmp_path: Path) -> None:
    grid = write_grid(tmp_path)
    runs = grid.matching(["workshop.at-least-k-1.*"])
    records = [{**counted(run, run.seed), "config": "91ab6e3f7c54"} for run in runs]
    assert report.notes(report.group(grid, records)) == []
    records[-1]["config"] = "000000000000"
    assert report.notes(report.group(grid, records)) == [
        "Not all draws were measured with the same settings, as a default may have "
        "changed in between: untrained (workshop, at-least-k 1)."
    ]


def test_one_draw_says_that_it_is_one(tmp_path: Path) -> None:
    grid = write_grid(tmp_path)
    runs = grid.matching(["workshop.at-least-k-1.0.*", "one-file.at-least-k-1.0.quick"])
    records = [counted(run, int(run.method.name == "quick")) for run in runs]
    groups = report.group(grid, records)
    text = report.compared(groups, "untrained")
    (row,) = rows_of(text)[1:]
    assert row[1] == "quick" and row[6] == "1 (its sentences alone)"
    assert text.endswith("as untrained has no run: one-file, at-least-k 1.")
    for record in records:
        record["by_text"] = None
    (row,) = rows_of(report.compared(report.group(grid, records), "untrained"))[1:]
    assert row[2:7] == ["", "", "", "", "none"]


def test_a_note_stands_beside_the_name_of_its_data(tmp_path: Path) -> None:
    noted = GRID.replace("  one-file: {", "  one-file: {note: train | split seen, ")
    grid = write_grid(tmp_path, noted)
    runs = grid.matching(["*.at-least-k-1.*"])
    text = markdown(grid, [counted(run, run.seed) for run in runs])
    name = r"one-file (train \| split seen), at-least-k 1"
    header = f"| method | workshop, at-least-k 1 | {name} |"
    assert text.count(header) == 2
    assert f"| {name} | quick | 2 |" in text and f"## F1 by label: {name}" in text
    assert "| untrained | 0.0 ± 0.0 (2), better on 0 | 0.0 ± 0.0 (2), better" in text
    assert "one-file, " not in text


def test_rows_stand_in_the_grids_order_whatever_is_measured(grid: Grid) -> None:
    records = [r for r in records_of(grid) if r["method"] == "second" or r["seed"]]
    groups = report.group(grid, records[::-1])
    assert [(setting.k, method) for setting, method in groups] == [
        (10, "first"),
        (10, "second"),
        (5, "first"),
        (5, "second"),
        (5, "second"),
    ]
    assert rows_of(report.f1(groups))[1] == ["first", "34.0 (1)", "36.0 (1)", ""]


def test_every_protocol_is_explained() -> None:
    assert set(report.PROTOCOLS) == set(PROTOCOLS)


def test_one_method_is_compared_with_none(grid: Grid) -> None:
    records = [r for r in records_of(grid) if r["method"] == "second"]
    titles = re.findall(r"^## (.*)$", markdown(grid, records), re.M)
    # Nor is there a calibration error without scores.
    assert titles[:3] == ["F1", "Errors, in percent of all", "Seconds"]


def test_known_labels_are_told_where_they_were_asked_for(grid: Grid) -> None:
    records = records_of(grid)
    assert "labels of each text known" not in markdown(grid, records)
    records[0]["f1_known"] = 0.5
    text = markdown(grid, records).split("## F1, labels of each text known")[1]
    rows = rows_of(text.split("##")[0])
    assert rows[1:] == [["first", "50.0 (1)", "", ""]]


def test_machines(grid: Grid) -> None:
    records = records_of(grid)
    rows = rows_of(report.machines(records))
    assert rows[0] == ["what", "machine 1"]
    assert ["cpu", "fast"] in rows and ["runs", "10"] in rows
    assert ["methods", "first, second"] in rows
    records[3]["machine"] = {"cpu": "fast", "threads": 8, "torch": "3"}
    text = report.machines(records)
    assert "What differs: threads, torch." in text
    rows = rows_of(text)
    assert ["threads", "1", "8"] in rows and ["torch", "", "3"] in rows
    assert ["runs", "9", "1"] in rows
    assert ["methods", "first, second", "second"] in rows


def test_names_do_not_break_the_page(grid: Grid) -> None:
    records = json.loads(json.dumps(records_of(grid)))
    for record in records:
        record["counts"] = {NASTY: record["counts"]["X"]}
        record["machine"]["cpu"] = NASTY
    text = markdown(Grid(grid.runs, NASTY), records)
    assert "<" not in text
    title = text.splitlines()[0]
    assert plain(title) == f"# {NASTY}" and r"\`" in title
    assert [NASTY, "34.0", "35.0"] in rows_of(text)
    assert ["cpu", NASTY] in rows_of(text)


def test_the_command(tmp_path: Path) -> None:
    write_grid(tmp_path)
    study = tmp_path / "new" / "study.jsonl"

    def run_it(*arguments: Any) -> Any:
        line = ["bench", tmp_path / "grid.yml", study, "--data", tmp_path]
        return CliRunner().invoke(app, [str(a) for a in (*line, *arguments)])

    listed = run_it("--list")
    assert listed.exit_code == 0
    assert "0 of 17 runs measured; left: 17" in listed.output
    done = run_it(
        "--only", "workshop.at-least-k-1.0.quick", "--report", tmp_path / "r.md"
    )
    assert done.exit_code == 0, done.output
    assert "1 of 1 runs measured; left: 0" in done.output
    assert "| quick |" in (tmp_path / "r.md").read_text()
    assert "1 of 17 runs measured; left: 16, about" in run_it("--list").output
    assert Study(study).names() == {"workshop.at-least-k-1.0.quick"}
    (tmp_path / "draw-5-3.jsonl").write_text("{}")
    bad = run_it("--only", "drawn*")
    assert bad.exit_code == 1
    assert "drawn.given-5.3.quick" in bad.output
    assert "not a JSON object" in " ".join(bad.output.split())
    assert "1 runs could not be measured" in bad.output
    assert run_it("--only", "nothing").exit_code == 1
    (tmp_path / "grid.yml").write_text("data: 1")
    bad = run_it()
    assert "there must be names with values" in " ".join(bad.output.split())


def test_a_report_is_markdown_and_no_input(tmp_path: Path) -> None:
    write_grid(tmp_path)
    grid, study = tmp_path / "grid.yml", tmp_path / "study.jsonl"
    line = ["bench", grid, study, "--data", tmp_path, "--list", "--report"]
    before = grid.read_bytes()
    for name, message in (("r.html", "reports are Markdown"), ("grid.yml", "grid.yml")):
        done = CliRunner().invoke(app, [str(a) for a in (*line, tmp_path / name)])
        assert done.exit_code == 1 and message in " ".join(done.output.split())
    assert grid.read_bytes() == before and not (tmp_path / "r.html").exists()
    study.write_text("{}\n")
    done = CliRunner().invoke(app, [str(a) for a in line[:-1]])
    assert done.exit_code == 1
    assert "line 1 is of no study" in " ".join(done.output.split())
