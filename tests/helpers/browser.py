"""The page in headless Chromium, and the server behind it."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.serving import free_port
from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.serving.session import PipelineSession


def needs_a_browser() -> str:
    """The path of Chromium; skips the test where there is none."""
    pytest.importorskip("fastapi")
    pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed")
    return path


@contextmanager
def server_of(folder: Path, project: Path | None, **more: Any) -> Iterator[str]:
    """The address of a server in this process."""
    import uvicorn

    from spacy_instructner.serving.app import Limits, make_app
    from spacy_instructner.serving.project.project_folder import ProjectFolder

    own = None if project is None else ProjectFolder(project)
    session = PipelineSession(Pipeline(str(folder)))
    given = {"limits": Limits(), "hosts": ["127.0.0.1"], "project": own, **more}
    app = make_app(session, **given)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def browser_at(address: str, **context: Any) -> Iterator[Any]:
    """A page of the browser at an address. Errors that it logs fail the test."""
    from playwright.sync_api import sync_playwright

    path = needs_a_browser()
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=path, args=["--no-sandbox"])
        own = browser.new_context(accept_downloads=True, **context)
        # A machine may have other things to do.
        own.set_default_timeout(120_000)
        page = own.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))

        def heard(said: Any) -> None:
            # That a request was refused, the browser says itself.
            refused = "with a status of 4" in said.text or "net::ERR" in said.text
            if said.type == "error" and not refused:
                errors.append(said.text)

        page.on("console", heard)
        page.goto(address)
        page.locator("nav").wait_for()
        yield page
        assert errors == []
        browser.close()


# Steps on the page.


def go(page: Any, screen: str) -> None:
    page.locator("nav a", has_text=screen).click()
    page.locator("main h2", has_text=screen).wait_for()


def said(page: Any, part: str, minutes: int = 1) -> None:
    """Waits for a status. (The page lets nobody evaluate code, tests neither.)"""
    status = page.locator("#status", has_text=re.compile(part))
    status.wait_for(timeout=60_000 * minutes)


def bring(page: Any, texts: list[str], name: str = "texts.txt") -> None:
    """As the mouse drops a file."""
    page.evaluate(
        """([name, text]) => {
            const data = new DataTransfer();
            data.items.add(new File([text], name));
            const drop = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
            document.querySelector(".drop").dispatchEvent(drop);
        }""",
        [name, "\n".join(texts)],
    )
    said(page, "new text")


def annotate(page: Any) -> None:
    go(page, "Labels")
    page.click("#annotate")
    said(page, "Annotation is done", 5)


def open_text(page: Any, number: int) -> None:
    page.evaluate(f"location.hash = 'correct/{number}'")
    page.locator("#place", has_text=f"Text {number} ").wait_for()
    page.locator("#text").wait_for()


def entities(page: Any) -> list[list[str]]:
    return page.eval_on_selector_all(
        "#text mark", "marks => marks.map(m => [m.textContent, m.dataset.label])"
    )


def clear(page: Any) -> None:
    while entities(page):
        page.locator("#text mark").first.click()
        page.click("#remove")


def mark_words(page: Any, words: str, label: str) -> None:
    """As a mouse does, from the first letter of some words to their last."""
    page.locator(".palette button", has_text=label).click()
    page.evaluate(
        """words => {
            const walk = document.createTreeWalker(document.getElementById('text'), NodeFilter.SHOW_TEXT);
            let node;
            while ((node = walk.nextNode()) && !node.data.includes(words));
            const range = document.createRange();
            range.setStart(node, node.data.indexOf(words));
            range.setEnd(node, node.data.indexOf(words) + words.length);
            getSelection().removeAllRanges();
            getSelection().addRange(range);
            document.getElementById('text').dispatchEvent(new MouseEvent("mouseup", {bubbles: true}));
        }""",
        words,
    )
