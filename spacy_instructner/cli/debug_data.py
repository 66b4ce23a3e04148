"""`python -m spacy instructner debug-data`"""

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from spacy.cli._util import import_code, parse_config_overrides
from spacy.language import Language
from spacy.schemas import ConfigSchemaInit
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import load_config, load_model_from_config, registry
from typer import Argument, Context, Exit, Option
from wasabi import msg

from ..config_checks import check_paths
from ..data.corpora import without_annotation
from ..data.sampling import label_counts, same_text
from ..tasks.labels import unasked_words
from . import app
from ._annotated import ENCODING, FORMATS, read_annotated
from .convert import report

if TYPE_CHECKING:
    from ..component import InstructionNERPipe

# (what was found, whether training is impossible with it)
Finding = tuple[str, bool]


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
        None, "--code", "-c", help="Python file with functions that the config names"
    ),
    encoding: str = ENCODING,
) -> None:
    """Look for what would go wrong in training: misaligned, overlapping and duplicate
    annotation, leaks into the test set, labels with the same words or without a
    definition, texts over the window, entities that no answer can say. Exits with 1
    where training is impossible. Settings can be given as for spacy train:
    --paths.definitions words.json."""
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
    report(train, train_path)
    if test_path:
        report(test, test_path)
    findings = check_texts(train, test)
    findings.extend(check_component(nlp, train))
    for found, bad in findings:
        if bad:
            msg.fail(found)
        else:
            msg.warn(found)
    if any(bad for _, bad in findings):
        raise Exit(1)
    msg.good("Nothing here stands in the way of training")


def check_texts(train: list[Doc], test: list[Doc]) -> list[Finding]:
    """Duplicates, contradictions, leaks, and labels on one side only."""
    found: list[Finding] = []
    seen: dict[str, set] = {}
    copies: Counter = Counter()
    for doc in train:
        said = {(e.start_char, e.end_char, e.label_) for e in doc.ents}
        seen.setdefault(same_text(doc), set()).add(frozenset(said))
        copies[same_text(doc)] += 1
    repeated = [text for text, count in copies.items() if count > 1]
    if repeated:
        found.append(
            (f"{len(repeated)} texts stand there twice: {repeated[0][:60]!r}", False)
        )
    torn = [text for text, annotations in seen.items() if len(annotations) > 1]
    if torn:
        found.append(
            (f"{len(torn)} texts are annotated in two ways: {torn[0][:60]!r}", False)
        )
    leaks = [doc.text for doc in test if same_text(doc) in seen]
    if leaks:
        found.append(
            (
                f"{len(leaks)} test texts stand in the training data, too: "
                f"{leaks[0][:60]!r}. Exclude them with --paths.exclude.",
                False,
            )
        )
    unseen = sorted(set(label_counts(test)) - set(label_counts(train)))
    if unseen:
        found.append((f"Only the test data has: {', '.join(unseen)}", False))
    return found


def check_component(nlp: Language, train: list[Doc]) -> list[Finding]:
    """What the component itself could not learn from these texts."""
    from ..component import InstructionNERPipe

    pipes = [
        (name, pipe)
        for name, pipe in nlp.pipeline
        if isinstance(pipe, InstructionNERPipe)
    ]
    if not pipes:
        return [("The config has no component `instruction_ner`", True)]
    name, pipe = pipes[0]
    try:
        begin = nlp.config.interpolate()["initialize"]
        given = registry.resolve(begin, schema=ConfigSchemaInit)["components"]
        words = dict(given.get(name, {}))
        labels = words.pop("labels", None) or pipe.labels or sorted(label_counts(train))
        check_paths(nlp)
        with warnings.catch_warnings():
            # What is wrong with the words is a finding, below.
            warnings.simplefilter("ignore")
            pipe.set_labels(labels, **words)
        return [
            *_check_labels(pipe, train),
            *_check_words(pipe),
            *_check_windows(nlp, pipe, train),
        ]
    except (OSError, ValueError) as error:
        return [(str(error), True)]


def _check_labels(pipe: "InstructionNERPipe", train: list[Doc]) -> list[Finding]:
    from ..tasks.instruction_ner import InstructionNER

    counts = label_counts(train)
    found: list[Finding] = []
    if absent := [label for label in pipe.labels if label not in counts]:
        found.append((f"The data has no example of: {', '.join(absent)}", False))
    if extra := [label for label in counts if label not in pipe.labels]:
        found.append((f"Not in `labels`, learnt as none: {', '.join(extra)}", False))
    if rare := [label for label in pipe.labels if 0 < counts.get(label, 0) < 5]:
        found.append((f"Fewer than 5 examples of: {', '.join(rare)}", False))
    if isinstance(pipe.task, InstructionNER) and all(doc.ents for doc in train):
        found.append(
            ("Every text has an entity: InstructionNER learns no empty answer", False)
        )
    return found


def _check_words(pipe: "InstructionNERPipe") -> list[Finding]:
    """Words for labels that are not there, and labels of whose meaning a prompt that
    says it would say nothing."""
    from ..tasks.cllmfs import CLLMFS

    own = ("label_names", "label_definitions")
    words = {setting: pipe.cfg[setting] for setting in own}
    unasked = [(each, False) for each in unasked_words(pipe.labels, **words)]
    without = [label for label in pipe.labels if not words[own[1]].get(label)]
    if not without or not isinstance(pipe.task, CLLMFS):
        return unasked
    return [
        *unasked,
        (
            f"What these labels mean is not said: {', '.join(without)}. Say it in "
            "`label_definitions` or in the file `--paths.definitions`; F1 is often "
            "better for it.",
            False,
        ),
    ]


def _check_windows(
    nlp: Language, pipe: "InstructionNERPipe", train: list[Doc]
) -> list[Finding]:
    found: list[Finding] = []
    own = [Example(without_annotation(doc), doc) for doc in train]
    learnt = pipe.learnable(own)
    asked = sum(e.label_ in pipe.labels for doc in train for e in doc.ents)
    if learnt.cut:
        found.append((f"{learnt.cut} texts are cut into windows", False))
    if learnt.entities < asked:
        found.append(
            (
                f"{asked - learnt.entities} entities can be said in no answer: they are "
                "cut by a window, longer than `max_span`, or begin or end at a token "
                "that the model's tokenizer cannot write",
                False,
            )
        )
    if lost := pipe.answer_ids(own).lost:
        found.append(
            (f"{lost} answer ids are not learnt: annotation is missing", False)
        )
    # The pipeline will cut the texts it meets with its own tokenizer.
    with nlp.select_pipes(enable=[]):
        again = [Example(nlp(doc.text), doc) for doc in train]
    lost = learnt.entities - pipe.learnable(again).entities
    if lost > 0:
        found.append(
            (
                f"{lost} entities do not fall on the tokens of the pipeline's own "
                "tokenizer: on such texts they will not be found",
                False,
            )
        )
    return found
