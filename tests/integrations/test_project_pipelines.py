"""A pipeline for each project: asked while another one is trained, and swapped when whole."""

import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language

from helpers.places import ROOT
from helpers.taught_texts import TEXTS, taught_spans
from integrations import project_pipelines
from integrations.project_pipelines import (
    KEPT,
    AskedText,
    FoundSpans,
    ProjectPipelines,
    ProjectTraining,
    TrainingUnderWay,
    label_words,
    save_beside,
    saved_pipelines,
)
from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.formats.rows import Row

Open = Callable[..., ProjectPipelines]
LABELS = {
    "PERSON": {"name": "", "definition": "somebody's name"},
    "PLACE": {"name": "town", "definition": ""},
}


def asked(text: str, labels: Any = None) -> AskedText:
    return AskedText(Row("a text", text, spans=taught_spans(text)), labels)


TAUGHT = [asked(text, LABELS) for text in TEXTS]


def found_in(pipelines: ProjectPipelines, project: str, text: str) -> Any:
    _, (found,) = pipelines.annotate(project, [AskedText(Row("a text", text), LABELS)])
    assert not found.error
    return [(text[a:b], label) for a, b, label, _ in found.spans]


@pytest.mark.long
@pytest.mark.usefixtures("quick_settings")
def test_what_a_project_teaches_is_its_own_and_stays(
    open_pipelines: Open, tmp_path: Path
) -> None:
    pipelines = open_pipelines()
    text = "Anna lives in Paris."
    before = found_in(pipelines, "1.5", text)
    assert pipelines.version("1.5") == "en_tiny-0.0.0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipelines.train("1.5", TAUGHT).result()
    assert pipelines.state("1.5") == ProjectTraining("trained", 4, 0, 151, 151)
    after = [("Anna", "PERSON"), ("Paris", "PLACE")]
    assert found_in(pipelines, "1.5", text) == after != before
    version = pipelines.version("1.5")
    assert version.startswith("en_tiny-0.0.0+1.20")
    # Another project is answered as ever.
    assert found_in(pipelines, "2.6", text) == before
    assert pipelines.version("2.6") == "en_tiny-0.0.0"
    pipelines.close()
    again = open_pipelines()
    assert again.version("1.5") == version
    assert found_in(again, "1.5", text) == after
    (saved,) = saved_pipelines(tmp_path / "models" / "1.5")
    # It is a pipeline like any other, and knows what it was taught.
    nlp = spacy.load(saved)
    pipe: Any = nlp.get_pipe("instruction_ner")
    assert pipe.labels == ("PERSON", "PLACE")
    assert pipe.label_words["PLACE"]["name"] == "town"
    assert pipe.label_words["PERSON"]["definition"] == "somebody's name"
    assert [(e.text, e.label_) for e in nlp(text).ents] == after


def test_a_text_that_fails_stops_no_other(open_pipelines: Open) -> None:
    pipelines = open_pipelines()
    alike = {"a": "", "A": ""}
    texts = [
        AskedText(Row("one", "Anna lives."), LABELS),
        AskedText(Row("two", "Anna lives."), alike),
        AskedText(Row("three", "Anna lives.", ("Anna", "sleeps")), LABELS),
        AskedText(Row("four", ""), LABELS),
        # Entities that somebody marked are not there to be found again.
        AskedText(Row("five", "Anna lives.", spans=((0, 11, "PLACE"),)), LABELS),
    ]
    version, found = pipelines.annotate("1.5", texts)
    assert version == "en_tiny-0.0.0"
    assert [bool(each.error) for each in found] == [False, True, True, False, False]
    assert "both called" in found[1].error and "tokens" in found[2].error
    assert found[3] == FoundSpans() and found[0] == found[4]
    assert {label for _, _, label, _ in found[0].spans} <= set(LABELS)


def test_the_least_certain_entity_tells_how_certain_a_text_is() -> None:
    assert FoundSpans().certainty == 1.0
    spans = ((0, 1, "A", 0.75), (2, 3, "A", 0.5), (4, 5, "A", None))
    assert FoundSpans(spans).certainty == 0.5


