"""F1 by the number of training sentences: tables and plots."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from spacy.util import dot_to_object, load_config

from benchmarks import sizes, studies
from helpers.fewshot import record_of, write_grid
from helpers.places import SHARED
from spacy_instructner.fewshot import report
from spacy_instructner.fewshot.grid import Grid, Run, read_grid
from spacy_instructner.fewshot.report import Setting

GRID = """
data:
  one: {train: train.jsonl, test: test.jsonl}
  two: {train: train.jsonl, test: test.jsonl}
methods:
  ours: {config: a.cfg}
  theirs: {config: a.cfg}
  theirs-long: {config: a.cfg}
runs:
  - {data: [one], protocol: all, k: [0], seeds: [0], methods: [ours, theirs-long]}
  - {data: [one], protocol: sentences, k: [500], seeds: [0], methods: [ours, theirs, theirs-long]}
  - {data: [one, two], protocol: at-least-k, k: [1, 5], seeds: [0, 1], methods: [ours, theirs]}
"""
TEXTS = {"all": 900, "sentences": 500}


def record(run: Run, f1: float, texts: int, seconds: Mapping[str, float]) -> Any:
    support = {"texts": texts, "entities": {"X": 10 * texts, "Y": texts}}
    return record_of(run, f1, support=support, cpu_seconds=seconds)


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    return write_grid(tmp_path, GRID)


@pytest.fixture
def groups(grid: Grid) -> report.Groups:
    """Of data set one alone: ours is better below 500 sentences."""
    scores = {
        "all.ours": 0.7, "all.theirs-long": 0.8,
        "sentences.ours": 0.7, "sentences.theirs": 0.6, "sentences.theirs-long": 0.7,
        "at-least-k.ours": 0.5, "at-least-k.theirs": 0.2,
    }  # fmt: skip
    records = [
        record(
            run,
            scores[f"{run.protocol}.{run.method.name}"] + 0.02 * run.seed,
            TEXTS.get(run.protocol, 10 * run.k + 2 * run.seed),
            {"train": 30.0 + 10 * run.seed, "annotate": 5.0},
        )
        for run in grid.matching(["one.*"])
    ]
    return report.group(grid, records)


def test_sizes_go_from_small_to_large(groups: report.Groups) -> None:
    assert sizes.sizes(groups) == {
        Setting("one", "at-least-k", 1): 11,
        Setting("one", "at-least-k", 5): 51,
        Setting("one", "sentences", 500): 500,
        Setting("one", "all", 0): 900,
    }
    assert sizes.by_size(groups, sizes.f1_of) == (
        "| data | drawn | sentences | ours | theirs-long | theirs |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| one | at least 1 of each label | 11 | 51.0 ± 1.4 (2) |  | 21.0 ± 1.4 (2) |\n"
        "| one | at least 5 of each label | 51 | 51.0 ± 1.4 (2) |  | 21.0 ± 1.4 (2) |\n"
        "| one | 500 sentences | 500 | 70.0 (1) | 70.0 (1) | 60.0 (1) |\n"
        "| one | all | 900 | 70.0 (1) | 80.0 (1) |  |"
    )


def test_cpu_seconds(grid: Grid, groups: report.Groups) -> None:
    own = sizes.sections(grid, groups, "ours", "plots")
    assert own["training"]().splitlines()[2].endswith("| 35 |  | 35 |")
    # Of fifty texts in five seconds.
    assert own["speed"]().splitlines()[2].endswith("| 10 |  | 10 |")
    assert own["progress"]() == "13 of 21 runs are measured."


def test_the_size_from_which_on_a_method_is_level(groups: report.Groups) -> None:
    assert sizes.level(groups, "ours").splitlines()[2:] == [
        "| one | theirs | 500 sentences | 500 | 500 |"
    ]
    # Better once, and worse again: that is not level.
    (last,) = groups[Setting("one", "all", 0), "theirs-long"]
    last["f1"] = 0.6
    assert sizes.level(groups, "ours").splitlines()[2:] == [
        "| one | theirs | not up to all | 900 | 900 |"
    ]
    for (_, method), records in groups.items():
        for own in records:
            own["f1"] = 0.1 if method == "ours" else 0.2
    assert sizes.level(groups, "ours").splitlines()[2:] == [
        "| one | theirs | at least 1 of each label | 11 | 11 |"
    ]


def test_longer_training_counts_where_it_was_measured(groups: report.Groups) -> None:
    found = sizes.counting(groups)
    assert {method for _, method in found} == {"ours", "theirs"}
    (long,) = found[Setting("one", "sentences", 500), "theirs"]
    assert long["method"] == "theirs-long"
    assert len(found[Setting("one", "at-least-k", 1), "theirs"]) == 2
    # What was measured stays as it is.
    assert (Setting("one", "sentences", 500), "theirs-long") in groups


def test_plots(grid: Grid, groups: report.Groups) -> None:
    plots = sizes.size_plots(groups)
    # Nothing of the other data set is measured.
    assert list(plots) == ["one"] and plots["one"].logarithmic
    ours, theirs = plots["one"].series
    assert ours.places == theirs.places == (11, 51, 500, 900)
    assert ours.values[0] == pytest.approx((50, 52))
    assert theirs.values[-2:] == (pytest.approx((70,)), pytest.approx((80,)))
    (image,) = sizes.sections(grid, groups, "ours", "plots")[
        "size-plots"
    ]().splitlines()
    assert image == "![one: F1 (%)](plots/sizes-f1-one.svg)"


def test_the_study_has_every_size_of_every_data_set() -> None:
    grid = read_grid(studies.CONFIGS / "sizes.yml", Path())
    of: dict[str, set[tuple[str, int]]] = {}
    for run in grid.runs:
        of.setdefault(run.data.name, set()).add((run.protocol, run.k))
    shots = {("at-least-k", k) for k in (1, 2, 5, 10, 20, 50)}
    assert len(of) == 5
    assert all(own == {*shots, ("sentences", 500), ("all", 0)} for own in of.values())
    # The default has its own row: nothing is compared with a setting that is not shipped.
    own = {run.method.name for run in grid.runs if run.protocol == "all"}
    assert {"one-pass", "one-pass-long", "tok2vec-long", "mpnet-long"} <= own
    names = {run.data.definitions for run in grid.runs}
    assert all(path is not None and path.is_file() for path in names)


def test_what_a_method_changes_is_a_setting_of_its_config() -> None:
    grid = read_grid(studies.CONFIGS / "sizes.yml", Path())
    methods = {run.method.name: run.method for run in grid.runs}
    for method in methods.values():
        assert method.config is not None
        config = load_config(method.config)
        for name in (*method.overrides, *method.weights):
            section, _, last = name.rpartition(".")
            block = dot_to_object(config, section)
            # A reader of spaCy's takes `limit`, ours `protocol` and `k`.
            assert last in block, f"{method.name}: {name}"
        steps = {**config["training"], **{
            name.removeprefix("training."): own for name, own in method.overrides.items()
        }}  # fmt: skip
        # Scored at the end alone: what is scored in between is no training.
        assert steps["eval_frequency"] == steps["max_steps"], method.name


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the data sets")
def test_definitions_are_of_the_labels_of_the_sources() -> None:
    import gzip
    import json

    for name in ("bionlp13cg", "legal_ner_in"):
        path = SHARED / "base" / name / "train.jsonl.gz"
        with gzip.open(path, "rt", encoding="utf8") as lines:
            labels = {s["label"] for line in lines for s in json.loads(line)["spans"]}
        words = json.loads(
            (studies.ROOT / f"assets/definitions/{name}.json").read_text()
        )
        assert words.keys() == labels
