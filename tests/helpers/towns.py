"""A pipeline that needs no weights, its corpus, and a run over it."""

import json
import sys
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language

# A pipeline that needs no weights: towns, a component that cannot stand some texts, and
# one that takes its time.
CODE = """
import time
import warnings
from spacy.language import Language
from spacy.tokens import SpanGroup
from spacy_instructner.annotations import register_score

register_score("instruction_ner_score", "instruction_ner")

@Language.component("fussy")
def fussy(doc):
    if "BOOM" in doc.text:
        raise RuntimeError("no such text")
    return doc

@Language.component("scored")
def scored(doc):
    scores = [1 / (1 + ent.start) for ent in doc.ents]
    doc.spans["instruction_ner"] = SpanGroup(doc, spans=doc.ents, attrs={"scores": scores})
    return doc

@Language.component("keeps_thing")
def keeps_thing(doc):
    if "THING" in doc.text:
        doc.user_data["thing"] = object()
    return doc

@Language.component("warns")
def warns(doc):
    warnings.warn("have a care")
    return doc

@Language.component("slow")
def slow(doc):
    time.sleep(0.002)
    return doc
"""
exec(CODE)


def make_pipeline(slow: bool = False) -> Language:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns(
        [{"label": "TOWN", "pattern": t} for t in ("Rome", "Paris", "Åre")]
    )
    nlp.add_pipe("fussy")
    if slow:
        nlp.add_pipe("slow")
    return nlp


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode("utf8").splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def elsewhere(pipeline: Path, command: list[str]) -> list[str]:
    """The command for another process, which has yet to learn the components."""
    code = str(pipeline.parent / "code.py")
    return [sys.executable, "-m", "spacy", "instructner", *command, "--code", code]
