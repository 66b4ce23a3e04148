"""A study: one file of JSON Lines, to which each run is added when it is done.

    {"kind": "machine", "id": "5f0c0e7a10b2", "cpu": "...", "torch": "2.13.0", ...}
    {"kind": "config", "id": "91ab6e3f7c54", "config": {...}}
    {"kind": "run", "name": "mit.at-least-k-5.0.ours", "f1": 0.61, ...}

A machine and a config stand once; a run names both by their `id` and holds what was
counted: no text, no offset, no path.

What is cut off by a crash is the last line alone: readers leave it out, and the next
writer takes it away. Source: ours."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from filelock import FileLock, Timeout

from .grid import Run

FORMAT = 2
# What is known of a run, as plain data. `runs.measured` says what it has.
Record = dict[str, Any]
# Parts of a record that stand once in a file.
SHARED = ("machine", "config")
COMPACT: Any = {"ensure_ascii": False, "separators": (",", ":")}


class Study:
    """The file of a study, which need not be there yet, and its locks beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.locks = path.with_name(f".{path.name}.locks")

    def lines(self) -> list[Record]:
        """Every line as it is, without one that was cut off. Raises ValueError with the
        number of a line that is something else, OSError as opening a file does."""
        if not self.path.exists():
            return []
        whole, _, _ = self.path.read_bytes().rpartition(b"\n")
        rows: list[Record] = []
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                rows.append(json.loads(line))
                if rows[-1]["kind"] == "run" and rows[-1]["format"] != FORMAT:
                    raise ValueError(f"its format is not {FORMAT}")
            except (ValueError, KeyError, TypeError) as error:
                message = f"{self.path}, line {number} is of no study: {error}."
                raise ValueError(message) from error
        return rows

    def records(self) -> list[Record]:
        """Every run, with the machine that it names; its config stays an id."""
        rows = self.lines()
        machines = {
            row["id"]: {name: row[name] for name in row if name not in ("kind", "id")}
            for row in rows
            if row["kind"] == "machine"
        }
        return [
            {**row, "machine": machines.get(row.get("machine"), {})}
            for row in rows
            if row["kind"] == "run"
        ]

    def names(self) -> set[str]:
        return {row["name"] for row in self.lines() if row["kind"] == "run"}

    def add(self, record: Mapping[str, Any]) -> None:
        """Write a run at the end, on the disk when this returns. A `config`, where it
        has one, and the `machine` are written once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.lock_of("")):
            there = {row["id"] for row in self.lines() if "id" in row}
            row = {"kind": "run", "format": FORMAT, **record}
            rows: list[Record] = []
            for part in (name for name in SHARED if name in record):
                own = record[part] if part == "machine" else {part: record[part]}
                row[part] = hash_of(record[part])
                shared = {"kind": part, "id": row[part], **own}
                rows += [] if row[part] in there else [shared]
            with self.path.open("ab+") as file_:
                file_.seek(0)
                _, _, torn = file_.read().rpartition(b"\n")
                file_.truncate(file_.tell() - len(torn))
                lines = (json.dumps(own, **COMPACT) + "\n" for own in (*rows, row))
                file_.write("".join(lines).encode("utf8"))
                file_.flush()
                os.fsync(file_.fileno())

    def once(self, name: str, make: Callable[[], Record]) -> Record | None:
        """Make a record and add it; None where a run of this name is there, or where
        another process is at it. The system takes a lock back from a process that is
        killed. Raises what `make` raises; nothing is added then."""
        lock = FileLock(self.lock_of(name), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return None
        try:
            if name in self.names():
                return None
            record = {"name": name, **make()}
            self.add(record)
        finally:
            lock.release()
        return record

    def lock_of(self, name: str) -> Path:
        """The lock of a run, or of the file itself (""), in a folder that is there."""
        self.locks.mkdir(parents=True, exist_ok=True)
        return self.locks / f"{hash_of(name)}.lock"


def hash_of(value: Any) -> str:
    """Twelve hexadecimal digits that stand for plain data, whatever its order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf8")).hexdigest()[:12]


def left(runs: Sequence[Run], records: Sequence[Record]) -> tuple[int, float | None]:
    """How many runs are not measured, and about how many seconds they take: as the
    measured ones of the same method and data, else of the method, else all. None where
    nothing is measured."""
    known: dict[tuple[str, ...], list[float]] = {}
    for record in records:
        for key in ((record["method"], record["data"]), (record["method"],), ()):
            known.setdefault(key, []).append(sum(record["seconds"].values()))
    done = {record["name"] for record in records}
    rest = [run for run in runs if run.name not in done]
    if not known:
        return len(rest), None
    expected = []
    for run in rest:
        keys = ((run.method.name, run.data.name), (run.method.name,), ())
        expected.append(mean(next(known[key] for key in keys if key in known)))
    return len(rest), float(sum(expected))
