"""`python -m spacy instructner serve`"""

from ipaddress import ip_address
from pathlib import Path

from typer import Argument, Exit, Option
from wasabi import msg

from . import app

NEEDS_TOKEN = (
    "Give a token that each request must bring, in the environment variable "
    "INSTRUCTNER_TOKEN or with `--token`. Make one: "
    'python -c "import secrets; print(secrets.token_urlsafe())"'
)


@app.command("serve")
def serve_cli(
    model: str = Argument(..., help="A pipeline: a folder or the name of a package"),
    host: str = Option("127.0.0.1", "--host", help="The address to listen on"),
    port: int = Option(8000, "--port", "-p", help="The port to listen on"),
    name: list[str] | None = Option(
        None, "--name", help="Another name of this machine in the browser's address, * for any; may be given several times"),
    project: Path | None = Option(
        None, "--project", help="A folder for texts, labels, decisions and models; opened again where it was"),
    token: str | None = Option(
        None, "--token", envvar="INSTRUCTNER_TOKEN", show_envvar=False,
        help="What everybody needs to get in, from INSTRUCTNER_TOKEN by default; needed with another --host"),
    save_to: Path | None = Option(
        None, "--save-to", "-s", help="A folder for the pipeline after each training"),
    characters: int = Option(20_000, "--characters", help="Largest number of characters in a text"),
    seconds: float = Option(120.0, "--seconds", help="Seconds after which an answer ends"),
    waiting: int | None = Option(
        None, "--waiting", help="Largest number of texts at a time; more are refused. By default 8, with --api-only 256"),
    api_only: bool = Option(False, "--api-only", help="Answer other programs: no page, no training"),
    batch: int | None = Option(
        None, "--batch", help="With --api-only: largest number of texts annotated together, 32 by default"),
    batch_wait: float | None = Option(
        None, "--batch-wait", help="With --api-only: seconds that a text waits for others at most, 0.005 by default"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of the GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="A Python file with functions that the pipeline needs"),
) -> None:  # fmt: skip
    """Open a web page that goes from texts to a pipeline: annotate them, correct what is
    found, train on that, see the change, and export. With --api-only: answer other programs.

    The page is for one person or a few. It has no accounts and no encryption."""
    for_programs = {"--batch": batch, "--batch-wait": batch_wait}
    for_people = {"--save-to": save_to, "--project": project}
    wrong_here = for_people if api_only else for_programs
    for option in (name for name, value in wrong_here.items() if value is not None):
        which = "without" if api_only else "with"
        msg.fail(f"`{option}` is for serving {which} --api-only")
        raise Exit(1)
    if wrong := [each for each in name or () if "*" in each and each != "*"]:
        msg.fail(f"`--name` must be a whole name, or * alone, not {wrong[0]}")
        raise Exit(1)
    if token is None and not is_loopback(host):
        msg.fail(f"Who reaches {host} could use all that is served", NEEDS_TOKEN)
        raise Exit(1)
    try:
        from ._serve_api import serve_api
        from ._serve_page import serve_page
    except ImportError as error:
        msg.fail(
            "`serve` needs more packages", "pip install 'spacy-instructner[serve]'"
        )
        raise Exit(1) from error
    from ..corpus.pipelines import Pipeline
    from ._endpoint import Endpoint, in_address

    pipeline = Pipeline(model, (), code_path, gpu_id)
    names = [in_address(host), "localhost", "127.0.0.1", *(name or [])]
    if api_only and token and not name:
        # Whoever has the token may come by any name.
        names = ["*"]
    endpoint = Endpoint(host, port, names, token)
    limits = given(characters=characters, seconds=seconds, waiting=waiting)
    if api_only:
        serve_api(pipeline, endpoint, limits, given(texts=batch, wait=batch_wait))
    else:
        serve_page(pipeline, endpoint, limits, project, save_to)


def given(**settings: float | None) -> dict[str, float]:
    """Those that are not left to their defaults."""
    return {key: value for key, value in settings.items() if value is not None}


def is_loopback(host: str) -> bool:
    """Is this an address that only this machine reaches?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
