"""`python -m spacy instructner bench`"""

from pathlib import Path
from traceback import format_exception

from typer import Argument, Exit, Option, echo
from wasabi import msg

from ..files import write_whole
from ..formats.outputs import check_output
from . import app


@app.command("bench")
def bench_cli(
    grid_path: Path = Argument(
        ..., help="A YAML file with data sets, methods and runs", exists=True,
        dir_okay=False),
    study_path: Path = Argument(
        ..., help="JSON Lines, one a run; what it has is not measured again",
        dir_okay=False),
    data_path: Path = Option(
        Path("."), "--data", "-d", help="Folder that the data sets lie in",
        exists=True, file_okay=False),
    only: list[str] | None = Option(
        None, "--only", help="Runs by shell pattern; may be given several times"),
    list_only: bool = Option(
        False, "--list", help="Tell which runs are measured, and what the rest takes"),
    report_path: Path | None = Option(
        None, "--report", "-r", help="A Markdown file for the tables of all that is "
        "there", dir_okay=False),
    reference: str = Option(
        "", "--reference", help="The method that others are compared with in the report"),
) -> None:  # fmt: skip
    """Train and score a grid of data sets, draws and methods, run by run."""
    from ..fewshot.grid import read_grid
    from ..fewshot.report import markdown
    from ..fewshot.runs import measure
    from ..fewshot.study import Study, left

    study = Study(study_path)
    # All of it before the first run, which may take long.
    try:
        if report_path is not None:
            check_output(report_path, grid_path, study_path)
            if report_path.suffix in (".html", ".htm"):
                raise ValueError(f"{report_path}: reports are Markdown (.md).")
        grid = read_grid(grid_path, data_path)
        there = study.names()
    except (OSError, ValueError) as error:
        msg.fail("Cannot begin", str(error))
        raise Exit(1) from error
    runs = grid.matching(only or [])
    if not runs:
        msg.fail("No run", f"No name fits {', '.join(only or [])}.")
        raise Exit(1)
    failed = 0
    for run in runs if list_only else ():
        msg.text(run.name, icon="good" if run.name in there else "info")
    for run, found in measure(() if list_only else runs, study):
        if isinstance(found, Exception):
            failed += 1
            echo("".join(format_exception(found)), err=True)
            msg.fail(run.name, str(found))
        else:
            msg.good(f"{run.name}: F1 {100 * found['f1']:.1f}")
    records = study.records()
    count, seconds = left(runs, records)
    time = "" if seconds is None else f", about {seconds / 60:.0f} minutes"
    msg.info(f"{len(runs) - count} of {len(runs)} runs measured; left: {count}{time}")
    if report_path is not None:
        try:
            text = markdown(grid, records, reference)
            report_path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(report_path, text.encode("utf8"))
        except (OSError, ValueError) as error:
            msg.fail("No report", str(error))
            raise Exit(1) from error
        msg.good(f"Wrote {report_path}")
    if failed:
        msg.fail(f"{failed} runs could not be measured")
        raise Exit(1)
