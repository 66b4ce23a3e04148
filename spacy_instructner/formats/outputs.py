"""Output files: never one of the input files. Source: ours."""

from collections.abc import Iterable
from pathlib import Path

from spacy.tokens import Doc, DocBin

from ..files import write_whole
from .docs import SPACY
from .text_files import stem


def spacy_file(target: Path, source: Path) -> Path:
    """The .spacy file that a command writes: the target, or a file in it with the name of
    the source if the target is a folder. Raises ValueError for a name that does not end
    with .spacy, and for the source itself."""
    if target.is_dir():
        target = target / f"{stem(source)}{SPACY}"
    if target.suffix.lower() != SPACY:
        raise ValueError(
            f"{target} is neither a folder nor the name of a {SPACY} file. Name "
            f"{target.with_suffix(SPACY)}, for example, or make the folder first."
        )
    check_output(target, source)
    return target


def check_output(target: Path, *inputs: Path | None) -> None:
    """Raises ValueError if a file or folder to write is one of those that are read."""
    for source in inputs:
        if source is not None and target.exists() and source.exists():
            if target.samefile(source):
                raise ValueError(
                    f"{target} is an input, and would be overwritten. Name another output."
                )


def write_docs(docs: Iterable[Doc], path: Path) -> None:
    """Write Docs as .spacy, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, DocBin(docs=docs, store_user_data=True).to_bytes())
