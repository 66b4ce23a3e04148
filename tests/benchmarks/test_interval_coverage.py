"""How often intervals hold the truth, in simulated studies."""

import numpy as np
import pytest
import srsly

from benchmarks import interval_coverage
from benchmarks.interval_coverage import RESULTS, coverage, section, simulate, truth
from spacy_instructner.evaluation.bootstrap import f1_of, same_sentences


def test_a_simulated_study() -> None:
    counts = simulate(np.random.default_rng(3), 4, 300, 0.1)
    assert counts.shape == (2, 4, 300, 3) and counts.min() == 0
    draws = [draw for method in counts for draw in method]
    assert all(same_sentences(draws[0], draw) for draw in draws)
    one, other = f1_of(counts.sum(axis=2)).mean(axis=1)
    assert 0.5 < other < one < 0.8
    f1, spread = truth(0.1)
    assert 0.5 < f1[1] < f1[0] < 0.8 and 0.01 < spread < truth(0.35)[1] < 0.15


def test_the_share_that_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = ((np.array(f1), 0.02) for f1 in ((0.64, 0.588), (0.9, 0.1)))
    monkeypatch.setattr(interval_coverage, "truth", lambda noise: right)
    found = coverage(3, 10, 200, 0.1)
    assert (found["draws"], found["studies"]) == (3, 10)
    assert found["held"]["difference"] >= 0.7
    assert found["width"]["difference, nested"] < found["width"]["difference"]
    assert found["spread"] == 0.02
    monkeypatch.setattr(interval_coverage, "truth", lambda noise: wrong)
    assert set(coverage(3, 2, 200, 0.1)["held"].values()) == {0.0}


def test_what_was_measured() -> None:
    """Sentences that draws share are not resampled for each: too few would be held."""
    rows = srsly.read_json(RESULTS)["rows"]
    assert [row["draws"] for row in rows] == [1, 3, 5, 10] * 2
    for row in rows[:4]:
        held = row["held"]
        assert (held["difference"] > 0.9) == (row["draws"] > 1)
        if row["draws"] > 1:
            assert held["difference, nested"] < held["difference"]
    table = section("interval_coverage", "")
    assert table.count("\n") == 1 + len(rows)
    shown = f"{100 * rows[2]['held']['mean']:.0f} %"
    spread = f"{100 * rows[2]['spread']:.1f}"
    assert f"| {spread} | 5 | {rows[2]['studies']} | {shown}" in table
    with pytest.raises(KeyError):
        section("interval_coverage more", "")
