"""`python -m spacy instructner pretrain`"""

from pathlib import Path
from typing import TYPE_CHECKING

from typer import Argument, Context, Exit, Option
from wasabi import msg

from . import app

if TYPE_CHECKING:
    from ..pretraining.loop import LogEntry


@app.command(
    "pretrain",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def pretrain_cli(
    ctx: Context,
    config_path: Path = Argument(
        ..., help="A config such as configs/base.cfg", exists=True, dir_okay=False
    ),
    output_path: Path = Argument(
        ...,
        help="The folder for checkpoint, log and pipeline. Training continues from a checkpoint in it",
    ),
    minutes: float | None = Option(
        None,
        "--minutes",
        "-m",
        help="Stop at the first checkpoint after so many minutes",
    ),
    code_path: Path | None = Option(
        None, "--code", "-c", help="A Python file with functions that the config names"
    ),
) -> None:
    """Train a model to find whatever labels it is asked for, before any few shots.

    The command can be stopped or killed; the same command continues from the last
    checkpoint. Settings can be given as for spacy train: --training.max_steps 100."""
    from spacy.cli._util import (
        import_code,
        parse_config_overrides,
        show_validation_error,
    )
    from spacy.util import load_config

    from ..pretraining.loop import pretrain

    import_code(code_path)
    overrides = parse_config_overrides(ctx.args)
    try:
        with show_validation_error(config_path):
            config = load_config(config_path, overrides=overrides, interpolate=False)
        if config["paths"].get("data", "") is None:
            raise ValueError("Name the folder of the data: --paths.data FOLDER.")
        done = pretrain(
            config,
            output_path,
            seconds=None if minutes is None else 60 * minutes,
            on_progress=print_progress,
        )
    except (OSError, ValueError) as error:
        msg.fail("The training stopped", str(error))
        raise Exit(1) from error
    if done:
        msg.good("All steps are done", str(output_path / "model"))
    else:
        msg.warn("Time is up", "The same command continues from here.")


def print_progress(entry: "LogEntry") -> None:
    """Print a line of the log."""
    state = entry.state
    loss = "" if entry.loss is None else f"loss {entry.loss:.3f}, "
    msg.info(
        f"Step {state.step} ({state.texts} texts, {state.ids} ids, "
        f"{state.seconds / 60:.0f} min): {loss}dev F1 "
        f"{100 * (entry.dev['ents_f'] or 0.0):.1f}"
    )
