"""The endpoints of a project: from texts to a pipeline, by HTTP alone."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy

from helpers.project_calls import API, accept, follow, get, post, refused, upload
from helpers.serving import LABELS, project_client
from spacy_instructner.data.corpora import read_docs

TEXTS = [
    "Anna lives in Paris.",
    "Bo 👩‍👩‍👧 left Rome.",
    "أنا في باريس",
    "เขาอยู่ที่ปารีส",
    "Anna saw Anna in Paris.",
]


@pytest.fixture
def client(folder: Path, tmp_path: Path) -> Iterator[Any]:
    with project_client(folder, tmp_path / "project") as client:
        yield client


def test_texts_come_in(client: Any) -> None:
    assert {own["name"]: own["meaning"] for own in get(client)["labels"]} == LABELS
    said = upload(client, "a.txt", "\n".join(TEXTS).encode()).json()
    assert (said["new"], said["again"], said["left_out"]) == (5, 0, 0)
    # However it is called: the name says what it is, and never where.
    csv = b"id,text\n1,new one\n2,Anna lives in Paris.\n"
    for name in ("../../etc/x.csv", "C:\\a\\b.csv", "b\0.csv", f"{'x' * 190}.csv"):
        said = upload(client, name, csv).json()
        assert said["new"] + said["again"] == 2, said
    assert get(client)["texts"] == 6
    refused(upload(client, "a.csv", b"a,b\n1,2\n"), 422, "Its columns are: a, b")
    refused(upload(client, "a.pdf", b"x"), 422, "a.pdf must end with")
    refused(upload(client, "a.txt", b"\n \n"), 422, "holds no text")
    assert "tmp" not in upload(client, "a.csv", b"a,b\n1,2\n").text
    said = post(client, "/texts", texts=["new two", " ", "x"], source="pasted")
    assert (said["new"], said["again"]) == (2, 0)
    # Halves of characters are replaced.
    own = {"content-type": "application/json"}
    body = b'{"texts": ["half \\ud800"]}'
    assert client.post(f"{API}/texts", content=body, headers=own).json()["new"] == 1
    assert get(client, "/texts", words="half")["rows"][0]["text"] == "half \ufffd"
    rows = get(client, "/texts", words="NEW")
    assert [row["text"] for row in rows["rows"]] == ["new one", "new two"]
    assert [row["source"] for row in rows["rows"]] == ["../../etc/x.csv", "pasted"]
    assert len(get(client, "/texts", begin=2, rows=3)["rows"]) == 3
    refused(client.get(f"{API}/texts/99"), 404, "no text 99")


def test_annotating_continues_where_it_was(client: Any, folder: Path) -> None:
    post(client, "/texts", texts=TEXTS)
    assert get(client)["counts"] == {"new": 5}
    post(client, "/annotate")
    assert follow(client)[-1] == {
        "phase": "annotate", "done": 5, "of": 5, "failed": 0,
    }  # fmt: skip
    assert get(client)["counts"] == {"found": 5}
    post(client, "/texts", texts=["Bo met Anna."])
    post(client, "/annotate")
    assert follow(client)[0]["done"] == 5 and get(client)["counts"] == {"found": 6}
    # Places are those of code points, and fall on words.
    for number in range(1, 7):
        own = get(client, f"/texts/{number}")
        starts = {start for start, _ in own["words"]}
        for span in own["spans"]:
            assert span["start"] in starts and 0 <= span["score"] <= 1
            assert own["text"][span["start"] : span["end"]].strip()


def test_the_queue_begins_where_the_model_is_least_sure(client: Any) -> None:
    from spacy_instructner.serving.project.findings import queue, uncertainty

    post(client, "/texts", texts=TEXTS)
    post(client, "/annotate")
    follow(client)
    state = client.app.state.desk.project.state
    waiting = queue(state)
    sure = [uncertainty(state.finding(text), state.least) for text in waiting]
    assert sorted(waiting) == [1, 2, 3, 4, 5] and sure == sorted(sure, reverse=True)
    first = get(client, "/next", tab="a")
    assert first["id"] == waiting[0] and first["left"] == 5
    # Another tab gets another text, and a reload the same.
    assert get(client, "/next", tab="b")["id"] == waiting[1]
    assert get(client, "/next", tab="a")["id"] == waiting[0]
    # What is skipped comes back after all others.
    seen = [get(client, "/next", tab="a", skip=waiting[0])["id"]]
    while len(seen) < 4:
        seen.append(get(client, "/next", tab="a", skip=seen[-1])["id"])
    assert waiting[0] not in seen[:3]


def test_decisions(client: Any) -> None:
    post(client, "/texts", texts=TEXTS)
    event = accept(client, 2, ("Bo", "PERSON"), ("Rome", "PLACE"))
    own = get(client, "/texts/2")
    assert own["status"] == "corrected"
    words = [own["text"][s["start"] : s["end"]] for s in own["spans"]]
    assert words == ["Bo", "Rome"]
    body = {"text": 2, "answer": "accept", "spans": [], "seen": own["seen"] - 1}
    refused(client.post(f"{API}/decide", json=body), 409, "another tab")
    half = {"start": 0, "end": 1, "label": "PLACE"}
    body |= {"spans": [half], "seen": own["seen"]}
    refused(client.post(f"{API}/decide", json=body), 422, "whole words")
    refused(
        client.post(f"{API}/decide", json={**body, "answer": "maybe"}), 422, "accept"
    )
    assert post(client, "/undo", of=event) == {"texts": [2]}
    assert get(client, "/texts/2")["status"] == "new"
    refused(client.post(f"{API}/undo", json={}), 422, "nothing to undo")


def test_all_alike(client: Any) -> None:
    post(client, "/texts", texts=[*TEXTS, "Annabel met anna."])
    accept(client, 1, ("Anna lives", "PLACE"))
    own = {"words": "Anna", "label": "PERSON"}
    # Whole words, the case that is given, and nothing over what somebody said.
    assert get(client, "/alike", **own) == {"texts": 1, "places": 2}
    assert get(client, "/alike", **own, case=False) == {"texts": 2, "places": 3}
    said = post(client, "/mark", **own, case=False)
    assert said["places"] == 3 and get(client, "/alike", **own)["places"] == 0
    spans = get(client, "/texts/5")["spans"]
    assert [(s["start"], s["label"]) for s in spans if s["label"] == "PERSON"] == [
        *((0, "PERSON"), (9, "PERSON"))
    ]
    assert post(client, "/undo", of=said["event"]) == {"texts": [5, 6]}
    post(client, "/mark", **own)
    assert post(client, "/mark", words="anna", label=None, case=False)["places"] == 2
    assert get(client, "/texts/5")["spans"] == []


def test_labels(client: Any) -> None:
    post(client, "/texts", texts=TEXTS)
    accept(client, 1, ("Anna", "PERSON"))
    rows = [{"name": " WHO ", "was": "PERSON"}, {"name": "PLACE", "meaning": "a town"}]
    said = post(client, "/labels", labels=rows, seen=["PERSON", "PLACE"])
    assert [own["name"] for own in said["labels"]] == ["WHO", "PLACE"]
    assert [s["label"] for s in get(client, "/texts/1")["spans"]] == ["WHO"]
    again = {"labels": rows, "seen": ["PERSON", "PLACE"]}
    refused(client.post(f"{API}/labels", json=again), 409, "another tab")
    assert get(client, "/suggest", name="ORG")["asked"] == "organization"
    assert get(client, "/suggest", name="BIKE_PART")["asked"] == "bike part"
    post(client, "/labels", labels=[])
    refused(client.post(f"{API}/annotate", json={}), 422, "Name a label")


def test_a_threshold_says_what_it_hides_and_shows(client: Any) -> None:
    post(client, "/texts", texts=TEXTS)
    post(client, "/annotate")
    follow(client)
    all_of_them = get(client, "/threshold", value=0.0)
    none = get(client, "/threshold", value=1.0)
    assert all_of_them["entities"] > none["entities"]
    now = get(client)["threshold"]
    shown = sum(len(get(client, f"/texts/{n}")["spans"]) for n in range(1, 6))
    there = get(client, "/threshold", value=now)
    assert (there["entities"], there["hides"], there["shows"]) == (shown, 0, 0)
    assert none["hides"] == shown - none["entities"]
    for row in none["hidden"]:
        own = get(client, f"/texts/{row['id']}")["text"]
        assert row["before"] + row["words"] + row["after"] in own
        assert row["score"] < 1.0
    assert post(client, "/threshold", value=1.0)["threshold"] == 1.0
    assert get(client, "/threshold", value=now)["shows"] == none["hides"]
    refused(client.post(f"{API}/threshold", json={"value": 2}), 422, "from 0 to 1")
    refused(client.get(f"{API}/threshold?value=nan"), 422, "from 0 to 1")


def test_trainings_exclude_each_other(client: Any, monkeypatch: Any) -> None:
    desk = client.app.state.desk
    post(client, "/texts", texts=TEXTS)
    accept(client, 1, ("Anna", "PERSON"))
    own = {"text": "Anna", "spans": [{"start": 0, "end": 4, "label": "PERSON"}]}
    lesson = {"examples": [own], "labels": LABELS}
    with desk.models.session.training():
        refused(client.post(f"{API}/train", json={}), 409, "A training is under way")
        refused(client.post("/api/train", json=lesson), 503, "A training is under way")
    # What cannot be saved is not used, and the next one has its turn.
    before = desk.models.session.nlp

    def full(*given: Any) -> None:
        raise OSError("No space left on device")

    def few(nlp: Any, *given: Any) -> Iterator[tuple[int, int, float]]:
        yield 1, 1, 0.5

    monkeypatch.setattr("spacy_instructner.serving.session.finetune", few)
    with monkeypatch.context() as patched:
        patched.setattr("spacy_instructner.serving.project_models.save_pipeline", full)
        post(client, "/train")
        assert "No space left" in follow(client)[-1]["error"]
    assert desk.models.session.nlp is before and get(client)["using"] == 0
    post(client, "/train")
    assert {"trained": 1} in [{"trained": e.get("trained")} for e in follow(client)]
    assert desk.models.session.nlp is desk.models.get(1) is not before
    assert get(client)["models"][0]["losses"] == [0.5]


@pytest.mark.long
@pytest.mark.usefixtures("tiny_settings")
def test_from_decisions_to_a_pipeline(
    client: Any, folder: Path, tmp_path: Path
) -> None:
    post(client, "/texts", texts=TEXTS)
    post(client, "/annotate")
    follow(client)
    refused(client.get(f"{API}/export/jsonl"), 422, "No text is accepted")
    accept(client, 1, ("Anna", "PERSON"), ("Paris", "PLACE"))
    accept(client, 2, ("Bo", "PERSON"), ("Rome", "PLACE"))
    accept(client, 3, ("باريس", "PLACE"))
    post(client, "/train", parts=2)
    refused(client.post(f"{API}/annotate", json={}), 409, "under way")
    events = follow(client)
    assert not [event for event in events if "error" in event], events
    losses = [e["loss"] for e in events if e.get("phase") == "train"]
    assert len(losses) == 151 and losses[-1] < losses[0] / 2
    parts = {e["part"] for e in events if e.get("phase") == "measure"}
    assert parts == {1, 2} and events[-1] == {"measured": 1}
    (model,) = get(client)["models"]
    assert model["losses"] == losses and model["texts"] == 3 and model["folds"] == 2
    assert sum(annotated for _, _, annotated in model["counts"].values()) == 5
    assert 0.0 <= model["f1"] <= 1.0
    # The new model finds what it learned, and the page says what changed.
    state = client.app.state.desk.project.state
    found = {(a, b, label) for a, b, label, _ in state.finding(1, 1).spans}
    assert {(0, 4, "PERSON"), (14, 19, "PLACE")} <= found
    said = get(client, "/compare", first=0, second=1)
    assert said["texts"] == 5 and said["scores"][1]["f1"] > said["scores"][0]["f1"]
    for row in said["rows"]:
        was = {(s["start"], s["end"], s["label"]) for s in row["lost"]}
        now = {(s["start"], s["end"], s["label"]) for s in row["gained"]}
        assert was ^ now and not was & now
    refused(client.get(f"{API}/compare?first=0&second=7"), 404, "no model 7")
    # One may go back, and forth.
    before = get(client, "/texts/4")["spans"]
    assert post(client, "/use", model=0)["using"] == 0
    post(client, "/use", model=1)
    assert get(client, "/texts/4")["spans"] == before
    exported(client, tmp_path)
    packed(client, tmp_path)


def exported(client: Any, tmp_path: Path) -> None:
    for kind in ("jsonl", "spacy", "conll", "prodigy"):
        answer = client.get(f"{API}/export/{kind}")
        name = answer.headers["content-disposition"].partition('"')[2].strip('"')
        (tmp_path / name).write_bytes(answer.content)
        docs, problems = read_docs(tmp_path / name, spacy.blank("en"))
        assert problems == []
        assert [[(e.text, e.label_) for e in doc.ents] for doc in docs] == [
            [("Anna", "PERSON"), ("Paris", "PLACE")],
            [("Bo", "PERSON"), ("Rome", "PLACE")],
            [("باريس", "PLACE")],
        ]
    every = client.get(f"{API}/export/jsonl", params={"every": True}).text
    assert len(every.splitlines()) == 5
    refused(client.get(f"{API}/export/xml"), 404, "one of jsonl")


def packed(client: Any, tmp_path: Path) -> None:
    post(client, "/pack", kind="folder", name="towns", version="1.2.0")
    (name,) = [event["file"] for event in follow(client) if "file" in event]
    assert name == "en_towns-1.2.0.zip" and get(client)["files"] == [name]
    content = client.get(f"{API}/files/{name}").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path / "unpacked")
    nlp = spacy.load(tmp_path / "unpacked" / "en_towns-1.2.0")
    assert [(e.text, e.label_) for e in nlp(TEXTS[0]).ents] == [
        ("Anna", "PERSON"), ("Paris", "PLACE"),
    ]  # fmt: skip
    for path in ("../journal.jsonl", "..%2fjournal.jsonl", "%2e%2e/journal.jsonl", "x"):
        assert client.get(f"{API}/files/{path}").status_code == 404
    body = {"kind": "wheel", "name": "../x", "version": "1"}
    client.post(f"{API}/pack", json=body)
    assert "small letters" in follow(client)[-1]["error"]


@pytest.mark.long
def test_a_project_is_opened_again_where_it_was(folder: Path, tmp_path: Path) -> None:
    with project_client(folder, tmp_path / "project") as client:
        post(client, "/texts", texts=TEXTS)
        accept(client, 1, ("Anna", "PERSON"))
        before = {**get(client), "job": None}
    # As a killed process leaves it.
    with (tmp_path / "project" / "journal.jsonl").open("ab") as file_:
        file_.write(b'{"kind": "decis')
    with project_client(folder, tmp_path / "project") as client:
        again = get(client)
        assert again.pop("torn") == 15 and before.pop("torn") == 0
        assert again == before
        assert [s["label"] for s in get(client, "/texts/1")["spans"]] == ["PERSON"]


def test_a_model_whose_folder_is_gone(folder: Path, tmp_path: Path) -> None:
    from spacy_instructner.serving.project.project_folder import ProjectFolder

    own = ProjectFolder(tmp_path / "project")
    own.add_training(1, 2, ["PLACE"], [0.5], 1.0)
    own.close()
    with project_client(folder, tmp_path / "project") as client:
        said = get(client)
        assert said["missing"] == 1 and said["using"] == 0
        refused(client.post(f"{API}/use", json={"model": 1}), 507, "is gone")
        assert get(client)["using"] == 0
