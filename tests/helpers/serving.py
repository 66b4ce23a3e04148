"""A page that is served while a test asks it."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.serving import finetune
from spacy_instructner.serving.session import PipelineSession

LABELS = {"PERSON": "somebody's name", "PLACE": ""}


def train_longer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model of two layers takes more than the default one. folder: for the
    settings of its training."""
    text = finetune.SETTINGS.read_text(encoding="utf8")
    assert text.count("= 0.001\n") == 1 and text.count("max_steps = 80\n") == 1
    text = text.replace("= 0.001\n", "= 0.005\n")
    own = folder / "training.cfg"
    own.write_text(text.replace("max_steps = 80\n", "max_steps = 150\n"))
    monkeypatch.setattr(finetune, "SETTINGS", own)


def later() -> float:
    return time.monotonic() + 60


def rows(*texts: str) -> list[dict[str, Any]]:
    """Examples in which Anna is a person and Paris a place."""
    found = []
    for text in texts:
        spans = [
            {
                "start": text.index(word),
                "end": text.index(word) + len(word),
                "label": own,
            }
            for word, own in (("Anna", "PERSON"), ("Paris", "PLACE"))
            if word in text
        ]
        found.append({"text": text, "spans": spans})
    return found


def free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


def serve_briefly(
    *arguments: str, cwd: Path | None = None
) -> tuple[dict[str, Any], str]:
    """What /api/info and the output of `serve` say, at a free port, until Ctrl-C."""
    port = free_port()
    command = [sys.executable, "-m", "spacy", "instructner", "serve", *arguments]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
    )
    try:
        said: dict[str, Any] = {}
        while not said and process.poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{port}/api/info") as answer:
                    said = json.load(answer)
            except OSError:
                time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert f"http://127.0.0.1:{port}" in out, out
    return said, out


@contextmanager
def project_client(folder: Path, project: Path | None, **more: Any) -> Iterator[Any]:
    """A client of the page's server, in this process. `app.state.desk` is what it works
    on."""
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    from fastapi.testclient import TestClient

    from spacy_instructner.serving.app import Limits, make_app
    from spacy_instructner.serving.project.project_folder import ProjectFolder

    session = PipelineSession(Pipeline(str(folder)))
    own = None if project is None else ProjectFolder(project)
    given = {"limits": Limits(), "hosts": ["localhost"], **more}
    app = make_app(session, project=own, **given)
    with TestClient(app, base_url="http://localhost:8000") as client:
        yield client
