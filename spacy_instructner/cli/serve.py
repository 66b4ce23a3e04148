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
    project: Path | None = Option(
        None, "--project", help="A folder for texts, labels, decisions and models; opened again where it was"),
    token: str = Option(
        "", "--token", envvar="INSTRUCTNER_TOKEN", show_envvar=False,
        help="What everybody needs to get in, from INSTRUCTNER_TOKEN by default; needed with another --host"),
    save_to: Path | None = Option(
        None, "--save-to", "-s", help="A folder for the pipeline after each training"),
    characters: int = Option(20_000, "--characters", help="Largest number of characters in a text"),
    seconds: float = Option(120.0, "--seconds", help="Seconds after which an answer ends"),
    waiting: int = Option(8, "--waiting", help="Largest number of texts at a time; more are refused"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of the GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="A Python file with functions that the pipeline needs"),
) -> None:  # fmt: skip
    """Open a web page that goes from texts to a pipeline: annotate them, correct what is
    found, train on that, see the change, and export.

    The page is for one person or a few. It has no accounts and no encryption."""
    try:
        import uvicorn

        from ..serving.app import Limits, make_app
        from ..serving.page_guard import check_token
    except ImportError as error:
        msg.fail(
            "The page needs more packages", "pip install 'spacy-instructner[serve]'"
        )
        raise Exit(1) from error
    from ..corpus.pipelines import Pipeline
    from ..serving.project.project_folder import ProjectFolder
    from ..serving.session import PipelineSession

    if wrong := [each for each in name or () if "*" in each and each != "*"]:
        msg.fail(f"`--name` must be a whole name, or * alone, not {wrong[0]}")
        raise Exit(1)
    shown = f"[{host}]" if ":" in host else host
    hosts = [shown, "localhost", "127.0.0.1", *(name or [])]
    limits = Limits(characters=characters, seconds=seconds, waiting=waiting)
    try:
        if token or not is_loopback(host):
            check_token(token)
        own = None if project is None else ProjectFolder(project)
        session = PipelineSession(Pipeline(model, (), code_path, gpu_id), save_to)
        served = make_app(session, limits, hosts, own, token)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot serve {model}", str(error))
        raise Exit(1) from error
    if own is not None and own.torn:
        msg.warn(
            f"The last {own.torn} bytes of the project were half an event, and are cut"
        )
    if not is_loopback(host):
        msg.warn(
            "Who reaches this machine and has the token can do all that the page can."
        )
    msg.info(
        f"http://{shown}:{port}{'/?token=…' if token else ''}",
        f"{model}; stop with Ctrl-C",
    )
    if own is None:
        msg.text("Nothing is kept when it ends. `--project FOLDER` keeps the work.")
    uvicorn.run(
        served,
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
