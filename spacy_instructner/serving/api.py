"""HTTP for other programs: a pipeline that annotates texts, without a page and without
training.

    POST /v1/annotate    {"texts", "labels", "seconds"} -> {"pipeline", "results"}
    GET  /v1/labels      the labels that are looked for where a request gives none
    GET  /health         200 where texts are taken, 503 where not; /health/live always 200
    GET  /metrics        figures for Prometheus
    GET  /openapi.json   all of this, with every status

Texts of several requests are annotated together (batching.py). Every error is
{"detail": why}. Source: ours.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ..corpus.piped import Failure
from ..formats.text_files import SURROGATE, repaired
from .annotator import (
    AskedLabels,
    BatchAnnotator,
    RefusedLabels,
    TextAnswer,
    TextQuestion,
)
from .api_guards import ApiGuard, ApiLimits
from .api_metrics import GONE, Metered
from .api_models import (
    AnnotatedTexts,
    AnnotateTexts,
    FoundEntity,
    HealthReport,
    PipelineLabels,
    TextResult,
)
from .api_schema import DETAILS, NOT_READY, describe, statuses
from .app import check_labels, check_text
from .batching import QueueFull
from .service import NotReady, Service

T = TypeVar("T")
# Of an error that names what was sent, so many characters.
SHOWN = 300


def make_api(
    service: Service, limits: ApiLimits, hosts: Sequence[str], token: str = ""
) -> FastAPI:
    """The application.

    service (Service): the pipeline; the application starts and stops it.
    limits (ApiLimits): the largest requests that are answered.
    hosts (Sequence[str]): names of this machine in requests, "*" for any.
    token (str): what each request must bring, "" for none.
    RETURNS (FastAPI): the ASGI application."""
    app = FastAPI(
        # The framework's own pages would load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=service.running,
    )
    add_errors(app)
    add_annotation(app, service, limits)
    add_health(app, service)

    @app.get("/openapi.json")
    def openapi() -> dict[str, Any]:
        """This document."""
        return app.openapi()

    describe(app, limits, bool(token))
    routes = app.openapi()["paths"]
    bodies = [path for path, methods in routes.items() if "post" in methods]
    app.add_middleware(ApiGuard, limits=limits, token=token, bodies=bodies)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_middleware(Metered, metrics=service.metrics, routes=list(routes))
    return app


def add_annotation(app: FastAPI, service: Service, limits: ApiLimits) -> None:
    """Routes of version 1."""

    @app.post(
        "/v1/annotate",
        response_model=AnnotatedTexts,
        responses=statuses(400, 403, 408, 413, 415, 422, 500, 503, 504),
    )
    async def annotate(request: Request, body: AnnotateTexts) -> Any:
        """Annotate texts. One that cannot be annotated has an error in its place; the
        others are answered."""
        questions = read_questions(body, limits)
        annotator = service.known()
        check_words(annotator, questions[0].labels)
        seconds = min(limits.seconds, body.seconds or limits.seconds)
        answers = await while_asked(request, service.ask(questions, seconds))
        if answers is None:
            return Response(status_code=GONE)
        return AnnotatedTexts(
            pipeline=annotator.name,
            results=[
                make_result(question.text, answer)
                for question, answer in zip(questions, answers)
            ],
        )

    @app.get("/v1/labels", responses=statuses(503))
    def labels() -> PipelineLabels:
        """The labels of the pipeline."""
        annotator = service.known()
        return PipelineLabels(pipeline=annotator.name, labels=annotator.labels())


def add_health(app: FastAPI, service: Service) -> None:
    """Routes for whoever watches the server."""

    @app.get("/health", response_model=HealthReport, responses=NOT_READY)
    def health() -> JSONResponse:
        """Whether texts are taken."""
        report = HealthReport(live=True, ready=service.ready)
        return JSONResponse(report.model_dump(), 200 if service.ready else 503)

    @app.get("/health/live")
    def live() -> HealthReport:
        """That the process answers, be it ready or not."""
        return HealthReport(live=True, ready=service.ready)

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """Figures in Prometheus' text format."""
        return Response(service.metrics.page(), media_type=CONTENT_TYPE_LATEST)


