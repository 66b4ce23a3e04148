"""The backend and the real Label Studio: predictions, annotations, training, and new
predictions."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from helpers.label_studio import StudioApi, find_label_studio, running_label_studio
from helpers.serving import free_port
from helpers.taught_texts import TEXTS, regions_of, taught_spans

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

import uvicorn

from integrations.label_studio.annotation_export import LabelStudioClient
from integrations.label_studio.backend import LabelStudioBackend, make_backend_app
from integrations.project_pipelines import ProjectPipelines

PROGRAM = find_label_studio()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAM is None,
        reason="needs label-studio: on the path, or named by LABEL_STUDIO",
    ),
]
CONFIG = """<View>
  <Text name="text" value="$text"/>
  <Labels name="label" toName="text">
    <Label value="PERSON" hint="somebody's name" background="#0a0"/>
    <Label value="Town" alias="PLACE"/>
  </Labels>
  <Choices name="tone" toName="text"><Choice value="good"/><Choice value="bad"/></Choices>
</View>"""
# Offsets behind what is one character here and two in a browser; and line ends.
ASKED = (*TEXTS, "👩‍👩‍👧 Anna\r\nlives in Paris.")
USER, PASSWORD = "studio", "a-secret-of-the-backend"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[StudioApi]:
    assert PROGRAM is not None
    folder = tmp_path / "label-studio"
    folder.mkdir()
    with running_label_studio(PROGRAM, folder, free_port()) as api:
        yield api


@pytest.fixture
def backend_url(
    studio: StudioApi, open_pipelines: Callable[..., ProjectPipelines]
) -> Iterator[str]:
    """The backend, on a thread of this process."""
    port = free_port()
    backend = LabelStudioBackend(open_pipelines(), LabelStudioClient(studio.url))
    app = make_backend_app(backend, ["127.0.0.1"], USER, PASSWORD)
    own = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")
    server = uvicorn.Server(own)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(60)


def connected_project(studio: StudioApi, backend_url: str) -> tuple[int, int]:
    """A project with tasks, and its backend: their numbers."""
    made = studio.ask("/api/projects", {"title": "Towns", "label_config": CONFIG})
    project = made["id"]
    tasks = [{"text": text} for text in ASKED]
    assert studio.ask(f"/api/projects/{project}/import", tasks)["task_count"] == len(
        ASKED
    )
    # Connecting asks for /health and /setup, with the password.
    ml = studio.ask(
        "/api/ml",
        {
            "project": project,
            "url": backend_url,
            "title": "instructner",
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": USER,
            "basic_auth_pass": PASSWORD,
        },
    )
    return project, ml["id"]


def spans_of(prediction: dict[str, Any]) -> list[tuple[int, int, str]]:
    return [
        (region["value"]["start"], region["value"]["end"], *region["value"]["labels"])
        for region in prediction["result"]
    ]


def studio_status(backend_url: str) -> dict[str, Any]:
    """What the backend says of its trainings."""
    given = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    asked = Request(
        f"{backend_url}/status", headers={"authorization": f"Basic {given}"}
    )
    with urlopen(asked, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def wait_for_training(backend_url: str) -> dict[str, Any]:
    until = time.monotonic() + 300
    while True:
        states = list(studio_status(backend_url).values())
        if states and states[0]["state"] != "training":
            found: dict[str, Any] = states[0]
            return found
        assert time.monotonic() < until
        time.sleep(0.5)


@pytest.mark.usefixtures("quick_settings")
def test_the_whole_loop(studio: StudioApi, backend_url: str) -> None:
    project, ml = connected_project(studio, backend_url)
    studio.predict_all(project)
    before = studio.newest(project)
    tasks = studio.tasks(project)
    assert len(before) == len(tasks) == len(ASKED)
    assert {each["model_version"] for each in before.values()} == {"en_tiny-0.0.0"}
    by_task = {task["id"]: task["data"]["text"] for task in tasks}
    for number, prediction in before.items():
        for region in prediction["result"]:
            value = region["value"]
            assert value["text"] == by_task[number][value["start"] : value["end"]]
            assert set(value["labels"]) <= {"PERSON", "PLACE"}
            assert 0.0 <= region["score"] <= 1.0
    assert any(each["result"] for each in before.values())

    # Somebody annotates all but the last.
    for task in tasks[:-1]:
        choice = {
            "from_name": "tone",
            "to_name": "text",
            "type": "choices",
            "value": {"choices": ["good"]},
        }
        result = [*regions_of(task["data"]["text"]), choice]
        path = f"/api/tasks/{task['id']}/annotations/"
        studio.ask(path, {"result": result, "lead_time": 1.5})
    studio.ask(f"/api/ml/{ml}/train", {})
    state = wait_for_training(backend_url)
    assert (state["state"], state["texts"]) == ("trained", len(TEXTS)), state

    studio.predict_all(project)
    after = studio.newest(project)
    (version,) = {each["model_version"] for each in after.values()}
    assert version.startswith("en_tiny-0.0.0+1.")
    for number, prediction in list(after.items())[: len(TEXTS)]:
        assert spans_of(prediction) == list(taught_spans(by_task[number]))
    assert [spans_of(after[n]) for n in by_task] != [
        spans_of(before[n]) for n in by_task
    ]
    # The tasks that are left can be ordered by how sure the model is.
    for prediction in after.values():
        least = min((r["score"] for r in prediction["result"]), default=1.0)
        assert prediction["score"] == least
