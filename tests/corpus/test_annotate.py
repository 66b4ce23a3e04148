"""`python -m spacy instructner annotate`, also killed halfway."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import spacy
from typer.testing import CliRunner

from helpers.towns import elsewhere, files
from spacy_instructner.cli import app


def line(pipeline: Path, corpus: Path, output: Path, *more: str) -> list[str]:
    own = ["annotate", str(pipeline), str(corpus), str(output), "--chunk", "5"]
    return [*own, *more]


def test_the_command(pipeline: Path, corpus: Path, tmp_path: Path) -> None:
    def run_it(*more: str) -> Any:
        return CliRunner().invoke(app, line(pipeline, corpus, tmp_path / "out", *more))

    done = run_it("--text")
    assert done.exit_code == 0, done.output
    assert "95 texts" in done.output and "1 texts could not be annot" in done.output
    assert len(list((tmp_path / "out").glob("part-*.jsonl"))) == 19
    again = run_it("--text")
    assert again.exit_code == 1 and "--resume" in again.output
    assert run_it("--text", "--resume").exit_code == 0
    for wrong, said in (
        (["--shard", "x"], "i/n"),
        (["--format", "xml"], "jsonl"),
        (["--chunk", "0"], "at least 1"),
        (["--engine", "steam"], '"plain" or "ray"'),
        (["--label", "TOWN"], "has no instruction_ner"),
    ):
        failed = run_it(*wrong)
        # Messages are wrapped, by what the path to the pipeline leaves of a line.
        assert failed.exit_code == 1 and said in " ".join(failed.output.split())


@pytest.mark.long
def test_standard_input(pipeline: Path, corpus: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        elsewhere(pipeline, line(pipeline, Path("-"), tmp_path / "out")),
        input=corpus.read_bytes(),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    CliRunner().invoke(app, line(pipeline, corpus, tmp_path / "other"))
    found, other = files(tmp_path / "out"), files(tmp_path / "other")
    parts = [name for name in found if name.startswith("part")]
    assert parts and all(found[name] == other[name] for name in parts)


@pytest.mark.long
def test_what_a_component_warns_of_is_heard_once(
    pipeline: Path, corpus: Path, tmp_path: Path
) -> None:
    nlp = spacy.load(pipeline)
    nlp.add_pipe("warns")
    nlp.to_disk(pipeline)
    command = elsewhere(pipeline, line(pipeline, corpus, tmp_path / "out"))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count("Warning: have a care") == 1
    command[1:1] = ["-W", "error"]
    command[command.index(str(tmp_path / "out"))] = str(tmp_path / "strict")
    strict = subprocess.run(command, capture_output=True, text=True)
    assert "have a care" in strict.stdout + strict.stderr


def kill_at(command: list[str], output: Path, share: float, chunks_: int) -> float:
    """Start a command, kill it when about this share of the chunks is done. RETURNS:
    the share that was."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    def done() -> int:
        return len(list(output.glob("part-??????.json")))

    while process.poll() is None and done() < share * chunks_:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return done() / chunks_


@pytest.mark.long
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_a_killed_run_is_resumed(
    pipeline: Path, corpus: Path, tmp_path: Path, share: float
) -> None:
    CliRunner().invoke(app, line(pipeline, corpus, tmp_path / "whole"))
    out = tmp_path / "out"
    command = line(pipeline, corpus, out)
    done = kill_at(elsewhere(pipeline, command), out, share, 19)
    assert share <= done < 1.0
    result = CliRunner().invoke(app, [*command, "--resume"])
    assert result.exit_code == 0, result.output
    found, whole = files(out), files(tmp_path / "whole")
    # A file that was being written when the end came is not one of the output.
    assert {n: c for n, c in found.items() if not n.startswith(".")} == whole
