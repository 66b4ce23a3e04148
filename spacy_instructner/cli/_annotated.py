"""What commands have in common that read annotated texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from typer import Option
from wasabi import msg

from ..evaluation.support_set import Predicted
from ..formats.docs import read_docs
from ..formats.rows import left_out
from ..formats.text_files import UTF8

FORMATS = (
    ".spacy, JSON Lines, JSON or CoNLL/IOB (docs/reference/formats.md); gzipped or not"
)
ENCODING: Any = Option(
    UTF8, "--encoding", help="Of what is read, as Python calls it, such as cp1252"
)


def read_annotated(
    path: Path, nlp: Language, encoding: str, tag_names: Sequence[str] = ()
) -> list[Doc]:
    """A file's Docs; says what of it does not count. Raises as `data.docs.read_docs`."""
    docs, problems = read_docs(path, nlp, encoding, tag_names)
    for problem in problems:
        if problem.kind == "note":
            msg.info(str(problem))
        else:
            msg.warn(f"{problem}: left out")
    if lost := left_out(problems):
        msg.warn(f"{lost} were left out")
    return docs


def read_scored(path: Path, nlp: Language, encoding: str) -> list[Doc]:
    """The same, to score against. Raises ValueError for a file without a text, too."""
    docs = read_annotated(path, nlp, encoding)
    if not docs:
        raise ValueError(f"{path} holds no text.")
    if unknown := sum(not token.ent_iob for doc in docs for token in doc):
        msg.warn(f"{unknown} tokens without annotation count as O")
    return docs


def tell_problems(texts: Predicted) -> None:
    """Say which texts could not be annotated, and why."""
    for number, why in texts.problems:
        msg.warn(f"Text {number} does not count: {why}")
