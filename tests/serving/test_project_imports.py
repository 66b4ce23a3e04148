"""Annotated files come into a project as decisions, and a project that is full says so."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.browser import go, said
from helpers.project_calls import API, accept, get, post, refused, upload
from helpers.serving import LABELS, project_client

TEXTS = ["Anna lives in Paris.", "Bo 👩‍👩‍👧 left Rome."]


@pytest.fixture
def client(folder: Path, tmp_path: Path) -> Iterator[Any]:
    with project_client(folder, tmp_path / "project") as client:
        yield client


def test_annotated_files_are_decided(client: Any) -> None:
    post(client, "/texts", texts=TEXTS)
    accept(client, 2, ("Bo", "PERSON"))
    spans = [{"start": 0, "end": 4, "label": "WHO"}]
    rows = [{"text": TEXTS[0], "spans": spans}, {"text": TEXTS[1], "spans": []}]
    rows.append({"text": "Anna came.", "spans": spans})
    content = "\n".join(map(json.dumps, rows)).encode()
    bad = (
        content
        + b'\n{"text": "Annabel.", "spans": [{"start": 0, "end": 4, "label": "X"}]}'
    )
    before = get(client)
    answer = upload(client, "a.jsonl", bad)
    refused(answer, 422, "Nothing of a.jsonl is added. a.jsonl, line 4: X at 0-4")
    assert get(client) == before and "tmp" not in answer.text
    said = upload(client, "a.jsonl", content).json()
    assert said == {
        "new": 1, "again": 2, "accepted": 2, "decided": 1, "left_out": 0, "problems": [],
    }  # fmt: skip
    assert [own["name"] for own in get(client)["labels"]] == [*LABELS, "WHO"]
    assert get(client)["counts"] == {"accepted": 2, "corrected": 1}
    own = get(client, "/texts/3")
    assert (own["source"], own["name"], own["status"]) == ("a.jsonl", "3", "accepted")
    assert [(s["start"], s["end"], s["label"]) for s in own["spans"]] == [(0, 4, "WHO")]
    # Whoever wants the texts alone gets them, of any kind of file.
    for name, text in (
        ("b.jsonl", b'{"text": "Cy", "spans": []}'),
        ("b.conll", b"Di O"),
    ):
        said = upload(client, name, text, annotation=False).json()
        assert (said["new"], "accepted" in said) == (1, False)
    assert get(client)["counts"] == {"accepted": 2, "corrected": 1, "new": 2}
    refused(upload(client, "b.json", b'{"x": 1}'), 422, "b.json, line 1: not a JSON")


def test_a_project_that_is_full_says_so(client: Any, monkeypatch: Any) -> None:
    desk = "spacy_instructner.serving.project_desk."
    post(client, "/texts", texts=["x" * 30, "y" * 30])
    monkeypatch.setattr(f"{desk}MOST_CHARACTERS", 100)
    # What is there already takes no room.
    assert post(client, "/texts", texts=["x" * 30, "z" * 40])["new"] == 1
    body = {"texts": ["a"], "source": "pasted"}
    said = "at most 100 characters; with these it would have 101. Nothing is added"
    refused(client.post(f"{API}/texts", json=body), 422, said)
    refused(upload(client, "a.txt", b"a"), 422, said)
    refused(upload(client, "a.conll", b"a O"), 422, said)
    monkeypatch.setattr(f"{desk}MOST_CHARACTERS", 1000)
    monkeypatch.setattr(f"{desk}MOST_TEXTS", 3)
    refused(client.post(f"{API}/texts", json=body), 422, "at most 3 texts; with these")
    assert get(client)["texts"] == 3


@pytest.mark.long
def test_an_annotated_file_is_brought_in_a_browser(page: Any) -> None:
    row = {"text": TEXTS[0], "spans": [{"start": 0, "end": 4, "label": "WHO"}]}
    other = {"text": TEXTS[1], "spans": []}

    def drop(name: str, *rows: Any) -> None:
        content = "\n".join(map(json.dumps, rows)).encode()
        own = {"name": name, "mimeType": "text/plain", "buffer": content}
        page.set_input_files("#file", own)

    go(page, "Texts")
    drop("a.jsonl", row, {"text": "Annabel.", "spans": row["spans"]})
    page.get_by_text("a.jsonl, line 2: WHO at 0-4 ('Anna')").wait_for()
    drop("a.jsonl", row)
    said(page, "1 new text, 1 accepted as annotated")
    drop("a.jsonl", row)
    said(page, "0 new texts, 1 there already, 1 decided before, which stay")
    page.select_option("#annotation", "false")
    drop("b.jsonl", other)
    said(page, "1 new text\\.")
    page.locator(".texts li.new", has_text=TEXTS[1]).wait_for()
    assert page.locator(".texts li.accepted mark").all_inner_texts() == ["Anna"]
