"""The page to try a pipeline, over HTTP."""

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spacy_instructner
from helpers.serving import LABELS, later, rows
from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.serving.session import PipelineSession


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Any]:
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    from fastapi.testclient import TestClient

    from spacy_instructner.serving.app import Limits, make_app

    limits = Limits(characters=100, labels=3, meaning=40, examples=2, bytes=2000)
    app = make_app(PipelineSession(Pipeline(str(folder))), limits, ["localhost"])
    with TestClient(app, base_url="http://localhost:8000") as client:
        yield client


def lines(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def ask(client: Any, text: str = "Anna", labels: Any = LABELS, **more: Any) -> Any:
    body = {"text": text, "labels": labels}
    return client.post("/api/annotate", **{"json": body, **more})


@pytest.mark.long
@pytest.mark.usefixtures("tiny_settings")
def test_the_endpoint(client: Any, folder: Path) -> None:
    said = client.get("/api/info").json()
    assert said["labels"] == LABELS and said["limits"]["characters"] == 100
    assert said["pipeline"] == "en_pipeline-0.0.0"
    text = "Anna met Bert\nin Paris."
    events = lines(ask(client, text))
    session = PipelineSession(Pipeline(str(folder)))
    assert events == list(session.annotate(text, LABELS, later()))
    steps = lines(
        client.post(
            "/api/train",
            json={"examples": rows("Anna lives in Paris."), "labels": LABELS},
        )
    )
    assert len(steps) == 152 and "seconds" in steps[-1]
    after = lines(ask(client, "Anna lives in Paris."))
    assert [s["label"] for s in after[0]["spans"]] == ["PERSON", "PLACE"]
    failed = lines(
        client.post("/api/train", json={"examples": rows("nobody"), "labels": LABELS})
    )
    assert (
        failed == [{"error": failed[0]["error"]}] and "no entity" in failed[0]["error"]
    )


def test_limits(client: Any) -> None:
    def refused(answer: Any, status: int, said: str) -> None:
        assert answer.status_code == status, answer.text
        assert said in json.dumps(answer.json())

    refused(ask(client, "x" * 101), 413, "at most 100 characters")
    refused(ask(client, labels={}), 422, "at least one label")
    refused(ask(client, labels=dict.fromkeys("abcd", "")), 413, "at most 3 labels")
    refused(ask(client, labels={"a": "x" * 41}), 413, "at most 40 characters")
    refused(ask(client, "x" * 2001), 413, "at most 2000 bytes")
    refused(client.post("/api/annotate", json={"text": 3}), 422, "string")
    lesson = {"examples": rows("Anna", "Paris", "Anna"), "labels": LABELS}
    refused(client.post("/api/train", json=lesson), 413, "at most 2 examples")
    body = b'{"text": "\\ud800", "labels": {"a": ""}}'
    own = {"content-type": "application/json"}
    # Halves of characters are replaced; places stay.
    (event,) = lines(ask(client, json=None, content=body, headers=own))
    assert (event["start"], event["end"], event["tokens"]) == (0, 1, [[0, 1]])
    # No other site's page gets in, by whatever name.
    plain = {"content-type": "text/plain"}
    refused(
        ask(client, json=None, content=body, headers=plain), 415, "application/json"
    )
    for origin in ("http://evil.example", "http://[", "null"):
        refused(ask(client, headers={"origin": origin}), 403, "other sites")
    assert ask(client, headers={"origin": "http://localhost:8000"}).status_code == 200
    assert ask(client, headers={"host": "evil.example"}).status_code == 400


def test_who_comes_when_all_turns_are_taken_is_told_so(
    folder: Path, monkeypatch: Any
) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    from fastapi.testclient import TestClient

    from spacy_instructner.serving.app import Limits, make_app

    begun, may_end = threading.Event(), threading.Event()

    def slow(*args: Any) -> Iterator[dict[str, Any]]:
        begun.set()
        assert may_end.wait(60)
        yield {"step": 1}

    monkeypatch.setattr(PipelineSession, "annotate", slow)
    monkeypatch.setattr(PipelineSession, "finetune", slow)
    session = PipelineSession(Pipeline(str(folder)))
    app = make_app(session, Limits(waiting=1), ["localhost"])
    lesson = {"json": {"examples": rows("Anna"), "labels": LABELS}}
    with TestClient(app, base_url="http://localhost:8000") as client:
        for send, said in (
            (lambda: ask(client), "Too many texts are waiting"),
            (lambda: client.post("/api/train", **lesson), "A training is under way"),
        ):
            begun.clear()
            may_end.clear()
            answers: list[Any] = []
            first = threading.Thread(target=lambda: answers.append(send()))  # noqa: B023
            first.start()
            assert begun.wait(60)
            refused = send()
            may_end.set()
            first.join(60)
            assert refused.status_code == 503 and said in refused.json()["detail"]
            assert refused.headers["retry-after"] == "10"
            # Nothing of the first is lost, and its turn is free again.
            assert lines(answers[0]) == lines(send()) == [{"step": 1}]


@pytest.mark.long
@pytest.mark.usefixtures("tiny_settings")
def test_many_ask_at_once_while_one_trains(client: Any, folder: Path) -> None:
    """Every answer is that of the pipeline before the training, or of the one after."""
    texts = [f"Anna met {name} in Paris." for name in ("Bert", "Rome", "Anna", "Carl")]
    own = PipelineSession(Pipeline(str(folder)))
    before = [list(own.annotate(text, LABELS, later())) for text in texts]
    answers: dict[int, list[Any]] = {at: [] for at in range(len(texts))}
    trained = threading.Event()

    def work(at: int) -> None:
        while not trained.is_set():
            answers[at].append(lines(ask(client, texts[at])))

    threads = [threading.Thread(target=work, args=(at,)) for at in answers]
    for thread in threads:
        thread.start()
    lesson = {"examples": rows("Anna lives in Paris."), "labels": LABELS}
    try:
        steps = lines(client.post("/api/train", json=lesson))
    finally:
        trained.set()
    for thread in threads:
        thread.join(60)
    assert "seconds" in steps[-1]
    after = [lines(ask(client, text)) for text in texts]
    assert after != before
    for at, given in answers.items():
        assert given and all(answer in (before[at], after[at]) for answer in given)


@pytest.mark.parametrize("name", ["characters", "waiting", "seconds", "sending"])
def test_limits_under_which_nothing_is_answered(name: str) -> None:
    pytest.importorskip("fastapi")
    from spacy_instructner.serving.app import Limits

    for value in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"`{name}` must be a number above 0"):
            Limits(**{name: value})


