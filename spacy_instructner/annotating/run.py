"""From chunk to chunk: what is done is skipped, what is not is done whole."""

import heapq
from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, Tuple

from spacy.language import Language

from ..files import to_json, to_lines, write_whole
from .chunk import Options, Report, annotate_chunk, digest, pipeline_name
from .files import MANIFEST, TO_CORRECT, Folder
from .texts import Source, chunks

Shard = Tuple[int, int]


@dataclass(frozen=True)
class Progress:
    """texts: of chunks that are done, annotated: of them now, not before; position:
    bytes of the input that are read."""

    texts: int
    annotated: int
    position: int


def annotate_corpus(
    nlp: Language,
    source: Source,
    folder: Folder,
    options: Options,
    *,
    size: int = 1000,
    shard: Shard = (1, 1),
    resume: bool = False,
    said: Callable[[Progress], None] = lambda progress: None,
) -> Report:
    """Annotate all texts of a source, in chunks of fixed size.

    shard (Tuple[int, int]): i and n: every n-th chunk, from the i-th on. All shards
        may share a folder, at the same time.
    resume (bool): go on in a folder with this run in it.
    said (Callable): gets the progress, chunk by chunk.
    RETURNS (Report): of all chunks of the shard. Raises ValueError for a folder that
        cannot be used, and for a shard that cannot be.
    """
    which, of = shard
    if not 1 <= which <= of:
        raise ValueError(f"There is no shard {which} of {of}: count from 1.")
    run: Dict[str, Any] = {
        "pipeline": pipeline_name(nlp),
        "labels": {name: list(labels) for name, labels in nlp.pipe_labels.items()},
        "input": source.name,
        "column": source.column,
        "id_column": source.id_column,
        "chunk": size,
        **asdict(options),
    }
    folder.begin(run, resume)
    whole = Report()
    annotated = 0
    for number, items in enumerate(chunks(iter(source), size)):
        if number % of != which - 1:
            continue
        made_of = digest(items)
        report = folder.done(number, made_of)
        if report is None:
            chunk = annotate_chunk(nlp, items, options)
            folder.keep(number, made_of, chunk)
            report = chunk.report
            annotated += len(items)
        whole.add(report)
        said(Progress(whole.texts, annotated, source.position))
    finish(folder, run, whole, shard, options)
    return whole


def finish(
    folder: Folder, run: Dict[str, Any], whole: Report, shard: Shard, options: Options
) -> None:
    """Write the manifest of a shard, and the texts to correct."""
    which, of = shard
    name = MANIFEST if of == 1 else f"manifest-{which}-of-{of}.json"
    write_whole(folder.path / name, to_json({**run, **asdict(whole)}))
    if options.uncertain:
        rows = heapq.nsmallest(
            options.uncertain, folder.to_correct(), key=lambda row: row["score"]
        )
        write_whole(folder.path / TO_CORRECT, to_lines([row["task"] for row in rows]))
