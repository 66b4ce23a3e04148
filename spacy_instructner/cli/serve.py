"""`python -m spacy instructner serve`"""

from ipaddress import ip_address
from pathlib import Path

from typer import Argument, Exit, Option
from wasabi import msg

from . import app


@app.command("serve")
def serve_cli(
    model: str = Argument(..., help="A pipeline: a folder, or the name of a package"),
    host: str = Option("127.0.0.1", "--host", help="Address to listen on"),
    port: int = Option(8000, "--port", "-p", help="Port to listen on"),
    name: list[str] | None = Option(
        None,
        "--name",
        help="What else this machine is called in the browser's address; * for anything",
    ),
    save_to: Path | None = Option(
        None, "--save-to", "-s", help="Folder for the pipeline after each training"
    ),
    characters: int = Option(20_000, "--characters", help="Longest text"),
    seconds: float = Option(120.0, "--seconds", help="Longest answer"),
    waiting: int = Option(8, "--waiting", help="Most texts at a time"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="Python file with functions that the pipeline needs"
    ),
) -> None:
    """A page to try a pipeline: annotate, correct by clicking, train, see the change.

    It is for one person or a few: there are no accounts, and no encryption."""
    try:
        import uvicorn

        from ..serving.app import Limits, make_app
    except ImportError as error:
        msg.fail("The page needs more", "pip install 'spacy-instructner[serve]'")
        raise Exit(1) from error
    from ..corpus.pipelines import Pipeline
    from ..serving.session import Served

    try:
        served = Served(Pipeline(model, (), code_path, gpu_id), save_to)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot serve {model}", str(error))
        raise Exit(1) from error
    if wrong := [each for each in name or () if "*" in each and each != "*"]:
        msg.fail(f"`--name` is a whole name, or * alone, not {wrong[0]}")
        raise Exit(1)
    if not is_loopback(host):
        msg.warn("Whoever reaches this machine can use the page, and train on it.")
    limits = Limits(characters=characters, seconds=seconds, waiting=waiting)
    shown = f"[{host}]" if ":" in host else host
    hosts = [shown, "localhost", "127.0.0.1", *(name or [])]
    msg.info(f"http://{shown}:{port}", f"{model}; stop with Ctrl-C")
    uvicorn.run(
        make_app(served, limits, hosts),
        host=host,
        port=port,
        log_level="warning",
        # A training that is under way ends with its step.
        timeout_graceful_shutdown=1,
    )


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
