"""What is behind the page to try a pipeline: answers, corrections, training."""

import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import spacy
from confection import Config
from spacy.language import Language

from helpers.places import ROOT
from helpers.serving import LABELS, later, rows
from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.serving import finetune
from spacy_instructner.serving.session import PIECE, PipelineSession, line_pieces


def test_places() -> None:
    text = "one\r\n\n  \ntwo " + "x" * PIECE + "\nthree"
    found = list(line_pieces(text))
    assert all(text[at : at + len(piece)] == piece for at, piece in found)
    assert [piece for _, piece in found][0] == "one"
    assert "".join("".join(p for _, p in found).split()) == "".join(text.split())
    assert max(len(piece) for _, piece in found) <= PIECE


def test_answers_are_of_the_text_and_its_labels(folder: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)))
    assert session.labels() == {"PERSON": "somebody's name", "PLACE": ""}
    text = "Anna met Bert\n\nin Paris and Rome 😀 \ud800.\nThen Anna went."
    labels = {"TOWN": "", "animal": "a beast"}
    events = list(session.annotate(text, labels, later()))
    assert [(e["start"], e["end"]) for e in events] == [(0, 13), (15, 37), (38, 53)]
    spans = [span for event in events for span in event["spans"]]
    assert spans and {span["label"] for span in spans} <= set(labels)
    for event in events:
        places_ = {tuple(place) for place in event["tokens"]}
        words = [text[start:end] for start, end in sorted(places_)]
        assert "".join(words) == "".join(text[event["start"] : event["end"]].split())
        for span in event["spans"]:
            assert span["start"] in {start for start, _ in places_}
            assert span["end"] in {end for _, end in places_}
            assert 0.0 <= span["score"] <= 1.0
    # Alone, each line is answered the same.
    (alone,) = session.annotate("Then Anna went.", labels, later())
    assert alone["spans"] == [
        {**span, "start": span["start"] - 38, "end": span["end"] - 38}
        for span in events[2]["spans"]
    ]


def test_time_and_errors_are_events(folder: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)))
    events = list(session.annotate("Anna\nBert", LABELS, time.monotonic()))
    assert len(events) == 1 and "Time is up" in events[0]["error"]
    events = list(session.annotate("Anna\nBert", {"a": "", "A": ""}, later()))
    assert len(events) == 2
    assert all("both called" in event["error"] for event in events)


def test_tokens_that_other_components_merge(folder: Path, tmp_path: Path) -> None:
    text = "Anna Brown met Bert in old Paris and Rome."
    labels = {"PERSON": "", "PLACE": ""}
    nlp = spacy.load(folder)
    nlp.add_pipe("merge_entities")
    nlp.to_disk(tmp_path / "merged")
    spans = []
    for path in (folder, tmp_path / "merged"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (event,) = PipelineSession(Pipeline(str(path))).annotate(
                text, labels, later()
            )
        spans.append(event["spans"])
    assert spans[0] == spans[1] and all(span["score"] for span in spans[0])
    assert spans[0]


def test_a_text_over_the_pipelines_limit_is_read_in_pieces(folder: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)))
    session.nlp.max_length = 20
    text = "Anna met Bert in Paris and Rome and was gone"
    events = list(session.annotate(text, {"PERSON": ""}, later()))
    assert len(events) == 3 and all("error" not in event for event in events)
    assert "".join(text[e["start"] : e["end"]] for e in events) == text


def test_a_pipeline_without_the_component_is_refused(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "other")
    with pytest.raises(
        ValueError,
        match="no instruction_ner component. Its components are: sentencizer",
    ):
        PipelineSession(Pipeline(str(tmp_path / "other")))


@pytest.mark.long
@pytest.mark.usefixtures("tiny_settings")
def test_training_changes_answers_and_can_be_kept(folder: Path, tmp_path: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)), tmp_path / "trained")
    lesson = rows(
        "Anna lives in Paris.", "Paris is old.", "Anna met me.", "An old \ud800"
    )
    events = list(session.finetune(lesson, LABELS))
    *steps, end = events
    assert [event["step"] for event in steps] == list(range(1, 152))
    assert {event["of"] for event in steps} == {151}
    losses = [event["loss"] for event in steps]
    assert losses[0] > 3 * losses[-1] > 0
    assert end["saved"] == str(tmp_path / "trained") and end["seconds"] > 0
    (event,) = session.annotate("Anna lives in Paris.", LABELS, later())
    found = [(s["start"], s["end"], s["label"]) for s in event["spans"]]
    assert found == [(0, 4, "PERSON"), (14, 19, "PLACE")]
    again = PipelineSession(Pipeline(str(tmp_path / "trained")))
    (same,) = again.annotate("Anna lives in Paris.", LABELS, later())
    assert same == event and again.labels() == LABELS
    # Once more, in its place; nothing lies about.
    *_, end = session.finetune(lesson, {**LABELS, "TOOL": ""})
    later_ = PipelineSession(Pipeline(str(tmp_path / "trained")))
    assert later_.labels() == {**LABELS, "TOOL": ""}
    assert [path.name for path in tmp_path.iterdir()] == ["trained"]
    (tmp_path / "letters").mkdir()
    with pytest.raises(
        ValueError, match="letters is not a pipeline, and would be overw"
    ):
        PipelineSession(Pipeline(str(folder)), tmp_path / "letters")
    with pytest.raises(ValueError, match="is an input, and would be overwritten"):
        PipelineSession(Pipeline(str(folder)), folder)


def test_texts_leave_nothing_behind(folder: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)))
    list(session.annotate("Anna", LABELS, later()))
    strings = len(session.nlp.vocab.strings)
    for at in range(5):
        list(session.annotate(f"Anna{at} met B{at}x", {f"L{at}": ""}, later()))
    assert len(session.nlp.vocab.strings) == strings


def test_a_training_that_cannot_be_saved_is_not_lost(
    folder: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    session = PipelineSession(Pipeline(str(folder)), tmp_path / "trained")
    before = session.nlp

    def full(*given: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Language, "to_disk", full)
    with pytest.raises(OSError, match="No space left"):
        list(session.finetune(rows("Anna lives in Paris."), LABELS))
    assert session.nlp is not before and not (tmp_path / "trained").exists()


def test_what_cannot_be_learned_leaves_everything_as_it_was(folder: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)))
    nlp = session.nlp
    for lesson, said in (
        (rows("nobody"), "no entity"),
        ([], "no entity"),
        (
            [{"text": "Anna", "spans": [{"start": 0, "end": 2, "label": "PERSON"}]}],
            "Example 1 .'Anna' ….: PERSON at 0-2 .* does not fall on token borders",
        ),
        (
            [{"text": "Anna", "spans": [{"start": 0, "end": 4, "label": "DOG"}]}],
            "not asked for: DOG",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            list(session.finetune(lesson, LABELS))
    assert session.nlp is nlp


def test_corrections_are_learned_as_the_default_learns() -> None:
    """One set of training settings, in two places."""
    own = Config().from_disk(finetune.SETTINGS)["training"]
    default = Config().from_disk(ROOT / "configs" / "fewshot.cfg")["training"]
    for block in (own, own["batcher"], own["optimizer"]):
        assert block
    for name, value in own.items():
        if isinstance(value, dict):
            assert value == {k: v for k, v in default[name].items() if v is not None}
        else:
            assert name == "seed" or value == default[name]
