"""`python -m spacy instructner find-threshold`"""

from collections.abc import Mapping
from pathlib import Path

from typer import Argument, Exit, Option
from wasabi import msg

from ..formats.outputs import check_output
from . import app
from ._printing import print_failures
from ._reading import ENCODING, FORMATS, read_scored


@app.command("find-threshold")
def find_threshold_cli(
    pipeline: str = Argument(
        ..., help="A trained pipeline: a folder or the name of a package"),
    data_path: Path = Argument(
        ..., help=f"Annotated texts: {FORMATS}",
        exists=True, dir_okay=False),
    output_path: Path | None = Option(
        None, "--output", "-o", help="A folder for the pipeline with this threshold"),
    by_label: bool = Option(
        False, "--by-label", "-l",
        help="A threshold for each label, too, near the common one for rare labels"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of the GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c",
        help="A Python file with functions that the pipeline needs"),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Find the threshold with the highest strict F1; with --by-label, one for each label.

    Texts are annotated once. If a range of thresholds is as good as the best, the middle
    of the widest range is taken. A text that fails is printed and does not count. Exit
    with 1 if all texts fail."""
    from spacy.cli._util import import_code, setup_gpu
    from spacy.util import load_model

    from ..config_checks import write_threshold
    from ..corpus.pipelines import find_component
    from ..evaluation.metrics import best_threshold, best_thresholds, count, total
    from ..evaluation.predicted_texts import (
        label_by_label,
        predict_texts,
    )

    try:
        if output_path is not None:
            check_output(output_path, Path(pipeline), data_path)
        import_code(code_path)
        setup_gpu(gpu_id, silent=True)
        nlp = load_model(pipeline)
        name, pipe = find_component(nlp)
        present, before = pipe.cfg["threshold"], pipe.cfg["thresholds"]
        pipe.cfg.update(threshold=0.0, thresholds={})
        predictions = predict_texts(nlp, read_scored(data_path, nlp, encoding))
        print_failures(predictions)
        best = best_threshold(predictions.gold, predictions.found)
        if best is None:
            raise ValueError(f"The pipeline finds nothing in {data_path}.")
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot find a threshold for {pipeline}", str(error))
        raise Exit(1) from error
    threshold, f1 = best

    def f1_at(threshold: float, by_label: Mapping[str, float]) -> float:
        kept = predictions.entities_above(threshold, by_label)
        return total(count(predictions.gold, kept).values()).f1

    msg.good(
        f"Threshold {threshold:.3f}: F1 {100 * f1:.2f}; the present one, {present:g}: "
        f"{100 * f1_at(present, before):.2f}"
    )
    own: dict[str, float] = {}
    if by_label:
        alone = [label_by_label(spans) for spans in predictions.spans]
        own = best_thresholds(predictions.gold, alone, threshold)
        for label, least in own.items():
            msg.text(f"{label}: {least:.3f}")
        msg.good(f"Thresholds by label: F1 {100 * f1_at(threshold, own):.2f}")
    elif before:
        msg.info(f"The thresholds of {', '.join(before)} are given up; see --by-label")
    if output_path is not None:
        write_threshold(nlp, name, threshold, own)
        nlp.to_disk(output_path)
        msg.good("Saved the pipeline with this threshold", str(output_path))
