"""What is to be measured, and on what draws."""

import re
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import spacy

from helpers.fewshot import CONFIGS, GRID, WORKSHOP, write_grid
from helpers.places import SHARED
from spacy_instructner.fewshot.draws import draws
from spacy_instructner.fewshot.grid import read_grid
from spacy_instructner.fewshot.runs import make_config


def test_runs_and_their_order(tmp_path: Path) -> None:
    names = [run.name for run in write_grid(tmp_path).runs]
    assert len(names) == len(set(names)) == 2 * 2 * 2 * 2 + 1
    assert names[:5] == [
        "workshop.at-least-k-1.0.quick",
        "workshop.at-least-k-1.0.untrained",
        "workshop.at-least-k-2.0.quick",
        "workshop.at-least-k-2.0.untrained",
        "one-file.at-least-k-1.0.quick",
    ]
    assert names[8] == "workshop.at-least-k-1.1.quick"
    assert names[-1] == "drawn.given-5.3.quick"
    matching = write_grid(tmp_path).matching(["*.quick", "drawn.*"])
    assert len(matching) == 9


@pytest.mark.parametrize(
    "old,new,message",
    [
        ("protocol: given", "protocol: shots", "run 2: there is no protocol 'shots'"),
        ("k: [5]", "k: 5", "run 2: `k` must be of type list, not 5"),
        ("k: [5], ", "", "run 2: `k` is missing"),
        ("[drawn]", "[draws]", "run 2: data: unknown: draws"),
        ("methods: [quick], ", "methods: [slow], ", "methods: unknown: slow"),
        ("train: false", "trane: false", "untrained: unknown: trane"),
        ("train: false", "train: 0", "`train` must be of type bool, not 0"),
        ("{support:", "{train:", "protocol 'given' needs `support` of drawn"),
        ("data: [workshop, one-file]", "data: [drawn]", "needs `train` of drawn"),
        ("texts: 0", "texts: true", "`texts` must be of type int, not True"),
        ("texts: 0", "ways: 5", "run 2: unknown: ways"),
        ("given, k: [5]", "episodes, k: [5]", "run 2: `ways` is missing"),
        ("config: quick.cfg, train", "train", "name a `config` or a `function`"),
        ("{config: quick.cfg, ", "{function: 'a:b', ", "untrained: unknown: train"),
        ("{config: quick.cfg, ", "{config: a, function: 'a:b', ", "name a `config` or"),
        ("{support: ", "{note: 5, support: ", "drawn: `note` must be of type str, not"),
        ("train: false", "weights: big", "`weights` must be of type dict, not 'big"),
        ("texts: 0", "known: 1", "`known` must be of type bool, not 1"),
        ("train: false", "seen: [worksop]", "untrained: seen: unknown: worksop"),
        ("train: false", "seen: workshop", "`seen` must be of type list, not 'works"),
        ("runs:", "run:", "`runs` is missing"),
        ("methods:\n", "\tmethods:\n", "is not a YAML file"),
    ],
)
def test_what_is_wrong_with_a_grid_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GRID
    with pytest.raises(ValueError, match=re.escape(message)):
        write_grid(tmp_path, GRID.replace(old, new, 1))


def test_known_labels_are_asked_of_pipelines_alone(tmp_path: Path) -> None:
    """Known when the grid is read, not after a run was trained."""
    text = GRID.replace("{config: quick.cfg, train: false}", "{function: 'a:b'}")
    write_grid(tmp_path, text)
    known = text.replace("texts: 10", "texts: 10\n    known: true")
    with pytest.raises(ValueError, match="`known` needs pipelines, but untrained"):
        write_grid(tmp_path, known)


def test_two_blocks_must_agree_on_a_run(tmp_path: Path) -> None:
    again = "  - {data: [drawn], protocol: given, k: [5], seeds: [3], methods: [quick]}"
    with pytest.raises(ValueError, match="two blocks have a run drawn.given-5.3.quick"):
        write_grid(tmp_path, f"{GRID}{again}\n")
    assert len(write_grid(tmp_path, f"{GRID}{again[:-1]}, texts: 0}}\n").runs) == 17


@pytest.mark.parametrize(
    "name,data,pattern,runs",
    [
        ("benchmark.yml", SHARED, "mit_*.at-least-k-*.tok2vec", 2 * 2 * 5),
        ("benchmark_workshop.yml", WORKSHOP, "*", 3 * 4),
        ("tuning.yml", SHARED, "*.mpnet-*", 7 + 2),
        ("ablations.yml", SHARED, "*.cllmfs*", 2 * 5),
        ("objectives.yml", SHARED, "*", 34 + 11),
    ],
)
def test_the_projects_own_grids(name: str, data: Path, pattern: str, runs: int) -> None:
    grid = read_grid(CONFIGS / name, data)
    assert len(grid.matching([pattern])) == runs
    for run in grid.runs:
        assert run.data.definitions is None or run.data.definitions.is_file()
        settings = {*run.method.overrides, *run.method.weights}
        config = make_config(run)
        if config is None:
            module, _, function = run.method.function.partition(":")
            fit = getattr(import_module(module), function)
            assert settings <= set(signature(fit).parameters)
        for setting in settings if config else ():
            # What is overridden is there, in what is left.
            *path, last = setting.split(".")
            block: Any = config
            for part in path:
                block = block[part]
            assert last in block
        if data.is_dir():
            assert run.data.test.is_file()
            if run.protocol == "given":
                support = str(run.data.support)
                assert Path(support.format(k=run.k, seed=run.seed)).is_file()
            else:
                assert run.data.train is not None and run.data.train.is_file()


def test_the_draw_is_the_samplers_and_apart_from_what_is_scored(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    grid = write_grid(tmp_path)
    for run in grid.runs:
        drawn = draws(run, nlp)
        support = {doc.text for doc in drawn.support}
        scored = [doc.text for doc in drawn.test]
        assert support and not support & set(scored)
        assert len(scored) == (run.texts or 30)
    by_name = {run.name: run for run in grid.runs}
    supports = [
        [doc.text for doc in draws(by_name[name], nlp).support]
        for name in (
            "workshop.at-least-k-2.0.quick",
            "workshop.at-least-k-2.0.untrained",
            "workshop.at-least-k-2.1.quick",
        )
    ]
    assert supports[0] == supports[1] != supports[2]
