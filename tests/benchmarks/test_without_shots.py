"""F1 without shots at one threshold for all sets, and its table."""

from pathlib import Path

import pytest
import srsly

from benchmarks import without_shots
from benchmarks.without_shots import Reading
from spacy_instructner.evaluation.metrics import ERRORS
from spacy_instructner.evaluation.predicted_texts import PredictedTexts

GOLD = [[(0, 3, "A"), (5, 8, "B")]]


def texts(score: float) -> PredictedTexts:
    """One right span of this score, and a wrong one of 0.3; at its own threshold, 0.5."""
    spans = [(0, 3, "A", score), (9, 12, "B", 0.3)]
    found = [span for span in spans if span[3] >= 0.5]
    return PredictedTexts(GOLD, [found], [spans], [])


def test_one_threshold_serves_all_sets() -> None:
    reading = Reading({"one": texts(0.9), "other": texts(0.4)}, {})
    # One of two is found, and nothing else; nothing at all.
    assert reading.f1(None) == {"one": pytest.approx(100 * 2 / 3), "other": 0.0}
    # From 0.35 on, the wrong spans are gone; above 0.4, the right one of the other, too.
    assert reading.best() == 0.35
    assert reading.f1(0.35) == dict.fromkeys(
        ("one", "other"), pytest.approx(100 * 2 / 3)
    )
    assert reading.f1(0.2) == dict.fromkeys(("one", "other"), 50.0)


def test_an_adapter_is_read_as_the_config_says() -> None:
    settings = without_shots.settings_of("some/folder")
    assert settings["model"]["start"] == "some/folder"
    assert settings["task"]["@misc"] == "spacy-instructner.JustPassTwice.v1"


def test_errors_are_counted_at_the_threshold_of_the_task() -> None:
    assert Reading({"one": texts(0.4)}, {}).errors()["one"]["missed"] == 2
    kinds = Reading({"one": texts(0.9)}, {}).errors()["one"]
    assert kinds == {**dict.fromkeys(ERRORS, 0), "missed": 1}


def test_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {
        "name": "a pilot", "own": {"gum": 20.04}, "best": {"gum": 31.26},
        "threshold": 0.25, "seconds": {"gum": 12.4}, "texts": {"gum": 60},
    }  # fmt: skip
    kinds = dict(zip(ERRORS, range(5)))
    sets = [f"{name}, test" for name in without_shots.CROSSNER]
    other = {
        "name": "the default", "own": {"gum": 10.0, **dict(zip(sets, range(5)))},
        "errors": {"gum": kinds, sets[0]: kinds}, "seconds": {"gum": 1.0, "ai": 2.0},
    }  # fmt: skip
    path = tmp_path / "results.json"
    srsly.write_json(path, {"development": [row], "reported": [other]})
    monkeypatch.setattr(without_shots, "RESULTS", path)

    def last(name: str) -> str:
        return without_shots.section(name, "plots").splitlines()[-1]

    assert last("without_shots") == "| a pilot | 20.0 | 31.3 | 0.25 | 12 |"
    assert last("without_shots reported") == (
        "| the default | 10.0 | 0.0 | 1.0 | 2.0 | 3.0 | 4.0 | 2.0 | 3 |"
    )
    assert last("without_shots errors") == "| the default | 0 | 2 | 4 | 6 | 8 |"
    with pytest.raises(KeyError):
        without_shots.section("without_shots of what", "plots")


def test_a_set_that_the_bases_have_seen_says_so() -> None:
    """In the heads of the tables that stand on the page."""
    seen = "wnut2017, dev (train split seen by the bases)"
    assert without_shots.noted("wnut2017, dev") == seen
    assert without_shots.noted("gum, test") == "gum, test"
    head = without_shots.section("without_shots reported", "").splitlines()[0]
    assert f"| {seen} | gum, test |" in head
