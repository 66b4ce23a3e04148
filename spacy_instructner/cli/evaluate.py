"""`python -m spacy instructner evaluate`"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from spacy.cli._util import import_code, setup_gpu
from spacy.language import Language
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example
from typer import Argument, Exit, Option
from wasabi import msg

from ..data.corpora import without_annotation
from ..data.sampling import label_counts
from ..files import to_json, write_whole
from ..formats.outputs import check_output
from . import app
from ._annotated import ENCODING, FORMATS, read_scored

if TYPE_CHECKING:
    from ..component import InstructionNERPipe

# Texts, by the labels that are asked of them.
Groups = Mapping[tuple[str, ...], Sequence[Doc]]
# As spaCy's scorer has them (None where there is nothing to count), and texts, entities
# and seconds.
Scores = dict[str, Any]


@app.command("evaluate")
def evaluate_cli(
    pipeline: str = Argument(
        ..., help="A trained pipeline: a folder or a package's name"),
    data_path: Path = Argument(
        ..., help=f"Annotated texts: {FORMATS}",
        exists=True, dir_okay=False),
    output_path: Path | None = Option(
        None, "--output", "-o", help="A JSON file for the figures", dir_okay=False),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of a GPU; -1 for the CPU"),
    threshold: float | None = Option(
        None, "--threshold", "-t", help="In place of the pipeline's own",
        min=0.0, max=1.0),
    code_path: Path | None = Option(
        None, "--code", "-c", help="Python file with functions that the pipeline needs"),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Score strict spans twice: asked for all types in every text, and asked only for
    those that occur in it."""
    import spacy

    try:
        if output_path is not None:
            check_output(output_path, data_path)
        import_code(code_path)
        setup_gpu(gpu_id, silent=True)
        nlp = spacy.load(pipeline)
        name, pipe = find_component(nlp)
        docs = read_scored(data_path, nlp, encoding)
        counts = label_counts(docs)
        unasked = {label: counts[label] for label in counts if label not in pipe.labels}
        if unasked:
            missed = f"{sum(unasked.values())} entities count as missed"
            msg.warn(f"{missed}: `{name}` has no label {', '.join(unasked)}")
        if threshold is not None:
            pipe.cfg["threshold"] = threshold
        scores = evaluate(nlp, docs)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot evaluate {pipeline}", str(error))
        raise Exit(1) from error
    report(scores, [*pipe.labels, *unasked])
    if output_path is not None:
        found = {key: nlp.meta[key] for key in ("name", "version")}
        found.update(labels=pipe.labels, labels_not_asked=unasked, **scores)
        output_path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output_path, to_json(found))
        msg.good(f"Wrote {output_path}")


def find_component(nlp: Language) -> tuple[str, "InstructionNERPipe"]:
    """The one component to ask. Raises ValueError for none, several, or no labels."""
    from ..component import NO_LABELS, InstructionNERPipe

    found = [(n, p) for n, p in nlp.pipeline if isinstance(p, InstructionNERPipe)]
    if len(found) != 1:
        names = ", ".join(name for name, _ in found) or "none"
        raise ValueError(f"One component `instruction_ner` is needed; it has {names}.")
    ((name, pipe),) = found
    if not pipe.labels:
        raise ValueError(NO_LABELS.format(name=name))
    return name, pipe


def evaluate(nlp: Language, docs: Sequence[Doc]) -> dict[str, Scores]:
    """Scores on annotated Docs, which keep their tokens. all_types: every label is asked
    of every text; types_known: those that occur in it, and texts without entities are
    left out. Raises ValueError as `find_component` does, OSError without weights."""
    from ..models.thinc_model import get_inference_backbone

    name, pipe = find_component(nlp)
    # Before the clock runs.
    get_inference_backbone(pipe.model)
    known: dict[tuple[str, ...], list[Doc]] = {}
    for doc in docs:
        if has := {ent.label_ for ent in doc.ents}:
            asked = tuple(label for label in pipe.labels if label in has)
            known.setdefault(asked, []).append(doc)
    groups: dict[str, Groups] = {"all_types": {pipe.labels: docs}, "types_known": known}
    return {protocol: _score(nlp, name, of) for protocol, of in groups.items()}


def _score(nlp: Language, name: str, groups: Groups) -> Scores:
    examples: list[Example] = []
    seconds = 0.0
    for labels, docs in groups.items():
        begin = perf_counter()
        cfg = {name: {"labels": labels}}
        # The component cannot be asked for nothing.
        skipped = [] if labels else [name]
        found = list(
            nlp.pipe(map(without_annotation, docs), component_cfg=cfg, disable=skipped)
        )
        seconds += perf_counter() - begin
        for doc, predicted in zip(docs, found, strict=True):
            gold = without_annotation(doc)
            entities = [Span(gold, ent.start, ent.end, ent.label) for ent in doc.ents]
            gold.set_ents(entities, default="outside")
            examples.append(Example(predicted, gold))
    count = sum(len(example.reference.ents) for example in examples)
    counts = {"texts": len(examples), "entities": count, "seconds": seconds}
    return {**get_ner_prf(examples), **counts}


def report(scores: Mapping[str, Scores], labels: Sequence[str]) -> None:
    """Print both protocols side by side."""
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
    msg.info('"Types known" gives types away: its figures compare with nothing else')
