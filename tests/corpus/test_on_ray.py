"""A corpus on Ray."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers.towns import CODE, elsewhere, files, make_pipeline
from spacy_instructner.cli import app

DIES = """
import os
import signal
from pathlib import Path
from spacy.language import Language

@Language.factory("dies_once", default_config={"marker": ""})
def make_dies_once(nlp, name, marker: str):
    def dies_once(doc):
        # Only once over, and never in the process that only reads the pipeline.
        if "Paris and Paris" in doc.text and not Path(marker).exists():
            Path(marker).write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return doc
    return dies_once
"""


def test_ray_does_the_same_and_survives_the_loss_of_a_worker(
    corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    (tmp_path / "code.py").write_text(CODE + DIES)
    marker = tmp_path / "died"
    exec(DIES, {})
    nlp = make_pipeline()
    nlp.add_pipe("dies_once", config={"marker": str(marker)})
    nlp.to_disk(tmp_path / "pipeline")
    command = [
        *("annotate", str(tmp_path / "pipeline"), str(corpus)),
        *("--chunk", "5", "--text"),
    ]
    on_ray = [*command, str(tmp_path / "ray"), "--engine", "ray", "--workers", "2"]
    done = subprocess.run(
        elsewhere(tmp_path / "pipeline", on_ray),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(marker.read_text()) > 0
    # What goes wrong there is told as here.
    (tmp_path / "bad.txt").write_text("BOOM\n" * 20)
    other = [
        *command[:2],
        str(tmp_path / "bad.txt"),
        str(tmp_path / "bad"),
        *command[3:],
    ]
    failed = subprocess.run(
        elsewhere(tmp_path / "pipeline", [*other, "--chunk", "10", "--engine", "ray"]),
        capture_output=True,
        text=True,
    )
    told = " ".join((failed.stdout + failed.stderr).split())
    assert failed.returncode == 1 and "None of the 10 texts of chunk 0" in told
    plain = CliRunner().invoke(app, [*command, str(tmp_path / "plain")])
    assert plain.exit_code == 0, plain.output
    assert files(tmp_path / "ray") == files(tmp_path / "plain")
