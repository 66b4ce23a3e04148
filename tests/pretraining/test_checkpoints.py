"""Training that goes on where it was broken off."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from thinc.api import Config

from helpers.pretraining import WORDING, result, steps_of, told
from spacy_instructner.pretraining import checkpoints
from spacy_instructner.pretraining.loop import LOG, pretrain, settings_that_count


@pytest.mark.long
def test_a_killed_run_goes_on(config: Config, tmp_path: Path) -> None:
    """Killed at any moment: also between writing the log and the checkpoint."""
    assert pretrain(config, tmp_path / "one")
    config.to_disk(tmp_path / "config.cfg")
    line = [sys.executable, "-m", "spacy", "instructner", "pretrain"]
    line += [str(tmp_path / "config.cfg"), str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    log = tmp_path / "two" / LOG
    killed = 0
    for lines in (2, 4):
        process = subprocess.Popen(
            line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        while process.poll() is None and len(read_lines(log)) < lines:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed == 2
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "All steps are done" in done.stdout, done.stdout
    assert told(tmp_path / "two") == told(tmp_path / "one")
    assert result(tmp_path / "two") == result(tmp_path / "one")


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_another_config_does_not_go_on(config: Config, tmp_path: Path) -> None:
    assert not pretrain(config, tmp_path, seconds=0.0)
    config["training"]["optimizer"]["L2"] = 0.1
    with pytest.raises(ValueError, match="differ in training.optimizer.L2. Name"):
        pretrain(config, tmp_path)
    assert steps_of(tmp_path) == [0, 2]
    config["training"]["optimizer"]["L2"] = 0.0
    # What is in a file counts, not where it lies; nor on what it runs.
    words = Path(config["paths"]["wording"])
    config["paths"]["wording"] = str(words.rename(tmp_path / "elsewhere.json"))
    config["components"]["instruction_ner"]["device"] = "cpu"
    # Texts bring the names of their labels.
    config["components"]["instruction_ner"]["known_labels"] = False
    assert not pretrain(config, tmp_path, seconds=0.0)
    assert steps_of(tmp_path) == [0, 2, 4]
    (tmp_path / "elsewhere.json").write_text(
        json.dumps({**WORDING, "X": WORDING["TOOL"]})
    )
    with pytest.raises(ValueError, match="differ in corpora.dev.wording, corpora.tr"):
        pretrain(config, tmp_path)


def test_a_folder_of_a_corpus_counts_by_its_contents(tmp_path: Path) -> None:
    def count(folder: Path) -> dict[str, str]:
        blocks = {"corpora": {"train": {"base": str(folder)}}, "other": str(folder)}
        return settings_that_count(Config(blocks))

    (tmp_path / "one" / "source").mkdir(parents=True)
    (tmp_path / "one" / "source" / "rows").write_text("a")
    first = count(tmp_path / "one")
    assert first["corpora.train.base"].startswith("sha256:")
    assert first["other"] == json.dumps(str(tmp_path / "one"))
    (tmp_path / "one").rename(tmp_path / "two")
    assert count(tmp_path / "two")["corpora.train.base"] == first["corpora.train.base"]
    (tmp_path / "two" / "source" / "rows").write_text("b")
    assert count(tmp_path / "two")["corpora.train.base"] != first["corpora.train.base"]


def test_one_at_a_time(config: Config, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"):
        with pytest.raises(ValueError, match="Another process trains in"):
            pretrain(config, tmp_path)


@pytest.mark.long
def test_a_torn_line_of_the_log_is_written_again(
    config: Config, tmp_path: Path
) -> None:
    assert pretrain(config, tmp_path / "one")
    assert not pretrain(config, tmp_path / "two", seconds=0.0)
    with (tmp_path / "two" / LOG).open("a") as file_:
        file_.write('{"step": 4, "te')
    assert pretrain(config, tmp_path / "two")
    assert told(tmp_path / "two") == told(tmp_path / "one")


@pytest.mark.parametrize("at", range(7))
def test_a_checkpoint_is_whole_at_any_time(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The end comes at each of the steps in which one takes the place of another; at
    the last of them, nothing is left to do."""
    assert not pretrain(config, tmp_path, seconds=0.0)
    calls = 0

    def until(do: Callable[..., Any]) -> Callable[..., Any]:
        def done(*given: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            return do(*given, **named)

        return done

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.shutil, "rmtree", until(shutil.rmtree))
        patched.setattr(checkpoints.Path, "rename", until(Path.rename))
        if 0 < at < 6:
            with pytest.raises(KeyboardInterrupt):
                pretrain(config, tmp_path, seconds=0.0)
        else:
            assert not pretrain(config, tmp_path, seconds=0.0)
            assert calls == 5
    assert not pretrain(config, tmp_path, seconds=0.0)
    steps = steps_of(tmp_path)
    # The checkpoint before, or the one that was being written: never the start.
    assert steps == sorted(set(steps)) and steps[-1] in (4, 6)
