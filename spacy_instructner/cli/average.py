"""`python -m spacy instructner average`"""

from pathlib import Path

from typer import Argument, Exit
from wasabi import msg

from ..formats.outputs import check_output
from . import app


@app.command("average")
def average_cli(
    output_path: Path = Argument(..., help="Folder for the mean"),
    starts: list[Path] = Argument(
        ..., help="Adapters of one lineage, as pretrain leaves them: FOLDER/adapter"
    ),
) -> None:
    """Make one adapter of several, with the mean of their weights, for others to start
    from: of a stage of training and the one after it, it often knows more than each."""
    from ..models.pretrained_adapters import average_starts

    try:
        check_output(output_path, *starts)
        average_starts(starts, output_path)
    except (OSError, ValueError) as error:
        msg.fail("There is no mean of these", str(error))
        raise Exit(1) from error
    msg.good(f"The mean of {len(starts)} adapters", str(output_path))
