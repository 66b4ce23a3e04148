"""What five shots make a component forget, and its tables."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import Doc

from benchmarks import forgetting_shots
from benchmarks.few_shots import asked_for
from benchmarks.forgetting_shots import (
    FEWNERD,
    METHODS,
    OTHERS,
    PARTS,
    measure,
    results_table,
    runs_of,
    settings,
    write_unlabelled,
)
from helpers.pipelines import MakeNLP
from helpers.training import TRAIN
from spacy_instructner.fewshot.draws import Draw
from spacy_instructner.fewshot.grid import DataSet, Method, Run
from spacy_instructner.fewshot.study import Study

NAME = "instruction_ner"
TINY = {
    "training.max_steps": 2,
    "training.eval_frequency": 2,
    f"components.{NAME}.model.precision": "float32",
    f"components.{NAME}.model.start": None,
    f"components.{NAME}.model.layers": None,
}


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Run]:
    """Two small data sets: names of people, and of places."""
    found = {}
    for name, label in (("trained", "PERSON"), ("asked", "PLACE")):
        rows = []
        nlp = spacy.blank("en")
        for at, (text, entities) in enumerate(4 * TRAIN):
            doc = nlp.make_doc(f"{text} {at}")
            spans = [doc[a:b] for a, b, own in entities if own == label]
            own = [
                {"start": each.start_char, "end": each.end_char, "label": label}
                for each in spans
            ]
            rows.append({"text": doc.text, "spans": own})
        for part, lines in (("train", rows[:10]), ("test", rows[10:])):
            with gzip.open(tmp_path / f"{name}.{part}.jsonl.gz", "wt") as file_:
                file_.writelines(json.dumps(row) + "\n" for row in lines)
        (tmp_path / f"{name}.json").write_text(json.dumps({label: f"a {label}"}))
        data = DataSet(
            name,
            test=tmp_path / f"{name}.test.jsonl.gz",
            train=tmp_path / f"{name}.train.jsonl.gz",
            definitions=tmp_path / f"{name}.json",
        )
        found[name] = Run(data, "at-least-k", 5, 0, Method("none"), 300)
    return found


@pytest.mark.parametrize("method", list(METHODS))
def test_a_row_has_what_was_known_before_and_after(
    runs: dict[str, Run],
    method: str,
    tiny_causal: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forgetting_shots, "OTHERS", {"trained": ("asked",)})
    monkeypatch.setitem(
        METHODS["self-training"][f"initialize.components.{NAME}.self_training"],
        "after",
        1,
    )
    overrides = {**TINY, f"components.{NAME}.model.name": str(tiny_causal)}
    row = measure(runs, "trained", 1, method, overrides)
    assert (row["trained"], row["seed"], row["method"]) == ("trained", 1, method)
    assert set(row["asked"]["asked"]) == {"before", "after"}
    values = [*row["asked"]["asked"].values(), row["learned"]]
    assert all(0.0 <= value <= 1.0 for value in values)
    assert row["texts"] == {"test": 6, "asked": 6}


def test_the_data_and_the_methods(tmp_path: Path) -> None:
    runs = runs_of(tmp_path)
    assert {*OTHERS, *(name for own in OTHERS.values() for name in own)} <= set(runs)
    assert runs[FEWNERD].data.test == tmp_path / "fewnerd_inter" / "dev.jsonl.gz"
    assert {name for own in PARTS.values() for name in own} == set(METHODS)
    assert settings("none", tmp_path) == {}
    (block,) = settings("self-training", tmp_path / "texts.jsonl").values()
    assert block["path"] == str(tmp_path / "texts.jsonl") and block["after"] == 40
    # The settings themselves stay.
    (block,) = METHODS["self-training"].values()
    assert "path" not in block


def test_unlabelled_texts_are_neither_learned_nor_scored(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    nlp = spacy.blank("en")
    barred = [nlp.make_doc(f"{TRAIN[0][0]} 0"), nlp.make_doc(f"{TRAIN[1][0]} 1")]
    drawn = Draw(barred[:1], barred[1:])
    assert write_unlabelled(runs["trained"], drawn, tmp_path / "texts.jsonl") == 8
    rows = [json.loads(line) for line in (tmp_path / "texts.jsonl").open()]
    assert all(set(row) == {"text"} for row in rows)
    assert {doc.text for doc in barred}.isdisjoint(row["text"] for row in rows)


def test_other_labels_are_asked_for_only_meanwhile(
    make_nlp: MakeNLP, runs: dict[str, Run]
) -> None:
    nlp = make_nlp(labels=["PERSON"])
    pipe = nlp.get_pipe(NAME)
    before = dict(pipe.cfg)
    with pytest.raises(KeyError), asked_for(nlp, runs["asked"]):
        assert pipe.label_words["PLACE"]["definition"] == "a PLACE"
        assert pipe.labels == ("PLACE",)
        raise KeyError
    assert pipe.cfg == before and isinstance(nlp("Anna"), Doc)


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def row(seed: int, method: str, after: float) -> dict[str, Any]:
        asked = {"mit_restaurant": {"before": 0.5, "after": after}}
        asked[FEWNERD] = {"before": 0.2, "after": 0.1}
        return {
            "name": f"{seed}.{method}", "trained": "mit_movie_trivia", "seed": seed,
            "method": method, "asked": asked, "learned": 0.66,
        }  # fmt: skip

    study = Study(tmp_path / "study.jsonl")
    monkeypatch.setattr(forgetting_shots, "STUDY", study)
    assert forgetting_shots.section("forgetting_shots rehearsal", "") == (
        "Not measured yet."
    )
    rows = [row(0, "none", 0.4), row(1, "none", 0.3), row(0, "rehearsal", 0.5)]
    for each in rows:
        study.add(each)
    lines = forgetting_shots.section("forgetting_shots rehearsal", "").splitlines()
    assert lines == results_table(rows, PARTS["rehearsal"]).splitlines()
    start = "| mit_movie_trivia | mit_restaurant |"
    assert lines[2] == f"{start} none | 50.0 | 35.0 | 66.0 | 2 |"
    assert lines[3] == f"{start} rehearsal | 50.0 | 50.0 | 66.0 | 1 |"
    assert lines[4].startswith(f"| mit_movie_trivia | {FEWNERD} | none | 20.0 | 10.0 |")
    assert len(lines) == 6
    with pytest.raises(KeyError):
        forgetting_shots.section("forgetting_shots of what", "")
