"""`python -m spacy instructner find-threshold --by-label`."""

from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

import spacy_instructner.cli  # noqa: F401
from helpers.pipelines import MakeNLP
from helpers.scoring import trained_to_score
from helpers.shipped_configs import good
from helpers.training import gold_docs
from spacy_instructner.config_checks import write_threshold
from spacy_instructner.evaluation.metrics import (
    best_threshold,
    best_thresholds,
    count,
    total,
)
from spacy_instructner.evaluation.predicted_texts import (
    entities_above,
    label_by_label,
    predict_texts,
)

NAME = "instruction_ner"


def test_what_is_printed_is_what_the_pipeline_finds(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = trained_to_score(make_nlp, steps=25, threshold=0.0)
    nlp.get_pipe(NAME).add_label("A:B")
    nlp.to_disk(tmp_path / "trained")
    docs = gold_docs(nlp)
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    texts = predict_texts(nlp, docs)
    best = best_threshold(texts.gold, texts.found)
    assert best is not None and best[1] > 0.5
    own = best_thresholds(texts.gold, list(map(label_by_label, texts.spans)), best[0])
    assert set(own) == {"PERSON", "PLACE"}
    find = "instructner", "find-threshold"
    said = good(
        *find, tmp_path / "trained", tmp_path / "dev.spacy", "--by-label",
        "--output", tmp_path / "by_label",
    )  # fmt: skip
    for label, least in own.items():
        assert f"{label}: {least:.3f}" in said
    found = spacy.load(tmp_path / "by_label")
    assert found.get_pipe(NAME).cfg["threshold"] == pytest.approx(best[0])
    assert found.get_pipe(NAME).cfg["thresholds"] == pytest.approx(own)
    again = predict_texts(found, docs)
    f1 = total(count(texts.gold, again.found).values()).f1
    assert f"by label: F1 {100 * f1:.2f}" in said
    # Without it, those that were found before are given up.
    said = good(
        *find, tmp_path / "by_label", tmp_path / "dev.spacy",
        "--output", tmp_path / "common",
    )  # fmt: skip
    assert "are given up; see --by-label" in " ".join(said.split())
    assert spacy.load(tmp_path / "common").get_pipe(NAME).cfg["thresholds"] == {}


def test_a_span_that_falls_makes_room_for_another() -> None:
    spans = [(0, 4, "A", 0.8), (0, 4, "B", 0.7), (2, 6, "A", 0.6)]
    assert entities_above([], spans, 0.5, {}) == [spans[0]]
    assert entities_above([], spans, 0.5, {"A": 0.9}) == [spans[1]]
    other = (3, 5, "C", None)
    assert entities_above([other, spans[0]], spans, 0.5, {}) == [other]
    assert label_by_label(spans) == [spans[0], spans[1]]


@pytest.mark.parametrize("label", ["A:B", "[A]"])
def test_labels_that_a_config_cannot_hold(
    make_nlp: MakeNLP, label: str, tmp_path: Path
) -> None:
    nlp = trained_to_score(make_nlp, steps=1)
    pipe = nlp.get_pipe(NAME)
    pipe.set_labels(["PERSON", label])
    write_threshold(nlp, NAME, 0.4, {"PERSON": 0.3, label: 0.6})
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path).get_pipe(NAME)
    assert again.cfg["thresholds"] == pytest.approx({"PERSON": 0.3, label: 0.6})
