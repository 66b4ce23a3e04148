"""A run: draw, train, annotate, score. What is kept has counts, and never a text.
Source: ours."""

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from confection import Config
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.util import dot_to_object, fix_random_seed, get_lang_class, load_config

from ..char_spans import CharSpan, ScoredCharSpan
from ..corpus.entities import entities_of, scored_entities_of
from ..data.corpora import without_annotation
from ..data.sampling import label_counts
from ..evaluation.metrics import (
    Counts,
    best_threshold,
    calibration_error,
    count,
    errors,
    total,
)
from ..evaluation.protocols import evaluate
from ..evaluation.support_set import train_on
from .draws import draws
from .grid import Run
from .machine import machine
from .study import Record, Study
from .text_counts import encode

# Writes entities on Docs, and gives them back in order.
Annotate = Callable[[Iterable[Doc]], Iterable[Doc]]
# A method that is no config: learns from a support set. Called with a blank pipeline,
# whose vocabulary all Docs have, the support set, the seed, and its settings by name.
Fit = Callable[..., Annotate]


def measure(runs: Sequence[Run], study: Study) -> Iterator[tuple[Run, Any]]:
    """Measure those of the runs that the study does not have, one after the other.

    Several processes may do so at once (`Study.once`). Yields each run that was worked
    at, with its record, or with the exception that it ended in.
    """
    for run in runs:
        try:
            found: Any = study.once(run.name, lambda run=run: measured(run))  # type: ignore[misc]
        except Exception as error:
            found = error
        if found is not None:
            yield run, found
            gc.collect()


def measured(run: Run) -> Record:
    """Measure a run. RETURNS: where it stands in the grid, its draw's size, what
    `scored` counts, `f1_known` where the grid asks for it, seconds by the clock and of
    the CPU, the config (or the function's settings) without its seed, and the machine.
    Raises what drawing, learning or annotating raises."""
    config = make_config(run)
    blank = get_lang_class(config["nlp"]["lang"] if config else "en")()
    drawn = draws(run, blank)
    begin = clocks()
    if config is None:
        nlp, annotate = blank, fitted(run, blank, drawn.support)
    else:
        overrides = overrides_of(run, config)
        nlp = train_on(config, drawn.support, overrides, run.method.train)
        annotate = nlp.pipe
    train_seconds = since(begin)
    # Read by the pipeline that is trained: its vocabulary is another one.
    docs = list(DocBin(docs=drawn.test).get_docs(nlp.vocab))
    # What is done once, at the first text, is not the texts' cost.
    list(annotate([without_annotation(docs[0])]))
    begin = clocks()
    found = list(annotate([without_annotation(doc) for doc in docs]))
    seconds = since(begin)
    known: Record = {}
    if run.known:
        known["f1_known"] = evaluate(nlp, docs)["types_known"]["ents_f"] or 0.0
    entities = label_counts(drawn.support)
    support = {"texts": len(drawn.support), "entities": entities}
    return {
        "data": run.data.name,
        "protocol": run.protocol,
        "ways": run.ways,
        "k": run.k,
        "seed": run.seed,
        "method": run.method.name,
        "seen": run.seen,
        "support": support,
        "texts": len(docs),
        **scored(list(map(entities_of, docs)), list(map(scored_entities_of, found))),
        **known,
        "seconds": {"train": train_seconds[0], "annotate": seconds[0]},
        "cpu_seconds": {"train": train_seconds[1], "annotate": seconds[1]},
        "config": without_paths(settings_of(run, nlp)),
        "machine": machine(),
    }


def clocks() -> tuple[float, float]:
    """Seconds by the clock, and CPU seconds of this process, all its threads together."""
    return time.perf_counter(), time.process_time()


def since(begin: tuple[float, float]) -> tuple[float, float]:
    """Seconds by both clocks since then. CPU seconds are nearly the same on a machine that
    is busy with something else; what a GPU does is not in them."""
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


def scored(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[ScoredCharSpan]]
) -> Record:
    """What a study keeps of entities, annotated and predicted, by text.

    counts: by label, true positives, false positives, false negatives; by_text: the
    same three of each text (`text_counts`), for paired intervals; f1: strict micro F1; threshold_f1: F1 at the threshold that is best for these very texts, None
    without scores, as calibration_error. Of scores, four digits count."""
    predicted = [
        [(*e[:3], None if e[3] is None else round(e[3], 4)) for e in found]
        for found in predicted
    ]
    counts = count(gold, predicted)
    best = best_threshold(gold, predicted)
    texts = [
        split(total(count([own], [found]).values()))
        for own, found in zip(gold, predicted, strict=True)
    ]
    return {
        "counts": {label: split(own) for label, own in counts.items()},
        "by_text": encode(texts),
        "f1": total(counts.values()).f1,
        "errors": errors(gold, predicted),
        "calibration_error": calibration_error(gold, predicted),
        "threshold_f1": None if best is None else best[1],
    }


def split(counts: Counts) -> list[int]:
    """True positives, false positives, false negatives."""
    right = counts.right
    return [right, counts.predicted - right, counts.annotated - right]


def make_config(run: Run) -> Config | None:
    """The method's config without what it leaves out; None where it has none."""
    if run.method.config is None:
        return None
    config = load_config(run.method.config)
    for section in run.method.without:
        path, _, last = section.rpartition(".")
        try:
            del (dot_to_object(config, path) if path else config)[last]
        except KeyError as error:
            name = run.method.config
            message = f"Method {run.method.name}: {name} has no [{section}]."
            raise ValueError(message) from error
    return config


def settings_of(run: Run, nlp: Language) -> Record:
    """How it was learned: alike for all seeds, so that a study has it once."""
    if run.method.function:
        return {"function": run.method.function, **method_settings(run)}
    used = nlp.config.interpolate()
    training = {name: own for name, own in used["training"].items() if name != "seed"}
    return {"nlp": used["nlp"], "components": used["components"], "training": training}


def method_settings(run: Run) -> Record:
    """The method's own settings. Raises OSError where weights are not there."""
    for folder in run.method.weights.values():
        if not folder.is_dir():
            raise OSError(f"There is no folder {folder} with weights.")
    folders = {name: str(own.resolve()) for name, own in run.method.weights.items()}
    return {**folders, **run.method.overrides}


def overrides_of(run: Run, config: Config) -> Record:
    """What a run sets in its config."""
    overrides: Record = {"system.seed": run.seed}
    if "definitions" in config.get("paths", {}) and run.data.definitions:
        overrides["paths.definitions"] = str(run.data.definitions)
    return {**overrides, **method_settings(run)}


def fitted(run: Run, nlp: Language, support: Sequence[Doc]) -> Annotate:
    """What the method's function makes of the support set. Raises ValueError where
    there is no such function."""
    module, _, name = run.method.function.partition(":")
    try:
        fit: Fit = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        named = f"{run.method.function!r} (module:name)"
        message = f"Method {run.method.name}: cannot import {named}: {error}"
        raise ValueError(message) from error
    fix_random_seed(run.seed)
    return fit(nlp, support, run.seed, **method_settings(run))


def without_paths(value: Any) -> Any:
    """The same, and of every absolute path only the last part: what a record says must
    not depend on where things lie."""
    if isinstance(value, dict):
        return {name: without_paths(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(own) for own in value]
    absolute = isinstance(value, str) and Path(value).is_absolute()
    return Path(value).name if absolute else value
