"""`python -m integrations.label_studio MODEL`: see README.md."""

import os
from pathlib import Path

import typer
from typer import Argument, Exit, Option
from wasabi import msg

from ..web import (
    host_names,
    open_pipelines,
    read_password,
    run_server,
)
from .annotation_export import LabelStudioClient
from .backend import LabelStudioBackend, make_backend_app

# The environment variable with the token.
TOKEN = "LABEL_STUDIO_API_KEY"


def serve_label_studio(
    model: str = Argument(..., help="A pipeline: a folder or the name of a package"),
    models: Path = Option(
        Path("label-studio-models"), "--models", help="A folder for the pipelines of projects that were trained"),
    label_studio: str = Option(
        "http://localhost:8080", "--label-studio", help="The address of Label Studio, for the annotations to train on"),
    host: str = Option("127.0.0.1", "--host", help="The address to listen on"),
    port: int = Option(9090, "--port", "-p", help="The port to listen on"),
    name: list[str] | None = Option(
        None, "--name", help="Another name of this machine in Label Studio's address of the backend, * for any; may be given several times"),
    user: str = Option(
        "", "--user", help="A user that Label Studio has to name; the password is in the environment variable INSTRUCTNER_PASSWORD"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of the GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="A Python file with functions that the pipeline needs"),
) -> None:  # fmt: skip
    """Answer Label Studio as a machine-learning backend."""
    password = read_password(host, user)
    try:
        studio = LabelStudioClient(label_studio, os.environ.get(TOKEN, ""))
    except ValueError as error:
        msg.fail(str(error))
        raise Exit(1) from error
    pipelines = open_pipelines(model, models, code_path, gpu_id)
    backend = LabelStudioBackend(pipelines, studio)
    app = make_backend_app(backend, host_names(host, name or []), user, password)
    run_server(app, pipelines, host, port)


if __name__ == "__main__":
    typer.run(serve_label_studio)
