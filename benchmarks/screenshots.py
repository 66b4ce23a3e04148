"""`python -m benchmarks.screenshots`: the page through its whole way, on the default weights,
in headless Chromium; pictures of it go into docs/serving, at two sizes and in the dark.

Needs the extra `serve`, playwright, and a Chromium. Pictures have few colours, as they are
of flat areas: with pillow, they are stored with 64 of them.
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
from spacy_instructner.serving.project.project_folder import ProjectFolder
from spacy_instructner.serving.session import PipelineSession

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "serving"
WORKSHOP = ROOT / "assets" / "workshop" / "train.jsonl"
LABELS = ("PART", "BIKE", "FAULT")
PORT = 8765
WIDE, NARROW = {"width": 1080, "height": 620}, {"width": 390, "height": 700}
# Texts of the project, and how many of them are decided before the training.
TEXTS, DECIDED = 24, 10
HOUR = 3_600_000


def examples() -> list[dict[str, Any]]:
    """Short workshop sentences with two entities or more."""
    rows = [json.loads(line) for line in WORKSHOP.read_text("utf8").splitlines()]
    for row in rows:
        row["spans"] = [span for span in row["spans"] if span["label"] in LABELS]
    kept = [row for row in rows if len(row["spans"]) >= 2 and len(row["text"]) < 90]
    return kept[:TEXTS]


def serve(cache: Path) -> tuple[uvicorn.Server, ProjectFolder]:
    words = json.loads((ROOT / "assets/definitions/workshop.json").read_text("utf8"))
    nlp = spacy.blank("en")
    meanings = {label: words[label] for label in LABELS}
    config = {"labels": list(LABELS), "label_definitions": meanings}
    nlp.add_pipe("instruction_ner", config=config)
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    nlp.to_disk(cache / "pipeline")
    project = ProjectFolder(cache / "tickets")
    session = PipelineSession(Pipeline(str(cache / "pipeline")))
    app = make_app(session, Limits(), ["127.0.0.1"], project)
    server = uvicorn.Server(uvicorn.Config(app, port=PORT, log_level="warning"))
    threading.Thread(target=server.run).start()
    while not server.started:
        time.sleep(0.1)
    return server, project


def go(page: Any, screen: str) -> None:
    page.locator("nav a", has_text=screen).click()
    page.locator("main h2", has_text=screen).wait_for()


def ended(page: Any, job: str) -> None:
    page.locator("#status", has_text=f"{job} is done").wait_for(timeout=HOUR)


def decide(project: ProjectFolder, rows: list[dict[str, Any]]) -> None:
    """Say what is right about the first texts."""
    for number, row in enumerate(rows, 1):
        spans = [(s["start"], s["end"], s["label"]) for s in row["spans"]]
        project.decide(number, "accept", spans, True, project.state.changed[number])


def picture(page: Any, name: str, scheme: str = "light", size: Any = WIDE) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(size)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(300)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    try:
        from PIL import Image
    except ImportError:
        return
    with Image.open(path) as whole:
        whole.convert("RGB").quantize(64).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=ROOT / "training" / "screenshots")
    parser.add_argument("--parts", default="2", help="parts of the measure, 0 for none")
    args = parser.parse_args()
    PICTURES.mkdir(parents=True, exist_ok=True)
    rows = examples()
    server, project = serve(args.cache)
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        with sync_playwright() as browsers:
            browser = browsers.chromium.launch(
                executable_path=path, args=["--no-sandbox"]
            )
            page = browser.new_page(viewport=WIDE)
            page.goto(f"http://127.0.0.1:{PORT}/")
            page.fill("#paste", "\n".join(row["text"] for row in rows))
            page.click("#add")
            go(page, "Labels")
            page.click("#annotate")
            ended(page, "Annotation")
            picture(page, "labels")
            go(page, "Correct")
            page.locator("#text mark").first.wait_for()
            page.locator("#text mark").last.click()
            page.keyboard.press("m")
            page.locator(".alike .go").wait_for()
            picture(page, "correct")
            picture(page, "correct-dark", "dark")
            picture(page, "correct-narrow", "light", NARROW)
            page.set_viewport_size(WIDE)
            decide(project, rows[:DECIDED])
            go(page, "Train")
            page.select_option("#parts", args.parts)
            page.locator("#train:enabled").click(timeout=HOUR)
            ended(page, "Training")
            page.locator("#changed").wait_for()
            picture(page, "train", size={"width": 1080, "height": 1150})
            browser.close()
    finally:
        server.should_exit = True


if __name__ == "__main__":
    main()
