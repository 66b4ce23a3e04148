"""`python -m spacy instructner find-threshold`"""

from pathlib import Path

from spacy.cli._util import import_code, setup_gpu
from spacy.util import load_model
from typer import Argument, Exit, Option
from wasabi import msg

from ..config_checks import write_threshold
from ..evaluation.metrics import best_threshold, count, total
from ..evaluation.support_set import predicted
from ..formats.outputs import check_output
from . import app
from ._annotated import ENCODING, FORMATS, read_scored, tell_problems
from .evaluate import find_component


@app.command("find-threshold")
def find_threshold_cli(
    pipeline: str = Argument(..., help="A trained pipeline: a folder or a package's name"),
    data_path: Path = Argument(
        ..., help=f"Annotated texts: {FORMATS}",
        exists=True, dir_okay=False),
    output_path: Path | None = Option(
        None, "--output", "-o", help="Folder for the pipeline with this threshold"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of a GPU; -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="Python file with functions that the pipeline needs"),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Find the threshold of the highest strict F1: texts are annotated once, and of the
    thresholds that are as good as the best, the middle of the widest range is taken.
    A text that fails is told and does not count; exits with 1 where all of them fail."""
    try:
        if output_path is not None:
            check_output(output_path, Path(pipeline), data_path)
        import_code(code_path)
        setup_gpu(gpu_id, silent=True)
        nlp = load_model(pipeline)
        name, pipe = find_component(nlp)
        pipe.cfg["threshold"] = 0.0
        texts = predicted(nlp, read_scored(data_path, nlp, encoding))
        tell_problems(texts)
        best = best_threshold(texts.gold, texts.found)
        if best is None:
            raise ValueError(f"Nothing is found in {data_path}.")
    except (OSError, ValueError) as error:
        msg.fail(f"There is no threshold for {pipeline}", str(error))
        raise Exit(1) from error
    threshold, f1 = best
    without = total(count(texts.gold, texts.found).values()).f1
    msg.good(
        f"Threshold {threshold:.3f}: F1 {100 * f1:.2f}; without one {100 * without:.2f}"
    )
    if output_path is not None:
        write_threshold(nlp, name, threshold)
        nlp.to_disk(output_path)
        msg.good("Saved with it", str(output_path))
