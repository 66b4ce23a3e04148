"""What is compared of labels that compete, and its table."""

import gzip
import json
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import Span

from benchmarks import claims


def test_texts_are_read_with_words_for_their_labels(tmp_path: Path) -> None:
    rows = [
        {"text": "Anna met Bert", "tokens": ["Anna", "met", "Bert"], "spans": [
            {"start": 0, "end": 4, "label": "PERSON"},
            {"start": 9, "end": 13, "label": "OLD-PERSON"},
        ]},
        {"text": "New York", "tokens": ["New", "York"], "spans": [{"start": 0, "end": 8, "label": "GPE"}]},
    ]  # fmt: skip
    (tmp_path / "made").mkdir()
    with gzip.open(tmp_path / "made" / "dev.jsonl.gz", "wt", encoding="utf8") as file_:
        file_.write("\n".join(map(json.dumps, rows)))
    srsly.write_json(tmp_path / "names.json", {"made": {"GPE": "city"}})
    texts = claims.read_texts(tmp_path, "made", "dev", 10)
    assert texts.names == {
        "GPE": "city",
        "OLD-PERSON": "old person",
        "PERSON": "person",
    }
    found = [
        ([t.text for t in doc], [(e.start, e.end, e.label_) for e in doc.ents])
        for doc in texts.docs
    ]
    assert sorted(found) == [
        (["Anna", "met", "Bert"], [(0, 1, "PERSON"), (2, 3, "OLD-PERSON")]),
        (["New", "York"], [(0, 2, "GPE")]),
    ]
    # Labels are those of the whole part, however few texts are asked.
    assert claims.read_texts(tmp_path, "made", "dev", 1).names == texts.names


def test_entities_without_a_content_word() -> None:
    doc = spacy.blank("en")("The US and the band of . met It in the")
    doc.set_ents(
        [
            Span(doc, 1, 2, "A"),  # "US", a stop word in lower case
            Span(doc, 3, 4, "A"),  # "the"
            Span(doc, 4, 5, "A"),
            Span(doc, 5, 7, "A"),  # "of ."
            Span(doc, 8, 9, "A"),  # "It", perhaps a film
        ]
    )
    assert claims.empty_entities(doc) == ["the", "of ."]


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"right": 3, "predicted": 4, "annotated": 8, "empty": 1, "seconds": 2.0}
    row = {"set": "made", "part": "dev", "texts": 5, "without": counts}
    row["typing"] = {**counts, "right": 4, "empty": 0, "seconds": 3.0}
    srsly.write_json(tmp_path / "claims.json", {"machine": {}, "rows": [row]})
    monkeypatch.setattr(claims, "RESULTS", tmp_path / "claims.json")
    (line,) = claims.section("claims", "plots").splitlines()[2:]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["made, dev", "5", "50.0", "66.7", "2.0", "3.0", "1, 0"]
    with pytest.raises(KeyError):
        claims.section("claims of", "plots")
