"""`python -m spacy instructner convert`, and the files that other commands read."""

import json
from pathlib import Path

import spacy_instructner.cli  # noqa: F401
from helpers.cli import ASSETS, docs, fail, run


def test_convert(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.spacy"
    output = run("convert", ASSETS / "test.jsonl", target)
    assert "90 sentences, 250 entities" in output
    assert "PART" in output and "left out" not in output
    assert sum(len(doc.ents) for doc in docs(target)) == 250


def test_convert_reports_every_misaligned_span(tmp_path: Path) -> None:
    rows = [
        {"text": "Anna met", "spans": [{"start": 0, "end": 2, "label": "PER"}]},
        {"text": "Bert met", "spans": [{"start": 1, "end": 4, "label": "PER"}]},
    ]
    source = tmp_path / "a.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    output = run("convert", source, tmp_path / "a.spacy")
    assert "line 1" in output and "line 2" in output
    assert "2 spans were left out" in output
    assert len(docs(tmp_path / "a.spacy")) == 2


def test_convert_a_folder(tmp_path: Path) -> None:
    output = run("convert", ASSETS, tmp_path)
    assert "150 sentences" in output and "90 sentences" in output
    assert [len(docs(tmp_path / f"{s}.spacy")) for s in ("train", "test")] == [150, 90]
    assert "has no JSON Lines" in fail("convert", ASSETS.parent, tmp_path)
    for name in ("a.jsonl", "a.jsonl.gz"):
        (tmp_path / name).write_text("")
    assert "one .spacy file" in fail("convert", tmp_path, tmp_path)


def test_convert_names_the_bad_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("nonsense")
    assert "line 1" in fail("convert", tmp_path / "a.jsonl", tmp_path / "a.spacy")


def test_convert_says_what_it_cannot_write(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    row = {"text": "Anna met", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
    source.write_text(json.dumps(row))
    before = source.read_bytes()
    (tmp_path / "corpus").mkdir()
    assert "1 sentences" in run("convert", source, tmp_path / "corpus")
    assert len(docs(tmp_path / "corpus" / "a.spacy")) == 1
    assert "neither a folder" in fail("convert", source, tmp_path / "new")
    assert "neither a folder" in fail("convert", source, source)
    own = tmp_path / "corpus" / "a.spacy"
    assert "would be overwritten" in fail("convert", own, own)
    assert "would be overwritten" in fail("sample", own, tmp_path / "corpus", "-k", 1)
    assert source.read_bytes() == before and len(docs(own)) == 1
    assert not (tmp_path / "new").exists()
    assert "is a file" in fail("convert", tmp_path, source)
    assert "There is no file" in fail("sample", tmp_path / "none", own)


def test_commands_read_other_encodings(tmp_path: Path) -> None:
    source, target = tmp_path / "a.JSONL", tmp_path / "a.spacy"
    row = {"text": "Åsa met", "spans": [{"start": 0, "end": 3, "label": "PER"}]}
    source.write_text(json.dumps(row, ensure_ascii=False), encoding="cp1252")
    told = fail("convert", source, target)
    assert "line 1" in told and "0xC5" in told and "--encoding cp1252" in told
    run("convert", source, target, "--encoding", "cp1252")
    assert [ent.text for ent in docs(target)[0].ents] == ["Åsa"]
    drawn = tmp_path / "b.spacy"
    assert "0xC5" in fail("sample", source, drawn, "-k", 1)
    run(
        "sample",
        source,
        drawn,
        "-k",
        1,
        "--encoding",
        "cp1252",
        "-x",
        target,
        "-p",
        "all",
    )
    assert docs(drawn) == []
    assert "not 'latin99'" in fail("convert", source, target, "--encoding", "latin99")


def test_convert_counts_what_was_rejected(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    row = {"text": "Anna met", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
    rows = [row, {**row, "answer": "reject"}, {**row, "answer": "ignore"}]
    source.write_text("\n".join(map(json.dumps, rows)))
    output = run("convert", source, tmp_path / "a.spacy")
    assert "2 texts were left out" in output and "1 sentences, 1 entities" in output
    source.write_text('{"tokens": ["Anna", "met"], "ner_tags": [1, 0]}')
    assert "--tag-names" in fail("convert", source, tmp_path / "a.spacy")
    output = run("convert", source, tmp_path / "a.spacy", "--tag-names", "O, B-PER")
    assert "1 sentences, 1 entities" in output
