"""The same work on Ray Data: one process reads, several annotate.

Every annotator loads the pipeline once. Chunks and their files are those of `run.py`;
annotators write the files themselves. If an annotator dies, another one annotates its
chunk, and no half-written file is left. All machines must see the input and the output
folder under the same path. Source: ours.
"""

import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

# Before Ray is imported: usage statistics stay off.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import pyarrow
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.exceptions import RayTaskError

from .chunk import Report
from .output_folder import OutputFolder
from .pipelines import Pipeline, check_ready
from .run import Done, Job, OnProgress, begin_run, finish_run
from .texts import TextSource

COLUMN = "pickled"
# How often a chunk is tried again after its annotator died.
RETRIES = 5


class Chunks(Datasource):
    """The chunks of a job, one block each, read one after the other."""

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
    """Loads the pipeline once, then annotates chunks one after the other."""

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
    on_progress: OnProgress = lambda progress: None,
) -> Report:
    """Annotate all texts of a job on the cluster that Ray finds (RAY_ADDRESS), or on one
    that it starts on this machine.

    pipeline (Pipeline): the pipeline; each annotator loads it.
    job, resume, on_progress: as `run.annotate_corpus` takes them.
    workers (int): number of annotators, each with one CPU or one GPU.
    RETURNS (Report): the report of all chunks. Raises as `run.annotate_corpus`, and
        ValueError for standard input, which only this process could read."""
    if job.source.path is None:
        raise ValueError("Ray's workers cannot read standard input. Name a file.")
    # A head node may have no GPU; these checks need none.
    run = begin_run(replace(pipeline, gpu=-1).load(), job, resume)
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    context = DataContext.get_current().copy()
    # Otherwise small chunks would share a block, and so an annotator.
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
            return finish_run(job, run, map(_unpickled, done.iter_rows()), on_progress)
        except RayTaskError as error:
            # Raised as by this process, without the worker's traceback.
            if isinstance(error.cause, (OSError, ValueError)):
                raise error.cause from None
            raise


def everywhere(job: Job) -> Job:
    """The job for a process in another working folder: its paths are absolute."""
    source, folder = job.source, job.folder
    assert source.path is not None
    return replace(
        job,
        source=TextSource(
            str(source.path.resolve()), source.column, source.id_column, source.encoding
        ),
        folder=OutputFolder(folder.path.resolve(), folder.suffix),
    )


def known_everywhere(pipeline: Pipeline) -> Pipeline:
    """The pipeline for a process in another working folder, which sees its own GPU
    alone."""
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
