"""`serve --api-only`: from options to a server. Imports what needs models."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from typer import Exit
from wasabi import msg

from ..corpus.pipelines import Pipeline
from ..serving.annotator import BatchAnnotator
from ..serving.api_guards import ApiLimits, check_token
from ..serving.api_server import run_api
from ..serving.batching import BatchSettings
from ..serving.service import Service
from ._endpoint import Endpoint


def serve_api(
    pipeline: Pipeline,
    endpoint: Endpoint,
    limits: Mapping[str, Any],
    batches: Mapping[str, Any],
) -> None:
    """Serve until a signal ends it; exit with 1 for options or a pipeline that cannot be
    used.

    limits, batches: of `ApiLimits` and of `BatchSettings`; what is not given has its
    default."""
    try:
        if endpoint.token is not None:
            check_token(endpoint.token)
        own = ApiLimits(**limits)
        settings = BatchSettings(waiting=own.waiting, **batches)
        service = Service(partial(BatchAnnotator, pipeline), settings, pipeline.gpu)
        msg.info(endpoint.url, f"{pipeline.name}; stop with Ctrl-C")
        address = endpoint.host, endpoint.port
        run_api(service, own, endpoint.names, endpoint.token or "", address)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot serve {pipeline.name}", str(error))
        raise Exit(1) from error
