"""Several pipelines on the same texts: how well, how fast, how large. Source: ours."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from ..corpus.entities import entities_of, scored_entities_of
from ..data.blank_docs import without_annotation
from .metrics import count, total


@dataclass(frozen=True)
class Compared:
    """What one pipeline did.

    precision, recall, f1: strict, over all labels, from 0 to 1; words: tokens of the
    texts; seconds: of annotation, by the clock; cpu_seconds: of all threads together
    (what a GPU does is not in them); megabytes: of the pipeline's folder, None where it
    was not loaded from one."""

    precision: float
    recall: float
    f1: float
    texts: int
    entities: int
    words: int
    seconds: float
    cpu_seconds: float
    megabytes: float | None


def compared(nlp: Language, docs: Sequence[Doc]) -> Compared:
    """Score any pipeline that writes `doc.ents`.

    nlp (Language): the pipeline.
    docs (Sequence[Doc]): annotated texts, with the pipeline's vocabulary; it gets their
        tokens as they are.
    RETURNS (Compared): what it did. Raises ValueError without a text, and whatever
        annotating raises."""
    if not docs:
        raise ValueError("There is no text to compare pipelines on.")
    # What is done once, at the first text, is not the texts' cost.
    list(nlp.pipe([without_annotation(docs[0])]))
    asked = [without_annotation(doc) for doc in docs]
    clock, cpu = time.perf_counter(), time.process_time()
    found = list(nlp.pipe(asked))
    seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
    gold = [entities_of(doc) for doc in docs]
    counts = total(count(gold, [scored_entities_of(doc) for doc in found]).values())
    return Compared(
        precision=counts.precision,
        recall=counts.recall,
        f1=counts.f1,
        texts=len(docs),
        entities=counts.annotated,
        words=sum(map(len, docs)),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        megabytes=size_of(nlp.path) if nlp.path else None,
    )


def size_of(folder: Path) -> float:
    """Megabytes (millions of bytes) of all files in a folder."""
    sizes = (path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return sum(sizes) / 1e6
