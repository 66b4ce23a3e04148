"""`python -m spacy instructner convert`"""

from pathlib import Path

import spacy
from typer import Argument, Exit, Option
from wasabi import msg

from ..corpora import is_annotated, read_docs, stem, write_docs
from ..sampling import label_counts
from . import app


@app.command("convert")
def convert_cli(
    input_path: Path = Argument(
        ...,
        help="JSON Lines with character spans, or CoNLL/IOB; gzipped or not. "
        "Of a folder, every such file",
        exists=True,
    ),
    output_path: Path = Argument(
        ..., help="The .spacy file to write; for a folder, a folder"
    ),
    lang: str = Option(
        "en",
        "--lang",
        "-l",
        help="Language whose tokenizer cuts texts that come without tokens",
    ),
) -> None:
    """Convert annotated text to .spacy, and report every span that was left out."""
    if not input_path.is_dir():
        convert(input_path, output_path, lang)
        return
    files = [path for path in sorted(input_path.iterdir()) if is_annotated(path)]
    if not files:
        msg.fail(f"{input_path} holds no JSON Lines and no CoNLL/IOB file")
        raise Exit(1)
    targets = [output_path / f"{stem(path)}.spacy" for path in files]
    if len(set(targets)) < len(targets):
        msg.fail(f"Two files of {input_path} would become one .spacy file")
        raise Exit(1)
    for path, target in zip(files, targets):
        convert(path, target, lang)


def convert(source: Path, target: Path, lang: str) -> None:
    """Convert one file. Exits with 1 where it cannot be read."""
    try:
        docs, problems = read_docs(source, spacy.blank(lang))
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Cannot read {source}", str(error))
        raise Exit(1) from error
    for problem in problems:
        msg.warn(str(problem))
    write_docs(docs, target)
    report(docs, target)
    if problems:
        msg.warn(f"{len(problems)} spans were left out")


def report(docs: list, path: Path) -> None:
    """Print how many sentences and entities a file has, by label."""
    counts = label_counts(docs)
    msg.good(f"{path}: {len(docs)} sentences, {sum(counts.values())} entities")
    msg.table(counts.items(), header=("Label", "Entities"), aligns=("l", "r"))
