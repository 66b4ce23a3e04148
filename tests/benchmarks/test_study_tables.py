"""Tables and plots of studies beyond those of a user's report."""

import re
from pathlib import Path

import pytest

from benchmarks import studies
from benchmarks.plots import Series
from benchmarks.published import UNCHECKED, published, read_published
from helpers.fewshot import CONFIGS, GRID, record_of, write_grid
from spacy_instructner.fewshot import report
from spacy_instructner.fewshot.study import Study
from spacy_instructner.fewshot.text_counts import encode, text_counts

PUBLISHED = CONFIGS / "published.yml"
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


def test_the_mean_of_data_sets_is_of_what_all_have(tmp_path: Path) -> None:
    seen = GRID.replace("k: [1, 2]", "k: [1]").replace(
        "untrained: {", "known: {config: quick.cfg, seen: [one-file]}\n  untrained: {"
    )
    seen = seen.replace("[quick, untrained]", "[quick, untrained, known]")
    grid = write_grid(tmp_path, seen)
    runs = {run.name: run for run in grid.matching(["*.at-least-k-*"])}
    scores = {
        "workshop.at-least-k-1.0.quick": 0.5,
        "workshop.at-least-k-1.1.quick": 0.7,
        "one-file.at-least-k-1.0.quick": 0.3,
        "one-file.at-least-k-1.1.quick": 0.1,
        "workshop.at-least-k-1.0.untrained": 0.1,
        "workshop.at-least-k-1.1.untrained": 0.9,
        "one-file.at-least-k-1.0.untrained": 0.2,
        "workshop.at-least-k-1.0.known": 0.9,
        "one-file.at-least-k-1.0.known": 0.9,
    }
    records = [
        record_of(runs[name], f1, seen=runs[name].seen) for name, f1 in scores.items()
    ]
    groups = report.group(grid, records)
    means = studies.averaged(groups)
    assert report.f1(means) == (
        "| method | mean of workshop and one-file, at-least-k 1 |\n"
        "| --- | --- |\n"
        "| quick | 40.0 ± 0.0 (2) |\n"
        "| untrained | 15.0 (1) |"
    )
    assert report.beside(means, "quick") == (
        "| method | mean of workshop and one-file, at-least-k 1 |\n"
        "| --- | --- |\n"
        "| untrained | -25.0 (1), better on 0 |"
    )
    one = [r for r in records if r["data"] == "workshop"]
    assert studies.averaged(report.group(grid, one)) == {}


def test_the_note_of_a_data_set_stands_beside_its_mean(tmp_path: Path) -> None:
    """And counts of one data set are not taken for those of the mean."""
    noted = GRID.replace("  workshop: {", "  workshop: {note: seen before, ")
    grid = write_grid(tmp_path, noted)
    runs = grid.matching(["*.at-least-k-1.*.quick"])
    records = [record_of(run, 0.5, by_text=encode([[1, 0, 2]] * 50)) for run in runs]
    groups = report.group(grid, records)
    assert "50.0 ± 0.0 (2), 50.0 to 50.0" in report.f1(groups)
    assert report.f1(studies.averaged(groups)).splitlines() == [
        "| method | mean of workshop (seen before) and one-file, at-least-k 1 |",
        "| --- | --- |",
        "| quick | 50.0 ± 0.0 (2) |",
    ]
    plots = studies.f1_plots(report.group(grid, [record_of(r, 0.5) for r in grid.runs]))
    assert list(plots) == ["workshop", "one-file"]


def test_what_is_missing_of_a_grid(tmp_path: Path) -> None:
    grid = write_grid(tmp_path)
    records = [record_of(run, 0.2) for run in grid.runs]
    assert studies.missing(grid, report.group(grid, records)) == []
    some = [record for record in records if record["name"].count(".at-least-k-1.0.")]
    assert studies.missing(grid, report.group(grid, some)) == [
        "13 of 17 runs of the grid are still to be measured: draws 0, 1, 3 of workshop, "
        "one-file, drawn."
    ]


def test_what_a_threshold_could_add(tmp_path: Path) -> None:
    runs = write_grid(tmp_path).matching(["workshop.at-least-k-1.*"])
    records = [record_of(run, 0.2) for run in runs]
    for record, best in zip(records[1::2], (1.0, 0.6), strict=True):
        record["threshold_f1"] = best
    groups = report.group(write_grid(tmp_path), records)
    assert studies.best_thresholds(groups).splitlines()[2:] == [
        "| untrained | 60.0 ± 28.3 (2) |"
    ]


def test_what_methods_stand_for(tmp_path: Path) -> None:
    text = GRID.replace("train: false", "train: false, weights: {name: a/small}")
    grid = write_grid(
        tmp_path, text.replace("max_steps: 4,", "max_steps: 4, without: x,")
    )
    records = [record_of(run, 0.2) for run in grid.runs[:2]]
    rows = studies.methods(grid, report.group(grid, records)).splitlines()[2:]
    changed = 'training.max_steps = 4; without = "x"; training.eval_frequency = 4'
    assert rows == [
        f"| quick | quick.cfg | {changed} |",
        "| untrained | quick.cfg | name = small; not trained |",
    ]


