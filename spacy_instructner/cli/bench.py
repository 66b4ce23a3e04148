"""`python -m spacy instructner bench`"""

from pathlib import Path
from traceback import format_exception
from typing import List, Optional

from typer import Argument, Exit, Option, echo
from wasabi import msg

from . import app


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
    only: Optional[List[str]] = Option(
        None, "--only", help="Cells by shell pattern; may be given several times"),
    list_only: bool = Option(
        False, "--list", help="Tell which cells are measured, and what the rest takes"),
    report_path: Optional[Path] = Option(
        None, "--report", "-r", help="A Markdown file for the tables of all that is there",
        dir_okay=False),
    reference: str = Option(
        "", "--reference", help="The method that others are compared with in the report"),
) -> None:  # fmt: skip
    """Train and score a matrix of data sets, draws and methods, cell by cell."""
    from ..bench.cells import measure, path_of, read_records
    from ..bench.matrix import Matrix, read_matrix
    from ..bench.report import left, report

    try:
        matrix = read_matrix(matrix_path, data_path)
    except (OSError, ValueError) as error:
        msg.fail("Cannot read the matrix", str(error))
        raise Exit(1) from error
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
    if report_path is not None:
        try:
            text = report(matrix, records, reference)
        except ValueError as error:
            msg.fail("No report", str(error))
            raise Exit(1) from error
        report_path.parent.mkdir(parents=True, exist_ok=True)
        report_path.write_text(text, encoding="utf8")
        msg.good(f"Wrote {report_path}")
    if failed:
        msg.fail(f"{failed} cells could not be measured")
        raise Exit(1)
