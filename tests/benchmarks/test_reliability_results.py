"""What was measured of reliability is said as it was."""

from typing import Any

import pytest

from benchmarks.reliability import tables

BINS = [{"spans": 2, "score": 0.9, "right": 0.5}]


def test_sentences_and_tables() -> None:
    threads = {
        "texts": 7,
        "rows": [{"threads": 8, "wall": 1.25, "cpu": 2.0, "other": 3}],
        "pipe": {"wall": 0.5, "cpu": 0.75},
    }
    text = tables.threads(threads, "")
    assert text.startswith("7 texts:\n\n| Called by |")
    assert "| 8 threads | 1.2 | 2.0 | 3 |" in text and "| 0.5 | 0.8 | - |" in text
    kills = {"chunks": 60, "shares": [0.5, 0.02], "between": 1, "same": 2}
    text = tables.kills(kills, "")
    assert "killed (SIGKILL) 2 times" in text and "2 outputs were the same" in text
    assert "in %: 2, 50." in text
    ray: dict[str, Any] = {"workers": 2, "done": 10, "chunks": 60, "same": False}
    assert "NOT the same as" in tables.lost_worker(ray, "")
    assert "is the same, byte for byte, as" in tables.lost_worker(ray | {"same": 1}, "")
    row = {"words": 9, "before": 1.0, "peak": 2.0, "seconds": 3.4, "entities": 5}
    text = tables.long_texts({"rows": [row]}, "plots")
    assert "| 9 | 1 | 2 | 3 | 5 |" in text and "(plots/reliability-long.svg)" in text
    row = {
        "data": "some",
        "k": 10,
        "support": 40,
        "spans": 2,
        "before": BINS,
        "after": BINS,
        "errors": [0.4, 0.1],
    }
    text = tables.calibration({"rows": [row]}, "plots")
    assert "| some | 10 | 40 | 2 | 0.400 | 0.100 |" in text
    assert "(plots/reliability-calibration-some.svg)" in text
    (plot,) = tables.calibration_plots({"rows": [row]}).values()
    assert [(s.places, s.values) for s in plot.series[1:]] == [((0.9,), ((0.5,),))] * 2


def test_a_part_that_there_is_not() -> None:
    with pytest.raises(KeyError):
        tables.section("reliability kill", "")
