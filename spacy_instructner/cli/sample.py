"""`python -m spacy instructner sample`"""

from pathlib import Path

import spacy
from typer import Argument, Exit, Option
from wasabi import msg

from ..data.sampling import draw, too_few
from ..formats.outputs import check_output, spacy_file, write_docs
from . import app
from ._printing import print_label_counts
from ._reading import ENCODING, FORMATS, read_annotated


@app.command("sample")
def sample_cli(
    input_path: Path = Argument(..., help=FORMATS),
    output_path: Path = Argument(
        ..., help="The .spacy file to write, or a folder for it"
    ),
    protocol: str = Option(
        "at-least-k",
        "--protocol",
        "-p",
        help="at-least-k or at-most-k (entities of each label), k-sentences (of each "
        "label), sentences (k in total) or all",
    ),
    k: int = Option(10, "--k", "-k", help="Number of shots"),
    seed: int = Option(0, "--seed", "-s", help="Seed of the draw"),
    exclude: Path | None = Option(
        None,
        "--exclude",
        "-x",
        help="A file whose sentences are never drawn, such as the test set",
    ),
    lang: str = Option(
        "en",
        "--lang",
        "-l",
        help="The language whose tokenizer cuts texts that come without tokens",
    ),
    encoding: str = ENCODING,
) -> None:
    """Draw a support set, and print its entities by label."""
    try:
        nlp = spacy.blank(lang)
        target = spacy_file(output_path, input_path)
        check_output(target, exclude)
        docs = read_annotated(input_path, nlp, encoding)
        barred = read_annotated(exclude, nlp, encoding) if exclude else []
        drawn = draw(docs, protocol, k, seed, barred)  # type: ignore[arg-type]
    except (ImportError, OSError, ValueError) as error:
        msg.fail("Cannot draw a support set", str(error))
        raise Exit(1) from error
    write_docs(drawn, target)
    print_label_counts(drawn, target)
    if protocol in ("at-least-k", "at-most-k"):
        short = too_few(docs, drawn, k)
        if short:
            msg.warn(f"Fewer than {k} entities of: {', '.join(short)}")
