"""Annotated files as JSON lines and in columns."""

import gzip
import json
from pathlib import Path

import pytest
from spacy.language import Language

from helpers.draws import ents, write_jsonl
from spacy_instructner.data.corpora import read_docs


def test_jsonl(nlp: Language, tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "a.jsonl",
        [
            {
                "text": "Anna met Bert.",
                "spans": [{"start": 9, "end": 13, "label": "PER"}],
            },
            {"text": "No one.", "spans": []},
            # As Prodigy writes it: tokens as objects, more keys.
            {
                "text": "Anna's",
                "tokens": [{"text": "Anna", "id": 0}, {"text": "'s", "id": 1}],
                "spans": [{"start": 0, "end": 4, "label": "PER", "token_start": 0}],
                "answer": "accept",
            },
        ],
    )
    docs, problems = read_docs(path, nlp)
    assert problems == []
    assert [doc.text for doc in docs] == ["Anna met Bert.", "No one.", "Anna's"]
    assert [ents(doc) for doc in docs] == [[(9, 13, "PER")], [], [(0, 4, "PER")]]
    # What is not marked is O, not missing: a false positive counts.
    assert all(t.ent_iob_ in "BIO" and t.ent_iob_ for doc in docs for t in doc)


def test_gzip_reads_the_same(nlp: Language, tmp_path: Path) -> None:
    row = {"text": "Anna", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file_:
        file_.write(json.dumps(row) + "\n\n")
    docs, _ = read_docs(tmp_path / "a.jsonl.gz", nlp)
    assert [ents(doc) for doc in docs] == [[(0, 4, "PER")]]


def test_misaligned_and_overlapping_spans_are_all_reported(
    nlp: Language, tmp_path: Path
) -> None:
    spans = [
        {"start": 0, "end": 3, "label": "PER"},  # inside a token
        {"start": 9, "end": 99, "label": "PER"},  # past the end
        {"start": 5, "end": 8, "label": "ACT"},
        {"start": 5, "end": 13, "label": "PER"},  # overlaps the one before
    ]
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"text": "Anna met Bert", "spans": spans}]
    )
    docs, problems = read_docs(path, nlp)
    assert ents(docs[0]) == [(5, 8, "ACT")]
    assert len(problems) == 3
    assert all(str(p).startswith(f"{path}, line 1: PER at ") for p in problems)
    assert sum("token borders" in p.why for p in problems) == 2
    assert sum("overlaps ACT 'met'" in p.why for p in problems) == 1


@pytest.mark.parametrize(
    "content,message",
    [
        ("{", "line 2: not a JSON object"),
        ('{"spans": []}', "line 2: not a JSON object"),
        ('{"text": 5, "spans": []}', "line 2: not a JSON object"),
        ('{"text": "a", "spans": [{"start": 0, "end": 1, "label": null}]}', "line 2"),
        ('{"text": "a", "spans": [{"start": 0}]}', "line 2: not a JSON object"),
        ('{"text": "a b", "tokens": ["a", "c"], "spans": []}', "not the words"),
    ],
)
def test_bad_lines_are_named(
    nlp: Language, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine", "spans": []}\n' + content)
    with pytest.raises(ValueError, match=message):
        read_docs(path, nlp)


@pytest.mark.parametrize(
    "tags",
    [
        ["B-PER", "I-PER", "O", "B-PER", "B-LOC", "O"],  # IOB2
        ["I-PER", "I-PER", "O", "I-PER", "I-LOC", "O"],  # IOB1
        ["B-PER", "E-PER", "O", "S-PER", "S-LOC", "O"],  # BIOES
        ["B-PER", "L-PER", "O", "U-PER", "U-LOC", "O"],  # BILUO
        ["PER", "PER", "O", "PER", "LOC", "O"],  # bare types
    ],
)
def test_conll_schemes(nlp: Language, tmp_path: Path, tags: list) -> None:
    words = ["Anna", "Brown", "met", "Bert", "Rome", "."]
    lines = [f"{word} NN x {tag}" for word, tag in zip(words, tags)]
    text = "-DOCSTART- -X- O O\n\n" + "\n".join(lines) + "\n\n\nNone NN x O\n"
    path = tmp_path / "a.conll"
    path.write_text(text)
    docs, _ = read_docs(path, nlp)
    assert [doc.text for doc in docs] == ["Anna Brown met Bert Rome . ", "None "]
    assert [(e.text, e.label_) for e in docs[0].ents] == [
        ("Anna Brown", "PER"),
        ("Bert", "PER"),
        ("Rome", "LOC"),
    ]
    assert docs[1].ents == ()


def test_entities_that_touch(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "a.iob"
    for text, found in (
        # B begins anew, S and E end.
        ("a B-X\nb B-X\nc I-X\nd O\n", ["a", "b c"]),
        ("a S-X\nb B-X\nc E-X\nd S-X\n", ["a", "b c", "d"]),
    ):
        path.write_text(text)
        docs, _ = read_docs(path, nlp)
        assert [e.text for e in docs[0].ents] == found
    path.write_text("a B-X\nb E-X\nc I-X\nd S-X\n")
    with pytest.raises(ValueError, match="line 3: 'I-X' does not begin an entity"):
        read_docs(path, nlp)


def test_conll_words_comments_and_types_with_hyphens(
    nlp: Language, tmp_path: Path
) -> None:
    path = tmp_path / "a.conll"
    path.write_text("# id = 12\n1\xa0000\tB-NUM\nmona\tO\n")
    docs, _ = read_docs(path, nlp)
    assert [(e.text, e.label_) for e in docs[0].ents] == [("1\xa0000", "NUM")]
    path.write_text("# id = 12\nthe\tO\nmona\tart-work\nlisa\tart-work\n")
    docs, _ = read_docs(path, nlp)
    assert [(e.text, e.label_) for e in docs[0].ents] == [("mona lisa", "art-work")]
    path.write_text("the\tO\nyear\tB-NUM\nmona\tart-work\n")
    with pytest.raises(
        ValueError, match="line 3: .*'art-work' is not a tag like 'B-NUM'"
    ):
        read_docs(path, nlp)


def test_conll_without_a_tag(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("Anna B-PER\nmet\n")
    with pytest.raises(ValueError, match="line 2: the word has no tag"):
        read_docs(path, nlp)


def test_unknown_and_missing_files(nlp: Language, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no file"):
        read_docs(tmp_path / "a.jsonl", nlp)
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(ValueError, match="must end with .spacy or one of"):
        read_docs(tmp_path / "a.csv", nlp)
    (tmp_path / "a.spacy").write_text("no")
    with pytest.raises(ValueError, match="not a .spacy file"):
        read_docs(tmp_path / "a.spacy", nlp)
