"""A journal that is killed at any byte opens to its whole lines, and says what it lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_instructner.serving.project.journal import Journal, read_events

EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.just("x"),
            "text": st.text(st.characters(exclude_categories=["Cs"])),
        }
    ),
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(events=EVENTS, at=st.floats(0, 1))
def test_any_prefix_opens_to_its_whole_lines(
    tmp_path: Path, events: list[dict[str, Any]], at: float
) -> None:
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()
    content = path.read_bytes()
    assert list(read_events(content, "x")) == events
    cut = round(at * len(content))
    path.write_bytes(content[:cut])
    again = Journal(path)
    whole = content[:cut].count(b"\n")
    assert again.events == events[:whole]
    assert again.torn == cut - len(path.read_bytes())
    # What is added now stands on a line of its own.
    again.append({"kind": "y"})
    again.close()
    assert list(read_events(path.read_bytes(), "x")) == [
        *events[:whole],
        {"kind": "y"},
    ]


def test_a_damaged_line_is_named_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for damaged in (b'{"kind": "x"}\n{"ki\n{"kin', b'{"kind": "x"}\n[1]\n'):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="line 2"):
            Journal(path)
        assert path.read_bytes() == damaged


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append({"kind": "x"})
    before = path.read_bytes()

    def full(number: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        raise OSError(28, "No space left on device")

    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        journal.append({"kind": "y"})
    assert path.read_bytes() == before
    journal.append({"kind": "z"})
    assert path.read_bytes() == before + b'{"kind": "z"}\n'


WRITER = """
import sys
from pathlib import Path
from spacy_instructner.serving.project.journal import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(10**9):
    journal.append({"kind": "x", "number": number, "more": "x" * (number % 7000)})
    print(number, flush=True)
"""


@pytest.mark.long
def test_what_was_said_to_be_written_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    said += [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait()
    numbers = [event["number"] for event in Journal(path).events]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= len(said)
