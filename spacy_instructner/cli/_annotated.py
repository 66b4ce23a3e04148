"""Annotated texts that a command is given."""

from pathlib import Path
from typing import List

from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

from ..corpora import read_docs
from ..supports import Predicted


def read_annotated(path: Path, nlp: Language) -> List[Doc]:
    """A file's Docs; says what of them does not count. Raises ValueError for a file
    without a text, and as `corpora.read_docs`."""
    docs, problems = read_docs(path, nlp)
    if not docs:
        raise ValueError(f"{path} holds no text.")
    for problem in problems:
        msg.warn(f"{problem}: left out")
    if unknown := sum(not token.ent_iob for doc in docs for token in doc):
        msg.warn(f"{unknown} tokens without annotation count as O")
    return docs


def tell_problems(texts: Predicted) -> None:
    """Say which texts could not be annotated, and why."""
    for number, why in texts.problems:
        msg.warn(f"Text {number} does not count: {why}")
