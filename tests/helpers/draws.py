"""Rows on disk, and docs with entities to draw from."""

import json
import random
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc


def ents(doc: Doc) -> list:
    return [(e.start_char, e.end_char, e.label_) for e in doc.ents]


def write_jsonl(path: Path, rows: list) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf8")
    return path


def make_docs(nlp: Language, count: int = 60) -> list[Doc]:
    rng = random.Random(1)
    docs = []
    for number in range(count):
        words = [f"w{number}", "a", "b", "c"]
        doc = Doc(nlp.vocab, words=words)
        labels = [rng.choice("XYZ") for _ in range(rng.randint(0, 3))]
        spans = [doc.char_span(*_at(doc, i + 1), label=x) for i, x in enumerate(labels)]
        doc.set_ents(spans, default="outside")
        docs.append(doc)
    return docs


def _at(doc: Doc, token: int) -> tuple:
    return doc[token].idx, doc[token].idx + len(doc[token])
