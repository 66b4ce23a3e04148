"""What a text costs by each way of reading: an answer a label, one answer, one pass in which
all labels are scored; beside GLiNER at the size of its small model. By turns, in seconds of CPU
time: with several threads, the sum of what each computed.

Texts are made up of the words of the package's own templates, so that no data is needed."""

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_instructner.formats.text_files import read_json

from .decoding import NAME, ready
from .measure import Row, in_turns
from .models import copies
from .rivals import gliner_small

WORDING = Path(__file__).parents[2] / "assets" / "base" / "wording.json"
TEMPLATES = WORDING.parent / "queries"
# Words in a text, labels: an everyday question, a sentence of an encyclopaedia.
SIZES = ((14, 4), (43, 9))
LABELS = (4, 9, 20, 80, 200)
FLOAT32, BFLOAT16 = "float32", "bfloat16"
# Groups of rows with numbers of labels.
BY_LABELS = {FLOAT32: "readings", BFLOAT16: "readings-bfloat16"}
INTRODUCTION = "Please extract the entities of each type from the sentence.\n"
BEFORE = f"{INTRODUCTION}Types: {{types}}\nSentence: {{sentence}}\n"
TWICE = f"{BEFORE}Sentence: {{sentence}}\n"
DEFAULT = "the default"
LABELS_FIRST, PUBLISHED = "labels before the text", "text twice, causal: as published"
WRITTEN = "CLLMFS"
JUST_PASS_TWICE = {"@misc": "spacy-instructner.JustPassTwice.v1"}
# What the component is given, beside the labels.
READINGS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "all layers": {"model": {"layers": None}},
    LABELS_FIRST: {"task": {**JUST_PASS_TWICE, "template": BEFORE}},
    PUBLISHED: {"task": {**JUST_PASS_TWICE, "template": TWICE, "both_ways": False}},
    WRITTEN: {"task": {"@misc": "spacy-instructner.CLLMFS.v1"}},
    "InstructionNER": {"task": {"@misc": "spacy-instructner.InstructionNER.v1"}},
}


def made_texts(words: int, count: int) -> list[str]:
    """Texts of so many words each, the same every time."""
    rng = random.Random(words)
    own = [
        word
        for path in sorted(TEMPLATES.glob("*.json"))
        for template in read_json(path)["texts"]
        for word in str(template).split()
        if word.isalpha()
    ]
    return [" ".join(rng.choices(own, k=words)) for _ in range(count)]


def label_names(count: int) -> list[str]:
    """So many labels, by what the base's own are called."""
    own = [each["names"][0] for each in read_json(WORDING).values()]
    for path in sorted(TEMPLATES.glob("*.json")):
        own.extend(each["names"][0] for each in read_json(path)["labels"].values())
    return list(dict.fromkeys(own))[:count]


def pipeline(reading: str, labels: Sequence[str], precision: str) -> Language:
    """With the adapter of the package. A head that it does not bring has random weights:
    how long it takes does not depend on them. reading: of `READINGS`."""
    nlp = spacy.blank("en")
    own = READINGS[reading]
    model = {
        "@architectures": "spacy-instructner.CausalLM.v1",
        "precision": precision,
        **own.get("model", {}),
    }
    config = {**own, "labels": list(labels), "model": model}
    pipe: Any = nlp.add_pipe(NAME, config=config)
    doc = nlp.make_doc("nothing")
    doc.set_ents([], default="outside")
    pipe.initialize(lambda: [Example(nlp.make_doc(doc.text), doc)], labels=list(labels))
    ready(nlp)
    return nlp


def runs_of(
    texts: Sequence[str], labels: Sequence[str], precision: str, names: Sequence[str]
) -> dict[str, Callable[[], Any]]:
    """What is compared on some texts."""
    runs: dict[str, Callable[[], Any]] = {}
    for name in names:
        nlp = pipeline(name, labels, precision)
        docs = [nlp.make_doc(text) for text in texts]
        runs[name] = partial(annotate, nlp, docs)
    for other in dict.fromkeys((FLOAT32, precision)):
        gliner = gliner_small(labels, precision=other)
        if gliner is not None:
            runs[f"GLiNER, small, {other}"] = partial(gliner, list(texts))
    return runs


def annotate(nlp: Language, docs: list[Doc]) -> None:
    list(nlp.get_pipe(NAME).pipe(copies(docs), batch_size=1000))


def in_turns_of_cpu(
    runs: dict[str, Callable[[], Any]], times: int
) -> dict[str, list[float]]:
    """Seconds of CPU time of each, after one run that is not counted."""
    for run in runs.values():
        run()
    return in_turns(runs, times, time.process_time)


def compare(count: int, times: int) -> list[Row]:
    """Milliseconds a text of each way of reading. count: texts of the smaller size."""
    rows: list[Row] = []
    for precision, by_labels in BY_LABELS.items():
        for words, labels in SIZES:
            texts = made_texts(words, max(4, count * SIZES[0][0] // words))
            runs = runs_of(texts, label_names(labels), precision, list(READINGS))
            group = f"readings.{words}-words-{labels}-labels-{precision}"
            rows += rows_of(group, in_turns_of_cpu(runs, times), len(texts))
        for labels in LABELS:
            texts = made_texts(SIZES[1][0], max(4, count // 8))
            runs = runs_of(texts, label_names(labels), precision, list(READINGS))
            seconds = in_turns_of_cpu(runs, max(1, times // 2))
            rows += rows_of(by_labels, seconds, len(texts), labels)
    return rows


def rows_of(
    group: str, seconds: dict[str, list[float]], texts: int, x: float | None = None
) -> list[Row]:
    return [
        Row(group, name, "ms CPU a text", [1000 * s / texts for s in own], x=x)
        for name, own in seconds.items()
    ]
