"""What the servers for annotation tools have in common: who may ask, and how they are
started. Source: ours."""

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from starlette.middleware.trustedhost import TrustedHostMiddleware
from typer import Exit
from wasabi import msg

from spacy_instructner.cli._endpoint import Endpoint, in_address
from spacy_instructner.cli.serve import is_loopback
from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.serving.page_guard import Guard

from .project_pipelines import ProjectPipelines

# Of a request: a batch of long texts, or all annotations of a project.
MOST_BYTES = 256_000_000
# The environment variable with the password of `--user`.
PASSWORD = "INSTRUCTNER_PASSWORD"


def make_guarded_app(
    title: str, hosts: Sequence[str], user: str = "", password: str = ""
) -> FastAPI:
    """An application that asks for a user and a password, if it is given some, answers to
    these host names alone, and refuses what pages of other sites send."""
    asked = [Depends(password_check(user, password))] if user else []
    app = FastAPI(title=title, docs_url=None, redoc_url=None, dependencies=asked)
    app.add_middleware(Guard, most=MOST_BYTES)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    return app


def password_check(user: str, password: str) -> Callable[..., None]:
    """Lets a request through that has this user and password (HTTP Basic)."""
    basic = HTTPBasic()

    def check(given: Annotated[HTTPBasicCredentials, Depends(basic)]) -> None:
        """Raises HTTPException for another user or password."""
        pairs = ((given.username, user), (given.password, password))
        right = [secrets.compare_digest(a.encode(), b.encode()) for a, b in pairs]
        if not all(right):
            headers = {"www-authenticate": "Basic"}
            raise HTTPException(401, "Wrong user or password.", headers)

    return check


def open_pipelines(
    model: str, folder: Path, code: Path | None, gpu: int, labels: Sequence[str] = ()
) -> ProjectPipelines:
    """The pipelines that a server answers with. Ends the program, with the reason, where
    there are none."""
    try:
        return ProjectPipelines(Pipeline(model, tuple(labels), code, gpu), folder)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot serve {model}", str(error))
        raise Exit(1) from error


def read_password(host: str, user: str) -> str:
    """The password of a user, "" without a user. Ends the program where there is none, and
    where others than this machine could ask without one."""
    password = os.environ.get(PASSWORD, "")
    if user and not password:
        msg.fail(f"Give the password of {user} in the environment variable {PASSWORD}")
        raise Exit(1)
    if not f"{user}{password}".isascii():
        msg.fail("User and password must be of ASCII characters")
        raise Exit(1)
    if not user and not is_loopback(host):
        msg.fail(
            f"Everyone who reaches {host} could read and train pipelines",
            f"Name a user with --user, and give the password in {PASSWORD}.",
        )
        raise Exit(1)
    return password if user else ""


def host_names(host: str, names: Sequence[str]) -> list[str]:
    """The names by which a server may be called."""
    return [in_address(host), "localhost", "127.0.0.1", *names]


def run_server(app: FastAPI, pipelines: ProjectPipelines, host: str, port: int) -> None:
    """Answer until Ctrl-C. A training that is under way is ended first, and kept."""
    url = Endpoint(host, port, [], None).url
    msg.info(url, f"{pipelines.base.name}; stop with Ctrl-C")
    try:
        uvicorn.run(app, host=host, port=port, log_level="warning")
    finally:
        pipelines.close()
