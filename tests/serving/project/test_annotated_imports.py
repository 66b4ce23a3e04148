"""Annotated files become decided texts, as a whole or not at all."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spacy.language import Language
from spacy.tokens import Doc, DocBin, SpanGroup

from spacy_instructner.serving.project.annotated_imports import (
    DecidedText,
    decided_event,
    has_annotation,
    read_decided,
)
from spacy_instructner.serving.project.exporting import EXPORTS, ExportedText
from spacy_instructner.serving.project.project_state import (
    Decision,
    ProjectLabel,
    ProjectState,
    ProjectText,
)
from spacy_instructner.serving.project.words import WordCutter

ANNA = {"start": 0, "end": 4, "label": "PERSON"}
Read = Callable[..., list[tuple[str, str, Any]]]


@pytest.fixture
def read(tmp_path: Path, nlp: Language) -> Read:
    whole = WordCutter(nlp).whole

    def act(name: str, content: str | bytes, **more: Any) -> list[tuple[str, str, Any]]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert has_annotation(path)
        found = read_decided(path, whole, **more)
        act.notes = found.notes  # type: ignore[attr-defined]
        return [(own.name, own.text, own.spans) for own in found.texts]

    return act


def lines(*rows: Any) -> str:
    return "\n".join(map(json.dumps, rows))


def test_what_the_page_exports_comes_back(read: Read, nlp: Language) -> None:
    texts = [
        ExportedText("Anna left.", ((0, 4, "PERSON"),), "a.txt", "1", "accept"),
        ExportedText("أنا في باريس", ((7, 12, "PLACE"),), "a.txt", "2", "accept"),
        ExportedText("Nobody.", (), "a.txt", "3", "accept"),
    ]
    for name, _, write, _ in EXPORTS.values():
        found = read(name, write(texts, nlp))
        spans = [[(text[a:b], own) for a, b, own in s] for _, text, s in found]
        assert spans == [[("Anna", "PERSON")], [("باريس", "PLACE")], []], name
        if not name.endswith(".conll"):  # It has words, not texts.
            assert [text for _, text, _ in found] == [own.text for own in texts]
    assert [where for where, _, _ in read("a.jsonl.gz", gzipped(texts, nlp))] == [
        *("1", "2", "3")
    ]


def gzipped(texts: list[ExportedText], nlp: Language) -> bytes:
    return gzip.compress(EXPORTS["jsonl"][2](texts, nlp))


def test_which_files_are_annotated(tmp_path: Path) -> None:
    def asked(name: str, content: str) -> bool:
        (tmp_path / name).write_text(content)
        return has_annotation(tmp_path / name)

    assert asked("a.jsonl", lines({"text": "x"}, {"text": "y", "spans": []}))
    assert asked("a.jsonl", lines(["x", {"entities": []}]))
    assert asked("a.jsonl", lines({"text": "x", "label": [[0, 1, "A"]]}))
    assert not asked("a.jsonl", lines({"text": "x", "label": "SPAM"}, {"text": "y"}))
    # A line that is none is left to whoever reads the file.
    assert not asked("a.jsonl", '{"text"\n[1]\n\ud7ff\n')
    assert not asked("a.txt", "x O") and not asked("a.csv", "text\nx")
    assert asked("a.conll", "x O") and asked("a.json", "[]") and asked("a.spacy", "x")


def test_texts_are_as_others_are_imported(read: Read) -> None:
    """Without line ends and marks around them; spans move."""
    span = {"start": 3, "end": 7, "label": " PERSON "}
    rows = [
        {"text": "\ufeff\r\nAnna left.\n", "spans": [span]},
        {"text": " ", "spans": []},
    ]
    rows.append({"text": "Anna left.", "spans": [ANNA]})
    own = ("1", "Anna left.", ((0, 4, "PERSON"),))
    assert read("a.jsonl", lines(*rows)) == [own]


def test_what_somebody_rejected_is_left_out_and_told(read: Read) -> None:
    rows = [{"text": "Anna.", "spans": [ANNA], "answer": "reject"}]
    rows.append({"text": "Bo.", "spans": [{**ANNA, "end": 2}], "answer": "accept"})
    assert read("a.jsonl", lines(*rows)) == [("2", "Bo.", ((0, 2, "PERSON"),))]
    (note,) = read.notes  # type: ignore[attr-defined]
    assert "line 1" in note and "reject" in note


@pytest.mark.parametrize(
    "row,said",
    [
        ({"text": "Annabel.", "spans": [ANNA]}, "'Anna'.* whole words"),
        ({"text": "Anna.", "spans": [{**ANNA, "end": 9}]}, "whole words"),
        ({"text": "Anna.", "spans": [{**ANNA, "label": " "}]}, "no label"),
        (
            {"text": "Anna Bo.", "spans": [ANNA, {"start": 0, "end": 7, "label": "B"}]},
            "overlaps another",
        ),
        (
            {"text": "Anna.", "spans": [{**ANNA, "score": 0.9}]},
            "nobody has said that they are right",
        ),
        (
            {
                "text": "Anna left.",
                "spans": [ANNA],
                "answer": "accept",
                "_view_id": "ner",
            },
            "a part of the text has no annotation",
        ),
        ({"text": "Anna left, too", "spans": []}, "14 characters; at most 12"),
        ({"text": "Bo left.", "spans": []}, "text 1 is the same .* other entities"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_read(
    read: Read, row: dict[str, Any], said: str
) -> None:
    good = {"text": "Bo left.", "spans": [{**ANNA, "end": 2}]}
    content = lines(good, {"text": "", "spans": []}, row)
    with pytest.raises(ValueError, match=rf"a\.jsonl, line 3: .*{said}") as error:
        read("a.jsonl", content, longest=12)
    assert "is added" in str(error.value)


def test_the_lines_of_a_refusal_are_named_up_to_a_number(read: Read) -> None:
    rows = [{"text": f"Annabel {n}.", "spans": [ANNA]} for n in range(8)]
    with pytest.raises(ValueError, match=r"line 1: .*line 5: .*; and 3 more") as error:
        read("a.jsonl", lines(*rows))
    assert "line 6" not in str(error.value)
    with pytest.raises(ValueError, match="a.jsonl, line 2: not a JSON object with ann"):
        read("a.jsonl", lines({"text": "x", "spans": []}, {"text": "y"}))


def test_an_answer_to_scored_spans_is_somebodys(read: Read) -> None:
    own = {"text": "Anna.", "spans": [{**ANNA, "score": 0.9}], "answer": "accept"}
    assert read("a.jsonl", lines(own)) == [("1", "Anna.", ((0, 4, "PERSON"),))]


def test_docs(read: Read, nlp: Language) -> None:
    first, second = nlp.make_doc("Anna left."), nlp.make_doc("Bo left.")
    first.set_ents([first.char_span(0, 4, "PERSON")])
    content = DocBin(docs=[first, second]).to_bytes()
    # Nobody annotated the second one: it is a text like any other.
    assert read("a.spacy", content) == [
        ("1", "Anna left.", ((0, 4, "PERSON"),)),
        ("2", "Bo left.", None),
    ]
    part = Doc(nlp.vocab, ["Anna", "left"])
    part.set_ents([], missing=[part[1:2]], default="outside")
    with pytest.raises(ValueError, match="a.spacy, Doc 1: a part of the text"):
        read("a.spacy", DocBin(docs=[part]).to_bytes())
    first.spans["x"] = SpanGroup(first, spans=first.ents, attrs={"scores": [0.5]})
    with pytest.raises(ValueError, match="Doc 1: its spans have scores"):
        read("a.spacy", DocBin(docs=[first]).to_bytes())
    with pytest.raises(ValueError, match="not a .spacy file"):
        read("a.spacy", b"x")


def test_a_gzipped_file_that_would_fill_the_memory(
    read: Read, monkeypatch: Any
) -> None:
    monkeypatch.setattr("spacy_instructner.serving.project.imports.MOST_UNPACKED", 99)
    with pytest.raises(ValueError, match="when unpacked"):
        read("a.conll.gz", gzip.compress(b"x O\n" * 30))


def test_what_is_there_stays() -> None:
    state = ProjectState()
    state.labels["PLACE"] = ProjectLabel("PLACE", "", "#000000")
    for number, text in enumerate(("one", "two"), 1):
        state.texts[number] = ProjectText(number, text)
    state.layers[1] = (Decision(1, "accept", (), 0, False),)
    texts = [
        DecidedText("one", "1", ((0, 3, "NEW"),)),
        DecidedText("two", "2", ((0, 3, "A"),)),
        DecidedText("three", "3", ((0, 5, "B"),)),
        DecidedText("four", "4", None),
    ]
    event = decided_event(state, texts, ["#1", "#2", "#3"])
    assert event["texts"] == [
        {"id": 3, "text": "three", "name": "3"},
        {"id": 4, "text": "four", "name": "4"},
    ]
    assert event["decisions"] == [
        {"text": 2, "spans": [(0, 3, "A")]},
        {"text": 3, "spans": [(0, 5, "B")]},
    ]
    # Of what is not taken, there is no label.
    assert [own.name for own in event["labels"]] == ["PLACE", "A", "B"]
    assert [own.colour for own in event["labels"][1:]] == ["#2", "#3"]
    same = decided_event(state, texts[:1], ["#1"])
    assert same == {"labels": [], "texts": [], "decisions": []}
