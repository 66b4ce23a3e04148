"""Folders of annotated texts: what is read, what is refused, and how texts are cut."""

import gzip
from pathlib import Path

import pytest
import spacy

from helpers.base_pack import marked, write_rows, write_source
from spacy_instructner.pretraining.span_texts import (
    SpanText,
    read_span_folder,
    span_text_of,
)
from spacy_instructner.pretraining.variations import Text, text_of_spans
from spacy_instructner.pretraining.word_cuts import word_cutter


def test_a_folder_is_read_as_it_is(tmp_path: Path) -> None:
    folder = write_source(
        tmp_path / "one",
        [
            marked("In [Rome|city].", scope=["city", "date"]),
            marked("a [vet|vet,person] \u2028b", unsure=["named", "number"]),
            marked("nothing"),
        ],
        [marked("[Oslo|city]")],
        unsure={"named": ["spy"], "number": ["year", "sum"]},
        language="de",
    )
    read = read_span_folder(folder)
    assert read.language == "de"
    assert read.train == [
        SpanText("In Rome.", ((3, 7, "city"),), scope=frozenset({"city", "date"})),
        SpanText(
            "a vet \u2028b",
            ((2, 5, "vet"),),
            (("vet", "person"),),
            unsure=frozenset({"spy", "year", "sum"}),
        ),
        SpanText("nothing", ()),
    ]
    assert [text.labels for text in read.train] == [["city"], ["vet", "person"], []]
    assert read.dev == [SpanText("Oslo", ((0, 4, "city"),))]
    (folder / "dev.jsonl.gz").unlink()
    assert read_span_folder(folder).dev == []


GOOD = marked("In [Rome|city] and [Oslo|city]")


@pytest.mark.parametrize(
    "row,message",
    [
        ({"text": "x"}, "line 2: .*'spans'"),
        ({**GOOD, "spans": GOOD["spans"][::-1]}, "line 2: .*out of order"),
        ({**GOOD, "text": "In Rome and Os"}, "line 2: .*out of order or of the text"),
        (
            {"text": "a b", "spans": [{"start": 1, "end": 3, "label": "A"}]},
            "line 2: .*begins or ends with a space",
        ),
        ({**GOOD, "types": [["city"]]}, "line 2: .*must have the label of each span"),
        ({**GOOD, "types": [["town"], ["city"]]}, "must have the label of each span"),
        ({**GOOD, "unsure": ["who"]}, "line 2: .*'who'"),
        ([], "line 2"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, row: dict, message: str) -> None:
    folder = write_source(tmp_path / "one", [GOOD, row])
    with pytest.raises(ValueError, match=message):
        read_span_folder(folder)


def test_damaged_files_are_told(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "one", [GOOD] * 50)
    path = folder / "train.jsonl.gz"
    whole = path.read_bytes()
    for damaged in (whole[:-12], whole[: len(whole) // 2], b"no gzip file"):
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match="train.jsonl.gz cannot be read any further"
        ):
            read_span_folder(folder)
    path.write_bytes(gzip.compress(b'{"text": "\xff"}'))
    with pytest.raises(ValueError, match="line 1: byte"):
        read_span_folder(folder)
    write_rows(path, [GOOD])
    (folder / "dataset.json").write_text("{}")
    with pytest.raises(ValueError, match='must name the language of the texts: "lang'):
        read_span_folder(folder)
    (folder / "dataset.json").unlink()
    with pytest.raises(OSError, match="There is no file .*dataset.json"):
        read_span_folder(folder)


@pytest.mark.parametrize(
    "language,text,words",
    [
        ("en", "He didn't see [Rome|A].", ["He", "did", "n't", "see", "Rome", "."]),
        ("en", "pre[fix|A]es", ["pre", "fix", "es"]),
        ("fr", "l'hôtel [d'Oslo|A]", ["l'", "hôtel", "d'", "Oslo"]),
        (
            "ja",
            "これは[東京タワー|A]です。",
            ["これは", "東京", "タワー", "です", "。"],
        ),
        ("ko", "[서울|A]에서 3번", ["서울", "에서", "3번"]),
        ("zh", "在[北京|A]2天", ["在", "北", "京", "2", "天"]),
        ("hi", "[दिल्ली|A] में", ["दिल्ली", "में"]),
        ("ar", "في [القاهرة|A]", ["في", "القاهرة"]),
    ],
)
def test_texts_are_cut_as_their_language_is(
    language: str, text: str, words: list[str]
) -> None:
    row = marked(text)
    (span,) = row["spans"]
    cut = word_cutter(language, spacy.blank("en"))
    made = text_of_spans(row["text"], [(span["start"], span["end"], "A")], cut)
    assert list(made.words) == words
    ((start, end, label),) = made.entities
    joined = "".join(w + " " * s for w, s in zip(made.words, made.spaces, strict=True))
    assert joined.strip() == row["text"] and label == "A"
    inside = "".join(
        w + " " * s for w, s in zip(made.words[start:end], made.spaces[start:end])
    )
    assert inside.strip() == row["text"][span["start"] : span["end"]]


def test_words_become_characters_again() -> None:
    text = Text(("In", "New", "York", "."), (True, True, False, False), ((1, 3, "A"),))
    assert span_text_of(text) == SpanText("In New York.", ((3, 11, "A"),))
