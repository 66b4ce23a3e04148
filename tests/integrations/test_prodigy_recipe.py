"""The recipe for Prodigy, with a stand-in for Prodigy."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy

from helpers.places import ROOT
from helpers.stand_in_prodigy import (
    StandInDatabase,
    install_prodigy,
    lines_file,
    session,
)
from helpers.taught_texts import TEXTS, taught_spans

RECIPE = ROOT / "integrations" / "prodigy" / "instructner_recipe.py"
MANY = [f"{name} is in Paris {at}." for at, name in enumerate(["Anna", "Bert"] * 6)]
Recipe = Callable[..., dict[str, Any]]


@pytest.fixture
def prodigy(
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Recipe, StandInDatabase, Any]:
    """The recipe, the data base, and the recipe's module, loaded as `-F` does."""
    recipes, database = install_prodigy(monkeypatch)
    spec = importlib.util.spec_from_file_location("instructner_recipe", RECIPE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return recipes["instructner.correct"], database, module


def teach(task: dict[str, Any]) -> str:
    """Mark Anna and Paris, and nothing else."""
    tokens = {t["start"]: t for t in task["tokens"]}
    ends = {t["end"]: t for t in task["tokens"]}
    task["spans"] = [
        {
            "start": start,
            "end": end,
            "label": label,
            "token_start": tokens[start]["id"],
            "token_end": ends[end]["id"],
        }
        for start, end, label in taught_spans(task["text"])
    ]
    return "accept"


def test_the_least_certain_come_first_and_none_is_lost(
    prodigy: Any, base: Path, tmp_path: Path
) -> None:
    recipe, _, module = prodigy
    source = lines_file(tmp_path / "texts.jsonl", [*MANY, MANY[0]])
    parts = recipe("towns", str(base), source, among=6)
    assert (parts["dataset"], parts["view_id"]) == ("towns", "ner_manual")
    assert parts["exclude"] == ["towns"]
    assert parts["config"] == {"labels": ["PERSON", "PLACE"], "exclude_by": "input"}
    tasks = list(parts["stream"])
    # Among the six that come together.
    for texts, part in ((MANY[:6], tasks[:6]), (MANY[6:], tasks[6:])):
        assert sorted(task["text"] for task in part) == sorted(texts)
        scores = [task["meta"]["score"] for task in part]
        assert scores == sorted(scores) and len(set(scores)) > 1
    for task in tasks:
        assert task["meta"]["source"] == "x"
        own = [span["score"] for span in task["spans"]]
        assert task["meta"]["score"] == min(own, default=1.0)
        for span in task["spans"]:
            first, last = (
                task["tokens"][span[k]] for k in ("token_start", "token_end")
            )
            assert (span["start"], span["end"]) == (first["start"], last["end"])
        words = "".join(t["text"] + " " * t["ws"] for t in task["tokens"])
        assert words == task["text"]
        json.dumps(task)
    # A task is told from the same text without spans, or with other spans.
    bare = {"text": tasks[0]["text"]}
    module.prodigy.set_hashes(bare)
    assert tasks[0]["_input_hash"] == bare["_input_hash"]
    assert tasks[0]["spans"] and tasks[0]["_task_hash"] != bare["_task_hash"]
    parts["on_exit"](None)


def test_a_text_that_fails_is_offered_without_entities(
    prodigy: Any, base: Path
) -> None:
    _, _, module = prodigy
    own = module.Corrector(module.Pipeline(str(base)), {"a": "", "A": ""})
    tasks = [{"text": "Anna lives."}, {"text": ""}]
    found = list(own.offered(tasks, 8))
    assert sorted(task["text"] for task in found) == ["", "Anna lives."]
    failed = next(task for task in found if task["text"])
    assert failed["spans"] == [] and "both called" in failed["meta"]["error"]
    assert [token["text"] for token in failed["tokens"]] == ["Anna", "lives", "."]
    own.close()


def test_labels_and_what_they_mean(prodigy: Any, base: Path, tmp_path: Path) -> None:
    recipe, _, module = prodigy
    words = tmp_path / "words.json"
    words.write_text('{"TOWN": "a town", "SIGN": "a sign"}')
    assert module.read_meanings("SIGN, PET", str(words)) == {
        "SIGN": "a sign",
        "PET": "",
    }
    assert module.read_meanings(None, str(words)) == {
        "TOWN": "a town",
        "SIGN": "a sign",
    }
    assert module.read_meanings(None, None) == {}
    source = lines_file(tmp_path / "texts.jsonl", MANY[:1])
    parts = recipe("towns", str(base), source, "TOWN,PET", str(words))
    assert parts["config"]["labels"] == ["TOWN", "PET"]
    (task,) = parts["stream"]
    assert {span["label"] for span in task["spans"]} <= {"TOWN", "PET"}
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match="no instruction_ner"):
        recipe("towns", str(tmp_path / "blank"), source)


