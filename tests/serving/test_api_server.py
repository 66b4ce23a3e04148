"""`serve --api-only` as a process: what it needs, what it answers, how it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import spacy
from spacy.util import import_file
from typer.testing import CliRunner

for package in ("fastapi", "prometheus_client", "uvicorn"):
    pytest.importorskip(package)

from helpers.serving import LABELS, free_port  # noqa: E402
from helpers.serving_api import TOKEN  # noqa: E402
from spacy_instructner.cli import app  # noqa: E402

ends_by_signal = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows sends no such signals"
)
# Takes two seconds for each text, so that a test can come between.
SLOW = """
import time
from spacy.language import Language

@Language.component("takes_its_time")
def takes_its_time(doc):
    time.sleep(2)
    return doc
"""


class Served:
    """A server in a process of its own."""

    def __init__(self, process: Any, port: int) -> None:
        self.process, self.port = process, port

    def get(self, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        """The status and the JSON of an answer; (0, None) where nobody listens."""
        headers = {"content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urlopen(Request(url, data, headers), timeout=60) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, None

    def wait_ready(self) -> None:
        while self.get("/health")[0] != 200:
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.1)

    def end(self, signal_: int) -> tuple[int, str]:
        """The exit code, and what was printed."""
        self.process.send_signal(signal_)
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out


@contextmanager
def served(*arguments: str, token: str = "") -> Iterator[Served]:
    port = free_port()
    own = {name: v for name, v in os.environ.items() if name != "INSTRUCTNER_TOKEN"}
    command = [sys.executable, "-m", "spacy", "instructner", "serve", *arguments]
    process = subprocess.Popen(
        [*command, "--api-only", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=own | ({"INSTRUCTNER_TOKEN": token} if token else {}),
    )
    try:
        server = Served(process, port)
        server.wait_ready()
        yield server
    finally:
        process.kill()
        process.communicate()


@pytest.mark.long
@ends_by_signal
def test_the_command(folder: Path) -> None:
    with served(str(folder), "--characters", "50", "--waiting", "2") as server:
        asked = {"texts": ["Anna met Bert in Paris."]}
        status, answer = server.get("/v1/annotate", asked)
        assert status == 200 and answer["results"][0]["error"] is None
        assert server.get("/v1/labels")[1]["labels"] == LABELS
        assert server.get("/v1/annotate", {"texts": ["x" * 51]})[0] == 413
        assert server.get("/v1/annotate", {"texts": ["x"] * 3})[0] == 413
        code, out = server.end(signal.SIGINT)
    assert f"http://127.0.0.1:{server.port}" in out and "Traceback" not in out
    # What was asked is nowhere in the log.
    assert "Anna" not in out and code in (0, 1, 130, -signal.SIGINT)


@pytest.mark.long
def test_other_machines_need_the_token(folder: Path) -> None:
    arguments = [str(folder), "--host", "0.0.0.0"]
    refused = CliRunner().invoke(app, ["serve", *arguments, "--api-only"])
    assert refused.exit_code == 1 and "INSTRUCTNER_TOKEN" in refused.output
    with served(*arguments, token=TOKEN) as server:
        assert server.get("/v1/labels")[0] == 401
        assert server.get("/v1/labels", token=TOKEN + "x")[0] == 401
        assert server.get("/v1/labels", token=TOKEN)[0] == 200


@pytest.fixture(scope="module")
def slow(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that serve a slow pipeline, text by text."""
    made = tmp_path_factory.mktemp("slow")
    code = made / "slow.py"
    code.write_text(SLOW)
    import_file("slow", code)
    nlp = spacy.load(folder)
    nlp.add_pipe("takes_its_time")
    nlp.to_disk(made / "pipeline")
    return [str(made / "pipeline"), "--code", str(code), "--batch", "1"]


@pytest.mark.long
@ends_by_signal
@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_answered_before_the_end(
    slow: list[str], signal_: int
) -> None:
    answers: list[tuple[int, Any]] = []
    with served(*slow) as server:

        def ask() -> None:
            answers.append(server.get("/v1/annotate", {"texts": ["Anna met Bert."]}))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        # One is being annotated, one waits.
        url = f"http://127.0.0.1:{server.port}/metrics"
        while b"instructner_queue_texts 1.0" not in urlopen(url).read():
            time.sleep(0.05)
        _, out = server.end(signal_)
        for thread in threads:
            thread.join(60)
        assert server.get("/health") == (0, None)
    assert [status for status, _ in answers] == [200, 200], out
    assert answers[0] == answers[1] and "Traceback" not in out


def test_what_cannot_be_served(folder: Path, tmp_path: Path) -> None:
    for arguments, said in (
        ([str(tmp_path / "nowhere")], "E050"),
        ([str(folder), "--token", "short"], "16 characters or more"),
        ([str(folder), "--token", ""], "16 characters or more"),
        ([str(folder), "--batch", "0"], "`texts` must be 1 or more"),
        ([str(folder), "--batch-wait", "-1"], "`wait` must be 0 or more"),
        ([str(folder), "--waiting", "0"], "`waiting` must be a number above 0"),
        ([str(folder), "--save-to", str(tmp_path / "x")], "`--save-to` is for"),
        ([str(folder), "--name", "*.example"], "must be a whole name"),
    ):
        line = ["serve", *arguments, "--api-only", "--port", str(free_port())]
        done = CliRunner().invoke(app, line)
        out = " ".join(done.output.split())
        assert done.exit_code == 1 and said in out, out
    for option in (["--batch", "2"], ["--batch-wait", "1"]):
        done = CliRunner().invoke(app, ["serve", str(folder), *option])
        assert done.exit_code == 1 and f"`{option[0]}` is for" in done.output
