"""How often intervals hold the truth, in simulated studies."""

import numpy as np
import pytest
import srsly

from benchmarks import interval_coverage
from benchmarks.interval_coverage import RESULTS, coverage, section, simulate
from spacy_instructner.evaluation.bootstrap import f1_of, same_sentences


def test_a_simulated_study() -> None:
    counts = simulate(np.random.default_rng(3), 4, 300)
    assert counts.shape == (2, 4, 300, 3) and counts.min() == 0
    draws = [draw for method in counts for draw in method]
    assert all(same_sentences(draws[0], draw) for draw in draws)
    one, other = f1_of(counts.sum(axis=2)).mean(axis=1)
    assert 0.5 < other < one < 0.8


def test_the_share_that_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval_coverage, "truth", lambda: np.array([0.64, 0.588]))
    found = coverage(3, 10, 200)
    assert (found["draws"], found["studies"]) == (3, 10)
    assert found["held"]["difference"] >= 0.7
    assert found["width"]["difference, nested"] < found["width"]["difference"]
    monkeypatch.setattr(interval_coverage, "truth", lambda: np.array([0.9, 0.1]))
    assert set(coverage(3, 2, 200)["held"].values()) == {0.0}


def test_what_was_measured() -> None:
    """Sentences that draws share are not resampled for each: too few would be held."""
    rows = {row["draws"]: row["held"] for row in srsly.read_json(RESULTS)["rows"]}
    assert list(rows) == [1, 3, 5, 10]
    for draws in (3, 5, 10):
        assert rows[draws]["difference"] > 0.9 > rows[1]["difference"]
        assert rows[draws]["difference, nested"] < rows[draws]["difference"]
    table = section("interval_coverage", "")
    assert table.count("\n") == 1 + len(rows)
    shown = f"{100 * rows[5]['mean']:.0f} %"
    assert f"| 5 | {srsly.read_json(RESULTS)['rows'][2]['studies']} | {shown}" in table
    with pytest.raises(KeyError):
        section("interval_coverage more", "")
