"""The API for programs, while a test asks it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.serving.annotator import BatchAnnotator
from spacy_instructner.serving.batching import BatchSettings

SMALL = {"characters": 200, "texts": 8, "labels": 3, "meaning": 40, "bytes": 4000}
TOKEN = "a-token-of-the-tests"


def load(folder: Path) -> BatchAnnotator:
    return BatchAnnotator(Pipeline(str(folder)))


@contextmanager
def api_client(
    folder: Path, token: str = "", settings: BatchSettings | None = None, **limits: Any
) -> Iterator[Any]:
    """A client of an API that is ready; its `service` is what is behind."""
    from fastapi.testclient import TestClient

    from spacy_instructner.serving.api import make_api
    from spacy_instructner.serving.api_guards import ApiLimits
    from spacy_instructner.serving.service import Service

    own = ApiLimits(**{**SMALL, **limits})
    service = Service(
        lambda: load(folder), settings or BatchSettings(waiting=own.waiting)
    )
    app = make_api(service, own, ["localhost"], token)
    with TestClient(
        app, base_url="http://localhost", raise_server_exceptions=False
    ) as client:
        wait_ready(client)
        client.service = service  # type: ignore[attr-defined]
        yield client


def wait_ready(client: Any) -> None:
    # Each request lets the server's loop go on.
    while client.get("/health").status_code != 200:
        pass


def annotate(client: Any, *texts: str, **more: Any) -> Any:
    """The answer to POST /v1/annotate."""
    headers = {"content-type": "application/json", **more.pop("headers", {})}
    # As ASCII: half characters, too.
    body = json.dumps({"texts": texts, **more}).encode()
    return client.post("/v1/annotate", content=body, headers=headers)


def results(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def detail(answer: Any, status: int) -> str:
    """Why a request was refused, with this status and in this form."""
    assert answer.status_code == status, answer.text
    said = answer.json()
    assert set(said) == {"detail"} and isinstance(said["detail"], str)
    return said["detail"]


class Exchange:
    """One request to an ASGI application, message by message: for clients that come late,
    go early, or send slowly."""

    def __init__(self, app: Any, body: bytes = b"", **more: Any) -> None:
        """more: of the scope."""
        headers = {"host": "localhost", "content-type": "application/json"}
        headers |= more.pop("headers", {})
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/annotate",
            "raw_path": b"/v1/annotate",
            "query_string": b"",
            "root_path": "",
            "client": ("test", 1),
            "server": ("localhost", 80),
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            **more,
        }
        self.app = app
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        if body:
            self.incoming.put_nowait({"type": "http.request", "body": body})

    def leave(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def run(self) -> int:
        """The status of the answer, 0 where there is none."""

        async def send(message: dict[str, Any]) -> None:
            self.sent.append(message)

        await self.app(self.scope, self.incoming.get, send)
        return self.sent[0]["status"] if self.sent else 0

    @property
    def json(self) -> Any:
        return json.loads(b"".join(each.get("body", b"") for each in self.sent))
