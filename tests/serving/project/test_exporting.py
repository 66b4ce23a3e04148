"""What is exported is read back as it was decided, by the package's own readers."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.language import Language

from spacy_instructner.data.corpora import read_docs
from spacy_instructner.serving.project.exporting import (
    EXPORTS,
    ExportedText,
    as_prodigy,
)

TEXT = "👩‍👩‍👧 Anna  Brown\nlives in Paris."
TEXTS = [
    ExportedText("Bo left.", ((0, 2, "PERSON"),), "a.txt", "1", "accept"),
    ExportedText("أنا في باريس", ((7, 12, "PLACE"),), "a.txt", "2", "accept"),
    ExportedText("Nobody.", (), "a.txt", "3", "accept"),
]


@pytest.mark.parametrize("kind", EXPORTS)
def test_files_are_read_back(kind: str, tmp_path: Path, nlp: Language) -> None:
    name, _, write, _ = EXPORTS[kind]
    (tmp_path / name).write_bytes(write(TEXTS, nlp))
    docs, problems = read_docs(tmp_path / name, spacy.blank("en"))
    assert problems == []
    assert [[(e.text, e.label_) for e in doc.ents] for doc in docs] == [
        [("Bo", "PERSON")],
        [("باريس", "PLACE")],
        [],
    ]
    if kind != "conll":  # It has words, not texts.
        assert [doc.text for doc in docs] == [own.text for own in TEXTS]


def test_words_that_are_no_words(tmp_path: Path, nlp: Language) -> None:
    """White space is a token of spaCy's, and none of CoNLL's."""
    start = TEXT.index("Anna")
    spans = ((start, start + 11, "PERSON"),)
    own = [ExportedText(TEXT, spans, "", "1", "accept")]
    for kind in ("jsonl", "spacy", "prodigy"):
        name, _, write, _ = EXPORTS[kind]
        (tmp_path / name).write_bytes(write(own, nlp))
        ((doc,), problems) = read_docs(tmp_path / name, spacy.blank("en"))
        assert problems == [] and [e.text for e in doc.ents] == ["Anna  Brown"]
    content = EXPORTS["conll"][2](own, nlp).decode()
    assert "Anna\tB-PERSON\nBrown\tI-PERSON\nlives\tO\n" in content


def test_prodigy_has_answers(nlp: Language) -> None:
    own = [*TEXTS[:1], ExportedText("x", (), "", "1", "reject")]
    own += [ExportedText("y", (), "", "2", "")]
    rows = [json.loads(line) for line in as_prodigy(own, nlp).splitlines()]
    assert [row.get("answer") for row in rows] == ["accept", "reject", None]
    (span,) = rows[0]["spans"]
    assert span == {
        "start": 0, "end": 2, "label": "PERSON", "token_start": 0, "token_end": 0,
    }  # fmt: skip
