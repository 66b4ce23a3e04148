"""`python -m benchmarks.screenshots`: the page through its whole loop, on the default
weights, in headless Chromium; pictures of it go into docs/serving.

Needs the extra `serve`, playwright, and a Chromium.
"""

import argparse
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import spacy
import uvicorn
from playwright.sync_api import sync_playwright

from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.serving.app import Limits, make_app
from spacy_instructner.serving.session import PipelineSession

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "serving"
WORKSHOP = ROOT / "assets" / "workshop" / "train.jsonl"
LABELS = ("PART", "BIKE", "FAULT")
PORT = 8765


def examples(count: int) -> list[dict[str, Any]]:
    """Short workshop sentences with two entities or more."""
    rows = [json.loads(line) for line in WORKSHOP.read_text("utf8").splitlines()]
    for row in rows:
        row["spans"] = [span for span in row["spans"] if span["label"] in LABELS]
    kept = [row for row in rows if len(row["spans"]) >= 2 and len(row["text"]) < 90]
    return kept[:count]


def serve(cache: Path) -> uvicorn.Server:
    words = json.loads((ROOT / "assets/definitions/workshop.json").read_text("utf8"))
    nlp = spacy.blank("en")
    meanings = {label: words[label] for label in LABELS}
    config = {"labels": list(LABELS), "label_definitions": meanings}
    nlp.add_pipe("instruction_ner", config=config)
    cache.mkdir(parents=True, exist_ok=True)
    nlp.to_disk(cache / "pipeline")
    app = make_app(
        PipelineSession(Pipeline(str(cache / "pipeline"))), Limits(), ["127.0.0.1"]
    )
    server = uvicorn.Server(uvicorn.Config(app, port=PORT, log_level="warning"))
    threading.Thread(target=server.run).start()
    while not server.started:
        time.sleep(0.1)
    return server


def find(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.click("#annotate")
    page.locator("#stop").wait_for(state="hidden", timeout=120_000)


def correct(page: Any, row: dict[str, Any]) -> None:
    """Remove what is found, and mark what is right, as a mouse does."""
    while page.locator("#result mark").count():
        page.locator("#result mark").first.click()
        page.click("#menu >> text=Remove")
    for span in row["spans"]:
        page.select_option("#label", span["label"])
        page.evaluate(
            """([from, to]) => {
                const result = document.getElementById('result');
                const walk = document.createTreeWalker(result, NodeFilter.SHOW_TEXT);
                const range = document.createRange();
                let node, at = 0;
                while ((node = walk.nextNode())) {
                    const end = at + node.data.length;
                    if (at <= from && from < end) range.setStart(node, from - at);
                    if (at < to && to <= end) range.setEnd(node, to - at);
                    at = end;
                }
                getSelection().removeAllRanges();
                getSelection().addRange(range);
                result.dispatchEvent(new MouseEvent('mouseup', {bubbles: true}));
            }""",
            [span["start"], span["end"]],
        )
    page.click("#keep")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "training" / "screenshots")
    args = parser.parse_args()
    PICTURES.mkdir(parents=True, exist_ok=True)
    *rows, last = examples(9)
    server = serve(args.cache)
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        with sync_playwright() as browsers:
            browser = browsers.chromium.launch(
                executable_path=path, args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 1180, "height": 760})
            page.goto(f"http://127.0.0.1:{PORT}/")
            page.locator("#label option").first.wait_for(state="attached")
            find(page, last["text"])
            page.screenshot(path=PICTURES / "found.png")
            for row in rows:
                find(page, row["text"])
                correct(page, row)
            page.screenshot(path=PICTURES / "corrected.png", full_page=True)
            page.fill("#text", last["text"])
            page.click("#train")
            page.locator("#change").wait_for(state="visible", timeout=600_000)
            page.screenshot(path=PICTURES / "trained.png", full_page=True)
            browser.close()
    finally:
        server.should_exit = True


if __name__ == "__main__":
    main()
