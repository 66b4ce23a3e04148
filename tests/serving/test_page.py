"""The page: the command that serves it, and the whole way through it in a browser."""

import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import spacy
from typer.testing import CliRunner

from helpers.browser import (
    annotate,
    bring,
    browser_at,
    clear,
    entities,
    go,
    mark_words,
    open_text,
    said,
)
from helpers.serving import LABELS, serve_briefly
from spacy_instructner.cli import app
from spacy_instructner.cli.serve import is_loopback
from spacy_instructner.data.corpora import read_docs

HTML = "<b onclick=x> Anna 👩‍👩‍👧 lives in Paris."
TEXTS = [HTML, "Anna saw Anna in Rome.", "أنا آنا في باريس", "เขาอยู่ที่ปารีส"]


@pytest.mark.long
def test_the_command(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    own = ("--characters", "50", "--project", str(tmp_path / "project"))
    said, out = serve_briefly(str(folder), *own)
    assert said["labels"] == LABELS and said["limits"]["characters"] == 50
    assert "Nothing is kept" not in out and "token" not in out
    assert (tmp_path / "project" / "journal.jsonl").is_file()
    # Half an event, as a killed server leaves it.
    with (tmp_path / "project" / "journal.jsonl").open("ab") as file_:
        file_.write(b'{"kind"')
    _, out = serve_briefly(str(folder), *own)
    assert "last 7 bytes" in " ".join(out.split())


def test_what_cannot_be_served(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("fastapi")
    monkeypatch.delenv("INSTRUCTNER_TOKEN", raising=False)
    spacy.blank("en").to_disk(tmp_path / "other")
    for given, why in (
        ([str(tmp_path / "other")], "instruction_ner component"),
        (["x"], "E050"),
        ([str(folder), "--project", str(tmp_path)], "is not a project"),
        # Whoever reaches this machine must not get in.
        ([str(folder), "--host", "0.0.0.0"], "Give a token that each request must"),
        ([str(folder), "--host", "0.0.0.0", "--token", "short"], "at least 16"),
        ([str(folder), "--token", "a token with its spaces"], "no spaces"),
    ):
        done = CliRunner().invoke(app, ["serve", *given])
        assert done.exit_code == 1 and why in " ".join(done.output.split()), given
    assert [is_loopback(h) for h in ("127.0.0.1", "::1", "localhost", "0.0.0.0")] == [
        *(True, True, True),
        False,
    ]


@pytest.mark.long
@pytest.mark.usefixtures("tiny_settings")
def test_the_whole_way_in_a_browser(page: Any, address: str, tmp_path: Path) -> None:
    bring(page, TEXTS)
    annotate(page)
    open_text(page, 1)
    # Text is shown as text, whatever it is, and places are those of characters.
    assert page.inner_text("#text") == HTML
    clear(page)
    mark_words(page, "Anna", "PLACE")
    # Whole words only.
    mark_words(page, "ari", "PLACE")
    assert entities(page) == [["Anna", "PLACE"], ["Paris", "PLACE"]]
    page.locator("#text mark").first.click()
    page.locator(".palette button", has_text="PERSON").click()
    assert entities(page) == [["Anna", "PERSON"], ["Paris", "PLACE"]]
    page.click("#accept")
    said(page, "Corrected")
    # Undone, it is as it was shown; done again, it is as it was said.
    page.click("#undo")
    said(page, "Undone")
    open_text(page, 1)
    assert entities(page) != [["Anna", "PERSON"], ["Paris", "PLACE"]]
    clear(page)
    mark_words(page, "Paris", "PLACE")
    mark_words(page, "Anna", "PERSON")
    page.click("#accept")
    said(page, "Corrected")
    open_text(page, 3)
    clear(page)
    mark_words(page, "باريس", "PLACE")
    page.click("#accept")
    said(page, "Corrected")
    go(page, "Train")
    page.select_option("#parts", "0")
    page.click("#train")
    said(page, "Training is done", 15)
    page.locator("#changed").wait_for()
    changed = page.locator("section[aria-label='What changed']")
    assert "of 4 texts differ" in changed.inner_text()
    open_text(page, 1)
    assert entities(page) == [["Anna", "PERSON"], ["Paris", "PLACE"]]
    go(page, "Export")
    with page.expect_download() as download:
        page.click("#export-jsonl")
    download.value.save_as(tmp_path / "examples.jsonl")
    docs, problems = read_docs(tmp_path / "examples.jsonl", spacy.blank("en"))
    assert [[(e.text, e.label_) for e in doc.ents] for doc in docs] == [
        [("Anna", "PERSON"), ("Paris", "PLACE")],
        [("باريس", "PLACE")],
    ]
    assert docs[0].text == HTML and not problems


def test_with_the_keyboard_alone(page: Any) -> None:
    bring(page, TEXTS)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("saw")
    page.locator("section >> text=1 of 4 texts").wait_for()
    open_text(page, 2)
    # The first two words are a place, the third is a person.
    for key in ("ArrowRight", "Shift+ArrowRight", "2", "ArrowRight", "1"):
        page.keyboard.press(key)
    assert entities(page) == [["Anna saw", "PLACE"], ["Anna", "PERSON"]]
    page.keyboard.press("u")
    assert entities(page) == [["Anna saw", "PLACE"]]
    # A reload keeps what somebody has begun.
    page.reload()
    page.locator("#text mark").first.wait_for()
    assert entities(page) == [["Anna saw", "PLACE"]]
    for key in ("ArrowRight", "Shift+ArrowRight", "Delete", "Escape", "ArrowRight"):
        page.keyboard.press(key)
    assert entities(page) == []
    page.keyboard.press("m")
    page.locator(".alike .go:enabled", has_text="Mark 3 in 2 texts").wait_for()
    page.locator(".alike select").select_option("PERSON")
    page.locator(".alike .go:enabled", has_text="Mark 3").click()
    said(page, "Marked in all")
    open_text(page, 1)
    open_text(page, 2)
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    said(page, "Accepted|Corrected")
    page.locator("#place:not(:has-text('Text 2 '))").wait_for()
    page.keyboard.press("r")
    said(page, "Rejected")
    page.keyboard.press("u")
    said(page, "Undone")
    page.keyboard.press("?")
    page.locator("dialog[open]").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="hidden")
    # In Arabic, what comes next is to the left.
    open_text(page, 3)
    page.keyboard.press("ArrowLeft")
    said(page, "^أنا$")
    page.keyboard.press("ArrowLeft")
    said(page, "^آنا$")


def test_two_tabs(page: Any, address: str) -> None:
    bring(page, TEXTS)
    other = page.context.new_page()
    for own in (page, other):
        own.goto(f"{address}/#correct/2")
        own.locator("#text").wait_for()
    page.click("#reject")
    said(page, "Rejected")
    other.evaluate("document.getElementById('accept').click()")
    said(other, "another tab")
    other.locator("#place", has_text="rejected").wait_for()
    # Neither tab gets the text of the other.
    for own in (page, other):
        own.goto(f"{address}/#correct")
        own.reload()
        own.locator("#text").wait_for()
    places = [own.inner_text("#place").split(" of ")[0] for own in (page, other)]
    assert places[0] != places[1]
    assert there(address)["counts"] == {"new": 3, "rejected": 1}


def test_a_late_answer_changes_no_other_text(page: Any, address: str) -> None:
    """What was found in a text is asked for again after each decision; by then, the page
    may show another one."""
    bring(page, ["Anna one.", "Two."])
    body = json.dumps({"words": "Anna", "label": "PERSON"}).encode()
    headers = {"content-type": "application/json"}
    urlopen(Request(f"{address}/api/project/mark", body, headers)).close()
    go(page, "Correct")
    page.locator("#text mark").wait_for()
    late: list[str] = []

    def slowly(route: Any) -> None:
        late.append(route.request.url)
        time.sleep(1)
        route.continue_()

    page.route("**/api/project/texts/1", slowly)
    page.click("#accept")
    page.locator("#place", has_text="Text 2 ").wait_for()
    page.wait_for_timeout(1500)
    assert late and page.inner_text("#text") == "Two." and entities(page) == []


def test_labels_and_a_text_to_try(page: Any, address: str) -> None:
    go(page, "Labels")
    page.click("#label-add")
    page.locator("#labels li:last-child .name:focus").wait_for()
    page.keyboard.type("ORG")
    page.keyboard.press("Tab")
    page.locator(".meaning[placeholder*=organization]").wait_for()
    page.locator(".name").first.fill("WHO")
    page.locator(".name").first.press("Tab")
    page.locator("nav", has_text="Labels 3").wait_for()
    labels = there(address)["labels"]
    assert [own["name"] for own in labels] == ["WHO", "PLACE", "ORG"]
    assert labels[0]["meaning"] == "somebody's name"
    page.fill("#try", HTML)
    page.click("#find")
    page.locator("#found", has_text=re.compile(r"\d+ found")).wait_for()
    assert page.inner_text("#tried") == HTML
    page.click("#try-add")
    said(page, "added")
    # Two of a name are refused, and said.
    page.locator(".name").first.fill("ORG")
    page.locator(".name").first.press("Tab")
    said(page, "Two labels")


def test_what_goes_wrong_is_said(page: Any, address: str) -> None:
    page.set_input_files("#file", {"name": "x.pdf", "mimeType": "", "buffer": b"%PDF"})
    said(page, "must end with")
    page.set_input_files(
        "#file", {"name": "x.csv", "mimeType": "", "buffer": b"a,b\n1,2\n"}
    )
    said(page, "Its columns are: a, b")
    page.fill("#paste", "x " * 15_000)
    page.click("#add")
    said(page, "at most 20000")
    # What was typed is still there.
    assert len(page.input_value("#paste")) == 30_000
    go(page, "Correct")
    assert "no text yet" in page.inner_text("main")
    page.route("**/api/project**", lambda route: route.abort())
    page.reload(wait_until="commit")
    page.locator("text=The server does not answer").wait_for()
    page.unroute("**/api/project**")
    page.click("text=Try again")
    page.locator("nav").wait_for()


def test_a_long_list_and_a_narrow_screen(address: str) -> None:
    with browser_at(address, viewport={"width": 360, "height": 640}) as page:
        bring(page, [f"Text number {number} of many" for number in range(230)])
        page.locator(".texts li").nth(49).wait_for()
        assert page.locator(".texts li").count() == 50
        for more in (100, 150, 200, 230):
            page.click("text=Show more")
            page.locator(".texts li").nth(more - 1).wait_for()
        assert not page.locator("text=Show more").count()
        for screen in ("Texts", "Labels", "Correct", "Train", "Export"):
            go(page, screen)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 360, screen


def test_the_older_endpoints_still_answer(address: str) -> None:
    body = json.dumps({"text": "Anna", "labels": LABELS}).encode()
    headers = {"content-type": "application/json"}
    with urlopen(Request(f"{address}/api/annotate", body, headers)) as answer:
        (event,) = map(json.loads, answer)
    assert event["tokens"] == [[0, 4]]


def test_a_key_that_is_held_down_decides_once(page: Any, address: str) -> None:
    bring(page, ["Anna one.", "Bo two.", "Cy three."])
    go(page, "Correct")
    page.locator("#text").wait_for()
    first = page.inner_text("#text")
    for _ in range(3):
        page.keyboard.down("r")
        page.wait_for_timeout(300)
    page.keyboard.up("r")
    page.locator(f"#text:not(:has-text('{first}'))").wait_for()
    assert there(address)["counts"] == {"new": 2, "rejected": 1}


def test_who_is_late_sees_what_the_other_tab_decided(page: Any, address: str) -> None:
    """Accepting twice must not replace unseen what somebody else has said."""
    bring(page, ["Anna one.", "Bo two."])
    open_text(page, 1)
    mark_words(page, "one", "PLACE")
    seen = there(address, "/texts/1")["seen"]
    span = {"start": 0, "end": 4, "label": "PERSON"}
    own = {"text": 1, "answer": "accept", "spans": [span], "changed": True}
    posted(f"{address}/api/project/decide", {**own, "seen": seen})
    page.keyboard.press("a")
    said(page, "another tab")
    page.locator("#place", has_text="corrected").wait_for()
    assert entities(page) == [["Anna", "PERSON"]]
    page.reload()
    page.locator("#text mark").wait_for()
    assert entities(page) == [["Anna", "PERSON"]]
    page.keyboard.press("a")
    said(page, "Accepted")
    spans = there(address, "/texts/1")["spans"]
    assert [(s["start"], s["end"], s["label"]) for s in spans] == [(0, 4, "PERSON")]


def test_what_could_not_be_undone_can_be_undone_later(page: Any, address: str) -> None:
    bring(page, ["Anna one.", "Bo two."])
    for number in (1, 2):
        open_text(page, number)
        page.click("#reject")
        said(page, "Rejected")
        page.locator(f"#place:has-text('Text {number} ')").wait_for(state="detached")
    open_text(page, 1)
    page.route("**/api/project/undo", lambda route: route.abort())
    page.click("#undo")
    said(page, "does not answer")
    page.unroute("**/api/project/undo")
    page.click("#undo")
    said(page, "Undone")
    page.locator("#place", has_text="Text 2 ").wait_for()
    assert there(address)["counts"] == {"new": 1, "rejected": 1}


def test_a_label_of_another_tab_is_not_lost(page: Any, address: str) -> None:
    go(page, "Labels")
    page.locator(".name").first.fill("WHO")
    page.locator(".name").first.focus()
    labels = [{"name": n, "was": n} for n in ("PERSON", "PLACE")]
    posted(f"{address}/api/project/labels", {"labels": [*labels, {"name": "ORG"}]})
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.locator("nav", has_text="Labels 3").wait_for()
    page.locator(".name").first.press("Tab")
    said(page, "another tab")
    page.locator(".name").nth(2).wait_for()
    names = [page.locator(".name").nth(at).input_value() for at in range(3)]
    assert names == ["PERSON", "PLACE", "ORG"]
    page.locator(".name").first.fill("WHO")
    page.locator(".name").first.press("Tab")
    page.locator("#labels .name[aria-label='Name of WHO']").wait_for()
    page.wait_for_timeout(500)
    names = [own["name"] for own in there(address)["labels"]]
    assert names == ["WHO", "PLACE", "ORG"]


def test_a_job_whose_stream_broke_is_followed_again(page: Any, address: str) -> None:
    bring(page, ["Anna one.", "Bo two."])
    go(page, "Labels")
    job = {"kind": "annotation", "number": 7, "done": False, "last": {}}
    own = {**there(address), "job": job}
    page.route("**/api/project", lambda route: route.fulfill(json=own))
    asked: list[str] = []

    def broken(route: Any) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route("**/api/project/job", broken)
    for times in (1, 2):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        said(page, "does not answer")
        page.wait_for_timeout(500)
        assert len(asked) == times


def test_another_project_has_drafts_of_its_own(page: Any, address: str) -> None:
    bring(page, ["Anna one."])
    open_text(page, 1)
    mark_words(page, "one", "PLACE")
    page.reload()
    page.locator("#text mark").wait_for()
    own = {**there(address), "id": "other"}
    page.route("**/api/project", lambda route: route.fulfill(json=own))
    page.reload()
    page.locator("#text").wait_for()
    assert page.inner_text("#text") == "Anna one." and entities(page) == []


def there(address: str, path: str = "") -> Any:
    with urlopen(f"{address}/api/project{path}") as answer:
        return json.load(answer)


def posted(address: str, body: Any) -> None:
    headers = {"content-type": "application/json"}
    urlopen(Request(address, json.dumps(body).encode(), headers)).close()
