"""The page to try a pipeline: the command, and the whole loop in a browser."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy
from typer.testing import CliRunner

from helpers.serving import LABELS, free_port, serve_briefly
from spacy_instructner.cli import app
from spacy_instructner.cli.serve import is_loopback
from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.data.corpora import read_docs
from spacy_instructner.serving.session import PipelineSession


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
