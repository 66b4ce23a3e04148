"""The page from a dropped file to a wheel, and for screen readers, in a browser."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.browser import (
    annotate,
    bring,
    browser_at,
    clear,
    go,
    mark_words,
    open_text,
    said,
)

TEXTS = ["Anna saw Anna in Rome.", "Bo 👩‍👩‍👧 left.", "أنا آنا في باريس", "เขาอยู่ที่ปารีส"]


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_screen_readers(address: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with browser_at(address, color_scheme=scheme) as page:

        def check(where: str) -> None:
            found = axe.run(page).response["violations"]
            serious = [
                (each["id"], [node["html"] for node in each["nodes"]])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert serious == [], where

        check("empty")
        bring(page, TEXTS)
        check("texts")
        annotate(page)
        check("labels")
        open_text(page, 2)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("1")
        page.keyboard.press("m")
        page.locator(".alike").wait_for()
        check("correct")
        page.click("#accept")
        said(page, "ed")
        go(page, "Train")
        page.locator("section[aria-label=Threshold] p", has_text="entities").wait_for()
        page.fill("#threshold", "0.99")
        page.locator("h4", has_text="Hidden").wait_for()
        check("train")
        go(page, "Export")
        check("export")
        page.keyboard.press("?")
        page.locator("dialog[open]").wait_for()
        check("help")


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_settings")
def test_from_a_dropped_file_to_a_wheel_in_a_new_environment(
    page: Any, address: str, tmp_path: Path
) -> None:
    pytest.importorskip("build")
    names, towns = ("Anna", "Bo", "Cleo"), ("Paris", "Rome", "Lyon", "Oslo")
    texts = [f"{names[n % 3]} lives in {towns[n % 4]}, number {n}." for n in range(60)]
    bring(page, texts, "sixty.txt")
    annotate(page)
    for number in range(1, 13):
        open_text(page, number)
        clear(page)
        for words, label in (
            (names[(number - 1) % 3], "PERSON"),
            (towns[(number - 1) % 4], "PLACE"),
        ):
            mark_words(page, words, label)
        page.click("#accept")
        said(page, "Corrected|Accepted")
    go(page, "Train")
    page.select_option("#parts", "2")
    page.click("#train")
    said(page, "Training is done", 15)
    assert page.locator(".curve polyline").count() == 1
    f1 = page.locator("tbody tr").last.locator("td").nth(1).inner_text()
    assert 0.0 <= float(f1) <= 100.0
    go(page, "Export")
    page.fill("#name", "towns")
    page.click("#pack-wheel")
    said(page, "Packing is done", 5)
    with page.expect_download() as download:
        page.locator("#files a").first.click()
    wheel = tmp_path / download.value.suggested_filename
    download.value.save_as(wheel)
    assert wheel.name == "en_towns-0.1.0-py3-none-any.whl"
    text = texts[5]
    assert text == "Cleo lives in Rome, number 5."
    found = in_a_new_environment(wheel, text, tmp_path)
    assert found == [["Cleo", "PERSON"], ["Rome", "PLACE"]]


def in_a_new_environment(wheel: Path, text: str, tmp_path: Path) -> list[list[str]]:
    """What the pipeline of a wheel finds, where it was installed. The environment has the
    packages of this one besides, as to install them takes a network."""
    own = tmp_path / "new"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", own], check=True)
    places = (own / "bin" / "python", own / "Scripts" / "python.exe")
    python = next(path for path in places if path.exists())
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    told = subprocess.run(
        [python, "-c", ask], check=True, capture_output=True, text=True
    )
    site = Path(told.stdout.strip())
    (site / "more.pth").write_text("\n".join(path for path in sys.path if path))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command = [*pip, "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True)
    code = (
        "import json, sys, en_towns; doc = en_towns.load()(sys.argv[1]); "
        "print(json.dumps([[e.text, e.label_] for e in doc.ents]))"
    )
    done = subprocess.run(
        [python, "-c", code, text], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])
