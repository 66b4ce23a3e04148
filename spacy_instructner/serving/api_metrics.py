"""What the API counts, for Prometheus. Source: ours."""

import time
from collections.abc import Callable, Collection

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Where the buckets of histograms end.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# No client sees it: the status of requests whose client was gone.
GONE = 499
OTHER = "other"


class ApiMetrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self, waiting: Callable[[], int], ready: Callable[[], bool]) -> None:
        """waiting, ready: the number of texts in the queue, and whether the pipeline is
        loaded: asked each time that the figures are read."""
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "instructner_requests",
            "Requests by status; 499 where the client was gone",
            ("route", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "instructner_request_seconds",
            "Seconds from a request to the end of its answer",
            ("route",),
            registry=registry,
            buckets=SECONDS,
        )
        self.batch_texts = Histogram(
            "instructner_batch_texts",
            "Texts annotated together",
            registry=registry,
            buckets=TEXTS,
        )
        self.batch_seconds = Histogram(
            "instructner_batch_seconds",
            "Seconds to annotate a batch",
            registry=registry,
            buckets=SECONDS,
        )
        self.texts = Counter(
            "instructner_texts",
            "Texts that left the pipeline, by whether they were annotated",
            ("outcome",),
            registry=registry,
        )
        self.characters = Counter(
            "instructner_characters", "Characters of these texts", registry=registry
        )
        self.entities = Counter(
            "instructner_entities", "Entities found in them", registry=registry
        )
        self.unread = Counter(
            "instructner_unread",
            "What a model had no room for: tokens of texts, and answers",
            ("what",),
            registry=registry,
        )
        queue = Gauge("instructner_queue_texts", "Texts that wait", registry=registry)
        queue.set_function(waiting)
        state = Gauge(
            "instructner_ready", "1 where the pipeline is loaded", registry=registry
        )
        state.set_function(ready)
        ProcessCollector(registry=registry)
        # From the first look on, so that a rate of them can be computed.
        for outcome in ("annotated", "failed", "refused"):
            self.texts.labels(outcome)
        for what in ("tokens", "answers"):
            self.unread.labels(what)

    def batch(self, texts: int, seconds: float) -> None:
        """Count a batch."""
        self.batch_texts.observe(texts)
        self.batch_seconds.observe(seconds)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def page(self) -> bytes:
        """The figures in Prometheus' text format."""
        return generate_latest(self.registry)


class Metered:
    """Middleware that counts requests.

    routes: paths that are counted by their own name; others are counted together, as
    whoever asks for them could make any number of names."""

    def __init__(
        self, app: ASGIApp, metrics: ApiMetrics, routes: Collection[str]
    ) -> None:
        self.app, self.metrics, self.routes = app, metrics, frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status: int | None = None
        gone = False
        begin = time.perf_counter()

        async def heard() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, heard, seen)
        finally:
            # Where nothing was sent, the client went, or an error came first.
            known = status or (GONE if gone else 500)
            route = scope["path"] if scope["path"] in self.routes else OTHER
            self.metrics.request(route, known, time.perf_counter() - begin)
