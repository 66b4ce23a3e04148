"""Nobody gets in, and nothing is lost: other sites, tokens, sizes, slow senders, many
clients at once."""

import http.client
import json
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from helpers.browser import server_of
from helpers.serving import project_client
from spacy_instructner.serving.project.journal import read_events
from spacy_instructner.serving.project.project_folder import ProjectFolder

TOKEN = "correct-horse-battery"
API = "/api/project"
FILE = {"content-type": "application/octet-stream"}


def test_other_sites_are_refused(folder: Path, tmp_path: Path) -> None:
    with project_client(folder, tmp_path / "project") as client:
        for path in (
            "/texts",
            "/decide",
            "/undo",
            "/train",
            "/stop",
            "/import?name=a.txt",
        ):
            for headers in (
                {"origin": "http://evil.example"},
                {"origin": "null"},
                {"origin": "http://localhost:9999"},
                {"sec-fetch-site": "cross-site"},
                {"sec-fetch-site": "same-site"},
            ):
                answer = client.post(API + path, json={}, headers=headers)
                assert answer.status_code == 403, (path, headers)
            # What a form of another site could send.
            for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
                own = {"content-type": kind}
                answer = client.post(API + path, content=b"{}", headers=own)
                assert answer.status_code == 415, (path, kind)
        headers = {"sec-fetch-site": "cross-site"}
        assert client.get(API, headers=headers).status_code == 403
        # A link of another site opens the page, which then asks for itself.
        assert client.get("/", headers=headers).status_code == 200
        assert client.get("/", headers={"host": "evil.example"}).status_code == 400
        answer = client.get(API, headers={"sec-fetch-site": "same-origin"})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_nobody_gets_in_without_the_token(folder: Path, tmp_path: Path) -> None:
    with project_client(folder, tmp_path / "project", token=TOKEN) as client:
        paths = [route.path for route in client.app.routes if hasattr(route, "path")]
        for path in [*paths, "/", "/page.js", "/?token=wrong", "/api/x?token=" + TOKEN]:
            if path == "/health":
                continue
            for method in ("GET", "POST", "HEAD", "OPTIONS"):
                for own in (
                    {},
                    {"authorization": "Bearer wrong"},
                    {"authorization": f"Basic {TOKEN}"},
                    {"authorization": "Bearer"},
                    {"cookie": "spacy_instructner_8000=" + TOKEN},
                    {"cookie": "spacy_instructner_8000=\u00e9"},
                    {"cookie": "\x01=;;;=,"},
                ):
                    coded = {k: v.encode("latin1") for k, v in own.items()}
                    answer = client.request(method, path, headers=coded)
                    assert answer.status_code == 401, (method, path, own)
        assert client.get("/health").json() == {"status": "ok"}
        bearer = {"authorization": f"Bearer {TOKEN}"}
        assert client.get(API, headers=bearer).status_code == 200
        # The browser's way: once with the token in the address, then with a cookie.
        opened = client.get("/", params={"token": TOKEN})
        kept = opened.headers["set-cookie"]
        assert opened.status_code == 200 and TOKEN not in kept + opened.text
        assert "HttpOnly" in kept and "SameSite=Strict" in kept
        assert client.get(API).status_code == 200
        assert "<title>" in client.get("/").text
        client.cookies.clear()
        assert client.get(API).status_code == 401
        # A server at another port of this machine has a cookie of its own.
        assert kept.startswith("spacy_instructner_8000=")
        value = kept.partition("=")[2].partition(";")[0]
        for port, status in (("8000", 200), ("8001", 401)):
            own = {"cookie": f"spacy_instructner_{port}={value}"}
            assert client.get(API, headers=own).status_code == status, port
        for host, name in (
            ("localhost", "spacy_instructner"),
            ("localhost:8001", "spacy_instructner_8001"),
        ):
            own = {"host": host}
            opened = client.get("/", params={"token": TOKEN}, headers=own)
            assert opened.headers["set-cookie"].partition("=")[0] == name


