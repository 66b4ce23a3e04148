"""`python -m spacy instructner calibrate` and `find-threshold`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.util import load_config
from typer.testing import CliRunner

from helpers.calibration import TEXTS
from helpers.places import ROOT
from spacy_instructner.calibration import Calibration
from spacy_instructner.cli import app
from spacy_instructner.evaluation import cross_fitting
from spacy_instructner.evaluation.metrics import (
    best_threshold,
)
from spacy_instructner.evaluation.predicted_texts import predict_texts
from spacy_instructner.evaluation.support_set import train_on

CONFIGS = ROOT / "configs"
NAME = "instruction_ner"


@pytest.fixture(scope="module")
def annotated() -> list[Doc]:
    nlp = spacy.blank("en")
    docs = []
    for text in TEXTS:
        doc = nlp.make_doc(text)
        places = [t for t in doc if t.text in ("Rome", "Paris")]
        doc.set_ents([Span(doc, t.i, t.i + 1, label="PLACE") for t in places])
        docs.append(doc)
    return docs


@pytest.fixture(scope="module")
def trained_once(annotated: list[Doc], tiny_causal: Path) -> Language:
    """A pipeline, trained for a few steps. It is saved, and not changed, by the tests."""
    config = load_config(CONFIGS / "instructionner.cfg")
    overrides = {
        "components.instruction_ner.model.name": str(tiny_causal),
        "components.instruction_ner.model.precision": "float32",
        "training.max_steps": 3,
        "training.eval_frequency": 3,
    }
    return train_on(config, annotated, overrides)


@pytest.fixture
def trained(annotated: list[Doc], trained_once: Language, tmp_path: Path) -> Path:
    """It on disk, with the sentences beside it."""
    DocBin(docs=annotated).to_disk(tmp_path / "support.spacy")
    DocBin(docs=annotated[:6]).to_disk(tmp_path / "dev.spacy")
    # As after training on a file that is still there.
    trained_once.config["paths"]["train"] = str(tmp_path / "support.spacy")
    trained_once.to_disk(tmp_path / "trained")
    return tmp_path / "trained"


def run_it(*line: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in line])


def test_calibrate_by_development_data(trained: Path, tmp_path: Path) -> None:
    out, dev = tmp_path / "out", tmp_path / "dev.spacy"
    done = run_it("calibrate", trained, out, "--dev", dev)
    assert done.exit_code == 0, done.output
    assert "Expected calibration error" in done.output
    calibration = spacy.load(out).get_pipe(NAME).calibration
    assert calibration != Calibration()
    # Once more changes nothing: it is fitted to the bare scores.
    again = run_it("calibrate", out, tmp_path / "again", "--dev", dev)
    assert again.exit_code == 0
    other = spacy.load(tmp_path / "again").get_pipe(NAME).calibration
    assert other.slope == pytest.approx(calibration.slope)
    # So does what was set before not count.
    assert spacy.load(trained).get_pipe(NAME).calibration == Calibration()


def test_a_plot(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["calibrate", trained, tmp_path / "out", "--dev", tmp_path / "dev.spacy"]
    path = tmp_path / "plot.svg"
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "matplotlib", None)
        done = run_it(*line, "--plot", path)
    assert done.exit_code == 0 and "spacy-instructner[bench]" in done.output
    assert not path.exists() and (tmp_path / "out").is_dir()
    pytest.importorskip("matplotlib")
    assert run_it(*line, "--plot", path).exit_code == 0
    assert path.read_text().startswith("<?xml") and "after" in path.read_text()


def test_calibrate_by_the_support_set(trained: Path, tmp_path: Path) -> None:
    done = run_it("calibrate", trained, tmp_path / "out", "--folds", 2)
    assert done.exit_code == 0, done.output
    calibration = spacy.load(tmp_path / "out").get_pipe(NAME).calibration
    given = run_it(
        "calibrate",
        trained,
        tmp_path / "given",
        "--folds",
        2,
        "--train",
        tmp_path / "support.spacy",
    )
    assert given.exit_code == 0, given.output
    assert spacy.load(tmp_path / "given").get_pipe(NAME).calibration == calibration
    (tmp_path / "support.spacy").unlink()
    lost = run_it("calibrate", trained, tmp_path / "lost")
    assert lost.exit_code == 1 and "--train" in lost.output
    assert not (tmp_path / "lost").exists()


def test_each_part_is_left_out_of_its_own_training(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the config's corpora are called, and with an augmenter in them; with the
    labels and words that the pipeline has now."""
    nlp = spacy.load(trained)
    corpora, support = nlp.config["corpora"], str(tmp_path / "support.spacy")
    corpora["shots"] = corpora.pop("train")
    corpora["shots"]["path"] = corpora["dev"]["path"] = support
    corpora["shots"]["augmenter"] = {
        "@augmenters": "spacy-instructner.MentionSwap.v1",
        "level": 1.0,
    }
    for name in ("protocol", "k", "seed", "exclude", "encoding"):
        corpora["dev"][name] = corpora["shots"][name]
    nlp.config["training"]["train_corpus"] = "corpora.shots"
    nlp.get_pipe(NAME).set_labels(["PLACE", "THING"], {"THING": "good"}, {"PLACE": "a"})
    nlp.to_disk(tmp_path / "other")
    learned: list[tuple[list[str], list[str]]] = []

    def train_and_look(config: Any, rest: list[Doc], overrides: Any) -> Language:
        found = train_on(config, rest, overrides)
        ((name, pipe),) = found.pipeline
        assert pipe.labels == ("PLACE", "THING")
        assert pipe.cfg["label_names"] == {"THING": "good"}
        assert pipe.cfg["label_definitions"] == {"PLACE": "a"}
        read = found.config.interpolate()["corpora"]
        assert read["shots"]["path"] == read["dev"]["path"] != support
        learned.append(([doc.text for doc in rest], []))
        return found

    def judge_and_look(
        nlp: Language, docs: list[Doc], on_predicted: Any
    ) -> list[tuple[float, bool]]:
        learned[-1][1].extend(doc.text for doc in docs)
        return [(0.5, True)]

    monkeypatch.setattr(cross_fitting, "train_on", train_and_look)
    monkeypatch.setattr(cross_fitting, "judge_texts", judge_and_look)
    done = run_it("calibrate", tmp_path / "other", tmp_path / "out", "--folds", 2)
    assert done.exit_code == 0, done.output
    assert len(learned) == 2
    for rest, left_out in learned:
        assert not set(rest) & set(left_out)
        assert sorted(rest + left_out) == sorted(TEXTS)


def test_find_threshold(trained: Path, tmp_path: Path) -> None:
    nlp = spacy.load(trained)
    docs = list(DocBin().from_disk(tmp_path / "dev.spacy").get_docs(nlp.vocab))
    texts = predict_texts(nlp, docs)
    gold, found = texts.gold, texts.found
    assert sum(map(len, found)) > 0
    done = run_it(
        "find-threshold", trained, tmp_path / "dev.spacy", "--output", tmp_path / "out"
    )
    assert done.exit_code == 0, done.output
    threshold = spacy.load(tmp_path / "out").get_pipe(NAME).cfg["threshold"]
    best = best_threshold(gold, found)
    assert (
        threshold == pytest.approx(best[0]) and f"F1 {100 * best[1]:.2f}" in done.output
    )
    shown = done.output.split("Threshold ")[1].split(":")[0]
    assert float(shown) == pytest.approx(threshold, abs=6e-4)
    (tmp_path / "none.jsonl").write_text(json.dumps({"text": "", "spans": []}))
    lost = run_it("find-threshold", trained, tmp_path / "none.jsonl")
    assert lost.exit_code == 1 and "The pipeline finds nothing in" in " ".join(
        lost.output.split()
    )
