"""`python -m spacy instructner compare`"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Argument, Exit, Option
from wasabi import msg

from ..files import to_json, write_whole
from ..formats.outputs import check_output
from . import app
from ._reading import ENCODING, FORMATS, read_scored

if TYPE_CHECKING:
    from ..evaluation.comparison import Compared


@app.command("compare")
def compare_cli(
    data_path: Path = Argument(
        ..., help=f"Annotated texts: {FORMATS}", exists=True, dir_okay=False),
    pipelines: list[str] = Argument(
        ..., help="Trained pipelines, whatever finds their entities: folders or packages"),
    output_path: Path | None = Option(
        None, "--output", "-o", help="A JSON file for the figures", dir_okay=False),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of the GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c",
        help="A Python file with functions that the pipelines need"),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Compare pipelines on the same texts: strict F1, words a second, megabytes. Each gets
    the tokens of the file."""
    from spacy.cli._util import import_code, setup_gpu
    from spacy.util import load_model

    from ..evaluation.comparison import compared

    found: dict[str, Compared] = {}
    try:
        if output_path is not None:
            check_output(output_path, data_path)
        import_code(code_path)
        setup_gpu(gpu_id, silent=True)
        for name in dict.fromkeys(pipelines):
            nlp = load_model(name)
            found[name] = compared(nlp, read_scored(data_path, nlp, encoding))
    except (OSError, ValueError) as error:
        msg.fail("Cannot compare the pipelines", str(error))
        raise Exit(1) from error
    print_compared(found)
    if output_path is not None:
        output_path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"pipeline": name, **asdict(own)} for name, own in found.items()]
        write_whole(output_path, to_json(rows))
        msg.good(f"Wrote {output_path}")


def print_compared(found: Mapping[str, "Compared"]) -> None:
    """Print a row for each pipeline."""
    rows = [
        (
            name,
            *(f"{100 * each:.2f}" for each in (own.precision, own.recall, own.f1)),
            rate(own.words, own.seconds),
            rate(own.words, own.cpu_seconds),
            "-" if own.megabytes is None else f"{own.megabytes:.1f}",
        )
        for name, own in found.items()
    ]
    first = next(iter(found.values()))
    msg.good(f"{first.texts} texts, {first.entities} entities, {first.words} words")
    speeds = ("Words/second", "Words/CPU second")
    header = ("Pipeline", "Precision", "Recall", "F1", *speeds, "MB")
    msg.table(rows, header=header, aligns=("l", *"r" * 6), divider=True)


def rate(words: int, seconds: float) -> str:
    return f"{words / seconds:.0f}" if seconds else "-"
