"""HTTP: the page, and a JSON endpoint that answers event by event.

    GET  /              the page
    GET  /api/info      what is served, and its limits
    POST /api/annotate  {"text", "labels": {label: meaning}}
    POST /api/train     {"examples": [{"text", "spans"}], "labels": {label: meaning}}

The last two answer with JSON Lines as they go; see served.py for the events. What goes
wrong before the first event has a status of its own, later it is an event with "error".
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
from .session import Event, Served

PAGE = Path(__file__).parent / "page"
HEADERS = [
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


@dataclass(frozen=True)
class Limits:
    """characters: of a text; labels: of a request, and meaning: characters of each;
    seconds: until an answer ends, waiting included; waiting: requests at a time;
    examples: to train on; bytes: of a request."""

    characters: int = 20_000
    labels: int = 50
    meaning: int = 500
    seconds: float = 120.0
    waiting: int = 8
    examples: int = 200
    bytes: int = 4_000_000


class Question(BaseModel):
    text: str
    labels: dict[str, str]


class Entity(BaseModel):
    start: int
    end: int
    label: str


class Corrected(BaseModel):
    text: str
    spans: list[Entity]


class Lesson(BaseModel):
    examples: list[Corrected]
    labels: dict[str, str]


class Turns:
    """So many at a time, each of them on one thread: no two of them ever meet in the
    model."""

    def __init__(self, most: int, gpu: int) -> None:
        self.most, self.now = most, 0
        # What computes on a GPU is a matter of each thread.
        self.thread = ThreadPoolExecutor(1, initializer=partial(setup_gpu, gpu, True))

    def take(self, busy: str) -> None:
        """Raises HTTPException where there is no room."""
        if self.now >= self.most:
            raise HTTPException(503, busy, {"retry-after": "10"})
        self.now += 1

    def stream(self, request: Request, events: Iterator[Event]) -> "Stream":
        """Events as JSON Lines, until they end or nobody listens."""
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
        # After the step that is under way, if one is.
        self.thread.submit(events.close)  # type: ignore[attr-defined]


def _next(events: Iterator[Event]) -> "Event | None":
    """The next event, or what went wrong as the last."""
    try:
        return next(events, None)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


class Stream(StreamingResponse):
    """end: called once, however the response ends, even before it has begun."""

    def __init__(self, content: Any, end: Callable[[], None], **more: Any) -> None:
        super().__init__(content, **more)
        self.end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.end()


class Guard:
    """Refuses requests that are too large, and those that another site's page sends;
    tells browsers to load nothing from elsewhere."""

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

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, again, send)


def is_own(origin: str | None, host: str) -> bool:
    """Was a request made by a page of ours, or by no page at all?"""
    try:
        return origin is None or urlsplit(origin).netloc == host
    except ValueError:
        return False


def guarded(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *HEADERS]
        await send(message)

    return with_headers


async def refuse(send: Send, status: int, why: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = to_json({"detail": why}, indent=None)
    await send({"type": "http.response.body", "body": body})


def make_app(served: Served, limits: Limits, hosts: Sequence[str]) -> FastAPI:
    """The application. hosts: names that this machine is called by, "*" for any."""
    # The framework's own pages would load scripts from elsewhere.
    app = FastAPI(title="spacy-instructner", docs_url=None, redoc_url=None)
    app.add_middleware(Guard, most=limits.bytes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    gpu = served.pipeline.gpu
    answers, lessons = Turns(limits.waiting, gpu), Turns(1, gpu)

    @app.get("/api/info")
    def info() -> dict[str, Any]:
        return {
            "pipeline": pipeline_name(served.nlp),
            "labels": served.labels(),
            "limits": asdict(limits),
        }

    @app.post("/api/annotate")
    async def annotate(request: Request, asked: Question) -> Stream:
        check_text(asked.text, limits)
        check_labels(asked.labels, limits)
        answers.take("Too many texts are waiting. Try again later.")
        until = time.monotonic() + limits.seconds
        events = served.annotate(asked.text, asked.labels, until)
        return answers.stream(request, events)

    @app.post("/api/train")
    async def train(request: Request, lesson: Lesson) -> Stream:
        check_labels(lesson.labels, limits)
        if len(lesson.examples) > limits.examples:
            raise HTTPException(413, f"Train on at most {limits.examples} examples.")
        for row in lesson.examples:
            check_text(row.text, limits)
        lessons.take("A training is under way. Wait until it has ended.")
        rows = [row.model_dump() for row in lesson.examples]
        return lessons.stream(request, served.learn(rows, lesson.labels))

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def check_text(text: str, limits: Limits) -> None:
    if len(text) > limits.characters:
        raise HTTPException(413, f"A text has at most {limits.characters} characters.")


def check_labels(labels: dict[str, str], limits: Limits) -> None:
    if not labels:
        raise HTTPException(422, "Say what to look for: give at least one label.")
    if len(labels) > limits.labels:
        raise HTTPException(413, f"Ask for at most {limits.labels} labels at a time.")
    for label, meaning in labels.items():
        if max(len(label), len(meaning)) > limits.meaning:
            raise HTTPException(
                413, f"Labels and meanings have at most {limits.meaning} characters."
            )
