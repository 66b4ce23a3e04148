"""What is read of files to annotate, and what of them is a problem."""

import gzip
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin

from helpers.towns import make_pipeline
from spacy_instructner.corpus.chunk import OutputOptions, annotate_chunk
from spacy_instructner.corpus.texts import Item, TextSource, pieces, repaired


def items_of(path: Path, **config: str) -> list[tuple[str, str, str]]:
    return [
        (item.id, item.text, item.problem) for item in TextSource(str(path), **config)
    ]


# What is read.


@pytest.mark.parametrize("packed", [False, True])
def test_kinds_of_input(tmp_path: Path, packed: bool) -> None:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / (name + ".gz" * packed)
        path.write_bytes(gzip.compress(content) if packed else content)
        return path

    lines = "Rome, \u2028 old\r\n\n  \nÅre \x0b new".encode()
    # Other line separators than a line feed belong to the text.
    expected = [("1", "Rome, \u2028 old", ""), ("4", "Åre \x0b new", "")]
    assert items_of(write("a.txt", lines)) == expected
    assert items_of(write("b.txt", b"\xef\xbb\xbf" + lines)) == expected
    rows = b'{"id": 7, "text": "Rome"}\n\n{"text": "x\\nParis"}\n'
    assert items_of(write("c.jsonl", rows)) == [
        ("7", "Rome", ""),
        ("3", "x\nParis", ""),
    ]
    rows = b'{"n": "a", "body": "Rome"}'
    assert items_of(write("d.jsonl", rows), column="body", id_column="n") == [
        ("a", "Rome", "")
    ]
    table = b'id,text\n1,"Rome, ""old""\nand new"\n,Paris\n'
    assert items_of(write("e.csv", table)) == [
        ("1", 'Rome, "old"\nand new', ""),
        ("2", "Paris", ""),
    ]
    doc = Doc(spacy.blank("en").vocab, words=["Ro", "me"], spaces=[False, False])
    path = write("f.spacy", DocBin(docs=[doc]).to_bytes())
    assert items_of(path) == [("1", "Rome", "")]


def test_what_cannot_be_read_is_a_problem_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "Rome"}\nnothing\n{"text": 3}\n{"body": ""}\n[]\n')
    found = items_of(path)
    assert [(id_, text) for id_, text, _ in found] == [
        ("1", "Rome"),
        *[(str(n), "") for n in (2, 3, 4, 5)],
    ]
    assert [bool(problem) for _, _, problem in found] == [False, True, True, True, True]
    assert "line 2 is not a JSON object with a text 'text'" in found[1][2]
    path = tmp_path / "b.csv"
    path.write_text("id,text\n1\n2,Rome\n")
    assert items_of(path)[0] == ("1", "", "row 1 is too short")


def test_ids_are_the_files_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": null, "text": "a"}\n{"id": 0, "text": "b"}\n{"id": "x\\ud800"}\n'
        + '{"id": "deep", "text": '
        + "[" * 200_000
        + "\n"
    )
    found = items_of(path)
    assert [id_ for id_, _, _ in found] == ["1", "0", "x\ufffd", "4"]
    assert "KeyError" in found[2][2] and "nested too deeply" in found[3][2]
    (tmp_path / "b.csv").write_bytes(b"id,text\nx\xff,Rome\n")
    ((id_, text, problem),) = items_of(tmp_path / "b.csv")
    assert (id_, text) == ("x\ufffd", "") and "byte 2 (0xFF) is not UTF-8" in problem
    nlp = make_pipeline()
    items = [Item("own-7", "Rome"), Item("own-8", "\ud800")]
    done = annotate_chunk(nlp, items, OutputOptions(format="spacy"))
    (tmp_path / "c.spacy").write_bytes(done.content)
    assert [id_ for id_, _, _ in items_of(tmp_path / "c.spacy")] == ["own-7", "own-8"]


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"Rome\n" * 100_000)
    path = tmp_path / "a.txt.gz"
    for content in (whole[:-20], whole[:40] + b"garbage" * 9, b"no gzip"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a.txt.gz cannot be read any further"):
            items_of(path)


def test_inputs_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="There is no file"):
        TextSource(str(tmp_path / "a.txt"))
    (tmp_path / "a.pdf").touch()
    with pytest.raises(ValueError, match="must end with one of .txt, .jsonl"):
        TextSource(str(tmp_path / "a.pdf"))
    (tmp_path / "a.csv").write_text("id,body\n1,Rome\n")
    with pytest.raises(ValueError, match="no column 'text'. Its columns are: id, body"):
        items_of(tmp_path / "a.csv")
    (tmp_path / "a.spacy").write_bytes(b"no")
    with pytest.raises(ValueError, match="is not a .spacy file"):
        items_of(tmp_path / "a.spacy")


def test_an_undecodable_line_is_a_problem_of_its_own(tmp_path: Path) -> None:
    content = "Rome\nRené in Rome\nÅre".encode("cp1252")
    for name in ("a.txt", "a.TXT", "A.txt.GZ"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if "GZ" in name else content)
        found = items_of(path)
        assert [(id_, text) for id_, text, _ in found] == [
            ("1", "Rome"),
            ("2", ""),
            ("3", ""),
        ]
        assert "line 2: its byte 4 (0xE9) is not UTF-8" in found[1][2]
        assert "--encoding cp1252" in found[1][2]
        read = items_of(path, encoding="cp1252")
        assert [text for _, text, _ in read] == ["Rome", "René in Rome", "Åre"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_mark_of_the_encoding_is_no_text(tmp_path: Path, mark: bytes) -> None:
    for name, content in (
        ("a.txt", b"Rome\n"),
        ("a.jsonl", b'{"text": "Rome"}\n'),
        ("a.csv", b"text,id\nRome,1\n"),
    ):
        (tmp_path / name).write_bytes(mark + content)
        assert items_of(tmp_path / name) == [("1", "Rome", "")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.txt.gz"])
def test_utf16_is_refused_as_a_whole(tmp_path: Path, name: str, encoding: str) -> None:
    lines = {"a.csv": "text\nÅre\n", "a.jsonl": '{"text": "Åre"}\n'}
    content = lines.get(name, "Åre\n").encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ValueError, match=rf"{name}.*(in UTF-|NUL).*--encoding"):
        TextSource(str(path))
    assert [text for _, text, _ in items_of(path, encoding=encoding)] == ["Åre"]


def test_a_nul_far_into_a_file_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"Rome\n" * 20_000 + b"Ro\0me\n")
    with pytest.raises(ValueError, match="a.txt, line 20001: a NUL character"):
        items_of(path)
    with pytest.raises(ValueError, match="the name of an encoding.*not 'latin99'"):
        TextSource(str(path), encoding="latin99")


def test_halves_of_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "R\\udeadome"}')
    ((_, text, _),) = items_of(path)
    assert repaired(text) == ("R\ufffdome", 1)
    assert repaired("a\ud800b😀") == ("a\ufffdb😀", 1)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text("ab \n", max_size=60), st.integers(1, 25))
def test_pieces(text: str, longest: int) -> None:
    found = pieces(text, longest)
    assert "".join(found) == text and all(len(piece) <= longest for piece in found)
    assert len(found) == 1 or all(found)


def test_pieces_end_at_whitespace() -> None:
    text = "word " * 100
    assert all(piece.endswith(" ") for piece in pieces(text, 99))
    assert [len(piece) for piece in pieces("x" * 25, 10)] == [10, 10, 5]