@pytest.mark.long
@pytest.mark.usefixtures("quick_settings")
def test_it_learns_from_corrections(
    prodigy: Any, base: Path, tmp_path: Path, capsys: Any
) -> None:
    recipe, database, module = prodigy
    # Corrected before, among them what teaches nothing.
    database.saved["towns"] = [
        {"text": TEXTS[2], "spans": [], "answer": "accept", "_input_hash": 1},
        {"text": TEXTS[2], "spans": [], "answer": "reject", "_input_hash": 2},
    ]
    texts = [TEXTS[0], TEXTS[1], TEXTS[3], "Anna is in Paris."]
    source = lines_file(tmp_path / "texts.jsonl", texts)
    saved = tmp_path / "made" / "corrected"
    parts = recipe(
        "towns", str(base), source, among=2, train_every=4, save_to=str(saved)
    )
    answered = session(parts, teach, batch=2)
    assert len(answered) == 4
    parts["on_exit"](None)
    said = "".join(capsys.readouterr())
    assert "Trained on 5 texts" in said
    nlp = spacy.load(saved)
    for text in TEXTS:
        found = tuple((e.start_char, e.end_char, e.label_) for e in nlp(text).ents)
        assert found == taught_spans(text)
    assert list(saved.parent.iterdir()) == [saved]


@pytest.fixture
def counted(
    prodigy: Any, base: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, list[int]]]:
    """A corrector, and of how many texts each of its trainings is."""
    _, _, module = prodigy
    made = module.Corrector(module.Pipeline(str(base)), {}, train_every=3)
    trainings: list[int] = []
    monkeypatch.setattr(
        module, "finetune", lambda _, __, docs, ___: trainings.append(len(docs)) or ()
    )
    yield made, trainings
    made.close()


def corrected(text: str, answer: str = "accept") -> dict[str, Any]:
    spans = [{"start": 0, "end": 4, "label": "PERSON"}]
    return {"text": text, "spans": spans, "answer": answer, "_input_hash": hash(text)}


def test_when_it_learns(counted: Any, capsys: Any) -> None:
    corrector, trainings = counted

    def send(*answers: dict[str, Any]) -> list[int]:
        corrector.update(answers)
        if corrector.training:
            corrector.training.result()
        return list(trainings)

    assert send(corrected("Anna 1"), corrected("Anna 2", "ignore")) == []
    # The same text again is no new one, and may be taken back.
    assert send(corrected("Anna 1"), corrected("Anna 3")) == []
    assert send(corrected("Anna 3", "reject"), corrected("Anna 4")) == []
    assert send(corrected("Anna 5")) == [3]
    assert send(corrected("Anna 6"), corrected("Anna 7")) == [3]
    before = corrector.nlp
    assert send(corrected("Anna 8"), corrected("Anna 9")) == [3, 7]
    assert corrector.nlp is not before
    assert "Trained on 7 texts" in "".join(capsys.readouterr())


def test_what_goes_wrong_is_said_and_the_pipeline_stays(
    counted: Any, capsys: Any
) -> None:
    corrector, trainings = counted
    before = corrector.nlp
    empty = [{**corrected(f"Anna {at}"), "spans": []} for at in range(3)]
    corrector.update(empty)
    corrector.training.result()
    assert "no entity to learn from" in "".join(capsys.readouterr())
    bad = {**corrected("Bert"), "spans": [{"start": "x", "label": "PERSON"}]}
    corrector.update([bad, corrected("Anna 5"), corrected("Anna 6")])
    with pytest.raises(ValueError, match="corrections, line 4"):
        corrector.training.result()
    assert "corrections, line 4" in "".join(capsys.readouterr())
    assert trainings == [] and corrector.nlp is before