def read_questions(body: AnnotateTexts, limits: ApiLimits) -> list[TextQuestion]:
    """Raises HTTPException for a request that is too large, and for labels with half
    characters."""
    if len(body.texts) > limits.most_texts:
        raise HTTPException(413, f"Send at most {limits.most_texts} texts at a time.")
    for text in body.texts:
        check_text(text, limits)
    labels = read_labels(body.labels)
    if labels is not None:
        check_labels(dict(labels), limits)
    return [TextQuestion(text, labels) for text in body.texts]


def read_labels(labels: dict[str, str] | list[str] | None) -> AskedLabels:
    """Labels with what each means. Raises HTTPException for surrogates, which no answer
    could name, and for a label that is given twice."""
    if labels is None:
        return None
    pairs = (
        list(labels.items()) if isinstance(labels, dict) else [(x, "") for x in labels]
    )
    if len(dict(pairs)) < len(pairs):
        raise HTTPException(422, "Give each label once.")
    if any(SURROGATE.search(part) for pair in pairs for part in pair):
        raise HTTPException(422, "Labels and definitions must be whole characters.")
    return tuple(pairs)


def check_words(annotator: BatchAnnotator, labels: AskedLabels) -> None:
    """Raises HTTPException for labels that no prompt could ask for."""
    try:
        annotator.check(labels)
    except ValueError as error:
        raise HTTPException(422, str(error)[:SHOWN]) from error


def make_result(text: str, answer: TextAnswer) -> TextResult:
    """Raises HTTPException for labels that leave no room for a text."""
    if isinstance(answer, RefusedLabels):
        raise HTTPException(422, answer.why[:SHOWN])
    if isinstance(answer, Failure):
        return TextResult(entities=[], error=answer.why[:SHOWN])
    entities = [
        FoundEntity(
            start=start,
            end=end,
            label=label,
            text=text[start:end],
            score=None if score is None else round(score, 4),
        )
        for start, end, label, score in answer
    ]
    return TextResult(entities=entities, error=None)


async def while_asked(request: Request, work: Awaitable[T]) -> T | None:
    """What the work gives; None where the client is gone first, and the work is given up.
    The body of the request must have been read."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(until_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        gone.cancel()
        # Until it has given its places back.
        await asyncio.gather(working, gone, return_exceptions=True)


async def until_gone(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def add_errors(app: FastAPI) -> None:
    """Every error as {"detail": why}. What was sent is not sent back: it may be large, or
    no text at all."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [said_of(each) for each in error.errors()[:3]]
        return problem(422, repaired("; ".join(problems))[0])

    @app.exception_handler(NotReady)
    async def not_ready(request: Request, error: NotReady) -> JSONResponse:
        return problem(503, str(error), 5)

    @app.exception_handler(QueueFull)
    async def full(request: Request, error: QueueFull) -> JSONResponse:
        return problem(503, str(error), error.retry_after)

    @app.exception_handler(asyncio.TimeoutError)
    async def late(request: Request, error: asyncio.TimeoutError) -> JSONResponse:
        return problem(504, DETAILS[504])

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        # The server logs it.
        return problem(500, DETAILS[500])


def said_of(error: dict[str, Any]) -> str:
    """One of pydantic's errors, in words."""
    if error["type"] == "json_invalid":
        why = error["ctx"]["error"]
        return f"The body is not JSON, from character {error['loc'][-1]} on: {why}"
    place = ".".join(map(str, error["loc"][1:]))[:SHOWN]
    return f"{place or 'The body'}: {error['msg']}"


def problem(status: int, why: str, retry_after: int | None = None) -> JSONResponse:
    """An error. retry_after: seconds after which to ask again."""
    headers = None if retry_after is None else {"retry-after": str(retry_after)}
    return JSONResponse({"detail": why}, status, headers)
