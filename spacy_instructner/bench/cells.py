"""A cell: draw, train, annotate, score, keep. What is kept has counts and offsets, and
never a text."""

import gc
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import (
    Any,
)

from confection import Config
from filelock import FileLock, Timeout
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.util import (
    fix_random_seed,
    get_lang_class,
    load_config,
)

from ..corpus.entities import entities_of, scored_entities_of
from ..data.corpora import without_annotation
from ..data.sampling import label_counts
from ..evaluation.metrics import calibration_error, count, errors, total
from ..evaluation.support_set import train_on
from ..files import to_json, write_whole
from .draws import draws
from .machine import machine
from .matrix import Cell
from .weights import folder_of

FORMAT = 1
Record = dict[str, Any]
# Writes entities on Docs, and gives them back in order.
Annotate = Callable[[Iterable[Doc]], Iterable[Doc]]
# A method that is no config: learns from a support set. Called with a blank pipeline,
# whose vocabulary all Docs have, the support set, the seed, and its settings by name.
Fit = Callable[..., Annotate]


def path_of(cell: Cell, folder: Path) -> Path:
    return folder / f"{cell.name}.json"


def measure(cells: Sequence[Cell], folder: Path) -> Iterator[tuple[Cell, Any]]:
    """Measure those of the cells that the folder does not have, one after the other.

    Several processes may do so at once (`once`). Yields each cell that was worked at,
    with its record, or with the exception that it ended in.
    """
    for cell in cells:
        try:
            path = path_of(cell, folder)
            record = once(path, folder / "locks", lambda cell=cell: run(cell))  # type: ignore[misc]
        except Exception as error:
            yield cell, error
        else:
            if record is not None:
                yield cell, record
        gc.collect()


def once(
    path: Path, locks: Path, make: Callable[[], Record], indent: int | None = None
) -> Record | None:
    """Make a record and keep it as this file; None where it is there, or where another
    process is at it.

    locks: a folder for the locks; the system takes one back from a process that is
    killed. What is broken off leaves no file. Raises what `make` raises."""
    for folder in (path.parent, locks):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(locks / f"{path.stem}.lock", timeout=0):
            if path.exists():
                return None
            record = make()
            write_whole(path, to_json(record, indent, sort_keys=True))
    except Timeout:
        return None
    return record


def read_records(folder: Path) -> list[Record]:
    """All records of a folder, by name."""
    return [
        json.loads(path.read_text(encoding="utf8"))
        for path in sorted(folder.glob("*.json"))
    ]


def run(cell: Cell) -> Record:
    """Measure a cell. Raises what drawing, learning or annotating raises."""
    method_settings(cell)  # Fetches weights before the clock runs.
    config = make_config(cell)
    blank = get_lang_class(config["nlp"]["lang"] if config else "en")()
    drawn = draws(cell, blank)
    begin = time.perf_counter()
    if config is None:
        nlp, annotate = blank, fitted(cell, blank, drawn.support)
    else:
        overrides = overrides_of(cell, config)
        nlp = train_on(config, drawn.support, overrides, cell.method.train)
        annotate = nlp.pipe
    train_seconds = time.perf_counter() - begin
    # Read by the pipeline that is trained: its vocabulary is another one.
    docs = list(DocBin(docs=drawn.test).get_docs(nlp.vocab))
    # What is done once, at the first text, is not the texts' cost.
    list(annotate([without_annotation(docs[0])]))
    begin = time.perf_counter()
    found = list(annotate([without_annotation(doc) for doc in docs]))
    seconds = time.perf_counter() - begin
    gold = [entities_of(doc) for doc in docs]
    predicted = [
        [(*e[:3], rounded(e[3])) for e in scored_entities_of(doc)] for doc in found
    ]
    counts = count(gold, predicted)
    return {
        "format": FORMAT,
        "name": cell.name,
        "data": cell.data.name,
        "protocol": cell.protocol,
        "ways": cell.ways,
        "k": cell.k,
        "seed": cell.seed,
        "method": cell.method.name,
        "seen": cell.seen,
        "support": {
            "texts": len(drawn.support),
            "entities": label_counts(drawn.support),
        },
        "texts": len(docs),
        "gold": gold,
        "predicted": predicted,
        "counts": {label: asdict(own) for label, own in counts.items()},
        "f1": total(counts.values()).f1,
        "errors": errors(gold, predicted),
        "calibration_error": calibration_error(gold, predicted),
        "seconds": {"train": train_seconds, "annotate": seconds},
        "config": without_paths(settings_of(cell, nlp)),
        "machine": machine(),
    }


def make_config(cell: Cell) -> Config | None:
    """The method's config without what it leaves out; None where it has none."""
    if cell.method.config is None:
        return None
    config = load_config(cell.method.config)
    for section in cell.method.without:
        *path, last = section.split(".")
        block: Any = config
        for name in path:
            block = block.get(name, {})
        if last not in block:
            raise ValueError(
                f"Method {cell.method.name}: {cell.method.config} has no [{section}]."
            )
        del block[last]
    return config


def settings_of(cell: Cell, nlp: Language) -> Record:
    """What a record keeps of how it was learned."""
    if cell.method.function:
        return {"function": cell.method.function, **method_settings(cell)}
    used = nlp.config.interpolate()
    return {part: used[part] for part in ("nlp", "components", "training")}


def method_settings(cell: Cell) -> dict[str, Any]:
    """The method's own settings, with the folders of its weights."""
    folders = {name: str(folder_of(own)) for name, own in cell.method.weights.items()}
    return {**folders, **cell.method.overrides}


def overrides_of(cell: Cell, config: Config) -> dict[str, Any]:
    """What a cell sets in its config."""
    overrides: dict[str, Any] = {"system.seed": cell.seed}
    if "definitions" in config.get("paths", {}) and cell.data.definitions:
        overrides["paths.definitions"] = str(cell.data.definitions)
    return {**overrides, **method_settings(cell)}


def fitted(cell: Cell, nlp: Language, support: Sequence[Doc]) -> Annotate:
    """What the method's function makes of the support set. Raises ValueError where
    there is no such function."""
    module, _, name = cell.method.function.partition(":")
    try:
        fit: Fit = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"Method {cell.method.name}: cannot import {cell.method.function!r} "
            f"(module:name): {error}"
        ) from error
    fix_random_seed(cell.seed)
    return fit(nlp, support, cell.seed, **method_settings(cell))


def rounded(score: float | None) -> float | None:
    """Four digits of a score."""
    return None if score is None else round(score, 4)


def without_paths(value: Any) -> Any:
    """The same, and of every absolute path only the last part: what a record says must
    not depend on where things lie."""
    if isinstance(value, dict):
        return {name: without_paths(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(own) for own in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value
