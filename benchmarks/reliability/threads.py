"""A pipeline that many threads call: whether it answers as one alone, and how fast."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

Figures = dict[str, Any]
NAME = "instruction_ner"


def threads(pipeline: Path, texts: Sequence[str], counts: Sequence[int]) -> Figures:
    """Seconds for all texts, and answers that are not those of one thread, by number of
    threads; the first calls are made by all of them at once."""
    alone: list[Any] = []
    rows = []
    for count in counts:
        nlp = load(pipeline)
        with ThreadPoolExecutor(count) as pool:
            found, wall, cpu = timed(
                lambda pool=pool, nlp=nlp: list(
                    pool.map(lambda t: exact(nlp(t)), texts)
                )  # type: ignore[misc]
            )
        alone = alone or found
        rows.append(
            {
                "threads": count,
                "wall": wall,
                "cpu": cpu,
                "other": sum(a != b for a, b in zip(alone, found, strict=True)),
            }
        )
        msg.info(str(rows[-1]))
    nlp = load(pipeline)
    _, wall, cpu = timed(lambda: list(nlp.pipe(texts)))
    return {"texts": len(texts), "rows": rows, "pipe": {"wall": wall, "cpu": cpu}}


def load(pipeline: Path) -> Language:
    precision = {f"components.{NAME}.model.precision": "float32"}
    return spacy.load(pipeline, config=precision)


def exact(doc: Doc) -> list[tuple[int, int, str, float]]:
    group = doc.spans[NAME]
    scores = group.attrs["scores"]
    return [(s.start, s.end, s.label_, float(x)) for s, x in zip(group, scores)]


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """RETURNS: what it gives, and seconds by the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu
