"""`python -m integrations.inception MODEL`: see README.md."""

import os
from pathlib import Path

import typer
from typer import Argument, Exit, Option
from wasabi import msg

from spacy_instructner.cli.serve import is_loopback

from ..web import PASSWORD, host_names, open_pipelines, run_server
from .recommender import InceptionRecommender, make_recommender_app


def serve_inception(
    model: str = Argument(..., help="A pipeline: a folder or the name of a package"),
    models: Path = Option(
        Path("inception-models"), "--models", help="A folder for the pipelines of projects that were trained"),
    label: list[str] | None = Option(
        None, "--label", "-l", help="A label to look for, before anything was learned; may be given several times. Without it, those of the pipeline"),
    host: str = Option("127.0.0.1", "--host", help="The address to listen on"),
    port: int = Option(9091, "--port", "-p", help="The port to listen on"),
    name: list[str] | None = Option(
        None, "--name", help="Another name of this machine in INCEpTION's address of the recommender, * for any; may be given several times"),
    gpu_id: int = Option(-1, "--gpu-id", "-g", help="Number of the GPU, -1 for the CPU"),
    code_path: Path | None = Option(
        None, "--code", "-c", help="A Python file with functions that the pipeline needs"),
) -> None:  # fmt: skip
    """Answer INCEpTION as an external recommender."""
    secret = os.environ.get(PASSWORD, "")
    if not secret and not is_loopback(host):
        msg.fail(
            f"Everyone who reaches {host} could read and train pipelines",
            f"Give a secret in {PASSWORD}: it is then the first part of the address.",
        )
        raise Exit(1)
    pipelines = open_pipelines(model, models, code_path, gpu_id, label or [])
    recommender = InceptionRecommender(pipelines)
    app = make_recommender_app(recommender, host_names(host, name or []), secret)
    run_server(app, pipelines, host, port)


if __name__ == "__main__":
    typer.run(serve_inception)