PAGE = Path(spacy_instructner.__file__).parent / "serving" / "page"
# What others wrote, as they published it: htm 3.1.1 with preact, and its licences.
OF_OTHERS = {
    "preact.js": "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7"
}


def test_the_page_loads_nothing_from_elsewhere(client: Any) -> None:
    page = client.get("/")
    assert page.status_code == 200 and "<h1>spacy-instructner</h1>" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    for part in PAGE.iterdir():
        assert client.get(f"/{part.name}").status_code == 200
        if part.suffix == ".js":
            kind = client.get(f"/{part.name}").headers["content-type"]
            assert kind.startswith("text/javascript")
        if part.name in OF_OTHERS:
            own = hashlib.sha256(part.read_bytes()).hexdigest()
            assert own == OF_OTHERS[part.name]
        elif part.suffix != ".txt":
            text = part.read_text(encoding="utf8")
            text = text.replace("http://www.w3.org/2000/svg", "")
            assert "//" not in text.replace("// ", "") and "innerHTML" not in text
    for path in ("/docs", "/redoc", "/../web.py", "/%2e%2e/web.py"):
        assert client.get(path).status_code == 404


def test_libraries_have_their_licences() -> None:
    notice = (PAGE / "preact-licenses.txt").read_text(encoding="utf8")
    for part in ("MIT License", "Apache License", "Jason Miller", "htm 3.1.1"):
        assert part in notice


def test_turns_are_given_back(folder: Path) -> None:
    """However a response ends, also one that nobody reads."""
    pytest.importorskip("fastapi")
    import asyncio

    from fastapi import HTTPException
    from starlette.requests import Request

    from spacy_instructner.serving.app import Turns

    closed: list[int] = []

    def events() -> Iterator[dict[str, Any]]:
        try:
            yield {"step": 1}
            yield {"step": 2}
        finally:
            closed.append(1)

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and message.get("more_body"):
            raise OSError("the browser is gone")

    async def once(turns: Turns) -> None:
        scope = {"type": "http", "method": "POST", "headers": [], "asgi": {}}
        started = events()
        next(started)
        stream = turns.stream(Request(scope, gone), started)
        with pytest.raises(HTTPException):
            turns.take("busy")
        try:
            await stream(scope, gone, send)
        except Exception:
            pass

    turns = Turns(1, -1)
    for _ in range(3):
        turns.take("busy")
        asyncio.run(once(turns))
    assert turns.now == 0
    turns.thread.shutdown(wait=True)
    assert closed == [1, 1, 1]
