"""The texts and labels that ways of reading are compared on."""

import pytest

from benchmarks.speed.measure import Results, Row
from benchmarks.speed.readings import BY_LABELS, LABELS, SIZES, label_names, made_texts
from benchmarks.speed.tables import CURVES, NOT_MEASURED, path_of, table_of


def test_texts_have_so_many_words_and_are_the_same_every_time() -> None:
    for words, _ in SIZES:
        texts = made_texts(words, 5)
        assert [len(text.split()) for text in texts] == [words] * 5
        assert texts == made_texts(words, 5) and len(set(texts)) == 5


def test_there_are_enough_labels_and_each_is_another() -> None:
    names = label_names(max(LABELS))
    assert len(set(names)) == max(LABELS) and all(names)
    assert label_names(4) == names[:4]


def test_each_precision_has_a_curve_by_labels_and_a_file() -> None:
    assert set(BY_LABELS.values()) <= set(CURVES)
    files = {path_of(each).name for each in BY_LABELS.values()}
    assert files == {"readings.json"}


def test_their_tables() -> None:
    rows = [
        Row("readings", "CLLMFS", "ms CPU a text", [100.0 * x], x=x) for x in (4, 200)
    ]
    rows.append(
        Row("readings.14-words-4-labels-float32", "CLLMFS", "ms CPU a text", [7.0])
    )
    results = Results({}, rows)
    assert "20,000" in table_of(results, "readings", "plots")
    assert table_of(results, "readings-bfloat16", "plots") == NOT_MEASURED
    assert "7.00" in table_of(results, "readings.14-words-4-labels-float32", "plots")
    with pytest.raises(KeyError):
        table_of(results, "readings of what", "plots")
