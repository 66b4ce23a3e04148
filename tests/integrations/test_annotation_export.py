"""A project's annotations are asked of the Label Studio that was named, with a token."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from integrations.label_studio.annotation_export import LabelStudioClient

TASKS = [{"id": 1, "data": {"text": "Åre"}, "annotations": []}]
PERSONAL = "head.body.sign"


class Studio(BaseHTTPRequestHandler):
    """The two paths of Label Studio's API that are asked."""

    seen: list[tuple[str, str]] = []
    answer: bytes = b""

    def _say(self, status: int, body: Any) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        right = self.path == "/ls/api/token/refresh" and body == {"refresh": PERSONAL}
        self._say(200 if right else 401, {"access": "short"})

    def do_GET(self) -> None:
        token = self.headers["authorization"]
        self.seen.append((self.path, token))
        if token in ("Token legacy", "Bearer short"):
            self._say(200, self.answer or TASKS)
        else:
            self._say(401, {"detail": "Invalid token."})

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Studio.seen, Studio.answer = [], b""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Studio)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/ls/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_tokens_of_both_kinds(url: str) -> None:
    path = "/ls/api/projects/7/export?exportType=JSON&download_all_tasks=false"
    assert LabelStudioClient(url, "legacy").annotated_tasks(7) == TASKS
    assert LabelStudioClient(url, PERSONAL).annotated_tasks(7) == TASKS
    # Label Studio's own, from /setup; one that was given goes first.
    assert LabelStudioClient(url).annotated_tasks(7, "legacy") == TASKS
    assert LabelStudioClient(url, "legacy").annotated_tasks(7, "other") == TASKS
    assert {seen for seen, _ in Studio.seen} == {path}
    assert [token for _, token in Studio.seen] == [
        "Token legacy",
        "Bearer short",
        "Token legacy",
        "Token legacy",
    ]


def test_refusals_say_what_to_do(url: str) -> None:
    with pytest.raises(OSError, match="LABEL_STUDIO_API_KEY"):
        LabelStudioClient(url).annotated_tasks(7)
    with pytest.raises(OSError, match="401.*Invalid token"):
        LabelStudioClient(url, "wrong").annotated_tasks(7)
    with pytest.raises(OSError, match="refuses .*token/refresh: 401"):
        LabelStudioClient(url, "a.b.c").annotated_tasks(7)
    for answer in (b"<html>", b"\xff", b'{"no": "list"}'):
        Studio.answer = answer
        with pytest.raises(OSError, match="does not answer with JSON|no list"):
            LabelStudioClient(url, "legacy").annotated_tasks(7)
    with pytest.raises(OSError, match="--label-studio"):
        LabelStudioClient("http://127.0.0.1:1", "legacy").annotated_tasks(7)
    with pytest.raises(ValueError, match="begins with http"):
        LabelStudioClient("file:///etc/passwd")
