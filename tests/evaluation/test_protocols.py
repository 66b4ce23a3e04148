"""`python -m spacy instructner evaluate`: two protocols, side by side."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from helpers.cli import fail, run
from helpers.pipelines import MakeNLP
from spacy_instructner.component import InstructionNERPipe, Prediction
from spacy_instructner.data.corpora import without_annotation
from spacy_instructner.evaluation.protocols import evaluate
from spacy_instructner.formats.outputs import write_docs
from spacy_instructner.resolve import Found

# The words of a text, and its entities.
GOLD: list[tuple[str, list[tuple[int, int, str]]]] = [
    ("Anna met Bert", [(0, 1, "PERSON")]),
    ("old Rome fell", [(1, 2, "PLACE")]),
    ("nothing at all", []),
    ("a blue sky", [(1, 2, "COLOR")]),
    ("Bert in Paris", [(0, 1, "PERSON"), (2, 3, "PLACE")]),
]
# Where the fake model says that there is an entity of each label.
FAKE = {"PERSON": (0, 1), "PLACE": (1, 2)}
Call = tuple[tuple[str, ...], list[str]]


def gold_docs(nlp: Language) -> list[Doc]:
    docs = []
    for text, entities in GOLD:
        doc = Doc(nlp.vocab, words=text.split())
        doc.set_ents([Span(doc, *entity) for entity in entities], default="outside")
        docs.append(doc)
    return docs


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The model says every label that it is asked for, at the label's own place. What
    it is asked, call by call."""
    made: list[Call] = []

    def predict(
        self: InstructionNERPipe,
        docs: Sequence[Doc],
        *,
        labels: Sequence[str] | None = None,
    ) -> list[Prediction]:
        asked = tuple(self.labels if labels is None else labels)
        made.append((asked, [doc.text.strip() for doc in docs]))
        found = tuple(Found(*FAKE[label], label, 0.5) for label in asked)
        return [Prediction(found) for _ in docs]

    monkeypatch.setattr(InstructionNERPipe, "predict", predict)
    return made


# By hand. All types: each of five texts is given a PERSON at its first word and a PLACE
# at its second. Right: Anna, Rome, Bert; wrong: seven; missed: the sky's color and Paris.
ALL = {"ents_p": 3 / 10, "ents_r": 3 / 5, "ents_f": 6 / 15, "texts": 5, "entities": 5}
ALL_BY_LABEL = {
    "PERSON": {"p": 2 / 5, "r": 1.0, "f": 4 / 7},
    "PLACE": {"p": 1 / 5, "r": 1 / 2, "f": 2 / 7},
    "COLOR": {"p": 0.0, "r": 0.0, "f": 0.0},
}
# Types known: one PERSON of the first, one PLACE of the second, none of the fourth, both
# of the fifth. Wrong is the fifth's PLACE alone; the same are missed.
KNOWN = {"ents_p": 3 / 4, "ents_r": 3 / 5, "ents_f": 6 / 9, "texts": 4, "entities": 5}
KNOWN_BY_LABEL = {
    "PERSON": {"p": 1.0, "r": 1.0, "f": 1.0},
    "PLACE": {"p": 1 / 2, "r": 1 / 2, "f": 1 / 2},
    "COLOR": {"p": 0.0, "r": 0.0, "f": 0.0},
}
BY_HAND = {"all_types": (ALL, ALL_BY_LABEL), "types_known": (KNOWN, KNOWN_BY_LABEL)}


def check(scores: dict[str, Any]) -> None:
    for protocol, (figures, by_label) in BY_HAND.items():
        own = scores[protocol]
        assert {key: own[key] for key in figures} == pytest.approx(figures)
        assert set(own["ents_per_type"]) == set(by_label)
        for label, of_label in by_label.items():
            assert own["ents_per_type"][label] == pytest.approx(of_label), label
        assert own["seconds"] > 0.0


def test_both_protocols_by_hand(make_nlp: MakeNLP, calls: list[Call]) -> None:
    nlp = make_nlp()
    docs = gold_docs(nlp)
    before = [doc.to_json() for doc in docs]
    check(evaluate(nlp, docs))
    # What is asked of which text; nothing of the one whose label nobody knows.
    texts = [text for text, _ in GOLD]
    assert calls[0] == (("PERSON", "PLACE"), texts)
    assert sorted(calls[1:]) == [
        (("PERSON",), [texts[0]]),
        (("PERSON", "PLACE"), [texts[4]]),
        (("PLACE",), [texts[1]]),
    ]
    assert [doc.to_json() for doc in docs] == before


def test_labels_keep_the_pipelines_order(make_nlp: MakeNLP, calls: list[Call]) -> None:
    nlp = make_nlp(labels=["PLACE", "PERSON"])
    evaluate(nlp, gold_docs(nlp))
    assert {asked for asked, _ in calls if len(asked) == 2} == {("PLACE", "PERSON")}


def test_a_text_without_entities_counts_in_all_types_alone(
    make_nlp: MakeNLP, calls: list[Call]
) -> None:
    nlp = make_nlp()
    docs = gold_docs(nlp)[2:3]
    scores = evaluate(nlp, docs)
    assert scores["all_types"]["ents_p"] == 0.0
    assert [scores[of]["texts"] for of in ("all_types", "types_known")] == [1, 0]
    assert scores["types_known"]["ents_f"] is None
    assert scores["types_known"]["ents_per_type"] is None
    # Nobody annotated it at all: it counts just the same.
    assert evaluate(nlp, [without_annotation(docs[0])])["all_types"]["ents_p"] == 0.0


