"""Several pipelines on the same texts."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Span

from helpers.cli import fail, run
from spacy_instructner.evaluation.comparison import compared
from spacy_instructner.formats.outputs import write_docs

TEXTS = (("Rome is old", True), ("Paris too", True), ("Nothing here", False))


def make(folder: Path, *towns: str) -> Path:
    nlp = spacy.blank("en")
    patterns = [{"label": "TOWN", "pattern": town} for town in towns]
    nlp.add_pipe("entity_ruler").add_patterns(patterns)  # type: ignore[attr-defined]
    nlp.to_disk(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    nlp = spacy.blank("en")
    docs = []
    for text, town in TEXTS:
        doc = nlp(text)
        doc.set_ents([Span(doc, 0, 1, "TOWN")] if town else [], default="outside")
        docs.append(doc)
    write_docs(docs, tmp_path / "test.spacy")
    return tmp_path / "test.spacy"


def test_the_command(data: Path, tmp_path: Path) -> None:
    both = make(tmp_path / "both", "Rome", "Paris")
    one = make(tmp_path / "one", "Rome", "Nothing")
    output = tmp_path / "deep" / "figures.json"
    said = run("compare", data, both, one, "--output", output)
    assert "3 texts, 2 entities, 7 words" in said
    assert "Words/second" in said and "100.00" in said and "50.00" in said
    rows = json.loads(output.read_text())
    assert [row["pipeline"] for row in rows] == [str(both), str(one)]
    assert [row["f1"] for row in rows] == [1.0, 0.5]
    assert [row["precision"] for row in rows] == [1.0, 0.5]
    assert all(row["words"] == 7 and row["texts"] == 3 for row in rows)
    assert all(row["seconds"] > 0 < row["cpu_seconds"] for row in rows)
    size = sum(path.stat().st_size for path in both.rglob("*") if path.is_file())
    assert rows[0]["megabytes"] == pytest.approx(size / 1e6)


def test_a_pipeline_of_no_folder_has_no_size(data: Path) -> None:
    nlp = spacy.blank("en")
    found = compared(nlp, [nlp("Rome is old")])
    assert found.megabytes is None and found.f1 == 0.0 and found.words == 3
    with pytest.raises(ValueError, match="no text to compare"):
        compared(nlp, [])


def test_what_cannot_be_compared_is_named(data: Path, tmp_path: Path) -> None:
    one = make(tmp_path / "one", "Rome")
    assert "Can't find model" in fail("compare", data, one, "no_such_pipeline")
    assert "is an input" in fail("compare", data, one, "--output", data)
