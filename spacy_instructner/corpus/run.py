"""From chunk to chunk: what is done is skipped, what is not is done whole."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from spacy.language import Language

from ..files import to_json, to_lines, write_whole
from .chunk import Options, Report, annotate_chunk, digest, pipeline_name
from .files import MANIFEST, TO_CORRECT, Folder, Shard
from .pipelines import check_ready, fingerprint
from .texts import Item, Source, chunks

# Texts of which all fail: no accident.
MANY = 8


@dataclass(frozen=True)
class Chunk:
    """number: among all of the source; items: its texts; position: bytes of the input
    that are read when they are."""

    number: int
    items: list[Item]
    position: int


@dataclass(frozen=True)
class Done:
    """A chunk that is annotated. texts: how many were annotated now, not before."""

    number: int
    position: int
    texts: int
    report: Report


@dataclass(frozen=True)
class Progress:
    """texts: of chunks that are done; annotated: of them now, not before; position:
    bytes of the input that are read."""

    texts: int
    annotated: int
    position: int


Said = Callable[[Progress], None]


@dataclass(frozen=True)
class Job:
    """What is to be done: plain data, for any process.

    source, folder: where texts come from, and where answers go; options: what is
    written; size: texts a chunk; shard: which chunks; all shards may share a folder, at
    the same time; retry: do chunks again that have a problem. Raises ValueError for a
    shard that cannot be."""

    source: Source
    folder: Folder
    options: Options
    size: int = 1000
    shard: Shard = (1, 1)
    retry: bool = False

    def __post_init__(self) -> None:
        which, of = self.shard
        if not 1 <= which <= of:
            raise ValueError(f"There is no shard {which} of {of}: count from 1.")

    def chunks(self) -> Iterator[Chunk]:
        """Those of the shard."""
        which, of = self.shard
        for number, items in enumerate(chunks(iter(self.source), self.size)):
            if number % of == which - 1:
                yield Chunk(number, items, self.source.position)

    def do(self, nlp: Language, chunk: Chunk) -> Done:
        """Annotate a chunk, unless it is done. Raises ValueError where all its texts
        fail: that is the pipeline's fault, and would be told of every text to come."""
        made_of = digest(chunk.items)
        report, texts = self.folder.done(chunk.number, made_of, self.retry), 0
        if report is None:
            annotated = annotate_chunk(nlp, chunk.items, self.options)
            problems = annotated.report.problems
            if len(problems) == len(chunk.items) >= MANY:
                raise ValueError(
                    f"None of the {len(problems)} texts of chunk {chunk.number} could "
                    f"be annotated; the first, {problems[0]['id']}: "
                    f"{problems[0]['problem']}. Mend that, and go on with --resume."
                )
            self.folder.keep(chunk.number, made_of, annotated)
            report, texts = annotated.report, len(chunk.items)
        return Done(chunk.number, chunk.position, texts, report)


def annotate_corpus(
    nlp: Language,
    job: Job,
    *,
    resume: bool = False,
    said: Said = lambda progress: None,
) -> Report:
    """Annotate all texts of a job.

    nlp (Language): the pipeline.
    job (Job): the texts, and where their annotations go.
    resume (bool): go on in a folder with this run in it.
    said (Callable): gets the progress, chunk by chunk.
    RETURNS (Report): of all chunks of the shard. Raises ValueError for a folder that
        cannot be used, and OSError for what cannot be read or written.
    """
    run = begin(nlp, job, resume)
    return finish(job, run, (job.do(nlp, chunk) for chunk in job.chunks()), said)


def begin(nlp: Language, job: Job, resume: bool) -> dict[str, Any]:
    """Prepare the folder. RETURNS: what is annotated with what. Raises ValueError and
    OSError for a pipeline that could annotate nothing."""
    check_ready(nlp)
    run: dict[str, Any] = {
        "pipeline": pipeline_name(nlp),
        "sha256": fingerprint(nlp),
        "labels": {name: list(labels) for name, labels in nlp.pipe_labels.items()},
        "input": job.source.name,
        "column": job.source.column,
        "id_column": job.source.id_column,
        "chunk": job.size,
        **asdict(job.options),
    }
    job.folder.begin(run, resume, job.shard)
    return run


def finish(
    job: Job, run: dict[str, Any], chunks_: Iterable[Done], said: Said
) -> Report:
    """Go through chunks as they are done, in any order; then write the manifest of the
    shard, and the texts to correct."""
    reports: dict[int, Report] = {}
    texts = annotated = 0
    for done in chunks_:
        reports[done.number] = done.report
        texts += done.report.texts
        annotated += done.texts
        said(Progress(texts, annotated, done.position))
    others = job.folder.numbers(job.shard) - reports.keys()
    if others:
        raise ValueError(
            f"The input is not the one that {job.folder.path} was begun with: it has no "
            f"chunk {min(others)}."
        )
    whole = Report()
    for number in sorted(reports):
        whole.add(reports[number])
    which, of = job.shard
    name = MANIFEST if of == 1 else f"manifest-{which}-of-{of}.json"
    path = job.folder.path
    write_whole(path / name, to_json({**run, **asdict(whole)}))
    if job.options.uncertain:
        rows = heapq.nsmallest(
            job.options.uncertain, job.folder.to_correct(), key=lambda row: row["score"]
        )
        write_whole(path / TO_CORRECT, to_lines(row["task"] for row in rows))
    return whole
