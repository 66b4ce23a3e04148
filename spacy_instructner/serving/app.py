"""HTTP: the page, and JSON endpoints that answer with streams of events.

    GET  /              the page
    GET  /health        that it is ready
    GET  /api/info      what is served, and its limits
    POST /api/annotate  {"text", "labels": {label: meaning}}
    POST /api/train     {"examples": [{"text", "spans"}], "labels": {label: meaning}}

The last two answer with JSON Lines as they go; session.py describes the events. An error
before the first event has a status of its own; a later one is an event with "error".
Source: ours.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import (
    Any,
)
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from spacy.cli._util import setup_gpu
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..corpus.chunk import pipeline_name
from ..files import to_json
from .session import Event, PipelineSession

PAGE = Path(__file__).parent / "page"
HEADERS = [
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


@dataclass(frozen=True)
class Limits:
    """The largest requests that are answered.

    characters: of a text; labels: of a request; meaning: characters of a label or of its
    definition; seconds: until an answer ends, waiting included; waiting: requests at a
    time; examples: to train on; bytes: of a request."""

    characters: int = 20_000
    labels: int = 50
    meaning: int = 500
    seconds: float = 120.0
    waiting: int = 8
    examples: int = 200
    bytes: int = 4_000_000


class AnnotateRequest(BaseModel):
    """The body of POST /api/annotate."""

    text: str
    labels: dict[str, str]


class CorrectedSpan(BaseModel):
    """An entity, by characters of its text."""

    start: int
    end: int
    label: str


class CorrectedText(BaseModel):
    """A text with its right entities."""

    text: str
    spans: list[CorrectedSpan]


class TrainRequest(BaseModel):
    """The body of POST /api/train."""

    examples: list[CorrectedText]
    labels: dict[str, str]


class Turns:
    """A queue of streams that share one thread, so that the model never answers two at
    once. most: streams at a time; gpu: number of the GPU, -1 for the CPU."""

    def __init__(self, most: int, gpu: int) -> None:
        self.most, self.now = most, 0
        # spaCy chooses the GPU for each thread.
        self.thread = ThreadPoolExecutor(1, initializer=partial(setup_gpu, gpu, True))

    def take(self, busy: str) -> None:
        """Take a turn. Raises HTTPException with the message `busy` where none is free."""
        if self.now >= self.most:
            raise HTTPException(503, busy, {"retry-after": "10"})
        self.now += 1

    def stream(self, request: Request, events: Iterator[Event]) -> "Stream":
        """Events as JSON Lines, until they end or the client is gone."""
        return Stream(
            self._lines(request, events),
            media_type="application/x-ndjson",
            end=lambda: self._end(events),
        )

    async def _lines(
        self, request: Request, events: Iterator[Event]
    ) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        while not await request.is_disconnected():
            event = await loop.run_in_executor(self.thread, _next, events)
            if event is None:
                return
            yield to_json(event, indent=None)

    def _end(self, events: Iterator[Event]) -> None:
        self.now -= 1
        # After the step that is under way, if there is one.
        self.thread.submit(events.close)  # type: ignore[attr-defined]


def _next(events: Iterator[Event]) -> "Event | None":
    """The next event, None after the last; an error becomes the last event."""
    try:
        return next(events, None)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


class Stream(StreamingResponse):
    """A response whose `end` is called once, however it ends, even before it begins."""

    def __init__(self, content: Any, end: Callable[[], None], **more: Any) -> None:
        super().__init__(content, **more)
        self.end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.end()


class Guard:
    """Middleware that refuses requests that are too large, not JSON, or sent by a page of
    another site, and tells browsers to load nothing from elsewhere."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["method"] == "POST":
            await self._post(scope, receive, guarded(send))
        else:
            await self.app(scope, receive, guarded(send))

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode(): value.decode("latin1") for name, value in scope["headers"]
        }
        if not is_own(headers.get("origin"), headers.get("host", "")):
            await refuse(send, 403, "Requests from other sites are not answered.")
            return
        if headers.get("content-type", "").split(";")[0].strip() != "application/json":
            await refuse(send, 415, "Send application/json.")
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if len(body) > self.most:
                await refuse(send, 413, f"A request has at most {self.most} bytes.")
                return
            if not message.get("more_body"):
                break
        whole: list[Message] = [{"type": "http.request", "body": body}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, replay, send)


def is_own(origin: str | None, host: str) -> bool:
    """Was a request made by this page, or by no page at all?"""
    try:
        return origin is None or urlsplit(origin).netloc == host
    except ValueError:
        return False


def guarded(send: Send) -> Send:
    """`send`, with `HEADERS` added to each response."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *HEADERS]
        await send(message)

    return with_headers


async def refuse(send: Send, status: int, why: str) -> None:
    """Answer with an error, as FastAPI does."""
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = to_json({"detail": why}, indent=None)
    await send({"type": "http.response.body", "body": body})


def make_app(session: PipelineSession, limits: Limits, hosts: Sequence[str]) -> FastAPI:
    """The application.

    session (PipelineSession): the pipeline.
    limits (Limits): the largest requests that are answered.
    hosts (Sequence[str]): names of this machine in the browser's address, "*" for any.
    RETURNS (FastAPI): the ASGI application."""
    # The framework's own pages would load scripts from elsewhere.
    app = FastAPI(title="spacy-instructner", docs_url=None, redoc_url=None)
    app.add_middleware(Guard, most=limits.bytes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    gpu = session.pipeline.gpu
    answers, trainings = Turns(limits.waiting, gpu), Turns(1, gpu)

    @app.get("/api/info")
    def info() -> dict[str, Any]:
        """The pipeline's name and labels, and the limits."""
        return {
            "pipeline": pipeline_name(session.nlp),
            "labels": session.labels(),
            "limits": asdict(limits),
        }

    @app.post("/api/annotate")
    async def annotate(request: Request, body: AnnotateRequest) -> Stream:
        """Annotate a text, piece by piece."""
        check_text(body.text, limits)
        check_labels(body.labels, limits)
        answers.take("Too many texts are waiting. Try again later.")
        until = time.monotonic() + limits.seconds
        events = session.annotate(body.text, body.labels, until)
        return answers.stream(request, events)

    @app.post("/api/train")
    async def train(request: Request, body: TrainRequest) -> Stream:
        """Train on corrected texts, update by update."""
        check_labels(body.labels, limits)
        if len(body.examples) > limits.examples:
            raise HTTPException(413, f"Train on at most {limits.examples} examples.")
        for row in body.examples:
            check_text(row.text, limits)
        trainings.take("A training is under way. Wait until it has ended.")
        rows = [row.model_dump() for row in body.examples]
        return trainings.stream(request, session.finetune(rows, body.labels))

    @app.get("/health")
    def health() -> dict[str, bool]:
        """As the API tells it: a page is there once its pipeline is."""
        return {"live": True, "ready": True}

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def check_text(text: str, limits: Limits) -> None:
    """Raises HTTPException for a text that is too long."""
    if len(text) > limits.characters:
        raise HTTPException(413, f"A text has at most {limits.characters} characters.")


def check_labels(labels: dict[str, str], limits: Limits) -> None:
    """Raises HTTPException for no labels, too many, or too long ones."""
    if not labels:
        raise HTTPException(422, "Give at least one label to look for.")
    if len(labels) > limits.labels:
        raise HTTPException(413, f"Ask for at most {limits.labels} labels at a time.")
    for label, meaning in labels.items():
        if max(len(label), len(meaning)) > limits.meaning:
            raise HTTPException(
                413, f"Labels and definitions have at most {limits.meaning} characters."
            )