def test_the_version_is_told_while_others_wait(
    open_pipelines: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Label Studio takes a backend for broken that does not tell it in three seconds."""
    begun, may_end = threading.Event(), threading.Event()

    def slow(*_: Any) -> list[Any]:
        begun.set()
        assert may_end.wait(60)
        return []

    monkeypatch.setattr(project_pipelines, "annotate_each", slow)
    pipelines = open_pipelines()
    first = threading.Thread(target=pipelines.annotate, args=("1.5", []))
    first.start()
    assert begun.wait(60)
    saved = save_beside(spacy.blank("de"), pipelines.folder / "2.6")
    assert pipelines.version("1.5") == "en_tiny-0.0.0"
    assert pipelines.version("2.6") == f"de_pipeline-0.0.0+{saved.name}"
    assert first.is_alive()
    may_end.set()
    first.join(60)


def test_nothing_to_learn_is_said_at_once(open_pipelines: Open) -> None:
    pipelines = open_pipelines()
    with pytest.raises(ValueError, match="no entity to learn from"):
        pipelines.train("1.5", [AskedText(Row("one", "Anna"), LABELS)])
    half = AskedText(Row("one", "Anna", spans=((0, 2, "PERSON"),)), LABELS)
    with pytest.raises(ValueError, match="1 do not fall on tokens"):
        pipelines.train("1.5", [half])
    assert pipelines.state("1.5") == ProjectTraining() and pipelines.report() == {}


def test_one_training_of_a_project_at_a_time(
    open_pipelines: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the project is answered by what it had; a training that fails leaves it."""
    begun, may_end = threading.Event(), threading.Event()

    def slow(nlp: Language, *_: Any) -> Iterator[tuple[int, int, float]]:
        yield 1, 2, 0.5
        begun.set()
        assert may_end.wait(60)
        raise MemoryError("too much")

    monkeypatch.setattr(project_pipelines, "finetune", slow)
    pipelines = open_pipelines()
    text = "Anna lives in Paris."
    before = found_in(pipelines, "1.5", text)
    training = pipelines.train("1.5", TAUGHT)
    assert begun.wait(60)
    assert pipelines.state("1.5") == ProjectTraining("training", 4, 0, 1, 2)
    with pytest.raises(TrainingUnderWay):
        pipelines.train("1.5", TAUGHT)
    assert found_in(pipelines, "1.5", text) == before
    may_end.set()
    with pytest.raises(MemoryError):
        training.result()
    state = pipelines.state("1.5")
    assert (state.state, state.error) == ("failed", "MemoryError: too much")
    assert pipelines.report() == {"1.5": {**state.__dict__}}
    assert found_in(pipelines, "1.5", text) == before
    assert not saved_pipelines(pipelines.folder / "1.5")
    # The next one may begin.
    may_end.set()
    with pytest.raises(MemoryError):
        pipelines.train("1.5", TAUGHT).result()


def test_a_folder_is_one_process_s(open_pipelines: Open, base: Path) -> None:
    pipelines = open_pipelines()
    with pytest.raises(ValueError, match="Another process keeps"):
        ProjectPipelines(Pipeline(str(base)), pipelines.folder)
    pipelines.close()
    ProjectPipelines(Pipeline(str(base)), pipelines.folder).close()


def test_pipelines_without_the_component_are_refused(tmp_path: Path) -> None:
    spacy.blank("en").to_disk(tmp_path / "blank")
    for _ in range(2):
        # The folder is free again.
        with pytest.raises(ValueError, match="must have one instruction_ner"):
            ProjectPipelines(Pipeline(str(tmp_path / "blank")), tmp_path / "models")


def test_labels_of_all_texts() -> None:
    texts = [
        asked("Anna", LABELS),
        asked("Anna", {"PERSON": "another", "ANIMAL": "a beast"}),
        asked("Anna", ["COLOUR"]),
        asked("Paris is where Anna is."),
    ]
    assert label_words(texts) == {
        **LABELS,
        "ANIMAL": {"name": "", "definition": "a beast"},
        "COLOUR": {"name": "", "definition": ""},
    }
    assert list(label_words(texts[3:])) == ["PERSON", "PLACE"]


def test_the_last_ones_are_kept_and_numbered(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.meta["version"] = "1.2.3+9.1"
    folder = tmp_path / "1.5"
    folder.mkdir()
    (folder / ".saving-left").mkdir()
    # Ten comes after nine.
    (folder / "9.20200101000000").mkdir()
    made = [save_beside(nlp, folder).name.split(".")[0] for _ in range(3)]
    assert made == ["10", "11", "12"]
    assert nlp.meta["version"].startswith("1.2.3+12.20")
    left = saved_pipelines(folder)
    assert [path.name.split(".")[0] for path in left] == ["11", "12"]
    assert len(left) == KEPT and len(list(folder.iterdir())) == KEPT


KILLED = """
import os, signal, sys
from pathlib import Path
import spacy
from integrations.project_pipelines import save_beside

nlp = spacy.blank("en")
folder = Path(sys.argv[1])
save_beside(nlp, folder)
nlp.add_pipe("sentencizer")
pipe = nlp.get_pipe("sentencizer")
# In the middle of saving: some files are there, others are not.
pipe.to_disk = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
save_beside(nlp, folder)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_leaves_the_pipeline_of_before(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".saving-*"))
    (saved,) = saved_pipelines(tmp_path)
    assert json.loads((saved / "meta.json").read_text())["pipeline"] == []
    assert spacy.load(saved).pipe_names == []
    # What was left aside goes with the next one.
    nlp = spacy.blank("en")
    assert save_beside(nlp, tmp_path).name.startswith("2.")
    assert not list(tmp_path.glob(".saving-*"))
