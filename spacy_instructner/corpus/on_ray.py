"""The same work on Ray Data: one reader, as many annotators as there is room for.

Every annotator loads the pipeline once. Chunks are those of `run.py`, and so are their
files, which the annotators write themselves: a chunk whose annotator dies is annotated
by another one, and what was half written is not there. All machines must see the input
and the output folder under the same path.
"""

import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

# Before Ray is imported: nothing is to be told to anybody.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import pyarrow
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.exceptions import RayTaskError

from .chunk import Report
from .files import Folder
from .pipelines import Pipeline, check_ready
from .run import Done, Job, Said, begin, finish
from .texts import Source

COLUMN = "pickled"
# How often a chunk that an annotator died of is tried again.
RETRIES = 5


class Chunks(Datasource):
    """A job's chunks, a block each, read one after the other."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job

    def estimate_inmemory_data_size(self) -> int | None:
        return self.job.source.size

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        job = self.job

        def read() -> Iterator[pyarrow.Table]:
            for chunk in job.chunks():
                yield pyarrow.table({COLUMN: [pickle.dumps(chunk)]})

        return [ReadTask(read, BlockMetadata(None, None, None, None))]


class Annotator:
    """Loads the pipeline once, and annotates one chunk after the other."""

    def __init__(self, pipeline: Pipeline, job: Job) -> None:
        self.nlp, self.job = pipeline.load(), job
        check_ready(self.nlp)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        found = [self.job.do(self.nlp, pickle.loads(row)) for row in batch[COLUMN]]
        return {COLUMN: [pickle.dumps(done) for done in found]}


def annotate_on_ray(
    pipeline: Pipeline,
    job: Job,
    *,
    workers: int,
    resume: bool = False,
    said: Said = lambda progress: None,
) -> Report:
    """`run.annotate_corpus`, on the cluster that Ray finds (RAY_ADDRESS), or on one of
    this machine alone. workers: how many annotators, of a CPU each, or of a GPU.

    RETURNS (Report): of all chunks. Raises as `run.annotate_corpus`, and ValueError for
    standard input, which only this process could read."""
    if job.source.path is None:
        raise ValueError("Ray's workers cannot read standard input: name a file.")
    # A head node may have no GPU; what is asked here needs none.
    run = begin(replace(pipeline, gpu=-1).load(), job, resume)
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    context = DataContext.get_current().copy()
    # Else small chunks would be put together into one block, for one annotator.
    context.target_max_block_size = 1
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    on_gpu = pipeline.gpu >= 0
    there = everywhere(job)
    with DataContext.current(context):
        chunks = ray.data.read_datasource(
            Chunks(there), override_num_blocks=1, num_cpus=0
        )
        done = chunks.map_batches(
            Annotator,
            fn_constructor_args=(known_everywhere(pipeline), there),
            compute=ActorPoolStrategy(size=workers),
            batch_size=1,
            num_cpus=0 if on_gpu else 1,
            num_gpus=1 if on_gpu else 0,
            max_task_retries=RETRIES,
        )
        try:
            return finish(job, run, map(_unpickled, done.iter_rows()), said)
        except RayTaskError as error:
            # As if it had gone wrong here, without the worker's traceback.
            if isinstance(error.cause, (OSError, ValueError)):
                raise error.cause from None
            raise


def everywhere(job: Job) -> Job:
    """The same for a process in another folder."""
    source, folder = job.source, job.folder
    assert source.path is not None
    return replace(
        job,
        source=Source(
            str(source.path.resolve()), source.column, source.id_column, source.encoding
        ),
        folder=Folder(folder.path.resolve(), folder.suffix),
    )


def known_everywhere(pipeline: Pipeline) -> Pipeline:
    """The same for a process in another folder, which sees its own GPU alone."""
    path = Path(pipeline.name)
    return replace(
        pipeline,
        name=str(path.resolve()) if path.exists() else pipeline.name,
        code=pipeline.code and pipeline.code.resolve(),
        gpu=min(pipeline.gpu, 0),
    )


def _unpickled(row: dict[str, Any]) -> Done:
    done: Done = pickle.loads(row[COLUMN])
    return done
