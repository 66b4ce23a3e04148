"""What commands share that read annotated texts. Light to import."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from typer import Option
from wasabi import msg

from ..formats.docs import read_docs
from ..formats.rows import left_out
from ..formats.text_files import UTF8

FORMATS = (
    ".spacy, JSON Lines, JSON or CoNLL/IOB (docs/reference/formats.md), gzipped or not"
)
ENCODING: Any = Option(
    UTF8, "--encoding", help="Encoding of the input, by Python's name, such as cp1252"
)


def read_annotated(
    path: Path, nlp: Language, encoding: str, tag_names: Sequence[str] = ()
) -> list[Doc]:
    """The Docs of a file. Prints what of the file is left out. Raises as
    `formats.docs.read_docs`."""
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
    """The Docs of a file to score against. Raises as `read_annotated`, and ValueError
    for a file without texts."""
    docs = read_annotated(path, nlp, encoding)
    if not docs:
        raise ValueError(f"{path} has no text.")
    if unknown := sum(not token.ent_iob for doc in docs for token in doc):
        msg.warn(f"{unknown} tokens without annotation count as O")
    return docs