def test_f1_over_k(tmp_path: Path) -> None:
    """What has learned the train split, or has one k only, is in no plot."""
    text = GRID.replace("train: false", "train: false, seen: [one-file]")
    grid = write_grid(tmp_path, text)
    records = [
        record_of(run, 0.2 + 0.1 * run.seed + 0.05 * run.k, seen=run.seen)
        for run in grid.runs
    ]
    plots = studies.f1_plots(report.group(grid, records))
    assert list(plots) == ["workshop", "one-file"]
    assert plots["workshop"].title == "workshop, at-least-k"
    values = (pytest.approx((25, 35)), pytest.approx((30, 40)))
    assert plots["workshop"].series == (
        Series("quick", 0, (1, 2), values),
        Series("untrained", 1, (1, 2), values),
    )
    assert [series.name for series in plots["one-file"].series] == ["quick"]


def test_known_types(tmp_path: Path) -> None:
    runs = write_grid(tmp_path).matching(["workshop.at-least-k-1.*.quick"])
    records = [
        record_of(run, f1, f1_known=f1 + 0.2) for run, f1 in zip(runs, (0.2, 0.4))
    ]
    groups = report.group(write_grid(tmp_path), records)
    assert studies.known(groups, sweep=False).splitlines() == [
        "| data | method | F1, all types | F1, types known | draws |",
        "| --- | --- | --- | --- | --- |",
        "| workshop, 1 shots | quick | 30.0 ± 14.1 | 50.0 ± 14.1 | 2 |",
    ]
    assert len(studies.known(groups, sweep=True).splitlines()) == 2
    one = report.group(write_grid(tmp_path), records[:1])
    assert "| 20.0 | 40.0 | 1 |" in studies.known(one, sweep=False)


@pytest.mark.parametrize("study", studies.STUDIES)
def test_every_run_of_a_study_is_measured(study: str) -> None:
    """Where runs are missing as yet, its page says so."""
    grid, groups = studies.read(study)
    there = Study(studies.RESULTS / f"{study}.jsonl").names()
    runs = {run.name for run in grid.runs}
    # The mark is taken away with the last run.
    assert there < runs if studies.STUDIES[study].under_way else there == runs
    assert sum(map(len, groups.values())) == len(there)
    left = [run for run in grid.runs if run.name not in there]
    notes = studies.section(f"{study} notes", "")
    said = f"{len(left)} of {len(runs)} runs of the grid are still to be measured: "
    assert (said in notes) == bool(left)
    with pytest.raises(KeyError):
        studies.section(f"{study} f2", "")


@pytest.mark.parametrize("study", ["headline", "tuning", "ablations"])
def test_counts_of_a_study_agree_with_one_another(study: str) -> None:
    for record in Study(studies.RESULTS / f"{study}.jsonl").records():
        by_label = [sum(own) for own in zip(*record["counts"].values(), strict=True)]
        counts = text_counts(record)
        assert counts is not None and len(counts) == record["texts"]
        assert by_label == counts.sum(axis=0).tolist()
        tp, fp, fn = by_label
        assert record["f1"] == (2 * tp / (2 * tp + fp + fn) if tp else 0.0)
        wrong = sum(own for kind, own in record["errors"].items() if kind != "missed")
        assert wrong == fp and record["errors"]["missed"] <= fn
        best = record["threshold_f1"]
        assert best is None or best >= record["f1"] - 1e-12


def test_studies_agree_where_they_measured_the_same() -> None:
    """By two harnesses, of which one is left."""

    def scores(study: str) -> dict[tuple[str, int, int, str], float]:
        records = Study(studies.RESULTS / f"{study}.jsonl").records()
        return {
            (r["data"], r["k"], r["seed"], r["method"].lower()): r["f1"]
            for r in records
        }

    one, other = scores("headline"), scores("objectives")
    both = one.keys() & other.keys()
    assert len(both) == 12
    assert [one[run] for run in both] == pytest.approx([other[run] for run in both])


def test_published_figures() -> None:
    own = read_published(PUBLISHED)
    assert len({(f.data, f.k, f.model, f.source, f.note) for f in own}) == len(own)
    assert {f.data for f in own} == {
        "mit_restaurant",
        "MIT Movie (eng or trivia)",
        "wnut2017",
        "gum",
        "Few-NERD (inter)",
    }
    assert {f.k for f in own} == {0, 5, 10}
    assert all(0 < f.f1 < 100 and f.protocol and f.source for f in own)
    assert {f.checked for f in own} == {True, False}


def test_a_table_of_published_figures(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(FIGURES)
    assert published(read_published(tmp_path / "a.yml")).splitlines()[2:] == [
        f"| one | 0 | C |  | 70.0 | others | another | {UNCHECKED}. |",
        "| one | 5 | B |  | 60.0 | theirs | a paper | Bigger. |",
        "| one | 5 | A | 3B | 50.25 ± 1.5 | theirs | a paper | Old. Bigger. |",
    ]


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
