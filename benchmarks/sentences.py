"""What is found in spaCy's own example sentences and in thirty from daily life, label names alone:
`python -m benchmarks.sentences NAME=ADAPTER …`.

An adapter is a folder that `pretrain` wrote; the default is always there. Nobody annotated
these sentences: the table is there to be read.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.lang.en.examples import sentences
from spacy.tokens import Doc

from spacy_instructner.fewshot.machine import machine
from spacy_instructner.fewshot.markdown_tables import table
from spacy_instructner.tasks.labels import LABELS_KEY

from .without_shots import KNOWN, settings_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "sentences.json"
DAILY = ROOT / "assets" / "sentences.json"
# Asked for in spaCy's examples.
USUAL = ("person", "organization", "city", "country", "amount of money", "product")


Sentence = dict[str, Any]
Entities = list[tuple[str, str, float]]


def asked() -> list[Sentence]:
    """{"kind", "text", "labels"} of each sentence."""
    own = [{"kind": "spaCy", "text": text, "labels": USUAL} for text in sentences]
    return [*own, *srsly.read_json(DAILY)]


def found(rows: Sequence[Sentence], config: Mapping[str, Any]) -> list[Entities]:
    """The text, label and score of each sentence's entities. Each sentence is asked for its
    own labels. config: of the component."""
    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe("instruction_ner", config=config)
    docs = []
    for row in rows:
        doc = nlp.make_doc(row["text"])
        doc.user_data[LABELS_KEY] = list(row["labels"])
        docs.append(doc)
    return [entities(doc) for doc in pipe.pipe(docs)]


def entities(doc: Doc) -> Entities:
    return [
        (ent.text, ent.label_, round(float(ent._.instruction_ner_score), 2))
        for ent in doc.ents
    ]


def section(name: str, folder: str) -> str:
    """The table of the marker `sentences`."""
    if name != "sentences":
        raise KeyError(name)
    results = srsly.read_json(RESULTS)
    head = ["", "Sentence", "Asked for", *results["found"]]
    rows = [
        [
            row["kind"],
            row["text"],
            ", ".join(row["labels"]),
            *("; ".join(map(said, own[at])) for own in results["found"].values()),
        ]
        for at, row in enumerate(results["sentences"])
    ]
    return table(head, rows)


def said(entity: Sequence[Any]) -> str:
    text, label, score = entity
    return f"{text}: {label} {score:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sentences", description=__doc__
    )
    parser.add_argument("adapters", nargs="*", metavar="NAME=ADAPTER")
    args = parser.parse_args()
    adapters = dict(each.split("=", 1) for each in args.adapters)
    rows = asked()
    configs = {
        **KNOWN,
        **{name: settings_of(path) for name, path in adapters.items()},
    }
    results = {
        "machine": machine(),
        "sentences": rows,
        "found": {name: found(rows, config) for name, config in configs.items()},
    }
    srsly.write_json(RESULTS, results)


if __name__ == "__main__":
    main()
