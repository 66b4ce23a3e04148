"""`python -m spacy instructner bench`"""

from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING

from typer import Argument, Exit, Option, echo
from wasabi import msg

from ..formats.outputs import check_output
from . import app
from ._reading import ENCODING

if TYPE_CHECKING:
    from ..bench.page import Marked, Page


@app.command("bench")
def bench_cli(
    matrix_path: Path = Argument(
        ..., help="A YAML file with data sets, methods and runs", exists=True,
        dir_okay=False),
    output_path: Path = Argument(
        ..., help="Folder for a JSON file a cell; what it has is not measured again",
        file_okay=False),
    data_path: Path = Option(
        Path("."), "--data", "-d", help="Folder that the data sets lie in",
        exists=True, file_okay=False),
    only: list[str] | None = Option(
        None, "--only", help="Cells by shell pattern; may be given several times"),
    list_only: bool = Option(
        False, "--list", help="Tell which cells are measured, and what the rest takes"),
    report_path: list[Path] | None = Option(
        None, "--report", "-r", help="A file for the tables and plots of all that is "
        "there: HTML by its name, else Markdown; may be given several times",
        dir_okay=False),
    reference: str = Option(
        "", "--reference", help="The method that others are compared with in the report"),
    examples_path: Path | None = Option(
        None, "--examples", help="A file of annotated texts that the report shows",
        exists=True, dir_okay=False),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Train and score a matrix of data sets, draws and methods, cell by cell."""
    from ..bench.budget import left
    from ..bench.cells import measure, path_of, read_records
    from ..bench.matrix import Matrix, read_matrix
    from ..bench.published import read_published
    from ..bench.report import report

    # All of it before the first cell, which may take long.
    try:
        for path in report_path or ():
            check_output(path, matrix_path, examples_path)
        matrix = read_matrix(matrix_path, data_path)
        figures = read_published(matrix.published) if matrix.published else []
    except (OSError, ValueError) as error:
        msg.fail("Cannot read the matrix", str(error))
        raise Exit(1) from error
    examples = None if examples_path is None else _examples(examples_path, encoding)
    cells = matrix.matching(only or [])
    if not cells:
        msg.fail("No cell", f"No name fits {', '.join(only or [])}.")
        raise Exit(1)
    failed = 0
    if list_only:
        for cell in cells:
            there = path_of(cell, output_path).exists()
            msg.text(cell.name, icon="good" if there else "info")
    else:
        for cell, found in measure(cells, output_path):
            if isinstance(found, Exception):
                failed += 1
                echo("".join(format_exception(found)), err=True)
                msg.fail(cell.name, str(found))
            else:
                msg.good(f"{cell.name}: F1 {100 * found['f1']:.1f}")
    records = read_records(output_path)
    count, seconds = left(Matrix(tuple(cells)), records)
    time = "" if seconds is None else f", about {seconds / 60:.0f} minutes"
    msg.info(
        f"{len(cells) - count} of {len(cells)} cells measured; left: {count}{time}"
    )
    if report_path:
        try:
            page = report(matrix, records, reference, figures, examples)
        except ValueError as error:
            msg.fail("No report", str(error))
            raise Exit(1) from error
        _write(page, report_path)
    if failed:
        msg.fail(f"{failed} cells could not be measured")
        raise Exit(1)


def _examples(path: Path, encoding: str) -> "Marked":
    from ..bench.examples import read_examples

    try:
        examples, problems = read_examples(path, encoding)
    except (OSError, ValueError) as error:
        msg.fail("Cannot read the examples", str(error))
        raise Exit(1) from error
    for problem in problems:
        what = {"span": "A span is not shown", "row": "A text is not shown"}
        msg.warn(what.get(problem.kind, "Read"), str(problem))
    return examples


def _write(page: "Page", paths: list[Path]) -> None:
    from ..bench import markdown, webpage
    from ..bench.plots import draw_all

    try:
        drawn = draw_all(page)
    except ModuleNotFoundError as error:
        msg.warn("No plots", f"{error}. They need: pip install matplotlib")
        drawn = {}
    for path in paths:
        writer = webpage if path.suffix in (".html", ".htm") else markdown
        writer.write(page, path, drawn)
        msg.good(f"Wrote {path}")
