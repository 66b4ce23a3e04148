"""`python -m spacy instructner serve`"""

from ipaddress import ip_address
from pathlib import Path

from typer import Argument, Exit, Option
from wasabi import msg

from . import app


@app.command("serve")
def serve_cli(
    model: str = Argument(..., help="A pipeline: a folder or the name of a package"),
    host: str = Option("127.0.0.1", "--host", help="The address to listen on"),
    port: int = Option(8000, "--port", "-p", help="The port to listen on"),
    name: list[str] | None = Option(
        None, "--name", help="Another name of this machine in the browser's address, * for any; may be given several times"),
    save_to: Path | None = Option(
        None, "--save-to", "-s", help="A folder for the pipeline after each training"),
    characters: int = Option(20_000, "--characters", help="Largest number of characters in a text"),
    seconds: float = Option(120.0, "--seconds", help="Seconds after which an answer ends"),
    waiting: int = Option(8, "--waiting", help="Largest number of texts at a time; more are refused"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of the GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="A Python file with functions that the pipeline needs"),
) -> None:  # fmt: skip
    """Open a web page to try a pipeline: annotate texts, correct them by clicking, train
    on the corrections, and see the change.

    The page is for one person or a few. It has no accounts and no encryption."""
    try:
        import uvicorn

        from ..serving.app import Limits, make_app
    except ImportError as error:
        msg.fail(
            "The page needs more packages", "pip install 'spacy-instructner[serve]'"
        )
        raise Exit(1) from error
    from ..corpus.pipelines import Pipeline
    from ..serving.session import PipelineSession

    try:
        session = PipelineSession(Pipeline(model, (), code_path, gpu_id), save_to)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot serve {model}", str(error))
        raise Exit(1) from error
    if wrong := [each for each in name or () if "*" in each and each != "*"]:
        msg.fail(f"`--name` must be a whole name, or * alone, not {wrong[0]}")
        raise Exit(1)
    if not is_loopback(host):
        msg.warn("Everyone who reaches this machine can use the page, and train on it.")
    limits = Limits(characters=characters, seconds=seconds, waiting=waiting)
    shown = f"[{host}]" if ":" in host else host
    hosts = [shown, "localhost", "127.0.0.1", *(name or [])]
    msg.info(f"http://{shown}:{port}", f"{model}; stop with Ctrl-C")
    uvicorn.run(
        make_app(session, limits, hosts),
        host=host,
        port=port,
        log_level="warning",
        # A training that is under way ends with its step.
        timeout_graceful_shutdown=1,
    )


def is_loopback(host: str) -> bool:
    """Is this an address that only this machine reaches?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
