"""`python -m spacy instructner calibrate`"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Argument, Exit, Option
from wasabi import msg

from ..formats.outputs import check_output
from . import app
from ._printing import print_failures
from ._reading import ENCODING, read_scored

if TYPE_CHECKING:
    from ..evaluation.metrics import Bin


@app.command("calibrate")
def calibrate_cli(
    pipeline: str = Argument(..., help="A trained pipeline: a folder or the name of a package"),
    output_path: Path = Argument(..., help="The folder for the calibrated pipeline"),
    dev_path: Path | None = Option(
        None, "--dev", help="Annotated texts that the pipeline was not trained on", exists=True, dir_okay=False
    ),
    train_path: Path | None = Option(
        None, "--train", help="The support set of the pipeline, if its config does not name it", exists=True, dir_okay=False
    ),
    count: int = Option(5, "--folds", help="Without --dev: number of parts of the support set. A pipeline that is trained on the other parts predicts each part"),
    plot_path: Path | None = Option(
        None, "--plot", help="An SVG file to write: share of right spans by score (needs matplotlib)", dir_okay=False
    ),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of the GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="A Python file with functions that the pipeline needs"
    ),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Calibrate scores, so that a score is the share of such spans that are right. Use
    development data or, without any, cross-fitting on the support set."""
    from spacy.cli._util import import_code, setup_gpu
    from spacy.util import load_model

    from ..calibration import fit
    from ..config_checks import write_threshold
    from ..corpus.pipelines import find_component
    from ..evaluation.cross_fitting import judge_folds, judge_texts, read_support_set
    from ..evaluation.metrics import reliability

    try:
        check_output(output_path, Path(pipeline))
        if plot_path is not None:
            check_output(plot_path, dev_path, train_path)
        import_code(code_path)
        setup_gpu(gpu_id, silent=True)
        nlp = load_model(pipeline)
        name, pipe = find_component(nlp)
        # Fails here, not after minutes of training.
        output_path.parent.mkdir(parents=True, exist_ok=True)
        if dev_path is not None:
            docs = read_scored(dev_path, nlp, encoding)
            pairs = judge_texts(nlp, docs, print_failures)
        else:
            own = read_scored(train_path, nlp, encoding) if train_path else None
            support = read_support_set(nlp) if own is None else own
            pairs = judge_folds(nlp, support, count, print_failures)
        calibration = fit(pairs)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot calibrate {pipeline}", str(error))
        raise Exit(1) from error
    before = reliability(pairs)
    after = reliability([(calibration(score), right) for score, right in pairs])
    print_reliability(before, after)
    pipe.set_calibration(calibration)
    write_threshold(nlp, name, pipe.cfg["threshold"], pipe.cfg["thresholds"])
    nlp.to_disk(output_path)
    msg.good("Saved the calibrated pipeline", str(output_path))
    if plot_path is not None:
        write_plot(before, after, plot_path)


def print_reliability(before: Sequence["Bin"], after: Sequence["Bin"]) -> None:
    """Print the share of right spans by score, before and after calibration."""
    from ..evaluation.metrics import expected_error

    rows = [
        (when, each.spans, f"{each.score:.2f}", f"{each.right:.2f}")
        for when, bins in (("before", before), ("after", after))
        for each in bins
    ]
    msg.table(
        rows, header=("", "Spans", "Mean score", "Right"), aligns=("l", "r", "r", "r")
    )
    msg.info(
        f"Expected calibration error: {expected_error(before):.3f} before, "
        f"{expected_error(after):.3f} after (on the spans that the calibration was "
        "fitted to)"
    )


def write_plot(before: Sequence["Bin"], after: Sequence["Bin"], path: Path) -> None:
    """Write the share of right spans by score as SVG, if matplotlib is installed."""
    from ..evaluation.reliability_plot import draw_reliability

    try:
        drawn = draw_reliability(before, after)
    except ModuleNotFoundError as error:
        msg.warn(
            "The plot is not drawn", f"{error}: pip install spacy-instructner[bench]"
        )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(drawn, encoding="utf8")
