"""Scores that say how often they are right, and thresholds."""

import json
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import load_config
from typer.testing import CliRunner

from spacy_instructner.calibration import (
    LEAST_SLOPE,
    PRIOR,
    Calibration,
    fit,
    log_odds,
)
from spacy_instructner.cli import app
from spacy_instructner.evaluation import cross_fitting
from spacy_instructner.evaluation.metrics import (
    Bin,
    best_threshold,
    expected_error,
    reliability,
)
from spacy_instructner.evaluation.predicted_texts import predict_texts
from spacy_instructner.evaluation.support_set import folds, train_on

CONFIGS = Path(__file__).parents[1] / "configs"
MakeNLP = Callable[..., Language]
NAME = "instruction_ner"
TEXTS = [
    "Anna met Bert in Paris and Carl in Rome.",
    "Rome is an old place.",
    "Bert lives in Paris.",
    "Anna and Bert, Anna and Carl.",
    "In Rome.",
    "It is old.",
] * 2


def drawn(slope: float, intercept: float, count: int) -> list[tuple[float, bool]]:
    """Scores whose log-odds mean that much less than they say."""
    rng = random.Random(0)
    truth = Calibration(slope, intercept)
    scores = [1 / (1 + math.exp(-rng.gauss(3, 3))) for _ in range(count)]
    return [(score, rng.random() < truth(score)) for score in scores]


@pytest.mark.parametrize("slope,intercept", [(0.4, -0.5), (1.0, 0.0), (1.6, 1.0)])
def test_what_is_fitted_is_what_the_scores_mean(slope: float, intercept: float) -> None:
    judged = drawn(slope, intercept, 20_000)
    found = fit(judged)
    assert found.slope == pytest.approx(slope, rel=0.06)
    assert found.intercept == pytest.approx(intercept, abs=0.12)
    other = [(found(score), right) for score, right in drawn(slope, intercept, 8_000)]
    assert expected_error(reliability(other)) < 0.015


def slopes_of_loss(found: Calibration, judged: list[tuple[float, bool]]) -> list[float]:
    """Of the negative log-likelihood with its prior, by slope and by intercept."""
    by_slope = PRIOR * (found.slope - 1.0)
    by_intercept = PRIOR * found.intercept
    for score, right in judged:
        odds = log_odds(score)
        said = 1 / (1 + math.exp(-found.slope * odds - found.intercept))
        by_slope += (said - right) * odds
        by_intercept += said - right
    return [by_slope, by_intercept]


def test_overconfident_scores_come_down() -> None:
    judged = [(0.999, at % 5 < 3) for at in range(50)]
    found = fit(judged)
    assert found(0.999) == pytest.approx(0.605, abs=0.002)
    # Less than nothing cannot be said of high scores: all of them become the same.
    upside_down = [(0.999, False)] * 30 + [(0.6, True)] * 20
    found = fit(upside_down)
    assert found.slope == LEAST_SLOPE
    mean = sum(found(score) for score, _ in upside_down) / 50
    assert mean == pytest.approx(0.4, abs=0.02)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 0.999, 1.0])),
            st.booleans(),
        ),
        min_size=1,
        max_size=80,
    )
)
def test_nothing_is_more_likely(judged: list[tuple[float, bool]]) -> None:
    found = fit(judged)
    by_slope, by_intercept = slopes_of_loss(found, judged)
    assert abs(by_intercept) < 1e-5
    assert abs(by_slope) < 1e-5 or (found.slope == LEAST_SLOPE and by_slope > 0)


def test_what_becomes_a_score() -> None:
    calibration = Calibration(0.4, -0.7)
    for score in (0.001, 0.3, 0.99):
        assert calibration.inverse(calibration(score)) == pytest.approx(score)
    assert [calibration.inverse(edge) for edge in (0.0, 1.0)] == [0.0, 1.0]


def test_a_few_spans_change_little() -> None:
    assert fit([(0.9, True)]).slope == pytest.approx(1.0, abs=0.1)
    # All of them right: no score becomes a certainty.
    sure = fit([(0.6, True)] * 5)
    assert 0.6 < sure(0.6) < 0.97
    with pytest.raises(ValueError, match="no span with a score"):
        fit([])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_higher_scores_stay_higher(
    judged: list[tuple[float, bool]], one: float, other: float
) -> None:
    calibration = fit(judged)
    low, high = sorted((one, other))
    assert 0.0 <= calibration(low) <= calibration(high) <= 1.0


def test_without_calibration_scores_are_as_they_were() -> None:
    for score in (0.0, 1e-12, 0.3, 1.0):
        assert Calibration()(score) == score
    assert math.isnan(Calibration(2.0)(math.nan))
    assert log_odds(0.5) == 0.0
    assert log_odds(1.0) == pytest.approx(-log_odds(0.0))


def test_reliability() -> None:
    judged = [(0.05, False), (0.15, True), (0.11, False), (1.0, True), (0.95, True)]
    bins = reliability(judged)
    expected = [(1, 0.05, 0.0), (2, 0.13, 0.5), (2, 0.975, 1.0)]
    assert [(b.spans, b.score, b.right) for b in bins] == [
        pytest.approx(row) for row in expected
    ]
    by_hand = (0.05 + 2 * 0.37 + 2 * 0.025) / 5
    assert expected_error(bins) == pytest.approx(by_hand)
    assert expected_error([Bin(3, 0.4, 0.4)]) == 0.0


