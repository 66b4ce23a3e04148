"""The HTTP that INCEpTION asks of an external recommender."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from helpers.taught_texts import TEXTS, taught_spans

pytest.importorskip("cassis")
pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from cassis import load_cas_from_xmi
from fastapi.testclient import TestClient

from helpers.cas_documents import LAYER, PREDICTED, make_cas, make_types, request_of
from integrations.inception.recommender import (
    InceptionRecommender,
    LayerMetadata,
    make_recommender_app,
    pipeline_of,
)
from integrations.project_pipelines import ProjectPipelines, TrainingUnderWay

TYPES = make_types()


@pytest.fixture
def pipelines(open_pipelines: Callable[..., ProjectPipelines]) -> ProjectPipelines:
    return open_pipelines()


@pytest.fixture
def client(pipelines: ProjectPipelines) -> Iterator[TestClient]:
    app = make_recommender_app(InceptionRecommender(pipelines), ["localhost"])
    with TestClient(app, base_url="http://localhost:9091") as client:
        yield client


def predicted(client: TestClient, *lines: str, user: str = "ann") -> list[Any]:
    """The words that are predicted in a document, with label and score."""
    # The end of a sentence is not cut off by the splitting into words.
    body = request_of(TYPES, make_cas(TYPES, lines, tokens=False))
    body["document"]["userId"] = user
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"document"}
    cas = load_cas_from_xmi(answer.json()["document"], typesystem=TYPES)
    assert cas.sofa_string == "\n".join(lines)
    found = cas.select(LAYER)
    assert all(each[PREDICTED] for each in found)
    return [(e.get_covered_text(), e.value, e.value_score) for e in found]


def test_predictions(client: TestClient) -> None:
    found = predicted(client, "😀 Anna lives in Paris.", "Bert lives in Rome.")
    # A random model has opinions, or nothing would be tested here.
    assert found
    assert {label for _, label, _ in found} <= {"PERSON", "PLACE"}
    assert all(0.0 <= score <= 1.0 for *_, score in found)
    assert predicted(client, "") == []


@pytest.mark.long
@pytest.mark.usefixtures("quick_settings")
def test_training(
    client: TestClient, pipelines: ProjectPipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Future[None]] = []
    train = pipelines.train
    monkeypatch.setattr(pipelines, "train", lambda *each: started.append(train(*each)))
    text = "\n".join(TEXTS)
    documents = [
        make_cas(TYPES, TEXTS, taught_spans(text), tokens=False),
        make_cas(TYPES, ["Bert is nobody."], tokens=False),
    ]
    before = predicted(client, *TEXTS)
    answer = client.post("/train", json=request_of(TYPES, *documents, train=True))
    assert (answer.status_code, answer.content) == (204, b"")
    busy = client.post("/train", json=request_of(TYPES, *documents, train=True))
    assert busy.status_code == 429
    (training,) = started
    training.result()
    (state,) = client.get("/status").json().values()
    assert (state["state"], state["texts"]) == ("trained", 3)
    # Of a sentence in which nothing was marked, nothing was learned.
    taught = [line for line in TEXTS if taught_spans(line)]
    after = predicted(client, *taught)
    assert [(word, label) for word, label, _ in after] == [
        (line[a:b], label) for line in taught for a, b, label in taught_spans(line)
    ]
    # What others are recommended is their own.
    assert predicted(client, *TEXTS, user="bert") == before


def test_what_cannot_be_answered(
    client: TestClient, pipelines: ProjectPipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str, body: Any, said: str) -> None:
        answer = client.post(path, json=body)
        assert answer.status_code == 422 and said in answer.text

    cas = make_cas(TYPES, ["Anna"])
    good = request_of(TYPES, cas)
    refused("/predict", {**good, "typeSystem": "<a"}, "type system cannot be read")
    refused("/predict", {**good, "document": {"xmi": "<a"}}, "document cannot be read")
    refused("/predict", {**good, "metadata": {}}, "layer")
    other = {**good["metadata"], "layer": "some.Layer"}
    refused("/predict", {**good, "metadata": other}, "no layer")
    refused("/train", request_of(TYPES, cas, train=True), "no entity to learn from")
    refused("/train", request_of(TYPES, train=True), "no entity to learn from")

    def busy(*_: Any) -> None:
        raise TrainingUnderWay("wait")

    monkeypatch.setattr(pipelines, "train", busy)
    answer = client.post("/train", json=request_of(TYPES, cas, train=True))
    assert answer.status_code == 429


def test_pipelines_are_kept_apart() -> None:
    def name(layer: str = "L", feature: str = "f", user: str = "ann") -> str:
        asked = LayerMetadata(layer=layer, feature=feature, projectId=7)
        return pipeline_of(asked, user)

    names = {name(), name(layer="M"), name(feature="g"), name(user="../bert")}
    assert len(names) == 4
    assert all(each.startswith("7-") and len(each) == 14 for each in names)


def test_who_may_ask(pipelines: ProjectPipelines) -> None:
    recommender = InceptionRecommender(pipelines)
    app = make_recommender_app(recommender, ["localhost"], "secret")
    body = request_of(TYPES, make_cas(TYPES, ["Anna"]))
    with TestClient(app, base_url="http://localhost:9091") as client:
        assert client.post("/secret/predict", json=body).status_code == 200
        for path in ("/predict", "/other/predict", "/secre/predict", "//predict"):
            assert client.post(path, json=body).status_code == 404
        assert client.get("/status").status_code == 404
        assert client.get("/secret/status").status_code == 200
        elsewhere = {"origin": "http://evil.example"}
        answer = client.post("/secret/predict", json=body, headers=elsewhere)
        assert answer.status_code == 403
