"""Files and folders that are there whole or not at all, and the JSON in them. Source:
ours."""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4


def write_whole(path: Path, content: bytes) -> None:
    """Write aside, then put in place; several processes, on several machines, may do
    so at once."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}")
    aside.write_bytes(content)
    os.replace(aside, path)


def put_folder(new: Path, folder: Path) -> None:
    """Put a folder in the place of one that may be there, which stays until then, and
    where that fails."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def to_json(value: Any, indent: int | None = 2, sort_keys: bool = False) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=sort_keys)
    return f"{text}\n".encode()


def to_lines(rows: Iterable[Any]) -> bytes:
    """JSON Lines."""
    return b"".join(to_json(row, indent=None) for row in rows)