def test_folds() -> None:
    docs = [Doc(spacy.blank("en").vocab, words=[str(n)]) for n in range(10)]
    parts = [
        ([d[0].text for d in a], [d[0].text for d in b]) for a, b in folds(docs, 3, 0)
    ]
    assert sorted(sum((left_out for _, left_out in parts), [])) == [
        str(n) for n in range(10)
    ]
    for rest, left_out in parts:
        assert sorted(rest + left_out) == [str(n) for n in range(10)]
        assert len(left_out) in (3, 4)
    # A text that comes twice is never on both sides.
    for rest, left_out in folds([*docs, *docs], 3, 0):
        assert not {d.text for d in rest} & {d.text for d in left_out}
        assert len(rest) + len(left_out) == 20
    again = [[d[0].text for d in b] for _, b in folds(docs, 3, 0)]
    assert again == [left_out for _, left_out in parts]
    for count in (1, 11):
        with pytest.raises(ValueError, match="cannot be divided into"):
            list(folds(docs, count, 0))


# In a pipeline.


def scores_of(nlp: Language, texts: list[str]) -> list[list[tuple]]:
    return [
        [
            (span.start, span.end, span.label_, float(score))
            for span, score in zip(doc.spans[NAME], doc.spans[NAME].attrs["scores"])
        ]
        for doc in nlp.pipe(texts)
    ]


def test_scores_of_a_pipeline(make_nlp: MakeNLP, tmp_path: Path) -> None:
    nlp = make_nlp()
    bare = scores_of(nlp, TEXTS)
    pipe = nlp.get_pipe(NAME)
    calibration = Calibration(0.5, -1.0)
    pipe.set_calibration(calibration)
    changed = scores_of(nlp, TEXTS)
    assert sum(map(len, bare)) > 5
    for one, other in zip(bare, changed):
        assert [span[:3] for span in one] == [span[:3] for span in other]
        for before, after in zip(one, other):
            assert after[3] == pytest.approx(calibration(before[3]), abs=1e-5)
    # The threshold is of the scores as they are written.
    cut = sorted(span[3] for of in changed for span in of)[2]
    pipe.cfg["threshold"] = cut + 1e-6
    for doc in nlp.pipe(TEXTS):
        assert all(ent._.instruction_ner_score > cut for ent in doc.ents)
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe(NAME).calibration == calibration
    bytes_ = nlp.to_bytes()
    other = make_nlp()
    other.get_pipe(NAME).set_calibration(Calibration(3.0, 3.0))
    assert other.from_bytes(bytes_).get_pipe(NAME).calibration == calibration
    # A pipeline without one does not keep that of another.
    plain = make_nlp().to_bytes()
    assert other.from_bytes(plain).get_pipe(NAME).calibration == Calibration()


@pytest.fixture
def trained(tiny_causal: Path, tmp_path: Path) -> Path:
    """A pipeline, trained for a few steps on sentences that lie beside it."""
    nlp = spacy.blank("en")
    docs = []
    for text in TEXTS:
        doc = nlp.make_doc(text)
        places = [t for t in doc if t.text in ("Rome", "Paris")]
        doc.set_ents([Span(doc, t.i, t.i + 1, label="PLACE") for t in places])
        docs.append(doc)
    DocBin(docs=docs).to_disk(tmp_path / "support.spacy")
    DocBin(docs=docs[:6]).to_disk(tmp_path / "dev.spacy")
    config = load_config(CONFIGS / "instructionner.cfg")
    overrides = {
        "components.instruction_ner.model.name": str(tiny_causal),
        "components.instruction_ner.model.precision": "float32",
        "training.max_steps": 3,
        "training.eval_frequency": 3,
    }
    nlp = train_on(config, docs, overrides)
    # As after training on a file that is still there.
    nlp.config["paths"]["train"] = str(tmp_path / "support.spacy")
    nlp.to_disk(tmp_path / "trained")
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


def test_the_threshold_follows_the_scores(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    pipe = nlp.get_pipe(NAME)
    scores = sorted(span[3] for of in scores_of(nlp, TEXTS) for span in of)
    pipe.cfg["threshold"] = (scores[3] + scores[4]) / 2
    before = [[(e.text, e.label_) for e in doc.ents] for doc in nlp.pipe(TEXTS)]
    for calibration in (Calibration(0.4, -1.0), Calibration(2.0, 0.5), Calibration()):
        old = pipe.cfg["threshold"]
        pipe.set_calibration(calibration)
        after = [[(e.text, e.label_) for e in doc.ents] for doc in nlp.pipe(TEXTS)]
        assert after == before and pipe.cfg["threshold"] != old
    pipe.cfg["threshold"] = 0.0
    pipe.set_calibration(Calibration(0.4, -1.0))
    assert pipe.cfg["threshold"] == 0.0
    # What is learned after it makes it void.
    doc = nlp("Anna met Bert.")
    nlp.update([Example(doc, doc.copy())], sgd=nlp.create_optimizer())
    assert pipe.calibration == Calibration()


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
