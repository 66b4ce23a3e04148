"""`python -m spacy instructner annotate`"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tqdm
from typer import Argument, Exit, Option
from wasabi import msg

from . import app
from ._annotated import ENCODING


@app.command("annotate")
def annotate_cli(
    model: str = Argument(..., help="A pipeline: a folder, or the name of a package"),
    input_path: str = Argument(
        ...,
        help="Texts: .txt (one a line), .jsonl, .csv or .spacy, .gz may follow; or - for standard input",
    ),
    output_path: Path = Argument(..., help="Folder for the annotated chunks"),
    labels: list[str] | None = Option(
        None,
        "--label",
        "-l",
        help="What to look for, in place of the pipeline's labels; may be given several times",
    ),
    format: str = Option("jsonl", "--format", "-f", help="jsonl or spacy"),
    column: str = Option(
        "text", "--column", help="Where a .jsonl or .csv has its texts"
    ),
    id_column: str = Option("id", "--id-column", help="Where it has their ids"),
    with_text: bool = Option(False, "--text", help="Write texts into the rows, too"),
    uncertain: int = Option(
        0,
        "--uncertain",
        help="Collect so many texts with the lowest scores in correct.jsonl, for Prodigy",
    ),
    chunk: int = Option(1000, "--chunk", help="Texts a file"),
    batch_size: int = Option(256, "--batch-size", help="Texts at a time"),
    shard: str = Option("1/1", "--shard", help="i/n: the i-th of n machines"),
    resume: bool = Option(False, "--resume", help="Go on in a folder with this run"),
    retry: bool = Option(
        False, "--retry", help="Do chunks again in which a text had a problem"
    ),
    engine: str = Option(
        "plain",
        "--engine",
        "-e",
        help="plain, or ray: Ray Data, see docs/how-to/corpus.md",
    ),
    workers: int = Option(1, "--workers", "-w", help="Processes, for --engine ray"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="Python file with functions that the pipeline needs"
    ),
    encoding: str = ENCODING,
) -> None:
    """Annotate a corpus, in chunks that are done whole or not at all.

    It can be stopped or killed; --resume goes on. A text that fails is told in the
    manifest, and stops nothing."""
    from ..corpus.chunk import Options
    from ..corpus.files import Folder
    from ..corpus.pipelines import Pipeline
    from ..corpus.run import Job, Progress, annotate_corpus
    from ..corpus.texts import Source

    began = time.monotonic()
    try:
        if format not in ("jsonl", "spacy"):
            raise ValueError(f'`--format` is "jsonl" or "spacy", not {format!r}.')
        which, _, of = shard.partition("/")
        if not (which.isdigit() and of.isdigit()):
            raise ValueError(f"`--shard` is i/n, such as 1/4, not {shard!r}.")
        if min(chunk, batch_size) < 1 or uncertain < 0:
            raise ValueError(
                "`--chunk` and `--batch-size` must be at least 1, `--uncertain` 0."
            )
        if workers < 1:
            raise ValueError(f"`--workers` must be at least 1, not {workers}.")
        pipeline = Pipeline(model, tuple(labels or ()), code_path, gpu_id)
        source = Source(input_path, column, id_column, encoding)
        job = Job(
            source,
            Folder(output_path, f".{format}"),
            Options(format, with_text, uncertain, batch_size),  # type: ignore[arg-type]
            size=chunk,
            shard=(int(which), int(of)),
            retry=retry,
        )
        with (
            shown_once(),
            tqdm.tqdm(total=source.size, unit="B", unit_scale=True, leave=False) as bar,
        ):

            def say(progress: Progress) -> None:
                bar.update(progress.position - bar.n)
                rate = progress.annotated / (time.monotonic() - began)
                bar.set_postfix_str(f"{progress.texts} texts, {rate:.1f} a second")

            if engine == "ray":
                annotate_on_ray = get_ray_engine()
                report = annotate_on_ray(
                    pipeline, job, workers=workers, resume=resume, said=say
                )
            elif engine == "plain":
                nlp = pipeline.load()
                report = annotate_corpus(nlp, job, resume=resume, said=say)
            else:
                raise ValueError(f'`--engine` is "plain" or "ray", not {engine!r}.')
    except (OSError, ValueError) as error:
        msg.fail("Nothing is annotated any more", str(error))
        raise Exit(1) from error
    spans = sum(report.spans.values())
    msg.good(f"{report.texts} texts, {spans} entities", str(output_path))
    if report.replaced or report.cut:
        msg.info(
            f"{report.replaced} texts had halves of characters, which became U+FFFD; "
            f"{report.cut} were read in pieces"
        )
    if report.unread_tokens or report.unfinished_answers:
        msg.warn(
            f"{report.unread_tokens} tokens could not be read, and "
            f"{report.unfinished_answers} answers did not fit into the model"
        )
    if report.problems:
        first = report.problems[0]
        msg.warn(
            f"{len(report.problems)} texts could not be annotated",
            f"The first, {first['id']}: {first['problem']}\nThe manifest has them all.",
        )


@contextmanager
def shown_once() -> Iterator[None]:
    """Show a warning once, not with every text: each `catch_warnings`, which some of
    spaCy's components use, makes Python forget what it has shown."""
    shown: set[tuple[str, type[Warning], str, int]] = set()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_once(
            message: Any, category: type[Warning], name: str, line: int, *more: Any
        ) -> None:
            if (own := (str(message), category, name, line)) not in shown:
                shown.add(own)
                show(message, category, name, line, *more)

        warnings.showwarning = show_once  # type: ignore[assignment]
        yield


def get_ray_engine() -> Callable[..., Any]:
    """Raises ValueError where Ray is not installed."""
    try:
        from ..corpus.on_ray import annotate_on_ray
    except ImportError as error:
        raise ValueError(
            f"`--engine ray` needs Ray: pip install 'spacy-instructner[ray]' ({error})."
        ) from error
    return annotate_on_ray
