"""Files that are there whole or not at all, and the JSON in them. Source: ours."""

import json
import os
from pathlib import Path
from typing import Any, Iterable, Optional
from uuid import uuid4


def write_whole(path: Path, content: bytes) -> None:
    """Write aside, then put in place; several processes, on several machines, may do
    so at once."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}")
    aside.write_bytes(content)
    os.replace(aside, path)


def to_json(value: Any, indent: Optional[int] = 2, sort_keys: bool = False) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=sort_keys)
    return f"{text}\n".encode("utf8")


def to_lines(rows: Iterable[Any]) -> bytes:
    """JSON Lines."""
    return b"".join(to_json(row, indent=None) for row in rows)
