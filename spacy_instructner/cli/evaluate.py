"""`python -m spacy instructner evaluate`"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Argument, Exit, Option
from wasabi import msg

from ..data.sampling import label_counts
from ..files import to_json, write_whole
from ..formats.outputs import check_output
from . import app
from ._reading import ENCODING, FORMATS, read_scored

if TYPE_CHECKING:
    from ..evaluation.protocols import Scores


@app.command("evaluate")
def evaluate_cli(
    pipeline: str = Argument(
        ..., help="A trained pipeline: a folder or the name of a package"),
    data_path: Path = Argument(
        ..., help=f"Annotated texts: {FORMATS}",
        exists=True, dir_okay=False),
    output_path: Path | None = Option(
        None, "--output", "-o", help="A JSON file for the scores", dir_okay=False),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of the GPU, -1 for the CPU"),
    threshold: float | None = Option(
        None, "--threshold", "-t", help="Threshold in place of the pipeline's own",
        min=0.0, max=1.0),
    code_path: Path | None = Option(
        None, "--code", "-c",
        help="A Python file with functions that the pipeline needs"),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Score strict spans under two protocols: every text is asked for all types, and
    every text is asked only for the types that occur in it."""
    from spacy.cli._util import import_code, setup_gpu
    from spacy.util import load_model

    from ..corpus.pipelines import find_component
    from ..evaluation.protocols import evaluate

    try:
        if output_path is not None:
            check_output(output_path, data_path)
        import_code(code_path)
        setup_gpu(gpu_id, silent=True)
        nlp = load_model(pipeline)
        name, pipe = find_component(nlp)
        docs = read_scored(data_path, nlp, encoding)
        counts = label_counts(docs)
        unasked = {label: counts[label] for label in counts if label not in pipe.labels}
        if unasked:
            missed = f"{sum(unasked.values())} entities count as missed"
            msg.warn(f"{missed}: `{name}` has no label {', '.join(unasked)}")
        if threshold is not None:
            pipe.cfg.update(threshold=threshold, thresholds={})
        scores = evaluate(nlp, docs)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot evaluate {pipeline}", str(error))
        raise Exit(1) from error
    print_scores(scores, [*pipe.labels, *unasked])
    if output_path is not None:
        found = {key: nlp.meta[key] for key in ("name", "version")}
        found.update(labels=pipe.labels, labels_not_asked=unasked, **scores)
        output_path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output_path, to_json(found))
        msg.good(f"Wrote {output_path}")


def print_scores(scores: Mapping[str, "Scores"], labels: Sequence[str]) -> None:
    """Print the scores under both protocols side by side."""
    columns = []
    for own in scores.values():
        by_label = own["ents_per_type"] or {}
        shares = [own[f"ents_{of}"] for of in "prf"]
        shares += [by_label.get(label, {}).get("f") for label in labels]
        shown = ["-" if each is None else f"{100 * each:.2f}" for each in shares]
        speed = f"{own['texts'] / own['seconds']:.2f}" if own["seconds"] else "-"
        counts = [own["texts"], own["entities"]]
        columns.append([*counts, *shown, f"{own['seconds']:.2f}", speed])
    titles = ["Texts", "Entities", "Precision", "Recall", "F1"]
    titles += [f"F1 {label}" for label in labels] + ["Seconds", "Texts per second"]
    header = ("", "All types", "Types known")
    msg.table(
        list(zip(titles, *columns)), header=header, aligns=("l", "r", "r"), divider=True
    )
    msg.info('"Types known" gives the types away. Compare it with nothing else.')
