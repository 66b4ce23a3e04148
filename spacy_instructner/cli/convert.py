"""`python -m spacy instructner convert`"""

from collections.abc import Sequence
from pathlib import Path

import spacy
from typer import Argument, Exit, Option
from wasabi import msg

from ..formats.docs import is_annotated
from ..formats.outputs import spacy_file, write_docs
from ..formats.text_files import UTF8, stem
from . import app
from ._printing import print_label_counts
from ._reading import ENCODING, FORMATS, read_annotated


@app.command("convert")
def convert_cli(
    input_path: Path = Argument(
        ...,
        help=f"{FORMATS}; or a folder, of which every JSON Lines and CoNLL/IOB file is read",
        exists=True,
    ),
    output_path: Path = Argument(
        ...,
        help="The .spacy file to write, or a folder for it; a folder if the input is one",
    ),
    lang: str = Option(
        "en",
        "--lang",
        "-l",
        help="The language whose tokenizer cuts texts that come without tokens",
    ),
    encoding: str = ENCODING,
    tag_names: str = Option(
        "",
        "--tag-names",
        help="The names of tags that are numbers, from 0 on, such as O,B-PER,I-PER",
    ),
) -> None:
    """Convert annotated texts to .spacy, and print every span that is left out."""
    names = [name.strip() for name in tag_names.split(",")] if tag_names else []
    if not input_path.is_dir():
        convert(input_path, output_path, lang, encoding, names)
        return
    files = [path for path in sorted(input_path.iterdir()) if is_annotated(path)]
    if not files:
        msg.fail(f"{input_path} has no JSON Lines or CoNLL/IOB file")
        raise Exit(1)
    if output_path.exists() and not output_path.is_dir():
        msg.fail(f"{output_path} is a file, but a folder is converted into a folder")
        raise Exit(1)
    targets = [output_path / f"{stem(path)}.spacy" for path in files]
    if len(set(targets)) < len(targets):
        msg.fail(f"Two files of {input_path} would become one .spacy file")
        raise Exit(1)
    for path, target in zip(files, targets):
        convert(path, target, lang, encoding, names)


def convert(
    source: Path,
    target: Path,
    lang: str,
    encoding: str = UTF8,
    tag_names: Sequence[str] = (),
) -> None:
    """Convert one file. Exits with 1 where it cannot be read or converted."""
    try:
        target = spacy_file(target, source)
        docs = read_annotated(source, spacy.blank(lang), encoding, tag_names)
        write_docs(docs, target)
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Cannot convert {source}", str(error))
        raise Exit(1) from error
    print_label_counts(docs, target)
