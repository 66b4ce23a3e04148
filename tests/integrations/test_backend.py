"""The HTTP that Label Studio asks of a machine-learning backend."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from helpers.taught_texts import TEXTS, regions_of, taught_spans

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient

from integrations.label_studio.annotation_export import LabelStudioClient
from integrations.label_studio.backend import (
    LabelStudioBackend,
    make_backend_app,
    project_name,
)
from integrations.project_pipelines import ProjectPipelines

CONFIG = """<View><Text name="text" value="$text"/>
<Labels name="label" toName="text"><Label value="PERSON" hint="somebody's name"/>
<Label value="PLACE"/></Labels></View>"""
# As Label Studio sends it, with more than is needed.
PROJECT = {
    "id": 7,
    "title": "Towns",
    "label_config": CONFIG,
    "created_at": "2026-12-01T12:00:00.123456Z",
}
NAME = "7.1796126400"
EXPORT = [
    {
        "id": at,
        "data": {"text": text},
        "annotations": [{"result": regions_of(text), "was_cancelled": False}],
    }
    for at, text in enumerate(TEXTS)
]


class RecordedStudio(LabelStudioClient):
    """A Label Studio that answers with what it was given."""

    def __init__(self) -> None:
        super().__init__("http://localhost:1")
        self.tasks: Any = EXPORT
        self.asked: list[tuple[int, str]] = []

    def annotated_tasks(self, project: int, given_token: str = "") -> list[Any]:
        self.asked.append((project, given_token))
        if isinstance(self.tasks, Exception):
            raise self.tasks
        return list(self.tasks)


@pytest.fixture
def studio() -> RecordedStudio:
    return RecordedStudio()


@pytest.fixture
def pipelines(open_pipelines: Callable[..., ProjectPipelines]) -> ProjectPipelines:
    return open_pipelines()


@pytest.fixture
def client(pipelines: ProjectPipelines, studio: RecordedStudio) -> Iterator[TestClient]:
    app = make_backend_app(LabelStudioBackend(pipelines, studio), ["localhost"])
    with TestClient(app, base_url="http://localhost:9090") as client:
        yield client


def predict(client: TestClient, *texts: Any, project: str = NAME) -> Any:
    tasks = [{"id": at, "data": {"text": text}} for at, text in enumerate(texts)]
    more = {"params": {"login": None, "password": None, "context": None}}
    body = {"tasks": tasks, "project": project, "label_config": CONFIG, **more}
    return client.post("/predict", json=body)


def setup(client: TestClient, config: str = CONFIG) -> Any:
    body = {
        "project": NAME,
        "schema": config,
        "hostname": "http://elsewhere.example",
        "access_token": "its own",
        "extra_params": None,
    }
    return client.post("/setup", json=body)


def test_the_second_that_a_project_was_made_in() -> None:
    assert project_name(7, PROJECT["created_at"]) == NAME
    assert project_name(7, "2026-12-01T14:00:00.9+02:00".replace(".9", "")) == NAME
    for wrong in (None, 3, "yesterday"):
        with pytest.raises(ValueError):
            project_name(7, wrong)


def test_health_and_setup(client: TestClient) -> None:
    for path in ("/", "/health"):
        assert client.get(path).json()["status"] == "UP"
    assert setup(client).json() == {"model_version": "en_tiny-0.0.0"}
    refused = setup(client, "<View/>")
    assert refused.status_code == 422 and "no Labels tag" in refused.json()["detail"]


def test_predictions(client: TestClient) -> None:
    texts = ["Anna lives in Paris.", "😀 Anna lives in Paris.", ""]
    answer = predict(client, *texts)
    assert answer.status_code == 200
    said = answer.json()
    assert set(said) == {"results", "model_version"} and len(said["results"]) == 3
    for text, result in zip(texts, said["results"]):
        assert set(result) == {"result", "score", "model_version"}
        assert result["model_version"] == said["model_version"] == "en_tiny-0.0.0"
        for region in result["result"]:
            value = region["value"]
            assert text[value["start"] : value["end"]] == value["text"] != ""
            assert 0.0 <= region["score"] <= 1.0
    # A random model has opinions, or nothing would be tested here.
    assert any(result["result"] for result in said["results"])
    assert said["results"][2]["result"] == []


def test_a_task_without_a_text_stops_no_other(client: TestClient) -> None:
    good, bad, again = predict(client, TEXTS[0], None, TEXTS[0]).json()["results"]
    assert "no text under 'text'" in bad["error"] and "result" not in bad
    for each in (good, again):
        for region in each["result"]:
            region.pop("id")
    assert good == again
    assert predict(client).json()["results"] == []


@pytest.mark.long
@pytest.mark.usefixtures("quick_settings")
def test_training_by_the_webhook(
    client: TestClient,
    studio: RecordedStudio,
    pipelines: ProjectPipelines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Future[None]] = []
    train = pipelines.train
    monkeypatch.setattr(
        pipelines, "train", lambda *given: started.append(train(*given))
    )
    before = setup(client).json()["model_version"]
    body = {"action": "START_TRAINING", "project": PROJECT}
    answer = client.post("/webhook", json=body)
    assert answer.json() == {
        "status": "training",
        "texts": 4,
        "left_out": 0,
        "reasons": [],
    }
    assert studio.asked == [(7, "its own")]
    busy = client.post("/webhook", json=body)
    assert busy.status_code == 409 and "under way" in busy.json()["detail"]
    (training,) = started
    training.result()
    assert client.get("/status").json()[NAME]["state"] == "trained"
    (result,) = predict(client, "😀 Anna lives in Paris.").json()["results"]
    found = [
        (r["value"]["start"], r["value"]["end"], *r["value"]["labels"])
        for r in result["result"]
    ]
    assert found == list(taught_spans("😀 Anna lives in Paris."))
    # Label Studio asks for new predictions where the version is another one.
    after = setup(client).json()["model_version"]
    assert after == result["model_version"] != before


def test_what_cannot_be_learned_from_is_told(
    client: TestClient, studio: RecordedStudio
) -> None:
    body = {"action": "START_TRAINING", "project": PROJECT}

    def refused(status: int, said: str, own: Any = body) -> None:
        answer = client.post("/webhook", json=own)
        assert answer.status_code == status, answer.text
        assert said in json.dumps(answer.json())

    studio.tasks = []
    refused(422, "No text can be learned from.")
    studio.tasks = [{**EXPORT[0], "annotations": []}]
    refused(422, "No text can be learned from. task 0")
    studio.tasks = [{**EXPORT[0], "annotations": [{"result": []}]}]
    refused(422, "no entity to learn from")
    studio.tasks = OSError("Label Studio does not answer")
    refused(502, "does not answer")
    refused(422, "no id", {"action": "START_TRAINING", "project": {}})
    wrong = {**PROJECT, "label_config": "<View/>"}
    refused(422, "no Labels tag", {"action": "START_TRAINING", "project": wrong})
    assert client.get("/status").json() == {}


def test_other_webhooks_are_noted(client: TestClient, studio: RecordedStudio) -> None:
    # Label Studio sends every action of a project.
    body = {"action": "ANNOTATION_CREATED", "annotation": {}, "project": PROJECT}
    answer = client.post("/webhook", json=body)
    assert answer.json() == {"status": "noted", "action": "ANNOTATION_CREATED"}
    assert client.post("/webhook", json={"action": "PROJECT_DELETED"}).is_success
    assert not studio.asked


def test_older_versions_send_what_is_to_be_learned(
    client: TestClient, pipelines: ProjectPipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(pipelines, "train", lambda *each: given.append(each))
    body = {"annotations": EXPORT, "project": NAME, "label_config": CONFIG}
    assert client.post("/train", json=body).json()["texts"] == 4
    ((name, texts),) = given
    assert name == NAME
    assert [each.row.spans for each in texts] == [taught_spans(t) for t in TEXTS]
    assert texts[0].labels["PERSON"]["definition"] == "somebody's name"


def test_a_project_is_never_a_path(client: TestClient, pipelines: Any) -> None:
    for name in ("../../etc", "7", "7.1/..", "7.1\n", "", "٧.١"):
        assert predict(client, "Anna", project=name).status_code == 422
    assert [path.name for path in pipelines.folder.iterdir()] == [".lock"]


def test_who_may_ask(pipelines: ProjectPipelines, studio: RecordedStudio) -> None:
    backend = LabelStudioBackend(pipelines, studio)
    app = make_backend_app(backend, ["localhost"], "studio", "secret")
    with TestClient(app, base_url="http://localhost:9090") as client:
        for given in (None, ("studio", "wrong"), ("other", "secret")):
            client.auth = given  # type: ignore[assignment]
            assert client.get("/health").status_code == 401
            assert predict(client, "Anna").status_code == 401
        client.auth = ("studio", "secret")  # type: ignore[assignment]
        assert client.get("/health").status_code == 200
        assert predict(client, "Anna").status_code == 200
        elsewhere = {"origin": "http://evil.example"}
        assert client.post("/setup", json={}, headers=elsewhere).status_code == 403
        rebound = {"host": "evil.example"}
        assert client.get("/health", headers=rebound).status_code == 400


def test_the_models_folder_is_made(pipelines: ProjectPipelines, tmp_path: Path) -> None:
    assert pipelines.folder == tmp_path / "models" and pipelines.folder.is_dir()
