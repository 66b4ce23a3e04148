"""The API as a process: it listens until it is told to stop. Source: ours."""

import math
from collections.abc import Sequence

import uvicorn

from .api import make_api
from .api_guards import ApiLimits
from .service import Service

# Seconds to write the last answers, once their time is up.
LAST = 5


def run_api(
    service: Service,
    limits: ApiLimits,
    hosts: Sequence[str],
    token: str,
    address: tuple[str, int],
) -> None:
    """Serve until a signal ends it. What is under way then is answered, new connections
    are not taken, and a second signal ends it at once.

    service, limits, hosts, token: see `make_api`; address: host and port to listen on.
    Raises what the loading of the pipeline raised."""
    host, port = address
    config = uvicorn.Config(
        make_api(service, limits, hosts, token),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=math.ceil(limits.seconds) + LAST,
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = True

    service.on_error = stop
    server.run()
    if service.error is not None:
        raise service.error
