"""A cell: draw, train, annotate, score, keep. What is kept has counts and offsets, and
never a text."""

import gc
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from confection import Config
from filelock import FileLock, Timeout
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training.initialize import init_nlp
from spacy.util import get_lang_class, load_config, load_model_from_path

from ..annotations import find_score
from ..corpora import bare, read_docs, write_docs
from ..sampling import draw, label_counts
from .machine import machine
from .matrix import GIVEN, Cell
from .scores import Entity, Scored, calibration_error, count, errors, total

FORMAT = 1
Record = Dict[str, Any]


def path_of(cell: Cell, folder: Path) -> Path:
    return folder / f"{cell.name}.json"


def measure(cells: Sequence[Cell], folder: Path) -> Iterator[Tuple[Cell, Any]]:
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
    path: Path, locks: Path, make: Callable[[], Record], indent: Optional[int] = None
) -> Optional[Record]:
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
            aside = path.with_name(f"{path.name}.part")
            text = json.dumps(record, indent=indent, sort_keys=True)
            aside.write_text(text + "\n")
            aside.replace(path)
    except Timeout:
        return None
    return record


def read_records(folder: Path) -> List[Record]:
    """All records of a folder, by name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def run(cell: Cell) -> Record:
    """Measure a cell. Raises what drawing, training or annotating raises."""
    config = make_config(cell)
    blank = get_lang_class(config["nlp"]["lang"])()
    support = support_set(cell, blank)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_docs(support, folder / "support.spacy")
        begin = time.perf_counter()
        nlp = trained(cell, config, folder)
        train_seconds = time.perf_counter() - begin
    docs = test_set(cell, nlp)
    # What is done once, at the first text, is not the texts' cost.
    nlp(bare(docs[0]))
    begin = time.perf_counter()
    found = list(nlp.pipe(map(bare, docs)))
    seconds = time.perf_counter() - begin
    used = nlp.config.interpolate()
    gold = [entities_of(doc) for doc in docs]
    predicted = [scored_of(doc) for doc in found]
    counts = count(gold, predicted)
    return {
        "format": FORMAT,
        "name": cell.name,
        "data": cell.data.name,
        "protocol": cell.protocol,
        "k": cell.k,
        "seed": cell.seed,
        "method": cell.method.name,
        "support": {"texts": len(support), "entities": label_counts(support)},
        "texts": len(docs),
        "gold": gold,
        "predicted": predicted,
        "counts": {label: asdict(own) for label, own in counts.items()},
        "f1": total(counts.values()).f1,
        "errors": errors(gold, predicted),
        "calibration_error": calibration_error(gold, predicted),
        "seconds": {"train": train_seconds, "annotate": seconds},
        "config": without_paths(
            {part: used[part] for part in ("nlp", "components", "training")}
        ),
        "machine": machine(),
    }


def make_config(cell: Cell) -> Config:
    """The method's config without what it leaves out."""
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


def overrides_of(cell: Cell, config: Config, folder: Path) -> Dict[str, Any]:
    """What a cell sets in its config. There is no other development data in a few-shot
    run than the support set."""
    support = str(folder / "support.spacy")
    overrides: Dict[str, Any] = {"paths.train": support, "system.seed": cell.seed}
    paths, corpora = config.get("paths", {}), config.get("corpora", {})
    if "dev" in paths:
        overrides["paths.dev"] = support
    if "definitions" in paths and cell.data.definitions:
        overrides["paths.definitions"] = str(cell.data.definitions)
    if "protocol" in corpora.get("train", {}):
        # It is drawn already.
        overrides["corpora.train.protocol"] = "all"
    if "logger" in config.get("training", {}):
        overrides["training.logger.progress_bar"] = None
    return {**overrides, **cell.method.overrides}


def trained(cell: Cell, config: Config, folder: Path) -> Language:
    """The pipeline, trained on the support set in a folder, or just initialized."""
    path = folder / "config.cfg"
    config.to_disk(path)
    overrides = overrides_of(cell, config, folder)
    if not cell.method.train:
        return init_nlp(load_config(path, overrides=overrides))
    train(path, folder / "out", overrides=overrides)
    return load_model_from_path(folder / "out" / "model-last")


def test_set(cell: Cell, nlp: Language) -> List[Doc]:
    """What is scored. Raises ValueError where there is nothing."""
    docs, _ = read_docs(cell.data.test, nlp)
    chosen = draw(docs, "sentences", k=cell.texts, seed=0) if cell.texts else docs
    if not chosen:
        raise ValueError(f"{cell.data.test} holds no text.")
    return chosen


def support_set(cell: Cell, nlp: Language) -> List[Doc]:
    """The draw: no sentence of it stands in the test file, or, where both are drawn from
    the same file, among those that are scored. Raises ValueError where nothing is left."""
    data = cell.data
    if cell.protocol == GIVEN:
        path = Path(str(data.support).format(k=cell.k, seed=cell.seed))
    else:
        path = Path(str(data.train))
    docs, _ = read_docs(path, nlp)
    if path == data.test:
        barred = test_set(cell, nlp)
    else:
        barred, _ = read_docs(data.test, nlp)
    protocol: Any = "all" if cell.protocol == GIVEN else cell.protocol
    support = draw(docs, protocol, cell.k, cell.seed, barred)
    if not support:
        raise ValueError(f"{path} has no sentence to draw that is not in the test set.")
    return support


def entities_of(doc: Doc) -> List[Entity]:
    return [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]


def scored_of(doc: Doc) -> List[Scored]:
    """The entities with their scores, four digits of them."""
    found: List[Scored] = []
    for ent in doc.ents:
        score = find_score(ent, doc.spans)
        rounded: Optional[float] = None if score is None else round(score, 4)
        found.append((ent.start_char, ent.end_char, ent.label_, rounded))
    return found


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
