"""Where is written to: never over what was read. Source: ours."""

from collections.abc import Iterable
from pathlib import Path

from spacy.tokens import Doc, DocBin

from ..files import write_whole
from .docs import SPACY
from .text_files import stem


def spacy_file(target: Path, source: Path) -> Path:
    """The .spacy file that a command writes: the target, or, where that is a folder, one
    in it that is called as the source. Raises ValueError for a name that would not be
    read as .spacy again, and for the source itself."""
    if target.is_dir():
        target = target / f"{stem(source)}{SPACY}"
    if target.suffix.lower() != SPACY:
        raise ValueError(
            f"{target} is neither a folder that is there nor the name of a {SPACY} file. "
            f"Write {target.with_suffix(SPACY)}, say, or make the folder first."
        )
    check_output(target, source)
    return target


def check_output(target: Path, *inputs: Path | None) -> None:
    """Raises ValueError where a file or folder to write is one that is read."""
    for source in inputs:
        if source is not None and target.exists() and source.exists():
            if target.samefile(source):
                raise ValueError(
                    f"{target} is what is read: it would be overwritten. Name another "
                    "output."
                )


def write_docs(docs: Iterable[Doc], path: Path) -> None:
    """Write Docs as .spacy, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, DocBin(docs=docs, store_user_data=True).to_bytes())