def test_all_types_is_what_spacy_says(make_nlp: MakeNLP) -> None:
    """With a real, if random, model."""
    nlp = make_nlp()
    nlp.add_pipe("entity_ruler", first=True).add_patterns(
        [{"label": "PERSON", "pattern": "Bert"}]
    )
    docs = gold_docs(nlp)
    scores = evaluate(nlp, docs)
    spacys = nlp.evaluate([Example(without_annotation(doc), doc) for doc in docs])
    keys = ("ents_p", "ents_r", "ents_f", "ents_per_type")
    assert [scores["all_types"][key] for key in keys] == [spacys[key] for key in keys]
    # The ruler before the component runs in both protocols.
    for own in scores.values():
        assert own["ents_per_type"]["PERSON"]["r"] >= 0.5


def test_the_command(make_nlp: MakeNLP, calls: list[Call], tmp_path: Path) -> None:
    nlp = make_nlp()
    nlp.meta.update(name="tiny", version="1.2.3")
    nlp.to_disk(tmp_path / "pipeline")
    write_docs(gold_docs(nlp), tmp_path / "gold.spacy")
    files = (tmp_path / "pipeline", tmp_path / "gold.spacy")
    out = tmp_path / "new" / "scores.json"
    output = run("evaluate", *files, "--output", out)
    assert "1 entities count as missed: `instruction_ner` has no label COLOR" in output
    for row in (
        "All types Types known",
        "Texts 5 4",
        "Entities 5 5",
        "Precision 30.00 75.00",
        "Recall 60.00 60.00",
        "F1 40.00 66.67",
        "F1 PERSON 57.14 100.00",
        "F1 PLACE 28.57 50.00",
        "F1 COLOR 0.00 0.00",
    ):
        assert row in output, row
    assert re.search(r"Seconds \d+\.\d\d \d+\.\d\d Texts per second \d", output)
    said = json.loads(out.read_text())
    check(said)
    assert said["name"] == "tiny" and said["version"] == "1.2.3"
    assert said["labels"] == ["PERSON", "PLACE"]
    assert said["labels_not_asked"] == {"COLOR": 1}
    assert set(said) == {"name", "version", "labels", "labels_not_asked", *BY_HAND}
    assert (
        set(said["all_types"])
        == set(said["types_known"])
        == {
            *("ents_p", "ents_r", "ents_f", "ents_per_type"),
            *("texts", "entities", "seconds"),
        }
    )
    assert not any(text in out.read_text() for text, _ in GOLD)


def test_the_command_takes_a_threshold(
    make_nlp: MakeNLP, calls: list[Call], tmp_path: Path
) -> None:
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "pipeline")
    write_docs(gold_docs(nlp)[:1], tmp_path / "gold.spacy")
    files = (tmp_path / "pipeline", tmp_path / "gold.spacy")
    assert "Recall 100.00 100.00" in run("evaluate", *files, "--threshold", 0.5)
    assert "Recall 0.00 0.00" in run("evaluate", *files, "--threshold", 0.6)


def test_the_command_reads_other_files(
    make_nlp: MakeNLP, calls: list[Call], tmp_path: Path
) -> None:
    make_nlp().to_disk(tmp_path / "pipeline")
    spans = [
        {"start": 0, "end": 4, "label": "PERSON"},
        {"start": 5, "end": 6, "label": "PERSON"},
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "Anna met", "spans": spans}))
    output = run("evaluate", tmp_path / "pipeline", tmp_path / "a.jsonl")
    assert "line 1: PERSON at 5-6 ('m')" in output and "Entities 1 1" in output
    (tmp_path / "a.conll").write_text("Anna B-PERSON\nmet O\n\nno O\none O\n")
    output = run("evaluate", tmp_path / "pipeline", tmp_path / "a.conll")
    assert "Texts 2 1" in output and "without annotation" not in output
    # Nobody annotated these tokens.
    write_docs(
        [Doc(spacy.blank("en").vocab, words=["No", "one"])], tmp_path / "a.spacy"
    )
    output = run("evaluate", tmp_path / "pipeline", tmp_path / "a.spacy")
    assert "2 tokens without annotation count as O" in output
    assert "Precision 0.00 -" in output and "Texts 1 0" in output


def test_the_command_says_why_not(
    make_nlp: MakeNLP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold, pipeline = tmp_path / "gold.spacy", tmp_path / "pipeline"
    write_docs(gold_docs(spacy.blank("en")), gold)
    assert "Cannot evaluate" in fail("evaluate", tmp_path / "nothing", gold)

    spacy.blank("en").to_disk(pipeline)
    assert "It has: none" in fail("evaluate", pipeline, gold)

    nlp = make_nlp()
    nlp.add_pipe(
        "instruction_ner",
        name="other",
        config={
            "labels": ["PERSON"],
            "spans_key": "other",
            "model": nlp.get_pipe_config("instruction_ner")["model"],
        },
    )
    nlp.to_disk(pipeline)
    assert "It has: instruction_ner, other" in fail("evaluate", pipeline, gold)

    make_nlp(labels=[]).to_disk(pipeline)
    assert "has no labels" in fail("evaluate", pipeline, gold)

    make_nlp().to_disk(pipeline)
    write_docs([], tmp_path / "empty.spacy")
    assert "has no text" in fail("evaluate", pipeline, tmp_path / "empty.spacy")
    (tmp_path / "a.jsonl").write_text("nonsense")
    assert "line 1" in fail("evaluate", pipeline, tmp_path / "a.jsonl")

    def refuse(gpu: int) -> None:
        raise ValueError(f"No GPU {gpu}")

    monkeypatch.setattr("spacy.cli._util.require_gpu", refuse)
    assert "No GPU 7" in fail("evaluate", pipeline, gold, "--gpu-id", 7)
