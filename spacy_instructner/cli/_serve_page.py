"""`serve` without --api-only: from options to a page. Imports what needs models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn
from typer import Exit
from wasabi import msg

from ..corpus.pipelines import Pipeline
from ..serving.app import Limits, make_app
from ..serving.page_guard import check_token
from ..serving.project.project_folder import ProjectFolder
from ..serving.session import PipelineSession
from ._endpoint import Endpoint


def serve_page(
    pipeline: Pipeline,
    endpoint: Endpoint,
    limits: Mapping[str, Any],
    project: Path | None,
    save_to: Path | None,
) -> None:
    """Serve until a signal ends it; exit with 1 for options or a pipeline that cannot be
    used. limits: of `Limits`."""
    token = endpoint.token or ""
    try:
        if endpoint.token is not None:
            check_token(token)
        own = None if project is None else ProjectFolder(project)
        session = PipelineSession(pipeline, save_to)
        served = make_app(session, Limits(**limits), endpoint.names, own, token)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot serve {pipeline.name}", str(error))
        raise Exit(1) from error
    if own is not None and own.torn:
        msg.warn(
            f"The last {own.torn} bytes of the project were half an event, and are cut"
        )
    if token:
        msg.warn("Who has the token can do all that the page can.")
    shown = f"{endpoint.url}{'/?token=…' if token else ''}"
    msg.info(shown, f"{pipeline.name}; stop with Ctrl-C")
    if own is None:
        msg.text("Nothing is kept when it ends. `--project FOLDER` keeps the work.")
    uvicorn.run(
        served,
        host=endpoint.host,
        port=endpoint.port,
        log_level="warning",
        # A training that is under way ends with its step.
        timeout_graceful_shutdown=1,
    )
