"""`python -m spacy instructner annotate`"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tqdm
from typer import Argument, Exit, Option
from wasabi import msg

from . import app
from ._printing import warnings_shown_once
from ._reading import ENCODING

if TYPE_CHECKING:
    from ..corpus.chunk import Report
    from ..corpus.pipelines import Pipeline
    from ..corpus.run import Job, Progress


@app.command("annotate")
def annotate_cli(
    model: str = Argument(..., help="A pipeline: a folder or the name of a package"),
    input_path: str = Argument(
        ..., help="Texts: .txt (one text a line), .jsonl, .csv or .spacy, gzipped or not, or - for standard input"),
    output_path: Path = Argument(..., help="The folder for the annotated chunks"),
    labels: list[str] | None = Option(
        None, "--label", "-l", help="A label to look for, in place of the pipeline's own; may be given several times"),
    format: str = Option("jsonl", "--format", "-f", help="Format of the output: jsonl or spacy"),
    column: str = Option("text", "--column", help="The key or column of the texts in .jsonl or .csv"),
    id_column: str = Option("id", "--id-column", help="The key or column of the ids in .jsonl or .csv"),
    with_text: bool = Option(False, "--text", help="Write the texts into the rows, too"),
    uncertain: int = Option(
        0, "--uncertain", help="Number of texts with the lowest scores to collect in correct.jsonl, for Prodigy"),
    chunk: int = Option(1000, "--chunk", help="Number of texts in a chunk"),
    batch_size: int = Option(256, "--batch-size", help="Number of texts annotated at a time"),
    shard: str = Option("1/1", "--shard", help="i/n: annotate the i-th of n shares of the chunks"),
    resume: bool = Option(False, "--resume", help="Continue in a folder that holds this run"),
    retry: bool = Option(False, "--retry", help="Annotate chunks again in which a text had a problem"),
    engine: str = Option("plain", "--engine", "-e", help="plain, or ray for Ray Data (docs/how-to/corpus.md)"),
    workers: int = Option(1, "--workers", "-w", help="Number of processes with --engine ray"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of the GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="A Python file with functions that the pipeline needs"),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Annotate a corpus in chunks. A chunk is written whole or not at all.

    The command can be stopped or killed; --resume continues. A text that fails is listed
    in the manifest and stops no other text."""
    from ..corpus.chunk import OutputOptions
    from ..corpus.output_folder import OutputFolder
    from ..corpus.pipelines import Pipeline
    from ..corpus.run import Job
    from ..corpus.texts import TextSource

    try:
        check_numbers(chunk, batch_size, uncertain, workers)
        check_choice("--format", format, ("jsonl", "spacy"))
        check_choice("--engine", engine, ("plain", "ray"))
        pipeline = Pipeline(model, tuple(labels or ()), code_path, gpu_id)
        source = TextSource(input_path, column, id_column, encoding)
        folder = OutputFolder(output_path, f".{format}")
        options = OutputOptions(format, with_text, uncertain, batch_size)  # type: ignore[arg-type]
        job = Job(source, folder, options, chunk, parse_shard(shard), retry)
        result = run_annotation(pipeline, job, engine == "ray", workers, resume)
    except (OSError, ValueError) as error:
        msg.fail("The annotation stopped", str(error))
        raise Exit(1) from error
    print_result(result, output_path)


def check_numbers(chunk: int, batch_size: int, uncertain: int, workers: int) -> None:
    """Raises ValueError for numbers that are too small."""
    if min(chunk, batch_size) < 1 or uncertain < 0:
        raise ValueError(
            "`--chunk` and `--batch-size` must be at least 1, `--uncertain` 0."
        )
    if workers < 1:
        raise ValueError(f"`--workers` must be at least 1, not {workers}.")


def check_choice(option: str, value: str, choices: tuple[str, str]) -> None:
    """Raises ValueError for a value that is neither of two."""
    if value not in choices:
        one, other = choices
        raise ValueError(f'`{option}` must be "{one}" or "{other}", not {value!r}.')


def parse_shard(text: str) -> tuple[int, int]:
    """i and n of i/n. Raises ValueError for anything else."""
    which, _, of = text.partition("/")
    if not (which.isdigit() and of.isdigit()):
        raise ValueError(f"`--shard` must be i/n, such as 1/4, not {text!r}.")
    return int(which), int(of)


def run_annotation(
    pipeline: "Pipeline", job: "Job", on_ray: bool, workers: int, resume: bool
) -> "Report":
    """Annotate a job behind a progress bar."""
    from ..corpus.run import annotate_corpus

    began = time.monotonic()
    total = job.source.size
    with (
        warnings_shown_once(),
        tqdm.tqdm(total=total, unit="B", unit_scale=True, leave=False) as bar,
    ):

        def on_progress(progress: "Progress") -> None:
            bar.update(progress.position - bar.n)
            rate = progress.annotated / (time.monotonic() - began)
            bar.set_postfix_str(f"{progress.texts} texts, {rate:.1f} a second")

        if on_ray:
            annotate_on_ray: Callable[..., Report] = get_ray_engine()
            return annotate_on_ray(
                pipeline, job, workers=workers, resume=resume, on_progress=on_progress
            )
        nlp = pipeline.load()
        return annotate_corpus(nlp, job, resume=resume, on_progress=on_progress)


def print_result(result: "Report", output_path: Path) -> None:
    """Print how many texts were annotated, and what went wrong."""
    spans = sum(result.spans.values())
    msg.good(f"{result.texts} texts, {spans} entities", str(output_path))
    if result.replaced or result.cut:
        msg.info(
            f"{result.replaced} texts had surrogates, which became U+FFFD; "
            f"{result.cut} texts were annotated in pieces"
        )
    if result.unread_tokens or result.unfinished_answers:
        msg.warn(
            f"{result.unread_tokens} tokens could not be read, and "
            f"{result.unfinished_answers} answers did not fit into the model"
        )
    if result.problems:
        first = result.problems[0]
        msg.warn(
            f"{len(result.problems)} texts could not be annotated",
            f"The first is {first['id']}: {first['problem']}\nThe manifest lists all.",
        )


def get_ray_engine() -> Callable[..., Any]:
    """`annotate_on_ray`. Raises ValueError where Ray is not installed."""
    try:
        from ..corpus.on_ray import annotate_on_ray
    except ImportError as error:
        raise ValueError(
            f"`--engine ray` needs Ray: pip install 'spacy-instructner[ray]' ({error})."
        ) from error
    return annotate_on_ray
