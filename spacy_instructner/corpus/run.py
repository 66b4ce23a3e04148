"""A corpus, chunk by chunk: a chunk that is done is skipped. Source: ours."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from spacy.language import Language

from ..files import to_json, to_lines, write_whole
from .chunk import OutputOptions, Report, annotate_chunk, digest, pipeline_name
from .output_folder import MANIFEST, TO_CORRECT, OutputFolder, Shard
from .pipelines import check_ready, fingerprint
from .texts import Item, TextSource, chunks

# If all texts of a chunk of this size fail, the pipeline is to blame.
LEAST_TO_BLAME = 8


@dataclass(frozen=True)
class Chunk:
    """number: of the chunk, among all chunks of the source; items: its texts; position:
    bytes of the input that are read once they are read."""

    number: int
    items: list[Item]
    position: int


@dataclass(frozen=True)
class Done:
    """A chunk that is annotated.

    number, position: as in `Chunk`; texts: how many texts were annotated now, not in an
    earlier run; report: what happened."""

    number: int
    position: int
    texts: int
    report: Report


@dataclass(frozen=True)
class Progress:
    """texts: number of texts in chunks that are done; annotated: how many of them were
    annotated now, not in an earlier run; position: bytes of the input that are read."""

    texts: int
    annotated: int
    position: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Job:
    """What is to be annotated: plain data, for any process.

    source: where texts come from; folder: where annotations go; options: what is
    written; size: texts a chunk; shard: which chunks (shards may share a folder at the
    same time); retry: whether chunks with a problem are annotated again. Raises
    ValueError for a shard that does not exist."""

    source: TextSource
    folder: OutputFolder
    options: OutputOptions
    size: int = 1000
    shard: Shard = (1, 1)
    retry: bool = False

    def __post_init__(self) -> None:
        which, of = self.shard
        if not 1 <= which <= of:
            raise ValueError(
                f"There is no shard {which} of {of}. Shards are counted from 1."
            )

    def chunks(self) -> Iterator[Chunk]:
        """The chunks of the shard."""
        which, of = self.shard
        for number, items in enumerate(chunks(iter(self.source), self.size)):
            if number % of == which - 1:
                yield Chunk(number, items, self.source.position)

    def do(self, nlp: Language, chunk: Chunk) -> Done:
        """Annotate a chunk, unless it is done. Raises ValueError where all texts of a chunk
        of `LEAST_TO_BLAME` texts or more fail, as all other texts would fail, too."""
        made_of = digest(chunk.items)
        report, texts = self.folder.done(chunk.number, made_of, self.retry), 0
        if report is None:
            annotated = annotate_chunk(nlp, chunk.items, self.options)
            problems = annotated.report.problems
            if len(problems) == len(chunk.items) >= LEAST_TO_BLAME:
                raise ValueError(
                    f"None of the {len(problems)} texts of chunk {chunk.number} could "
                    f"be annotated; the first, {problems[0]['id']}: "
                    f"{problems[0]['problem']}. Solve this, and continue with --resume."
                )
            self.folder.keep(chunk.number, made_of, annotated)
            report, texts = annotated.report, len(chunk.items)
        return Done(chunk.number, chunk.position, texts, report)


def annotate_corpus(
    nlp: Language,
    job: Job,
    *,
    resume: bool = False,
    on_progress: OnProgress = lambda progress: None,
) -> Report:
    """Annotate all texts of a job.

    nlp (Language): the pipeline.
    job (Job): the texts, and where their annotations go.
    resume (bool): whether to continue in a folder that holds this run.
    on_progress (Callable): gets the progress after each chunk.
    RETURNS (Report): the report of all chunks of the shard. Raises ValueError for a
        folder that cannot be used, and OSError for what cannot be read or written.
    """
    run = begin_run(nlp, job, resume)
    return finish_run(
        job, run, (job.do(nlp, chunk) for chunk in job.chunks()), on_progress
    )


def begin_run(nlp: Language, job: Job, resume: bool) -> dict[str, Any]:
    """Check the pipeline, and prepare the folder.

    RETURNS (dict[str, Any]): pipeline, input and options, as in run.json. Raises
        ValueError and OSError for a pipeline that could annotate nothing, and ValueError
        for a folder that cannot be used."""
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


def finish_run(
    job: Job, run: dict[str, Any], chunks_done: Iterable[Done], on_progress: OnProgress
) -> Report:
    """Go through chunks as they are done, in any order. Then write the manifest of the
    shard, and the texts to correct.

    RETURNS (Report): the report of all chunks. Raises ValueError where the folder holds
        a chunk that the input does not have."""
    reports: dict[int, Report] = {}
    texts = annotated = 0
    for done in chunks_done:
        reports[done.number] = done.report
        texts += done.report.texts
        annotated += done.texts
        on_progress(Progress(texts, annotated, done.position))
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
