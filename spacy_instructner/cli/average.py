"""`python -m spacy instructner average`"""

from pathlib import Path

from typer import Argument, Exit
from wasabi import msg

from ..formats.outputs import check_output
from . import app


@app.command("average")
def average_cli(
    output_path: Path = Argument(..., help="The folder for the mean adapter"),
    starts: list[Path] = Argument(
        ...,
        help="Adapters that were trained one from the other, as pretrain writes them: FOLDER/adapter",
    ),
) -> None:
    """Write the mean of several adapters as one adapter, for training to start from.

    The mean of two successive stages of training is often better than each of them."""
    from ..models.pretrained_adapters import average_starts

    try:
        check_output(output_path, *starts)
        average_starts(starts, output_path)
    except (OSError, ValueError) as error:
        msg.fail("Cannot average these adapters", str(error))
        raise Exit(1) from error
    msg.good(f"Wrote the mean of {len(starts)} adapters", str(output_path))
