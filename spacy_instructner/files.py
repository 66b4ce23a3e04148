"""Files and folders that are whole or absent, what they hold as JSON, and their SHA-256. Source: ours."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside, then rename it. Several processes, on several machines, may write
    it at once."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}")
    aside.write_bytes(content)
    os.replace(aside, path)


def put_folder(new: Path, folder: Path) -> None:
    """Rename a folder to the name of another, which is replaced if it exists. The old
    folder stays until then, and if the renaming fails."""
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


def sha256_of(files: Iterable[Path]) -> str:
    """The SHA-256 of files, one after the other."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file_:
            while block := file_.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def to_json(value: Any, indent: int | None = 2, sort_keys: bool = False) -> bytes:
    """A value as JSON in UTF-8, with a line end."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=sort_keys)
    return f"{text}\n".encode()


def to_lines(rows: Iterable[Any]) -> bytes:
    """Values as JSON Lines in UTF-8."""
    return b"".join(to_json(row, indent=None) for row in rows)
