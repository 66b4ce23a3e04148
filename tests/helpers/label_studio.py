"""A Label Studio on this machine, driven through its API."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

# The program, where it is not on the path: Label Studio has an environment of its own.
PROGRAM = "LABEL_STUDIO"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
USER, PASSWORD = "tester@example.org", "a-secret-of-tests"
# Nothing is sent or looked up elsewhere; a backend on the same machine is allowed.
QUIET = {
    "ML_BLOCK_LOCAL_IP": "False",
    "SSRF_PROTECTION_ENABLED": "False",
    "COLLECT_ANALYTICS": "False",
    "LATEST_VERSION_CHECK": "False",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
}


def find_label_studio() -> str | None:
    """The program, or None."""
    return os.environ.get(PROGRAM) or shutil.which("label-studio")


class StudioApi:
    """Label Studio's API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, body: Any = None, method: str = "") -> Any:
        """Ask for a path with a JSON body, where there is one."""
        headers = {
            "authorization": f"Token {TOKEN}",
            "content-type": "application/json",
        }
        data = None if body is None else json.dumps(body).encode()
        asked = Request(f"{self.url}{path}", data, headers, method=method or None)
        try:
            with urlopen(asked, timeout=180) as answer:
                content = answer.read()
        except HTTPError as error:
            said = error.read().decode("utf8", "replace")
            raise AssertionError(f"{path}: {error.code}, {said[:2000]}") from error
        return json.loads(content) if content else None

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """The tasks of a project with annotations and predictions."""
        path = f"/api/tasks?project={project}&fields=all&page_size=100"
        found: list[dict[str, Any]] = self.ask(path)["tasks"]
        return sorted(found, key=lambda each: each["id"])

    def predict_all(self, project: int) -> None:
        """Ask the machine-learning backend for predictions of all tasks, as the data
        manager does."""
        body = {"selectedItems": {"all": True, "excluded": []}, "project": project}
        action = "retrieve_tasks_predictions"
        self.ask(f"/api/dm/actions?id={action}&project={project}", body)

    def newest(self, project: int) -> dict[int, dict[str, Any]]:
        """The newest prediction of each task, by the task."""
        found: dict[int, dict[str, Any]] = {}
        for each in self.ask(f"/api/predictions/?project={project}"):
            before = found.get(each["task"])
            if before is None or each["id"] > before["id"]:
                found[each["task"]] = each
        return found


@contextmanager
def running_label_studio(program: str, folder: Path, port: int) -> Iterator[StudioApi]:
    """A fresh Label Studio, until the end of the context."""
    # fmt: off
    command = [
        program, "start", "--no-browser", "--internal-host", "127.0.0.1",
        "--port", str(port), "--username", USER, "--password", PASSWORD,
        "--user-token", TOKEN, "--enable-legacy-api-token", "--log-level", "WARNING",
    ]
    # fmt: on
    # What this project is tested with is none of its business.
    own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DEBUG")}
    own |= {**QUIET, "LABEL_STUDIO_BASE_DATA_DIR": str(folder)}
    api = StudioApi(f"http://127.0.0.1:{port}")
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=own)
        try:
            wait_for(api, process, folder / "log.txt")
            yield api
        finally:
            process.terminate()
            process.wait(60)


def wait_for(api: StudioApi, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until it answers; its first start takes a minute, or more."""
    until = time.monotonic() + 900
    while True:
        assert process.poll() is None and time.monotonic() < until, log.read_text()
        try:
            api.ask("/api/projects")
            return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(1)
