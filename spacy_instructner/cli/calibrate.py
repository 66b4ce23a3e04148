"""`python -m spacy instructner calibrate`"""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from spacy.cli._util import import_code, setup_gpu
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_model, resolve_dot_names
from typer import Argument, Exit, Option
from wasabi import msg

from ..calibration import Judged, fit
from ..config_checks import write_threshold
from ..evaluation.metrics import Bin, expected_error, judged, reliability
from ..evaluation.support_set import folds, predicted, train_on
from ..formats.outputs import check_output
from ..formats.text_files import UTF8
from . import app
from ._annotated import ENCODING, read_scored, tell_problems
from .evaluate import find_component


@app.command("calibrate")
def calibrate_cli(
    pipeline: str = Argument(..., help="A trained pipeline: a folder or a package's name"),
    output_path: Path = Argument(..., help="Folder for the calibrated pipeline"),
    dev_path: Path | None = Option(
        None, "--dev", help="Annotated texts that it was not trained on", exists=True, dir_okay=False
    ),
    train_path: Path | None = Option(
        None, "--train", help="Its support set, where its config does not say", exists=True, dir_okay=False
    ),
    count: int = Option(5, "--folds", help="Without --dev: parts of the support set, each predicted by a pipeline that learned from the others"),
    plot_path: Path | None = Option(
        None, "--plot", help="An SVG file for score against share that is right (needs matplotlib)", dir_okay=False
    ),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of a GPU; -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="Python file with functions that the pipeline needs"
    ),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Make scores say how often they are right, by development data or, without any, by
    the support set: cross-fitting."""
    try:
        check_output(output_path, Path(pipeline))
        if plot_path is not None:
            check_output(plot_path, dev_path, train_path)
        import_code(code_path)
        setup_gpu(gpu_id, silent=True)
        nlp = load_model(pipeline)
        name, pipe = find_component(nlp)
        # Not after minutes of training.
        output_path.parent.mkdir(parents=True, exist_ok=True)
        if dev_path is not None:
            pairs = of_texts(nlp, read_scored(dev_path, nlp, encoding))
        else:
            pairs = of_folds(nlp, support_of(nlp, train_path, encoding), count)
        calibration = fit(pairs)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot calibrate {pipeline}", str(error))
        raise Exit(1) from error
    before = reliability(pairs)
    after = reliability([(calibration(score), right) for score, right in pairs])
    report(before, after)
    pipe.set_calibration(calibration)
    write_threshold(nlp, name, pipe.cfg["threshold"])
    nlp.to_disk(output_path)
    msg.good("Calibrated", str(output_path))
    if plot_path is not None:
        try:
            drawn = plot(before, after)
            plot_path.parent.mkdir(parents=True, exist_ok=True)
            plot_path.write_text(drawn, encoding="utf8")
        except ModuleNotFoundError as error:
            msg.warn(
                "No plot is drawn", f"{error}: pip install spacy-instructner[bench]"
            )


def of_texts(nlp: Language, docs: Sequence[Doc]) -> list[Judged]:
    """The bare scores of a pipeline's entities in annotated Docs, and whether they are
    right."""
    _, pipe = find_component(nlp)
    kept = dict(pipe.cfg)
    pipe.cfg["threshold"] = 0.0
    pipe.cfg.pop("calibration", None)
    try:
        texts = predicted(nlp, docs)
        tell_problems(texts)
        return judged(texts.gold, texts.found)
    finally:
        pipe.cfg.clear()
        pipe.cfg.update(kept)


def of_folds(nlp: Language, support: Sequence[Doc], count: int) -> list[Judged]:
    """The same of a support set: of each part, by a pipeline that learned the others
    from the start, with the labels and words that the pipeline has now."""
    name, pipe = find_component(nlp)
    config = nlp.config.copy()
    own = ("labels", "label_names", "label_definitions")
    config["components"][name] |= {key: pipe.cfg[key] for key in own}
    config["initialize"]["components"].pop(name, None)
    seed = config.interpolate()["training"]["seed"]
    found: list[Judged] = []
    for rest, left_out in folds(support, count, seed):
        found += of_texts(train_on(config, rest, {}), left_out)
    return found


def support_of(nlp: Language, path: Path | None, encoding: str = UTF8) -> list[Doc]:
    """What a pipeline was trained on. Raises ValueError where that cannot be read."""
    if path is not None:
        return read_scored(path, nlp, encoding)
    config = nlp.config.interpolate()
    name = config["training"]["train_corpus"]
    block: Any = config
    for part in name.split("."):
        block = block.get(part, {})
    # A changed copy of a text must not be in another part than the text.
    if block.get("augmenter"):
        block["augmenter"] = None
    try:
        (corpus,) = resolve_dot_names(config, [name])
        return [example.reference for example in corpus(nlp)]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The pipeline's [{name}] cannot be read: {error} Name its support set with "
            "--train, or development data with --dev."
        ) from error


def report(before: Sequence[Bin], after: Sequence[Bin]) -> None:
    """Print both."""
    rows = [
        (when, each.spans, f"{each.score:.2f}", f"{each.right:.2f}")
        for when, bins in (("before", before), ("after", after))
        for each in bins
    ]
    msg.table(
        rows, header=("", "Spans", "Mean score", "Right"), aligns=("l", "r", "r", "r")
    )
    msg.info(
        f"Expected calibration error: {expected_error(before):.3f}, calibrated "
        f"{expected_error(after):.3f} (on the spans that it was fitted to)"
    )


def plot(before: Sequence[Bin], after: Sequence[Bin]) -> str:
    """Share that is right against score, as SVG: the same for the same bins. Raises
    ModuleNotFoundError without matplotlib."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # In a context, from the defaults: neither do settings of the user's change the
    # plot, nor the plot those.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        own: Any = {"svg.fonttype": "none", "svg.hashsalt": "calibrate", "font.size": 9}
        matplotlib.rcParams.update(own)
        figure = Figure((4.6, 3.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], "--", color="#999999", label="as often as it says")
        for name, bins, style in (("before", before, "o-"), ("after", after, "s-")):
            scores, shares = [b.score for b in bins], [b.right for b in bins]
            axes.plot(scores, shares, style, label=name)
        axes.set(xlabel="score", ylabel="share that is right", ylim=(0, None))
        axes.set_title("Scores and how often they are right", loc="left")
        axes.legend(frameon=False)
        file = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    return file.getvalue()
