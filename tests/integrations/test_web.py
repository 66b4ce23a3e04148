"""Who may ask the servers for annotation tools, and how they begin and end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from typer import Exit

from helpers.places import ROOT
from helpers.serving import free_port

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from integrations.web import PASSWORD, host_names, open_pipelines, read_password

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
}


def test_whoever_can_reach_it_from_elsewhere_has_a_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(host: str, user: str, said: str) -> None:
        with pytest.raises(Exit):
            read_password(host, user)
        assert said in "".join(capsys.readouterr())

    monkeypatch.delenv(PASSWORD, raising=False)
    for host in ("127.0.0.1", "::1", "localhost"):
        assert read_password(host, "") == ""
        refused(host, "ann", PASSWORD)
    refused("0.0.0.0", "", "--user")
    monkeypatch.setenv(PASSWORD, "secret")
    refused("0.0.0.0", "", "--user")
    assert read_password("0.0.0.0", "ann") == "secret"
    assert read_password("127.0.0.1", "") == ""
    monkeypatch.setenv(PASSWORD, "geheim ü")
    refused("127.0.0.1", "ann", "ASCII")


def test_names_of_this_machine() -> None:
    assert host_names("::1", ["box"]) == ["[::1]", "localhost", "127.0.0.1", "box"]


def test_what_cannot_be_served_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exit):
        open_pipelines(str(tmp_path / "none"), tmp_path / "models", None, -1)
    assert "Cannot serve" in "".join(capsys.readouterr())


@pytest.mark.long
@pytest.mark.parametrize("part", ["label_studio", "inception"])
def test_the_programs(part: str, base: Path, tmp_path: Path) -> None:
    """They answer at their port, and end by Ctrl-C."""
    if part == "inception":
        pytest.importorskip("cassis")
    port = free_port()
    # fmt: off
    command = [
        sys.executable, "-m", f"integrations.{part}", str(base),
        "--models", str(tmp_path / "models"), "--port", str(port),
    ]
    # fmt: on
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT
    )
    try:
        answer = None
        while answer is None and process.poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{port}/status") as found:
                    answer = json.load(found)
            except HTTPError:
                raise
            except OSError:
                time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    assert answer == {}, out
    assert f"http://127.0.0.1:{port}" in out.decode()
    assert "Traceback" not in out.decode()
    assert (tmp_path / "models").is_dir()


@pytest.mark.parametrize("part", ["label_studio", "inception"])
def test_the_programs_refuse_to_be_open_to_all(part: str, tmp_path: Path) -> None:
    if part == "inception":
        pytest.importorskip("cassis")
    command = [sys.executable, "-m", f"integrations.{part}", str(tmp_path)]
    own = {k: v for k, v in ENVIRONMENT.items() if k != PASSWORD}
    done = subprocess.run(
        [*command, "--host", "0.0.0.0"], capture_output=True, text=True, env=own
    )
    assert done.returncode == 1
    assert "Everyone who reaches 0.0.0.0" in done.stdout + done.stderr
    assert not (tmp_path / "models").exists()
