"""`python -m spacy instructner render`"""

from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.cli._util import import_code
from typer import Argument, Exit, Option
from wasabi import msg

from ..formats.outputs import check_output
from ..formats.text_files import repaired
from . import app
from ._annotated import ENCODING

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

# One colour a label, in the order of the labels.
COLORS = (
    "#7fc8f8", "#f9c74f", "#90be6d", "#f8961e", "#c9a7eb", "#f28482", "#84dcc6",
    "#d4d700", "#ffb3c6", "#a3b18a", "#e0aaff", "#b8c0ff",
)  # fmt: skip


@app.command("render")
def render_cli(
    pipeline: str = Argument(
        ..., help="A trained pipeline: a folder or a package's name"
    ),
    output_path: Path = Argument(..., help="The HTML page to write", dir_okay=False),
    text: list[str] | None = Option(
        None, "--text", "-t", help="A text; may be given several times"
    ),
    input_path: Path | None = Option(
        None,
        "--input",
        "-i",
        help="A file of texts, as annotate reads them: .txt (one a line), .jsonl, .csv "
        "or .spacy",
        exists=True,
        dir_okay=False,
    ),
    code_path: Path | None = Option(
        None, "--code", "-c", help="Python file with functions that the pipeline needs"
    ),
    encoding: str = ENCODING,
) -> None:
    """Annotate texts, print entities with their scores, and write a displaCy page.

    A text that fails is a row of the page that says so; exits with 1 where all of them
    fail, and no page is written."""
    import spacy

    from ..corpus.pipelines import check_ready

    import_code(code_path)
    texts = [(own, "") for own in text or ()]
    try:
        check_output(output_path, input_path)
        if input_path is not None:
            texts.extend(texts_of(input_path, encoding))
    except (OSError, ValueError) as error:
        msg.fail("Cannot read the texts", str(error))
        raise Exit(1) from error
    if not texts:
        msg.fail("No text", "Give one with --text, or a file of them with --input.")
        raise Exit(1)
    try:
        nlp = spacy.load(pipeline)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot load {pipeline}", str(error))
        raise Exit(1) from error
    try:
        check_ready(nlp)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot annotate with {pipeline}", str(error))
        raise Exit(1) from error
    rows = to_rows(nlp, texts)
    problems = [row["problem"] for row in rows if "problem" in row]
    if len(problems) == len(rows):
        msg.fail("None of the texts could be annotated", problems[0])
        raise Exit(1)
    write_page(rows, output_path)
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
    msg.good(f"Wrote {output_path}")


def to_rows(nlp: "Language", texts: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Texts, and why they cannot be read, as displaCy's manual mode takes them; one that
    fails has a "problem"."""
    from ..corpus.piped import Problem, annotate_each
    from ..corpus.texts import pieces

    def docs_of(text: str, unread: str) -> list["Doc"]:
        if unread:
            raise ValueError(unread)
        return [nlp.make_doc(piece) for piece in pieces(text, nlp.max_length)]

    makes = [partial(docs_of, *each) for each in texts]
    rows: list[dict[str, Any]] = []
    for (text, _), answer in zip(texts, annotate_each(nlp, makes, nlp.batch_size)):
        if isinstance(answer, Problem):
            # displaCy escapes texts, but no titles.
            title = f"Not annotated: {escape(answer.why)}"
            row = {"text": text, "ents": [], "title": title, "problem": answer.why}
            rows.append(row)
        else:
            rows.append(to_row(answer))
    return rows


def write_page(rows: list[dict[str, Any]], path: Path) -> None:
    from spacy import displacy

    labels = sorted({ent["name"] for row in rows for ent in row["ents"]})
    chosen = {label: COLORS[at % len(COLORS)] for at, label in enumerate(labels)}
    colors = {e["label"].upper(): chosen[e["name"]] for r in rows for e in r["ents"]}
    page = displacy.render(
        rows,
        style="ent",
        manual=True,
        page=True,
        options={"colors": colors},
        jupyter=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf8")


def texts_of(path: Path, encoding: str) -> list[tuple[str, str]]:
    """The texts of a file, and why they cannot be read, "" for those that can. Raises as
    `annotating.texts.Source`."""
    from ..corpus.texts import Source

    texts = []
    for item in Source(str(path), encoding=encoding):
        text, halves = repaired(item.text)
        if halves:
            msg.warn(f"{path}, {item.id}: halves of characters became U+FFFD")
        texts.append((text, item.problem))
    return texts


def to_row(doc: Any) -> dict[str, Any]:
    """A Doc as displaCy's manual mode takes it, its scores in the labels."""
    from ..evaluation.support_set import scored_of

    row: dict[str, Any] = {"text": doc.text, "ents": []}
    for start, end, label, score in scored_of(doc):
        shown = "" if score is None else f"{score:.2f}"
        row["ents"].append(
            {
                "start": start,
                "end": end,
                "label": f"{label} {shown}".strip(),
                "name": label,
                "score": shown,
            }
        )
    return row
