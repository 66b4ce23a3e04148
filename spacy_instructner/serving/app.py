"""HTTP: the page, and JSON endpoints that answer with streams of events.

    GET  /              the page
    GET  /api/info      what is served, and its limits
    POST /api/annotate  {"text", "labels": {label: meaning}}
    POST /api/train     {"examples": [{"text", "spans"}], "labels": {label: meaning}}
    GET  /health        for whoever watches the server
    …    /api/project/  see project_routes.py

Annotating and training answer with JSON Lines as they go; session.py describes the events. An error
before the first event has a status of its own; a later one is an event with "error".
Source: ours.
"""

import asyncio
import json
import math
import mimetypes
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import (
    Any,
)

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from spacy.cli._util import setup_gpu
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import Receive, Scope, Send

from ..corpus.chunk import pipeline_name
from ..files import to_json
from .jobs import JobUnderWay
from .page_guard import Guard, TokenGate, check_token
from .project.project_folder import ProjectFolder
from .project_desk import ProjectDesk
from .project_models import ProjectModels, begin_project
from .project_routes import make_routes
from .session import TRAINING, Event, PipelineSession

# Windows may call scripts something that browsers do not run.
mimetypes.add_type("text/javascript", ".js")
PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True)
class Limits:
    """The largest requests that are answered.

    characters: of a text; labels: of a request; meaning: characters of a label or of its
    definition; seconds: until an answer ends, waiting included; waiting: requests at a
    time; examples: to train on; bytes: of a request; upload: bytes of a file; sending:
    seconds to send a request in. Raises ValueError for limits under which nothing would
    be answered."""

    characters: int = 20_000
    labels: int = 50
    meaning: int = 500
    seconds: float = 120.0
    waiting: int = 8
    examples: int = 200
    bytes: int = 4_000_000
    upload: int = 50_000_000
    sending: float = 60.0

    def __post_init__(self) -> None:
        for limit, value in asdict(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"`{limit}` must be a number above 0, not {value}.")


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


def make_app(
    session: PipelineSession,
    limits: Limits,
    hosts: Sequence[str],
    project: ProjectFolder | None = None,
    token: str = "",
) -> FastAPI:
    """The application.

    session (PipelineSession): the pipeline.
    limits (Limits): the largest requests that are answered.
    hosts (Sequence[str]): names of this machine in the browser's address, "*" for any.
    project (ProjectFolder | None): what the page works on; the application closes it. By
        default one that is gone with the application.
    token (str): what everybody needs, "" for nothing.
    RETURNS (FastAPI): the ASGI application. Raises ValueError for a token that can be
        guessed, and OSError where a model of the project cannot be loaded."""
    gpu = session.pipeline.gpu
    answers, trainings = Turns(limits.waiting, gpu), Turns(1, gpu)
    aside = None if project else tempfile.TemporaryDirectory(prefix="instructner-")
    own = project or ProjectFolder(Path(aside.name) / "project")  # type: ignore[union-attr]
    begin_project(own, session)
    models = ProjectModels(session, own, answers.thread)
    desk = ProjectDesk(models, limits.characters, temporary=project is None)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()
        if aside is not None:
            aside.cleanup()

    # The framework's own pages would load scripts from elsewhere.
    app = FastAPI(
        title="spacy-instructner", docs_url=None, redoc_url=None, lifespan=lifespan
    )
    app.add_middleware(
        Guard, most=limits.bytes, uploads=limits.upload, seconds=limits.sending
    )
    if token:
        check_token(token)
        app.add_middleware(TokenGate, token=token)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_exception_handler(RequestValidationError, invalid)
    _add_answers(app, session, limits, answers, trainings)
    app.include_router(make_routes(desk))
    app.state.desk = desk
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def _add_answers(
    app: FastAPI,
    session: PipelineSession,
    limits: Limits,
    answers: Turns,
    trainings: Turns,
) -> None:
    """The endpoints that need no project."""

    @app.get("/health")
    def health() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok"}

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
        try:
            session.check_free()
        except JobUnderWay as error:
            raise HTTPException(503, str(error), {"retry-after": "10"}) from error
        trainings.take(TRAINING)
        rows = [row.model_dump() for row in body.examples]
        return trainings.stream(request, session.finetune(rows, body.labels))


async def invalid(request: Request, error: Exception) -> Response:
    """What is wrong with a body, without what was sent: that may be what cannot be sent back,
    such as half a character."""
    assert isinstance(error, RequestValidationError)
    detail = [
        {key: own[key] for key in ("loc", "msg", "type")} for own in error.errors()
    ]
    content = json.dumps({"detail": detail})
    return Response(content, 422, media_type="application/json")


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
