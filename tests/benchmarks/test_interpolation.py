"""Between start and learned weights after a few shots, and its table."""

from pathlib import Path
from typing import Any

import pytest
import srsly
from thinc.api import Adam

from benchmarks import interpolation
from benchmarks.interpolation import (
    OTHERS,
    drawn_of,
    f1_by_share,
    read_runs,
    results_table,
)
from helpers.pipelines import MakeNLP
from helpers.training import gold_docs, initialized, train_by_hand
from spacy_instructner.evaluation.weight_choice import SHARES, f1_counts
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.models.weight_interpolation import trained_weights

NAME = "instruction_ner"


def test_every_set_is_of_a_grid_and_is_drawn_from(tmp_path: Path) -> None:
    runs = read_runs(tmp_path)
    assert set(OTHERS) | set(OTHERS.values()) <= set(runs)
    run = drawn_of(runs["wnut2017"], 2)
    assert (run.protocol, run.k, run.seed, run.texts) == ("given", 5, 2, 300)
    run = drawn_of(runs["mit_movie_trivia"], 1)
    assert (run.protocol, run.k, run.seed, run.ways) == ("at-least-k", 5, 1, 0)


def test_f1_goes_from_the_start_to_what_was_learned(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    docs = gold_docs(nlp)
    begun = f1_counts(nlp, docs).f1
    start = trained_weights(get_backbone(nlp.get_pipe(NAME).model))
    train_by_hand(nlp, 60, Adam(0.01))
    learned = f1_counts(nlp, docs).f1
    found = f1_by_share(nlp, start, docs)
    assert list(found) == [f"{share:g}" for share in SHARES]
    assert found["0"] == begun < learned == found["1"]


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shares(*values: float) -> dict[str, float]:
        return dict(zip((f"{share:g}" for share in SHARES), values))

    row: dict[str, Any] = {
        "data": "mit_movie_trivia", "seed": 0, "test": shares(0.5, 0.6, 0.65, 0.66, 0.67),
        "other": shares(0.53, 0.54, 0.52, 0.52, 0.48),
        "crossed": shares(0.52, 0.56, 0.589, 0.54, 0.51),
    }  # fmt: skip
    monkeypatch.setattr(interpolation, "RESULTS", tmp_path / "results.json")
    srsly.write_json(tmp_path / "results.json", [row])
    lines = interpolation.section("interpolation", "plots").splitlines()
    assert lines == results_table([row]).splitlines()
    assert lines[0] == "| Learned | Asked | 0 | 0.25 | 0.5 | 0.75 | 1 |"
    assert lines[2].endswith("| test sentences | 50.0 | 60.0 | 65.0 | 66.0 | 67.0 |")
    assert "by cross-fitting: 0.5 is chosen" in lines[3]
    assert "labels of mit_restaurant" in lines[4]
    with pytest.raises(KeyError):
        interpolation.section("interpolation of what", "plots")
