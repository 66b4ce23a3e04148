"""Texts from the files that people have."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from spacy_instructner.serving.project.imports import read_texts


def texts(path: Path, **more: Any) -> list[tuple[str, str]]:
    found = read_texts(path, **more)
    assert found.problems == []
    return [(each.name, each.text) for each in found.texts]


def test_text_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffAnna 👩‍👩‍👧\r\n\r\n  \nب\nc\n".encode())
    assert texts(path) == [("1", "Anna 👩‍👩‍👧"), ("4", "ب"), ("5", "c")]
    assert texts(path, cut="paragraphs") == [("1", "Anna 👩‍👩‍👧"), ("4", "ب\nc")]
    ((name, whole),) = texts(path, cut="whole")
    assert name == "1" and whole.splitlines() == ["Anna 👩‍👩‍👧", "", "", "ب", "c"]
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"one\ntwo"))
    assert texts(tmp_path / "b.txt.gz") == [("1", "one"), ("2", "two")]
    with pytest.raises(ValueError, match="Cut texts by"):
        read_texts(path, cut="words")


def test_tables_and_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,body\n7,"one, ""two"""\n8,\n')
    with pytest.raises(ValueError, match="Its columns are: id, body"):
        read_texts(path)
    assert texts(path, column="body") == [("7", 'one, "two"')]
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one\\ud83d"}\n{"id": "x", "text": "two"}\n{"no": 1}\n')
    found = read_texts(path)
    assert [(t.name, t.text) for t in found.texts] == [("1", "one\ufffd"), ("x", "two")]
    assert len(found.problems) == 1 and "line 3" in found.problems[0]


def test_ids_that_no_file_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "x\\ud83d", "text": "a"}\n{"id": "y", "text": "b"}\n')
    assert texts(path) == [("x\ufffd", "a"), ("y", "b")]


def test_a_gzipped_file_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("spacy_instructner.serving.project.imports.MOST_UNPACKED", 1000)
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"x" * 1000))
    assert [len(text) for _, text in texts(path)] == [1000]
    path.write_bytes(gzip.compress(b"x" * 1001))
    with pytest.raises(ValueError, match="more than 1000 bytes when unpacked"):
        read_texts(path)
    path.write_bytes(gzip.compress(b"x" * 100)[:-4])
    with pytest.raises(ValueError, match="cannot be read any further"):
        read_texts(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    for name, content, said in (
        ("a.txt", "é".encode("latin1"), "not UTF-8"),
        ("a.txt", b"a\0b", "NUL"),
        ("a.pdf", b"%PDF", "must end with"),
        ("a.spacy", b"x", "as .txt, .csv"),
        ("a.docx", b"PK\x03\x04nothing", "not a Word file"),
        ("a.txt", "x".encode("utf-16"), "UTF-16"),
    ):
        (tmp_path / name).write_bytes(content)
        if said == "not UTF-8":
            found = read_texts(tmp_path / name)
            assert found.texts == [] and said in found.problems[0]
            with pytest.raises(ValueError, match=said):
                read_texts(tmp_path / name, cut="paragraphs")
        elif name.endswith(".docx"):
            pytest.importorskip("docx")
            with pytest.raises(ValueError, match=said):
                read_texts(tmp_path / name)
        else:
            with pytest.raises(ValueError, match=said):
                read_texts(tmp_path / name)
    (tmp_path / "b.txt").write_text("short\nlonger text")
    found = read_texts(tmp_path / "b.txt", longest=5)
    assert [each.text for each in found.texts] == ["short"]
    assert "11 characters" in found.problems[0]


def test_word_files(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.add_paragraph("Anna lives in Paris.")
    document.add_paragraph("")
    table = document.add_table(1, 3)
    for cell, text in zip(table.rows[0].cells, ("one", "two", "")):
        cell.text = text
    document.add_paragraph("สวัสดี")
    document.save(tmp_path / "a.docx")
    assert [t for _, t in texts(tmp_path / "a.docx")] == [
        *("Anna lives in Paris.", "one two", "สวัสดี")
    ]
    assert len(texts(tmp_path / "a.docx", cut="paragraphs")) == 2


def test_a_word_file_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: Any
) -> None:
    docx = pytest.importorskip("docx")
    docx.Document().save(tmp_path / "a.docx")
    monkeypatch.setattr("spacy_instructner.serving.project.imports.MOST_UNPACKED", 1000)
    with pytest.raises(ValueError, match="when unpacked"):
        read_texts(tmp_path / "a.docx")
