"""The pipeline behind the API, from start to stop."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

for package in ("fastapi", "httpx", "prometheus_client"):
    pytest.importorskip(package)

from helpers.serving_api import annotate, detail, load, results, wait_ready  # noqa: E402
from spacy_instructner.serving.annotator import (  # noqa: E402
    BatchAnnotator,
    TextQuestion,
)
from spacy_instructner.serving.api import make_api  # noqa: E402
from spacy_instructner.serving.api_guards import ApiLimits  # noqa: E402
from spacy_instructner.serving.batching import BatchSettings, QueueFull  # noqa: E402
from spacy_instructner.serving.service import NotReady, Service  # noqa: E402


def test_health_before_and_after_the_pipeline_is_loaded(folder: Path) -> None:
    from fastapi.testclient import TestClient

    go = threading.Event()

    def slow() -> BatchAnnotator:
        assert go.wait(30)
        return load(folder)

    service = Service(slow, BatchSettings())
    app = make_api(service, ApiLimits(), ["localhost"])
    with TestClient(app, base_url="http://localhost") as client:
        loading = {"live": True, "ready": False}
        early = client.get("/health")
        assert (early.status_code, early.json()) == (503, loading)
        live = client.get("/health/live")
        assert (live.status_code, live.json()) == (200, loading)
        for refused in (annotate(client, "Anna"), client.get("/v1/labels")):
            assert "being loaded" in detail(refused, 503)
            assert refused.headers["retry-after"] == "5"
        assert "instructner_ready 0.0" in client.get("/metrics").text
        go.set()
        wait_ready(client)
        assert client.get("/health").json() == {"live": True, "ready": True}
        assert results(annotate(client, "Anna"))
        assert "instructner_ready 1.0" in client.get("/metrics").text
    assert not service.ready


def test_what_cannot_be_loaded_is_told_to_who_started_it() -> None:
    told: list[bool] = []

    def fails() -> BatchAnnotator:
        raise OSError("no weights")

    service = Service(fails, BatchSettings())
    service.on_error = lambda: told.append(True)

    async def run() -> None:
        async with service.running(None):
            while not told:
                await asyncio.sleep(0.001)
            assert not service.ready
            with pytest.raises(NotReady):
                await service.ask([TextQuestion("Anna")], 30)

    asyncio.run(asyncio.wait_for(run(), 30))
    assert str(service.error) == "no weights"


def test_a_server_that_stops_answers_what_it_has(folder: Path) -> None:
    entered, go = threading.Event(), threading.Event()
    service = Service(lambda: load(folder), BatchSettings(texts=1))
    asked: list[Any] = []

    async def run() -> None:
        async with service.running(None):
            while not service.ready:
                await asyncio.sleep(0.001)
            answer = service.known().annotate

            def slow(questions: Any) -> Any:
                entered.set()
                assert go.wait(30)
                return answer(questions)

            service.known().annotate = slow  # type: ignore[method-assign]
            for text in ("Anna met Bert", "Carl", "Rome"):
                task = asyncio.create_task(service.ask([TextQuestion(text)], 30))
                asked.append(task)
            while not entered.is_set():
                await asyncio.sleep(0.001)
            stopping = asyncio.get_running_loop()
            stopping.call_later(0.1, go.set)
            assert service.waiting() == 2
        # The server has stopped, and every answer is there to be sent.
        assert not service.ready
        await asyncio.wait_for(asyncio.gather(*asked), 1)
        with pytest.raises(QueueFull):
            await service.ask([TextQuestion("late")], 30)

    asyncio.run(asyncio.wait_for(run(), 60))
    own = load(folder)
    for task, text in zip(asked, ("Anna met Bert", "Carl", "Rome"), strict=True):
        assert task.result() == own.annotate([TextQuestion(text)]).answers
