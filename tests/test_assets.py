"""The project's own data set is what its README says."""

import re
from collections import Counter
from pathlib import Path

import spacy
import srsly

from spacy_instructner.data.corpora import read_docs

ASSETS = Path(__file__).parents[1] / "assets" / "workshop"


def rows(split: str) -> list[dict]:
    return list(srsly.read_jsonl(ASSETS / f"{split}.jsonl"))


def frame(row: dict) -> str:
    """The sentence with its entities replaced by their labels."""
    text, out, end = row["text"], "", 0
    for span in row["spans"]:
        out += text[end : span["start"]] + span["label"]
        end = span["end"]
    return " ".join(re.findall(r"\w+", (out + text[end:]).lower()))


def entities(split: str) -> set:
    return {
        (row["text"][s["start"] : s["end"]].lower(), s["label"])
        for row in rows(split)
        for s in row["spans"]
    }


def test_size_and_labels() -> None:
    train, test = rows("train"), rows("test")
    assert len(train) == 150 and len(test) == 90
    for split, least in ((train, 30), (test, 20)):
        counts = Counter(s["label"] for row in split for s in row["spans"])
        assert set(counts) == {"PART", "FAULT", "TOOL", "SUPPLY", "SIZE", "BIKE"}
        assert min(counts.values()) >= least
        assert 0.05 < sum(not row["spans"] for row in split) / len(split) < 0.15


def test_spans_stand_on_words() -> None:
    for split in ("train", "test"):
        for row in rows(split):
            text, end = row["text"], 0
            for span in row["spans"]:
                assert end <= span["start"] < span["end"] <= len(text)
                end = span["end"]
                surface = text[span["start"] : span["end"]]
                assert surface == surface.strip()
                before, after = text[: span["start"]][-1:], text[span["end"] :][:1]
                assert not before.isalnum() and not after.isalnum(), row


def test_every_span_falls_on_spacys_tokens() -> None:
    for split in ("train", "test"):
        path = ASSETS / f"{split}.jsonl"
        docs, problems = read_docs(path, spacy.blank("en"))
        assert [str(problem) for problem in problems] == []
        assert sum(len(doc.ents) for doc in docs) == sum(
            len(row["spans"]) for row in rows(split)
        )


def test_no_two_sentences_are_equal_but_for_their_entities() -> None:
    counts = Counter(frame(row) for split in ("train", "test") for row in rows(split))
    assert [text for text, count in counts.items() if count > 1] == []


def test_much_of_the_test_set_is_new() -> None:
    test = entities("test")
    unseen = test - entities("train")
    assert 0.3 <= len(unseen) / len(test) <= 0.95
