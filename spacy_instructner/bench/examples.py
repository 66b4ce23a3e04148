"""Annotated texts to be shown. Records have none: whoever makes a page says which texts
may stand on it."""

from pathlib import Path

import spacy
from spacy.tokens import Doc

from ..formats.docs import read_docs
from ..formats.rows import Problem
from ..formats.text_files import UTF8
from .page import Marked


def read_examples(path: Path, encoding: str = UTF8) -> tuple[Marked, list[Problem]]:
    """The texts of a file, as `read_docs` reads it, with the entities in them, and the
    spans that could not be kept. Raises OSError and ValueError as it does."""
    docs, problems = read_docs(path, spacy.blank("en"), encoding)
    return Marked([_pieces(doc) for doc in docs]), problems


def _pieces(doc: Doc) -> list[tuple[str, str]]:
    pieces, end = [], 0
    for ent in doc.ents:
        pieces.append((doc.text[end : ent.start_char], ""))
        pieces.append((ent.text, ent.label_))
        end = ent.end_char
    return [piece for piece in [*pieces, (doc.text[end:], "")] if piece[0]]
