"""`python -m spacy instructner pretrain`"""

from pathlib import Path

from spacy.cli._util import import_code, parse_config_overrides, show_validation_error
from spacy.util import load_config
from typer import Argument, Context, Exit, Option
from wasabi import msg

from . import app


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
        ..., help="Folder for checkpoint, log and pipeline; goes on with what it has"
    ),
    minutes: float | None = Option(
        None, "--minutes", "-m", help="Stop at the first checkpoint after so many"
    ),
    code_path: Path | None = Option(
        None, "--code", "-c", help="Python file with functions that the config names"
    ),
) -> None:
    """Teach a model to look for whatever labels it is asked for, before any few shots.

    It can be stopped or killed, and goes on from its last checkpoint. Settings can be
    given as for spacy train: --training.max_steps 100."""
    from ..pretraining.loop import Entry, pretrain

    def say(entry: Entry) -> None:
        state = entry.state
        loss = "" if entry.loss is None else f"loss {entry.loss:.3f}, "
        msg.info(
            f"Step {state.step} ({state.texts} texts, {state.ids} ids, "
            f"{state.seconds / 60:.0f} min): {loss}dev F1 "
            f"{100 * (entry.dev['ents_f'] or 0.0):.1f}"
        )

    import_code(code_path)
    overrides = parse_config_overrides(ctx.args)
    try:
        with show_validation_error(config_path):
            config = load_config(config_path, overrides=overrides, interpolate=False)
        if config["paths"].get("data", "") is None:
            raise ValueError("Say where the data lie: --paths.data FOLDER.")
        done = pretrain(
            config,
            output_path,
            seconds=None if minutes is None else 60 * minutes,
            said=say,
        )
    except (OSError, ValueError) as error:
        msg.fail("Training cannot go on", str(error))
        raise Exit(1) from error
    if done:
        msg.good("All steps are done", str(output_path / "model"))
    else:
        msg.warn("Time is up", "The same command goes on from here.")
