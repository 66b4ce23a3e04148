"""The page to try a pipeline: what is behind it, HTTP, and the whole loop in a
browser."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import spacy
from confection import Config
from spacy.language import Language
from typer.testing import CliRunner

import spacy_instructner
from spacy_instructner.cli import app
from spacy_instructner.cli.serve import is_loopback
from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.data.corpora import read_docs
from spacy_instructner.serving import finetune
from spacy_instructner.serving.session import PIECE, PipelineSession, line_pieces

MakeNLP = Callable[..., Language]
LABELS = {"PERSON": "somebody's name", "PLACE": ""}
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def folder(tiny_causal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    nlp = spacy.blank("en")
    config = {
        "labels": ["PERSON", "PLACE"],
        "label_definitions": {"PERSON": "somebody's name"},
        "model": {"name": str(tiny_causal), "precision": "float32"},
        # Of the two, the one that so small a model learns in a few seconds.
        "task": {"@misc": "spacy-instructner.InstructionNER.v1"},
    }
    nlp.add_pipe("instruction_ner", config=config)
    path = tmp_path_factory.mktemp("served") / "pipeline"
    nlp.to_disk(path)
    return path


@pytest.fixture
def tiny_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> None:
    """A random model of two layers takes more than the default one."""
    text = finetune.SETTINGS.read_text(encoding="utf8")
    assert text.count("= 0.002\n") == 1 and text.count("max_steps = 80\n") == 1
    text = text.replace("= 0.002\n", "= 0.005\n")
    own = tmp_path_factory.mktemp("settings") / "training.cfg"
    own.write_text(text.replace("max_steps = 80\n", "max_steps = 150\n"))
    monkeypatch.setattr(finetune, "SETTINGS", own)


def later() -> float:
    return time.monotonic() + 60


def rows(*texts: str) -> list[dict[str, Any]]:
    """Examples in which Anna is a person and Paris a place."""
    found = []
    for text in texts:
        spans = [
            {
                "start": text.index(word),
                "end": text.index(word) + len(word),
                "label": own,
            }
            for word, own in (("Anna", "PERSON"), ("Paris", "PLACE"))
            if word in text
        ]
        found.append({"text": text, "spans": spans})
    return found


# What is behind it.


def test_places() -> None:
    text = "one\r\n\n  \ntwo " + "x" * PIECE + "\nthree"
    found = list(line_pieces(text))
    assert all(text[at : at + len(piece)] == piece for at, piece in found)
    assert [piece for _, piece in found][0] == "one"
    assert "".join("".join(p for _, p in found).split()) == "".join(text.split())
    assert max(len(piece) for _, piece in found) <= PIECE


def test_answers_are_of_the_text_and_its_labels(folder: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)))
    assert session.labels() == {"PERSON": "somebody's name", "PLACE": ""}
    text = "Anna met Bert\n\nin Paris and Rome 😀 \ud800.\nThen Anna went."
    labels = {"TOWN": "", "animal": "a beast"}
    events = list(session.annotate(text, labels, later()))
    assert [(e["start"], e["end"]) for e in events] == [(0, 13), (15, 37), (38, 53)]
    spans = [span for event in events for span in event["spans"]]
    assert spans and {span["label"] for span in spans} <= set(labels)
    for event in events:
        places_ = {tuple(place) for place in event["tokens"]}
        words = [text[start:end] for start, end in sorted(places_)]
        assert "".join(words) == "".join(text[event["start"] : event["end"]].split())
        for span in event["spans"]:
            assert span["start"] in {start for start, _ in places_}
            assert span["end"] in {end for _, end in places_}
            assert 0.0 <= span["score"] <= 1.0
    # Alone, each line is answered the same.
    (alone,) = session.annotate("Then Anna went.", labels, later())
    assert alone["spans"] == [
        {**span, "start": span["start"] - 38, "end": span["end"] - 38}
        for span in events[2]["spans"]
    ]


def test_time_and_errors_are_events(folder: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)))
    events = list(session.annotate("Anna\nBert", LABELS, time.monotonic()))
    assert len(events) == 1 and "Time is up" in events[0]["error"]
    events = list(session.annotate("Anna\nBert", {"a": "", "A": ""}, later()))
    assert len(events) == 2
    assert all("both called" in event["error"] for event in events)


def test_tokens_that_other_components_merge(folder: Path, tmp_path: Path) -> None:
    text = "Anna Brown met Bert in old Paris and Rome."
    labels = {"PERSON": "", "PLACE": ""}
    nlp = spacy.load(folder)
    nlp.add_pipe("merge_entities")
    nlp.to_disk(tmp_path / "merged")
    spans = []
    for path in (folder, tmp_path / "merged"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (event,) = PipelineSession(Pipeline(str(path))).annotate(
                text, labels, later()
            )
        spans.append(event["spans"])
    assert spans[0] == spans[1] and all(span["score"] for span in spans[0])
    assert spans[0]


def test_a_text_over_the_pipelines_limit_is_read_in_pieces(folder: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)))
    session.nlp.max_length = 20
    text = "Anna met Bert in Paris and Rome and was gone"
    events = list(session.annotate(text, {"PERSON": ""}, later()))
    assert len(events) == 3 and all("error" not in event for event in events)
    assert "".join(text[e["start"] : e["end"]] for e in events) == text


def test_a_pipeline_without_the_component_is_refused(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "other")
    with pytest.raises(
        ValueError,
        match="no instruction_ner component. Its components are: sentencizer",
    ):
        PipelineSession(Pipeline(str(tmp_path / "other")))


@pytest.mark.long
@pytest.mark.usefixtures("tiny_settings")
def test_training_changes_answers_and_can_be_kept(folder: Path, tmp_path: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)), tmp_path / "trained")
    lesson = rows(
        "Anna lives in Paris.", "Paris is old.", "Anna met me.", "An old \ud800"
    )
    events = list(session.finetune(lesson, LABELS))
    *steps, end = events
    assert [event["step"] for event in steps] == list(range(1, 152))
    assert {event["of"] for event in steps} == {151}
    losses = [event["loss"] for event in steps]
    assert losses[0] > 3 * losses[-1] > 0
    assert end["saved"] == str(tmp_path / "trained") and end["seconds"] > 0
    (event,) = session.annotate("Anna lives in Paris.", LABELS, later())
    found = [(s["start"], s["end"], s["label"]) for s in event["spans"]]
    assert found == [(0, 4, "PERSON"), (14, 19, "PLACE")]
    again = PipelineSession(Pipeline(str(tmp_path / "trained")))
    (same,) = again.annotate("Anna lives in Paris.", LABELS, later())
    assert same == event and again.labels() == LABELS
    # Once more, in its place; nothing lies about.
    *_, end = session.finetune(lesson, {**LABELS, "TOOL": ""})
    later_ = PipelineSession(Pipeline(str(tmp_path / "trained")))
    assert later_.labels() == {**LABELS, "TOOL": ""}
    assert [path.name for path in tmp_path.iterdir()] == ["trained"]
    (tmp_path / "letters").mkdir()
    with pytest.raises(
        ValueError, match="letters is not a pipeline, and would be overw"
    ):
        PipelineSession(Pipeline(str(folder)), tmp_path / "letters")
    with pytest.raises(ValueError, match="is an input, and would be overwritten"):
        PipelineSession(Pipeline(str(folder)), folder)


def test_texts_leave_nothing_behind(folder: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)))
    list(session.annotate("Anna", LABELS, later()))
    strings = len(session.nlp.vocab.strings)
    for at in range(5):
        list(session.annotate(f"Anna{at} met B{at}x", {f"L{at}": ""}, later()))
    assert len(session.nlp.vocab.strings) == strings


def test_a_training_that_cannot_be_saved_is_not_lost(
    folder: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    session = PipelineSession(Pipeline(str(folder)), tmp_path / "trained")
    before = session.nlp

    def full(*given: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Language, "to_disk", full)
    with pytest.raises(OSError, match="No space left"):
        list(session.finetune(rows("Anna lives in Paris."), LABELS))
    assert session.nlp is not before and not (tmp_path / "trained").exists()


def test_what_cannot_be_learned_leaves_everything_as_it_was(folder: Path) -> None:
    session = PipelineSession(Pipeline(str(folder)))
    nlp = session.nlp
    for lesson, said in (
        (rows("nobody"), "no entity"),
        ([], "no entity"),
        (
            [{"text": "Anna", "spans": [{"start": 0, "end": 2, "label": "PERSON"}]}],
            "Example 1 .'Anna' ….: PERSON at 0-2 .* does not fall on token borders",
        ),
        (
            [{"text": "Anna", "spans": [{"start": 0, "end": 4, "label": "DOG"}]}],
            "not asked for: DOG",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            list(session.finetune(lesson, LABELS))
    assert session.nlp is nlp


def test_corrections_are_learned_as_the_default_learns() -> None:
    """One set of training settings, in two places."""
    own = Config().from_disk(finetune.SETTINGS)["training"]
    default = Config().from_disk(ROOT / "configs" / "fewshot.cfg")["training"]
    for block in (own, own["batcher"], own["optimizer"]):
        assert block
    for name, value in own.items():
        if isinstance(value, dict):
            assert value == {k: v for k, v in default[name].items() if v is not None}
        else:
            assert name == "seed" or value == default[name]


# HTTP.


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


def test_the_page_loads_nothing_from_elsewhere(client: Any) -> None:
    page = client.get("/")
    assert page.status_code == 200 and "<h1>spacy-instructner</h1>" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    for path in ("page.js", "page.css", "icon.svg"):
        assert client.get(f"/{path}").status_code == 200
    for part in (
        Path(spacy_instructner.__file__).parent / "serving" / "page"
    ).iterdir():
        text = part.read_text(encoding="utf8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "") and "innerHTML" not in text
    for path in ("/docs", "/redoc", "/../web.py", "/%2e%2e/web.py"):
        assert client.get(path).status_code == 404


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


# The command, and a browser.


def free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


def serve_briefly(
    *arguments: str, cwd: Path | None = None
) -> tuple[dict[str, Any], str]:
    """What /api/info and the output of `serve` say, at a free port, until Ctrl-C."""
    port = free_port()
    command = [sys.executable, "-m", "spacy", "instructner", "serve", *arguments]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
    )
    try:
        said: dict[str, Any] = {}
        while not said and process.poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{port}/api/info") as answer:
                    said = json.load(answer)
            except OSError:
                time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert f"http://127.0.0.1:{port}" in out, out
    return said, out


@pytest.mark.long
def test_the_command(folder: Path) -> None:
    pytest.importorskip("fastapi")
    said, out = serve_briefly(str(folder), "--characters", "50")
    assert said["labels"] == LABELS and said["limits"]["characters"] == 50
    assert "Whoever" not in out


def test_what_cannot_be_served(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    spacy.blank("en").to_disk(tmp_path / "other")
    for name, said in (
        (str(tmp_path / "other"), "instruction_ner component"),
        ("x", "E050"),
    ):
        done = CliRunner().invoke(app, ["serve", name])
        assert done.exit_code == 1 and said in done.output
    assert [is_loopback(h) for h in ("127.0.0.1", "::1", "localhost", "0.0.0.0")] == [
        *(True, True, True),
        False,
    ]


@pytest.fixture
def page(folder: Path) -> Iterator[Any]:
    """A page in headless Chromium, and the server behind it."""
    pytest.importorskip("fastapi")
    playwright = pytest.importorskip("playwright.sync_api")
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        pytest.skip("Chromium is not installed")
    import uvicorn

    from spacy_instructner.serving.app import Limits, make_app

    port = free_port()
    session = make_app(PipelineSession(Pipeline(str(folder))), Limits(), ["127.0.0.1"])
    config = uvicorn.Config(session, port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        with playwright.sync_playwright() as browsers:
            browser = browsers.chromium.launch(
                executable_path=browser_path, args=["--no-sandbox"]
            )
            page = browser.new_page(accept_downloads=True)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))

            def heard(said: Any) -> None:
                # That a request was refused, the browser says itself.
                if said.type == "error" and "with a status of 4" not in said.text:
                    errors.append(said.text)

            page.on("console", heard)
            page.goto(f"http://127.0.0.1:{port}/")
            yield page
            assert errors == []
            browser.close()
    finally:
        server.should_exit = True
        thread.join()


def entities(page: Any) -> list[list[str]]:
    return page.eval_on_selector_all(
        "#result mark", "marks => marks.map(m => [m.textContent, m.dataset.label])"
    )


def said(page: Any, part: str) -> None:
    """Waits for a status. (The page lets nobody evaluate code, tests neither.)"""
    page.locator("#status", has_text=re.compile(part)).wait_for()


def ready(page: Any) -> None:
    """Labels are there once the server has told them."""
    page.locator("#label option").first.wait_for(state="attached")


def find(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.click("#annotate")
    said(page, r"found in [\d.]+ s")


def mark_words(page: Any, text: str, label: str) -> None:
    """As a mouse does, from the first letter of a text to its last."""
    page.select_option("#label", label)
    page.evaluate(
        """text => {
            const walk = document.createTreeWalker(document.getElementById('result'), NodeFilter.SHOW_TEXT);
            let node;
            while ((node = walk.nextNode()) && !node.data.includes(text));
            const range = document.createRange();
            range.setStart(node, node.data.indexOf(text));
            range.setEnd(node, node.data.indexOf(text) + text.length);
            getSelection().removeAllRanges();
            getSelection().addRange(range);
            document.getElementById('result').dispatchEvent(new MouseEvent("mouseup", {bubbles: true}));
        }""",
        text,
    )


@pytest.mark.usefixtures("tiny_settings")
def test_the_whole_loop_in_a_browser(page: Any, tmp_path: Path) -> None:
    ready(page)
    assert page.input_value("#labels") == "PERSON: somebody's name\nPLACE"
    # Text is shown as text, whatever it is, and places are those of characters.
    text = "<b onclick=x> Anna 👩‍👩‍👧 lives in Paris."
    find(page, text)
    assert page.inner_text("#result") == text
    assert entities(page)
    for name, _ in entities(page):
        assert name in text
    # With the keyboard: a menu opens, and nothing is chosen yet.
    before = entities(page)
    page.locator("#result mark").first.focus()
    page.keyboard.press("Enter")
    page.locator("#menu").wait_for(state="visible")
    assert entities(page) == before
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert len(entities(page)) == len(before) - 1
    # Remove everything, then say what is right.
    while entities(page):
        page.locator("#result mark").first.click()
        page.click("#menu >> text=Remove")
    mark_words(page, "Anna", "PLACE")
    # Whole words only.
    mark_words(page, "ari", "PLACE")
    assert entities(page) == [["Anna", "PLACE"], ["Paris", "PLACE"]]
    page.locator("#result mark").first.click()
    page.click("#menu >> text=PERSON")
    assert entities(page) == [["Anna", "PERSON"], ["Paris", "PLACE"]]
    page.locator("#result mark").last.click()
    page.click("#menu >> text=Remove")
    page.select_option("#label", "PLACE")
    page.fill("#words", "Paris")
    page.press("#words", "Enter")
    assert entities(page) == [["Anna", "PERSON"], ["Paris", "PLACE"]]
    page.click("#keep")
    assert page.inner_text("#count") == "1"
    with page.expect_download() as download:
        page.click("#download")
    path = tmp_path / "examples.jsonl"
    download.value.save_as(path)
    docs, problems = read_docs(path, spacy.blank("en"))
    assert [[(e.text, e.label_) for e in doc.ents] for doc in docs] == [
        [("Anna", "PERSON"), ("Paris", "PLACE")]
    ]
    assert docs[0].text == text and not problems
    page.click("#train")
    page.wait_for_selector("#change:visible", timeout=60_000)
    assert entities(page) == [["Anna", "PERSON"], ["Paris", "PLACE"]]
    changes = page.inner_text("#changes")
    assert "“Anna” PERSON" in changes and "“Paris” PLACE" in changes
    # Errors are said, not swallowed.
    page.fill("#labels", "")
    page.click("#annotate")
    said(page, "label")


def test_a_refusal_is_shown(page: Any) -> None:
    ready(page)
    page.evaluate("document.getElementById('text').removeAttribute('maxlength')")
    page.fill("#text", "x " * 15_000)
    page.click("#annotate")
    said(page, "at most 20000")
    # What was not read is no example.
    assert page.is_disabled("#keep")


@pytest.mark.usefixtures("tiny_settings")
def test_corrections_are_kept_and_training_is_one(page: Any) -> None:
    ready(page)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url.rpartition("/")[2]))
    find(page, "Anna lives in Paris.")
    while entities(page):
        page.locator("#result mark").first.click()
        page.click("#menu >> text=Remove")
    mark_words(page, "Anna", "PERSON")
    page.click("#keep")
    mark_words(page, "Paris", "PLACE")
    # Whatever is typed meanwhile: what is compared is one text.
    page.evaluate("document.getElementById('train').click()")
    page.evaluate("document.getElementById('train').click()")
    assert page.is_disabled("#train") and page.inner_text("#count") == "1"
    page.fill("#text", "Bo")
    page.wait_for_selector("#change:visible", timeout=60_000)
    assert entities(page) == [["Anna", "PERSON"], ["Paris", "PLACE"]]
    assert "Bo" not in page.inner_text("#changes")
    assert sent.count("train") == 1 and page.is_enabled("#train")
