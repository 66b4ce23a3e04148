"""`python -m spacy instructner render`"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Argument, Exit, Option
from wasabi import msg

from ..formats.outputs import check_output
from ..formats.text_files import repaired
from . import app
from ._reading import ENCODING

if TYPE_CHECKING:
    from ..corpus.displacy_page import PageRow


@app.command("render")
def render_cli(
    pipeline: str = Argument(
        ..., help="A trained pipeline: a folder or the name of a package"),
    output_path: Path = Argument(..., help="The HTML page to write", dir_okay=False),
    text: list[str] | None = Option(
        None, "--text", "-t", help="A text; may be given several times"),
    input_path: Path | None = Option(
        None, "--input", "-i", exists=True, dir_okay=False,
        help="A file of texts, as annotate reads them: .txt (one text a line), .jsonl, .csv or .spacy"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="A Python file with functions that the pipeline needs"),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Annotate texts, print entities with their scores, and write a displaCy page.

    A text that fails is on the page with the reason. Exit with 1, without a page, if all
    texts fail."""
    from spacy.cli._util import import_code
    from spacy.util import load_model

    from ..corpus.displacy_page import annotate_for_page, write_page
    from ..corpus.pipelines import check_ready

    import_code(code_path)
    texts = [(own, "") for own in text or ()]
    try:
        check_output(output_path, input_path)
        if input_path is not None:
            texts.extend(read_input(input_path, encoding))
    except (OSError, ValueError) as error:
        msg.fail("Cannot read the texts", str(error))
        raise Exit(1) from error
    if not texts:
        msg.fail(
            "There is no text", "Give one with --text, or a file of texts with --input."
        )
        raise Exit(1)
    try:
        nlp = load_model(pipeline)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot load {pipeline}", str(error))
        raise Exit(1) from error
    try:
        check_ready(nlp)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot annotate with {pipeline}", str(error))
        raise Exit(1) from error
    rows = annotate_for_page(nlp, texts)
    problems = [row["problem"] for row in rows if "problem" in row]
    if len(problems) == len(rows):
        msg.fail("None of the texts could be annotated", problems[0])
        raise Exit(1)
    write_page(rows, output_path)
    print_entities(rows)
    msg.good(f"Wrote {output_path}")


def read_input(path: Path, encoding: str) -> list[tuple[str, str]]:
    """The texts of a file, each with the reason why it cannot be read, "" where it can.
    Raises as `corpus.texts.TextSource`."""
    from ..corpus.texts import TextSource

    texts = []
    for item in TextSource(str(path), encoding=encoding):
        text, surrogates = repaired(item.text)
        if surrogates:
            msg.warn(f"{path}, {item.id}: surrogates became U+FFFD")
        texts.append((text, item.problem))
    return texts


def print_entities(rows: Sequence["PageRow"]) -> None:
    """Print the texts of a page and their entities."""
    for row in rows:
        msg.text(row["text"])
        table = [
            (row["text"][e["start"] : e["end"]], e["name"], e["score"])
            for e in row["ents"]
        ]
        if "problem" in row:
            msg.warn("Not annotated", row["problem"])
        elif table:
            msg.table(table, header=("Entity", "Label", "Score"), divider=True)
        else:
            msg.info("No entities")
