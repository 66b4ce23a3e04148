"""Counts by text, as a row of a study keeps them."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.places import ROOT
from spacy_instructner.fewshot.study import Study
from spacy_instructner.fewshot.text_counts import decode, encode, text_counts

HEADLINE = ROOT / "benchmarks" / "results" / "headline.jsonl"


def test_the_text_of_some_counts() -> None:
    """As the module's docstring has it."""
    rows = [[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1], [4, 0, 0]]
    assert encode(rows) == "AABQ.BA"
    assert decode("AABQ.BA").tolist() == rows
    # 3 + 4 · 3 + 16 · 3, the last one; 2 in the place of 16, and 5 = 1 · 4 + 1.
    assert encode([[3, 3, 3], [0, 37, 0]]) == "-..IEE"
    assert decode("-..IEE").tolist() == [[3, 3, 3], [0, 37, 0]]
    assert encode([]) == "" and decode("").shape == (0, 3)


@pytest.mark.parametrize("seed", range(20))
def test_counts_come_back(seed: int) -> None:
    rng = random.Random(seed)
    most = rng.choice([1, 3, 4, 15, 16, 63, 64, 10**6])
    rows = [
        [rng.randint(0, rng.choice([1, most])) for _ in range(3)]
        for _ in range(rng.randint(1, 300))
    ]
    text = encode(rows)
    assert decode(text).tolist() == rows
    # Every text has its own place: a row more is a text more, whatever is before it.
    assert decode(text + encode([[7, 0, 70]])).tolist() == [*rows, [7, 0, 70]]
    assert text.isascii() and not set(text) & set('"\\ \n')


def test_a_row_of_500_sentences_is_light() -> None:
    """GUM has long sentences with many entities, most of which are missed."""
    records = Study(HEADLINE).records()
    sizes: dict[str, int] = {}
    for record in records:
        counts = text_counts(record)
        assert counts is not None
        text = encode(counts.tolist())
        assert (decode(text) == counts).all()
        sizes[record["data"]] = max(sizes.get(record["data"], 0), len(text))
    assert {record["texts"] for record in records} == {100, 500}
    assert sizes["gum"] == max(sizes.values()) < 1000 and sizes["wnut2017"] < 700


@pytest.mark.parametrize("text", ["A B", "AA.", "..AA", "A.", "é", ".A.B", "=", "A,A"])
def test_what_is_no_counts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="These are no counts by text: "):
        decode(text)


@pytest.mark.parametrize("row", [[1, 2], [1, 2, 3, 4], [0, -1, 0], []])
def test_a_text_has_three_numbers(row: list[int]) -> None:
    with pytest.raises(ValueError, match="A text has three numbers from 0, not"):
        encode([row])


def test_rows_of_all_ages_are_read() -> None:
    rows = [[1, 0, 2], [5, 1, 0]]
    earlier = {"tp": [1, 5], "fp": [0, 1], "fn": [2, 0]}
    for kept in (earlier, encode(rows)):
        counts = text_counts({"name": "a", "texts": 2, "by_text": kept})
        assert counts is not None and counts.dtype == np.int64
        assert counts.tolist() == rows
    assert text_counts({"name": "a", "texts": 2}) is None


@pytest.mark.parametrize("kept", ["AAA", {"tp": [0], "fp": [0], "fn": [0]}, ""])
def test_counts_of_other_texts_are_refused(kept: Any) -> None:
    record = {"name": "wnut.given-5.0.a", "texts": 2, "by_text": kept}
    with pytest.raises(
        ValueError, match="run wnut.given-5.0.a has counts of . texts, "
    ):
        text_counts(record)


def test_a_study_keeps_them_whole(tmp_path: Path) -> None:
    study = Study(tmp_path / "study.jsonl")
    text = encode([[70, 0, 1], [0, 0, 0]])
    study.add({"name": "a", "texts": 2, "by_text": text})
    (record,) = study.records()
    counts = text_counts(record)
    assert counts is not None and counts.tolist() == [[70, 0, 1], [0, 0, 0]]
