"""What is found in sentences that nobody annotated, and its table."""

from pathlib import Path

import pytest
import srsly

from benchmarks import sentences
from spacy_instructner.tasks.labels import make_label_set


def test_the_sentences() -> None:
    rows = sentences.asked()
    own = [row for row in rows if row["kind"] != "spaCy"]
    assert len(own) == 30 and len(rows) > 35
    assert len({row["text"] for row in rows}) == len(rows)
    for row in rows:
        assert list(make_label_set(row["labels"], {}, {}).labels) == list(row["labels"])


def test_each_is_asked_for_its_own_labels(tiny_causal: Path) -> None:
    rows = [
        {"kind": "", "text": "Anna met Bert .", "labels": ["person"]},
        {"kind": "", "text": "They went to Rome .", "labels": ["city", "day"]},
    ]
    config = {
        "task": {"@misc": "spacy-instructner.CLLMFS.v1"},
        "model": {"name": str(tiny_causal), "start": None},
    }
    found = sentences.found(rows, config)
    assert len(found) == 2
    for row, entities in zip(rows, found):
        for text, label, score in entities:
            assert text in row["text"] and label in row["labels"] and 0 <= score <= 1


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = {
        "sentences": [{"kind": "mail", "text": "Hi Anna", "labels": ["person", "day"]}],
        "found": {"one": [[["Anna", "person", 0.9]]], "other": [[]]},
    }
    srsly.write_json(tmp_path / "sentences.json", results)
    monkeypatch.setattr(sentences, "RESULTS", tmp_path / "sentences.json")
    assert sentences.section("sentences", "").splitlines() == [
        "|  | Sentence | Asked for | one | other |",
        "| --- | --- | --- | --- | --- |",
        "| mail | Hi Anna | person, day | Anna: person 0.90 |  |",
    ]
    with pytest.raises(KeyError):
        sentences.section("other", "")
