"""`python -m spacy instructner debug-data`"""

from pathlib import Path

from typer import Argument, Context, Exit, Option
from wasabi import msg

from ..data.checks import check_size, check_texts
from . import app
from ._printing import print_label_counts
from ._reading import ENCODING, FORMATS, read_annotated


@app.command(
    "debug-data",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def debug_data_cli(
    ctx: Context,
    config_path: Path = Argument(
        ..., help="A training config", exists=True, dir_okay=False
    ),
    train_path: Path = Argument(
        ..., help=f"Training data: {FORMATS}", exists=True, dir_okay=False
    ),
    test_path: Path | None = Option(
        None, "--test", "-t", help="Test data, to look for leaks", exists=True
    ),
    code_path: Path | None = Option(
        None, "--code", "-c", help="A Python file with functions that the config names"
    ),
    encoding: str = ENCODING,
) -> None:
    """Look for what would go wrong in training: misaligned, overlapping and duplicate
    annotation, leaks into the test set, labels with the same words, without a definition
    or with words that the model may not know, texts longer than the window, entities that
    fit into no answer. Say when there are so many texts that plain spaCy may do as well.
    Exit with 1 if training is impossible. Settings can be given as for spacy train:
    --paths.definitions words.json."""
    from spacy.cli._util import import_code, parse_config_overrides
    from spacy.util import load_config, load_model_from_config

    import_code(code_path)
    overrides = parse_config_overrides(ctx.args)
    config = load_config(config_path, overrides=overrides, interpolate=False)
    nlp = load_model_from_config(config, auto_fill=True)
    try:
        train = read_annotated(train_path, nlp, encoding)
        test = read_annotated(test_path, nlp, encoding) if test_path else []
    except (OSError, ValueError) as error:
        msg.fail("Cannot read the data", str(error))
        raise Exit(1) from error
    print_label_counts(train, train_path)
    if test_path:
        print_label_counts(test, test_path)
    # It needs the models, so it is imported after all that may fail before.
    from ..evaluation.learnability import check_component

    findings = [
        *check_texts(train, test),
        *check_component(nlp, train),
        *check_size(train),
    ]
    for finding in findings:
        if finding.fatal:
            msg.fail(finding.message)
        else:
            msg.warn(finding.message)
    if any(finding.fatal for finding in findings):
        raise Exit(1)
    msg.good("Training is possible with these data")
