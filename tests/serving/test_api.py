"""The API for programs, over HTTP: answers, and what is refused."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from spacy.language import Language
from spacy.tokens import Doc

from helpers.serving import LABELS

for package in ("fastapi", "httpx", "prometheus_client"):
    pytest.importorskip(package)

from helpers.serving_api import (  # noqa: E402
    TOKEN,
    Exchange,
    annotate,
    api_client,
    detail,
    load,
    results,
)
from spacy_instructner.serving.annotator import (  # noqa: E402
    BatchAnnotator,
    TextQuestion,
)
from spacy_instructner.serving.batching import BatchSettings  # noqa: E402

TEXTS = ["Anna met Bert in Paris.", "Carl 👩‍👩‍👧 saw Rome", "", "Anna and Bert"]
TOWNS = {"TOWN": "", "animal": "a beast"}


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Any]:
    with api_client(folder) as client:
        yield client


def expected(annotator: BatchAnnotator, text: str, labels: Any = None) -> Any:
    """The result of a text by itself."""
    own = None if labels is None else tuple(labels.items())
    (answer,) = annotator.annotate([TextQuestion(text, own)]).answers
    assert isinstance(answer, list)
    return {
        "entities": [
            {
                "start": start,
                "end": end,
                "label": label,
                "text": text[start:end],
                "score": pytest.approx(score, abs=1e-4),
            }
            for start, end, label, score in answer
        ],
        "error": None,
    }


def test_texts_and_labels(client: Any, folder: Path) -> None:
    annotator = load(folder)
    for labels in (None, TOWNS, LABELS):
        answer = annotate(client, *TEXTS, labels=labels)
        alone = [expected(annotator, text, labels) for text in TEXTS]
        assert results(answer) == alone and any(each["entities"] for each in alone)
        assert answer.json()["pipeline"] == "en_pipeline-0.0.0"
    # A list, where names say what is meant.
    named = results(annotate(client, *TEXTS, labels=list(TOWNS)))
    none = dict.fromkeys(TOWNS, "")
    assert named == [expected(annotator, text, none) for text in TEXTS]
    assert client.get("/v1/labels").json() == {
        "pipeline": "en_pipeline-0.0.0",
        "labels": LABELS,
    }


def test_half_characters_are_replaced_and_places_stay(client: Any) -> None:
    (broken,) = results(annotate(client, "\ud800 Anna met Bert"))
    (whole,) = results(annotate(client, "\ufffd Anna met Bert"))
    assert broken == whole and broken["entities"]


def test_many_ask_at_once_and_share_batches(folder: Path) -> None:
    annotator = load(folder)
    asked = [
        (f"{name} met {other} in Paris.", labels)
        for name in ("Anna", "Bert", "Carl")
        for other in ("Rome", "Anna")
        for labels in (None, TOWNS)
    ]
    settings = BatchSettings(texts=8, wait=0.5)
    with api_client(folder, settings=settings) as client:
        with ThreadPoolExecutor(len(asked)) as threads:
            answers = list(
                threads.map(
                    lambda each: annotate(client, each[0], labels=each[1]), asked
                )
            )
        for (text, labels), answer in zip(asked, answers, strict=True):
            assert results(answer) == [expected(annotator, text, labels)]
        value = client.service.metrics.registry.get_sample_value
        assert value("instructner_batch_texts_sum") == len(asked)
        assert value("instructner_batch_texts_count") < len(asked) / 2


def test_one_bad_text_does_not_fail_the_others(folder: Path) -> None:
    @Language.component("fails_at_rome")
    def fails_at_rome(doc: Doc) -> Doc:
        if "Rome" in doc.text:
            raise RuntimeError("not Rome")
        return doc

    with api_client(folder, settings=BatchSettings(texts=8, wait=0.3)) as client:
        client.service.annotator.nlp.add_pipe("fails_at_rome", first=True)
        with ThreadPoolExecutor(2) as threads:
            other = threads.submit(annotate, client, "Anna met Bert in Paris.")
            first, bad, last = results(annotate(client, "Anna", "Rome", "Bert"))
            (alone,) = results(other.result())
    assert bad["entities"] == [] and "not Rome" in bad["error"]
    assert first["error"] is None and last["error"] is None
    annotator = load(folder)
    assert first == expected(annotator, "Anna")
    assert alone == expected(annotator, "Anna met Bert in Paris.")


def test_limits(client: Any) -> None:
    assert "at most 200 characters" in detail(annotate(client, "x" * 201), 413)
    assert "at most 8 texts" in detail(annotate(client, *["x"] * 9), 413)
    assert "at most 3 labels" in detail(annotate(client, "x", labels=list("abcd")), 413)
    long = annotate(client, "x", labels={"a": "x" * 41})
    assert "at most 40 characters" in detail(long, 413)
    assert "at most 4000 bytes" in detail(annotate(client, "x" * 4000), 413)
    # What is just allowed is answered.
    assert len(results(annotate(client, *["x " * 100] * 8))) == 8
    assert results(annotate(client, "x", labels={"a": "x" * 40, "b": "", "c": ""}))


@pytest.mark.parametrize(
    "body,said",
    [
        (b"", "The body: Field required"),
        (b"{", "The body is not JSON, from character 1 on"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "The body: "),
        (b'{"texts": []}', "texts: List should have at least 1 item"),
        (b'{"texts": "Anna"}', "texts: Input should be a valid list"),
        (b'{"texts": NaN}', "texts: "),
        (b'{"texts": ["a", 3]}', "texts.1: Input should be a valid string"),
        (b'{"text": "a"}', "texts: Field required; text: Extra inputs"),
        (b'{"texts": ["a"], "labels": {}}', "at least one label"),
        (b'{"texts": ["a"], "labels": []}', "at least one label"),
        (b'{"texts": ["a"], "labels": ["b", "b"]}', "each label once"),
        (b'{"texts": ["a"], "labels": {"b": 3}}', "labels"),
        (b'{"texts": ["a"], "labels": ["\\ud800"]}', "whole characters"),
        (b'{"texts": ["a"], "labels": {"b": "\\udfff"}}', "whole characters"),
        (b'{"texts": ["a"], "labels": ["b", "B"]}', "both called 'b'"),
        (b'{"texts": ["a"], "labels": [" "]}', "at least one letter"),
        (b'{"texts": ["a"], "seconds": 0}', "greater than 0"),
        (b'{"texts": ["a"], "seconds": NaN}', "seconds: "),
        (
            b'{"texts": ["a"], "seconds": true}',
            "seconds: Input should be a valid number",
        ),
        (
            b'{"texts": ["a"], "seconds": "1"}',
            "seconds: Input should be a valid number",
        ),
        (b'{"texts": ["a"], "\\ud800": 1}', "valid string"),
        (b'{"texts": ["a"], "seconds": 1' + 400 * b"0" + b"}", "seconds: "),
    ],
)
def test_what_is_not_as_it_must_be(client: Any, body: bytes, said: str) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/annotate", content=body, headers=headers)
    assert said in detail(answer, 422)


def test_labels_that_leave_no_room_for_a_text(folder: Path) -> None:
    with api_client(folder, labels=100) as client:
        long = [f"label number {at}" for at in range(100)]
        assert "no room for a text" in detail(annotate(client, "x", labels=long), 422)
        # What is wrong with the words of labels needs no turn.
        wrong = annotate(client, "x", labels=["_"], seconds=1e-9)
        assert "no words" in detail(wrong, 422)


@pytest.mark.parametrize("body", [b"[" * 3000, b'{"texts": 1' + b"0" * 3900 + b"}"])
def test_deep_and_huge_bodies(client: Any, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/annotate", content=body, headers=headers)
    assert answer.status_code in (400, 422) and detail(answer, answer.status_code)


def test_what_is_sent_is_not_sent_back(client: Any) -> None:
    answer = annotate(client, "a", labels={"x" * 3000: 3})
    assert len(detail(answer, 422)) < 1000


def test_routes_that_there_are_not(client: Any) -> None:
    """No page, no training, and no page of the framework."""
    for path in ("/", "/docs", "/redoc", "/api/info", "/page.js", "/v1/annotate/"):
        assert detail(client.get(path), 404) == "Not Found"
    train = client.post("/api/train", json={"examples": [], "labels": LABELS})
    assert detail(train, 404)
    assert detail(client.get("/v1/annotate"), 405)
    assert detail(client.post("/health", content=b"x" * 5000), 405)


def hold_back(
    client: Any,
    entered: threading.Event,
    go: threading.Event,
    seen: list[str] | None = None,
) -> None:
    """Let each batch wait for `go`, once it has come. seen: takes up its texts."""
    own = client.service.annotator
    answer = own.annotate

    def slow(questions: Any) -> Any:
        if seen is not None:
            seen.extend(each.text for each in questions)
        entered.set()
        assert go.wait(30)
        return answer(questions)

    own.annotate = slow


def test_the_deadline_of_a_request(folder: Path) -> None:
    entered, go = threading.Event(), threading.Event()
    with api_client(folder, seconds=30.0) as client:
        hold_back(client, entered, go)
        late = annotate(client, "Anna", seconds=0.05)
        assert "Time was up" in detail(late, 504) and entered.is_set()
        # A second one waits behind it, and is never begun.
        detail(annotate(client, "Bert", seconds=0.05), 504)
        go.set()
        assert results(annotate(client, "Anna", seconds=1e300))
        assert results(annotate(client, "Anna", seconds=60))
        value = client.service.metrics.registry.get_sample_value
        assert value("instructner_batch_texts_sum") == 3


def test_a_full_queue(folder: Path) -> None:
    entered, go = threading.Event(), threading.Event()
    settings = BatchSettings(texts=1, waiting=2)
    with api_client(folder, settings=settings, waiting=100) as client:
        hold_back(client, entered, go)
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(annotate, client, "Anna")
            assert entered.wait(30)
            waits = threads.submit(annotate, client, "Bert", "Carl")
            while client.service.waiting() < 2:
                client.get("/health")
            refused = annotate(client, "Rome")
            assert "2 texts are waiting" in detail(refused, 503)
            assert int(refused.headers["retry-after"]) >= 1
            go.set()
            assert len(results(first.result())) == 1
            assert len(results(waits.result())) == 2
        assert results(annotate(client, "Rome"))


def test_a_client_that_is_gone_takes_no_place(folder: Path) -> None:
    entered, go = threading.Event(), threading.Event()
    seen: list[str] = []
    with api_client(folder) as client:
        hold_back(client, entered, go, seen)

        def body(*texts: str) -> bytes:
            return json.dumps({"texts": texts}).encode()

        async def leave_while_waiting() -> None:
            first = Exchange(client.app, body("Anna"))
            gone = Exchange(client.app, body("Bert", "Carl"))
            running = asyncio.create_task(first.run())
            while not entered.is_set():
                await asyncio.sleep(0.01)
            leaving = asyncio.create_task(gone.run())
            while client.service.waiting() < 2:
                await asyncio.sleep(0.01)
            gone.leave()
            assert await asyncio.wait_for(leaving, 30) == 499
            assert client.service.waiting() == 0
            # So does one whose text is under way.
            first.leave()
            assert await asyncio.wait_for(running, 30) == 499
            go.set()

        # In the loop that the queue belongs to.
        client.portal.call(leave_while_waiting)
        assert results(annotate(client, "Rome"))
        assert seen == ["Anna", "Rome"]
        value = client.service.metrics.registry.get_sample_value
        gone = {"route": "/v1/annotate", "status": "499"}
        assert value("instructner_requests_total", gone) == 2


def test_an_error_that_nobody_foresaw(folder: Path) -> None:
    with api_client(folder) as client:
        own = client.service.annotator
        answer = own.annotate
        own.annotate = lambda questions: 1 / 0
        assert "should not" in detail(annotate(client, "Anna"), 500)
        own.annotate = answer
        assert results(annotate(client, "Anna"))


def test_the_token(folder: Path) -> None:
    with api_client(folder, TOKEN) as client:
        refused = annotate(client, "Anna")
        assert "Authorization: Bearer" in detail(refused, 401)
        assert refused.headers["www-authenticate"] == "Bearer"
        for path in ("/metrics", "/openapi.json", "/v1/labels", "/nothing"):
            detail(client.get(path), 401)
        own = {"authorization": f"Bearer {TOKEN}"}
        assert results(annotate(client, "Anna", headers=own))
        assert client.get("/metrics", headers=own).status_code == 200
        for path in ("/health", "/health/live"):
            assert client.get(path).status_code == 200