def test_paths_lead_nowhere_else(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("SECRET")
    with project_client(folder, tmp_path / "project") as client:
        client.post(f"{API}/texts", json={"texts": ["SECRET"]})
        for path in (
            "/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "/page/../../app.py", "//etc/passwd",
            f"{API}/files/..%2f..%2fsecret", f"{API}/files/%2e%2e%2fjournal.jsonl",
            f"{API}/files/journal.jsonl", f"{API}/files/.", f"{API}/files/%00",
            f"{API}/export/..%2f..", f"{API}/texts/1e9",
        ):  # fmt: skip
            answer = client.get(path)
            assert answer.status_code in (400, 404, 405, 422), path
            assert "SECRET" not in answer.text
        # The name of a file is a name, wherever it points.
        for name in ("../../../x.txt", "/etc/x.txt", "C:\\x.txt", "\u202e.txt"):
            answer = client.post(
                f"{API}/import",
                params={"name": name},
                content=b"new " + name.encode(),
                headers=FILE,
            )
            assert answer.status_code == 200, answer.text
    made = {path.name for path in (tmp_path / "project").rglob("*")}
    assert made == {"journal.jsonl", ".lock"}


def limits(**more: Any) -> Any:
    from spacy_instructner.serving.app import Limits

    return Limits(**more)


def test_large_bodies_are_refused_while_they_come(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    small = limits(bytes=2000, upload=5000)
    with project_client(folder, tmp_path / "project", limits=small) as client:

        def parts(size: int) -> Any:
            yield from (b"x" * 999 + b"\n" for _ in range(size))

        for path, size, kind in (
            ("/texts", 3, "application/json"),
            ("/import?name=a.txt", 6, FILE["content-type"]),
        ):
            for content in (b"x" * 1000 * size, parts(size)):
                own = {"content-type": kind}
                answer = client.post(API + path, content=content, headers=own)
                assert answer.status_code == 413, answer.text
        own = client.post(f"{API}/import?name=a.txt", content=parts(5), headers=FILE)
        assert own.json()["new"] == 1
        assert client.get(API).json()["texts"] == 1


def test_odd_requests_are_no_errors_of_the_server(folder: Path, tmp_path: Path) -> None:
    """Whatever JSON says, it is refused with a reason, or done."""
    odd = (
        b"", b"null", b"[]", b"{", b'{"texts": "\\ud800"}', b'{"texts": ["\\u0000"]}', b"[" * 5000,
        b'{"text": 1e400}', b'{"text": 99999999999999999999, "answer": "accept", "spans": [], "seen": 1}',
        b'{"value": NaN}', b'{"value": 1e999}', b'{"words": "\\ud800", "label": null}',
        b'{"words": "(", "label": "\\ud800"}', b'{"labels": [{"name": "\\ud800"}]}', b'{"of": -1}',
        b'{"model": -1}', b'{"parts": 1e9}', b'{"kind": "wheel", "name": "\\u0000"}', b"\xff\xfe",
    )  # fmt: skip
    paths = ("texts", "decide", "undo", "mark", "labels", "threshold", "use", "pack")
    own = {"content-type": "application/json"}
    with project_client(folder, tmp_path / "project") as client:
        client.raise_server_exceptions = False
        for path in paths:
            for body in odd:
                answer = client.post(f"{API}/{path}", content=body, headers=own)
                assert answer.status_code < 500, (path, body, answer.text)
        for query in (
            "texts?rows=-5&begin=-9",
            "texts?words=%ed%a0%80",
            "next?skip=-1",
        ):
            assert client.get(f"{API}/{query}").status_code < 500, query
        client.app.state.desk.jobs.stop(10)
    again = ProjectFolder(tmp_path / "project")
    again.close()


def test_slow_senders_keep_nobody_waiting(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    slow = limits(sending=2.0)
    with server_of(folder, tmp_path / "project", limits=slow) as address:
        place = urlsplit(address)
        where = (place.hostname or "", place.port or 0)
        begun = []
        for number in range(64):
            path, kind = (
                (f"{API}/texts", "application/json"),
                (f"{API}/import?name=a.txt", FILE["content-type"]),
            )[number % 2]
            own = socket.create_connection(where)
            own.sendall(
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
                "Content-Length: 1000\r\n\r\nx".encode()
            )
            begun.append(own)
        before = time.monotonic()
        assert ask(where, "GET", API)[0] == 200
        assert time.monotonic() - before < 2.0
        for own in begun:
            own.settimeout(30)
            assert own.recv(100).startswith(b"HTTP/1.1 408")
            own.close()
        assert ask(where, "GET", API)[1]["texts"] == 0


def ask(
    where: tuple[str, int], method: str, path: str, body: Any = None, raw: bytes = b""
) -> tuple[int, Any]:
    own = http.client.HTTPConnection(*where, timeout=120)
    headers = FILE if raw else {"content-type": "application/json"}
    content = raw or (None if body is None else json.dumps(body))
    try:
        own.request(method, path, content, headers)
        answer = own.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        own.close()


@pytest.mark.long
def test_64_clients_at_once_lose_nothing(folder: Path, tmp_path: Path) -> None:
    """All bring texts, and all decide about the same ones: every answer that was given
    stands in the journal, and nothing else."""
    clients, shared = 64, 4
    with server_of(folder, tmp_path / "project") as address:
        place = urlsplit(address)
        where = (place.hostname or "", place.port or 0)
        texts = [f"Anna {number}" for number in range(shared)]
        ask(where, "POST", f"{API}/texts", {"texts": texts})
        together = threading.Barrier(clients)
        said: list[tuple[int, int, int]] = []

        def client(number: int) -> None:
            together.wait(60)
            content = f"own {number}\nof all".encode()
            status, _ = ask(
                where, "POST", f"{API}/import?name={number}.txt", raw=content
            )
            assert status == 200
            text = 1 + number % shared
            seen = ask(where, "GET", f"{API}/texts/{text}")[1]["seen"]
            span = {"start": 0, "end": 4, "label": "PERSON"}
            body = {"text": text, "answer": "accept", "spans": [span], "seen": seen}
            status, answer = ask(where, "POST", f"{API}/decide", body)
            said.append((status, text, answer.get("event", 0)))

        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(client, range(clients)))
        there = ask(where, "GET", API)[1]
    assert len(said) == clients and {status for status, _, _ in said} <= {200, 409}
    content = (tmp_path / "project" / "journal.jsonl").read_bytes()
    events = list(read_events(content, "journal"))
    stands = {
        (number, event["text"])
        for number, event in enumerate(events, 1)
        if event["kind"] == "decision"
    }
    assert stands == {(event, text) for status, text, event in said if status == 200}
    assert len({text for _, text in stands}) == shared
    written = Counter(
        row["text"]
        for event in events
        if event["kind"] == "texts"
        for row in event["texts"]
    )
    assert written == Counter([*texts, *(f"own {n}" for n in range(clients)), "of all"])
    assert there["texts"] == shared + clients + 1
    again = ProjectFolder(tmp_path / "project")
    assert again.state.revision == len(events) == there["revision"]
    again.close()
