"""An append-only file of events, one JSON object a line, that survives being killed at any
moment. Source: ours.

An event counts once its line end is on the disk: it is flushed and synced before
`append` returns. What a killed process wrote of a line is cut off when the file is opened
again.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...files import to_json

Event = Mapping[str, Any]


class Journal:
    """The events of a file, and a way to add one. One process at a time may have it
    open, and one thread at a time may append."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        path (Path): of the file.
        Raises ValueError, with the line, for a whole line that is no event; OSError
        where the file cannot be read or written."""
        self.path = path
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        # Before anything is changed: a damaged file stays as it is.
        self.events = list(read_events(content[:whole], str(path)))
        self.torn = len(content) - whole
        self._file = path.open("ab", buffering=0)
        self._size, self._broken = whole, False
        if self.torn:
            self._file.truncate(whole)
            os.fsync(self._file.fileno())
        sync_folder(path.parent)

    def append(self, event: Event) -> None:
        """Write an event. Raises OSError where it is not on the disk, such as a full one;
        then nothing of it stays in the file."""
        if self._broken:
            raise OSError(
                f"{self.path} could not be written earlier, and may end in half a line. "
                "Start the server again."
            )
        line = memoryview(to_json(event, indent=None))
        try:
            left = line
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except BaseException:
            self._undo_write()
            raise
        self._size += len(line)

    def _undo_write(self) -> None:
        try:
            self._file.truncate(self._size)
            os.fsync(self._file.fileno())
        except OSError:
            self._broken = True

    def close(self) -> None:
        self._file.close()


def read_events(content: bytes, name: str) -> Iterator[dict[str, Any]]:
    """The events of whole lines. Raises ValueError, with the line, for what is none."""
    for number, line in enumerate(content.splitlines(), 1):
        try:
            event = json.loads(line)
        except ValueError as error:
            raise ValueError(
                f"{name}, line {number}: the line is damaged: {error}. Keep a copy of the "
                "file, and remove the line to open the project without it."
            ) from error
        if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
            raise ValueError(f"{name}, line {number}: this is no event of a project.")
        yield event


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files on the disk, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows has no such thing.
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
