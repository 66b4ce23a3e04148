"""The backend and the real Label Studio: predictions, annotations, training, and new
predictions."""

import base64
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest

from helpers.label_studio import (
    PASSWORD,
    TOKEN,
    USER,
    StudioApi,
    find_label_studio,
    running_label_studio,
)
from helpers.serving import free_port
from helpers.taught_texts import TEXTS, regions_of, taught_spans

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

import uvicorn

from integrations.label_studio.annotation_export import LabelStudioClient
from integrations.label_studio.backend import LabelStudioBackend, make_backend_app
from integrations.label_studio.labeling_config import read_labeling_config
from integrations.label_studio.task_results import (
    annotated_texts,
    prediction_of,
    text_to_ask,
)
from integrations.project_pipelines import FoundSpans, ProjectPipelines

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
# Of the backend.
NAME, SECRET = "studio", "a-secret-of-the-backend"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioApi]:
    assert PROGRAM is not None
    folder = tmp_path_factory.mktemp("label-studio")
    with running_label_studio(PROGRAM, folder, free_port()) as api:
        yield api


@pytest.fixture
def backend_url(
    studio: StudioApi, open_pipelines: Callable[..., ProjectPipelines]
) -> Iterator[str]:
    """The backend, on a thread of this process."""
    port = free_port()
    backend = LabelStudioBackend(open_pipelines(), LabelStudioClient(studio.url))
    app = make_backend_app(backend, ["127.0.0.1"], NAME, SECRET)
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
            "basic_auth_user": NAME,
            "basic_auth_pass": SECRET,
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
    given = base64.b64encode(f"{NAME}:{SECRET}".encode()).decode()
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


TEXT = "😀😀 Anna\r\nlives\nin 👩‍👩‍👧 Paris now, Bert said."
HIGHLIGHTS = "[class*=htx-highlight]"
# Where a word of a text on the page is, outside of the list of tasks on the left.
PLACE_OF = """(word) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let node;
  while ((node = walker.nextNode())) {
    const at = node.textContent.indexOf(word);
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + word.length);
    const box = range.getBoundingClientRect();
    if (box.width && box.left > 240)
      return [box.left, (box.top + box.bottom) / 2, box.right];
  }
}"""


def test_offsets_are_those_of_the_browser(studio: StudioApi) -> None:
    """Characters of two UTF-16 units, and line ends, before what is marked: the page shows
    predictions where they are, and keeps marks by characters."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium")
    config = CONFIG.replace(' alias="PLACE"', "").replace("Town", "PLACE")
    made = {"title": "Offsets", "label_config": config, "show_collab_predictions": True}
    project = studio.ask("/api/projects", made)["id"]
    studio.ask(f"/api/projects/{project}/import", [{"text": TEXT}])
    (task,) = studio.tasks(project)
    # What is found, as the backend tells it.
    (tag,) = read_labeling_config(config)
    asked = text_to_ask(task, tag)
    spans = tuple((*span, 0.9) for span in taught_spans(TEXT))
    found = prediction_of([(tag, asked, FoundSpans(spans))], "v1")
    body = {"task": task["id"], "project": project, **found}
    studio.ask("/api/predictions/", body)
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"{studio.url}/user/login/")
        page.fill("input[name=email]", USER)
        page.fill("input[name=password]", PASSWORD)
        page.click("[type=submit]")
        page.wait_for_url(lambda url: "login" not in url)
        page.goto(f"{studio.url}/projects/{project}/data?task={task['id']}")
        page.locator(HIGHLIGHTS).nth(1).wait_for()
        assert page.locator(HIGHLIGHTS).all_text_contents() == ["Anna", "Paris"]
        # The first label, then a word from its left to its right.
        page.keyboard.press("1")
        left, middle, right = page.evaluate(PLACE_OF, "Bert")
        page.mouse.move(left + 1, middle)
        page.mouse.down()
        page.mouse.move(right - 10, middle, steps=5)
        page.mouse.move(right, middle, steps=5)
        page.mouse.up()
        page.locator(HIGHLIGHTS).nth(2).wait_for()
        with page.expect_response("**/annotations**"):
            page.click("text=Submit")
        browser.close()
    exported = LabelStudioClient(studio.url, TOKEN).annotated_tasks(project)
    (text,), left_out = annotated_texts(exported, [tag])
    assert not left_out
    bert = TEXT.index("Bert")
    assert text.row.spans == (*taught_spans(TEXT), (bert, bert + 4, "PERSON"))
    regions = exported[0]["annotations"][0]["result"]
    assert regions[-1]["value"]["start"] == bert
