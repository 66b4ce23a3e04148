"""`python -m spacy instructner debug-data`"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

import spacy_instructner.cli  # noqa: F401
from helpers.cli import fail, run
from helpers.places import ROOT
from spacy_instructner.data.checks import (
    LARGE_PER_LABEL,
    LARGE_SOURCE,
    LARGE_TEXTS,
    check_size,
)


def debug(
    tiny: Path,
    tmp_path: Path,
    *arguments: object,
    fails: bool = False,
    task: str = "InstructionNER",
) -> str:
    config = tmp_path / "debug.cfg"
    config.write_text(
        "[paths]\ndefinitions = null\n"
        "[initialize]\n[initialize.components]\n"
        "[initialize.components.instruction_ner]\n"
        "[initialize.components.instruction_ner.definitions]\n"
        '@readers = "spacy-instructner.LabelWords.v1"\npath = ${paths.definitions}\n'
        '[nlp]\nlang = "en"\npipeline = ["instruction_ner"]\n'
        '[components]\n[components.instruction_ner]\nfactory = "instruction_ner"\n'
        "max_window = 60\nwindow_overlap = 10\n"
        "[components.instruction_ner.model]\n"
        '@architectures = "spacy-instructner.CausalLM.v1"\n'
        f'name = "{tiny}"\n'
        "[components.instruction_ner.task]\n"
        f'@misc = "spacy-instructner.{task}.v1"\n'
    )
    return (fail if fails else run)("debug-data", config, *arguments)


def test_debug_data_on_sound_data(tiny_causal: Path, tmp_path: Path) -> None:
    rows = [
        {"text": f"Anna {n} met", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
        for n in range(6)
    ]
    rows.append({"text": "No one", "spans": []})
    source = tmp_path / "a.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    output = debug(tiny_causal, tmp_path, source)
    assert (
        "Training is possible with these data" in output
        and "more than once" not in output
    )


def rows_of(labels: Sequence[str]) -> list[Doc]:
    """A text for each label, of an entity; without one for ""."""
    found = []
    for label in labels:
        doc = Doc(Vocab(), words=["Anna", "met"])
        doc.set_ents([Span(doc, 0, 1, label)] if label else [], default="outside")
        found.append(doc)
    return found


@pytest.mark.parametrize(
    "labels,large",
    [
        (["PER"] * 5 + [""] * (LARGE_TEXTS - 5), True),
        (["PER"] * 5 + [""] * (LARGE_TEXTS - 6), False),
        (["PER", "PLACE"] * LARGE_PER_LABEL, True),
        (["PER", "PLACE"] * LARGE_PER_LABEL + ["CITY"], False),
        # Nothing to be learned is not many.
        ([""] * LARGE_TEXTS, False),
        ([], False),
    ],
)
def test_data_are_large_by_texts_or_by_every_label(
    labels: list[str], large: bool
) -> None:
    found = check_size(rows_of(labels))
    assert len(found) == large and not any(finding.fatal for finding in found)


def test_the_page_that_says_what_is_large_is_there() -> None:
    """It names the same figures."""
    page = " ".join((ROOT / LARGE_SOURCE).read_text(encoding="utf8").split())
    assert (
        f"{LARGE_TEXTS} sentences, or {LARGE_PER_LABEL} entities of each label" in page
    )


def test_debug_data_says_when_plain_spacy_may_do(
    tiny_causal: Path, tmp_path: Path
) -> None:
    rows = [
        {"text": f"Anna {n} met", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
        for n in range(LARGE_PER_LABEL)
    ]
    source = tmp_path / "a.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    output = debug(tiny_causal, tmp_path, source)
    assert "The data has 50 texts, and 50 or more entities of each label" in output
    assert "a plain spaCy `ner` may be level or better" in output
    assert LARGE_SOURCE in output and "Training is possible with these data" in output
    source.write_text("\n".join(map(json.dumps, rows[1:])))
    assert "plain spaCy" not in debug(tiny_causal, tmp_path, source)


def test_debug_data_finds_everything(tiny_causal: Path, tmp_path: Path) -> None:
    def row(text: str, *spans: tuple) -> dict:
        keys = ("start", "end", "label")
        return {"text": text, "spans": [dict(zip(keys, span)) for span in spans]}

    train = [
        row("Anna met", (0, 4, "PER")),
        row("Anna met", (0, 4, "PLACE")),  # the same text, in two ways
        row("Bert is in Rome", (0, 2, "PER"), (11, 15, "PLACE")),  # misaligned
        row("Rome or Paris", (0, 13, "PLACE"), (8, 13, "PLACE")),  # overlapping
        row("x" * 500 + " in Rome", (0, 500, "PER")),  # cannot be said
        row("Anna met Bert in Paris " * 20, (0, 4, "PER")),  # over the window
    ]
    test = [row("Anna  met", (0, 4, "PER")), row("Blue", (0, 4, "COLOR"))]
    for name, rows in (("train", train), ("test", test)):
        text = "\n".join(map(json.dumps, rows))
        (tmp_path / f"{name}.jsonl").write_text(text)
    files = (tmp_path / "train.jsonl", "--test", tmp_path / "test.jsonl")
    output = debug(tiny_causal, tmp_path, *files)
    for finding in (
        "line 3: PER at 0-2 ('Be') does not fall on token borders",
        "line 4: PLACE at 8-13 ('Paris') overlaps",
        "1 texts occur more than once",
        "1 texts are annotated in two ways",
        "1 test texts are in the training data",
        "Only the test data has these labels: COLOR",
        "Every text has an entity",
        "fewer than 5 examples of: PER, PLACE",
        "1 texts are cut into windows",
        "1 entities fit into no answer",
    ):
        assert finding in output, finding


def test_debug_data_knows_what_labels_mean(tiny_causal: Path, tmp_path: Path) -> None:
    spans = [
        {"start": 0, "end": 4, "label": "PER"},
        {"start": 9, "end": 13, "label": "PAL"},
    ]
    source, words = tmp_path / "a.jsonl", tmp_path / "words.json"
    source.write_text(json.dumps({"text": "Anna met Bert", "spans": spans}))
    words.write_text(json.dumps({"PER": "somebody's name"}))
    given = ("--paths.definitions", words)

    def without(*arguments: object, task: str = "CLLMFS") -> list[str]:
        output = debug(tiny_causal, tmp_path, source, *arguments, task=task)
        # An empty answer is learnt from every label that does not occur.
        assert ("Every text has an entity" in output) == (task == "InstructionNER")
        return re.findall(
            r"labels have no definition: ([\w, ]+)\.", " ".join(output.split())
        )

    assert without() == ["PAL, PER"]
    assert without(*given) == ["PAL"]
    assert without(task="InstructionNER") == []
    words.write_text(json.dumps({"PER": "somebody's name", "PAL": "a friend"}))
    assert without(*given) == []
    words.write_text("[]")
    output = debug(tiny_causal, tmp_path, source, *given, fails=True)
    assert "must hold one JSON object" in " ".join(output.split())


def test_debug_data_names_labels_that_are_codes(
    tiny_causal: Path, tmp_path: Path
) -> None:
    """(The tiny model's tokenizer cuts nearly every word, so nothing is said of others.)"""
    spans = [
        {"start": 0, "end": 4, "label": "XK12"},
        {"start": 9, "end": 13, "label": "PER"},
    ]
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"text": "Anna met Bert", "spans": spans}))
    said = " ".join(debug(tiny_causal, tmp_path, source).split())
    assert "may not know what these labels mean: " in said
    assert "XK12 (asked as 'xk12')" in said and "in `label_names`, as" in said


def test_debug_data_names_colliding_labels(tiny_causal: Path, tmp_path: Path) -> None:
    spans = [
        {"start": 0, "end": 4, "label": "A_B"},
        {"start": 9, "end": 13, "label": "A-B"},
    ]
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"text": "Anna met Bert", "spans": spans}))
    output = debug(tiny_causal, tmp_path, source, fails=True)
    assert "both called 'a b'" in output
