"""What goes wrong with a file. Each returns its bytes, and what may be read of them."""

import gzip
import random
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Damaged:
    """content: the file; name: what it is called now; encoding: what the reader is told;
    right: whether it must be read, all of it, and rightly."""

    content: bytes
    name: str
    encoding: str = "utf8"
    right: bool = False


def swapped_case(name: str, rng: random.Random) -> str:
    return "".join(rng.choice((c.lower(), c.upper())) for c in name)


def is_utf8(content: bytes) -> bool:
    """Is it good UTF-8, as which other encodings may be read too? Nobody can tell. (A
    reader that tells by NUL characters can.)"""
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def of_bytes(
    name: str, text: str, rng: random.Random, chinese: str = "gb18030"
) -> Damaged:
    """What may happen to any text file."""
    whole = text.encode()
    kind = rng.randrange(10)
    if kind == 0:
        return Damaged(whole, name, right=True)
    if kind == 1:
        return Damaged(b"\xef\xbb\xbf" + whole, swapped_case(name, rng), right=True)
    if kind == 2:
        packed = gzip.compress(whole, 1)
        name = swapped_case(f"{name}.gz", rng)
        if rng.random() < 0.5:
            return Damaged(packed, name, right=True)
        return Damaged(packed[: rng.randrange(len(packed) - 8)], name)
    if kind == 3:
        ends = text.replace("\n", rng.choice(("\r\n", "\r")))
        return Damaged(ends.encode(), name, right=True)
    if kind in (4, 5):
        encoding = rng.choice(("utf-16", "utf-32", "utf-16-le", chinese, "utf-16-be"))
        content = text.encode(encoding)
        if kind == 5:
            return Damaged(content, name, encoding, right=True)
        if is_utf8(content):
            content = whole
        return Damaged(content, name, right=content == whole)
    if kind == 6:
        content = text.encode("cp1252", "replace")
        if "?" in content.decode("cp1252") or is_utf8(content):
            content = whole
        return Damaged(content, name, right=content == whole)
    at = rng.randrange(len(whole))
    if kind == 7:
        return Damaged(whole[:at] + b"\0" + whole[at:], name)
    if kind == 8:
        return Damaged(whole[:at] + b"\xff" + whole[at + 1 :], name)
    return Damaged(whole[:at], name)


def dicts_of(value: Any) -> list[Any]:
    """All objects of a value, and all lists that are spans."""
    found = [value] if isinstance(value, dict) else []
    if isinstance(value, list):
        if any(isinstance(each, int) for each in value):
            found.append(value)
    inside = value.values() if isinstance(value, dict) else value
    if isinstance(value, (dict, list)):
        for each in inside:
            found.extend(dicts_of(each))
    return found


def of_json(row: Any, rng: random.Random) -> None:
    """Damage one row: a key is renamed or lost, two values change places, or one is of
    another kind."""
    own = rng.choice(dicts_of(row))
    keys = list(own) if isinstance(own, dict) else list(range(len(own)))
    kind = rng.randrange(4)
    key = rng.choice(keys)
    if key == "label" and "annotator" in own:
        # Without it, nobody has marked anything.
        kind = 3
    if kind == 0 and isinstance(own, dict):
        renamed = rng.choice((key.upper(), f"{key}s_", key[1:] + key[0], f"my_{key}"))
        own[renamed] = own.pop(key)
    elif kind == 1 and isinstance(own, dict):
        own.pop(key)
    elif kind == 2:
        other = rng.choice(keys)
        own[key], own[other] = own[other], own[key]
    else:
        wrong = {str: (7, [7], {}), int: ("7", None, 0.5), list: (7, "x", {})}
        own[key] = rng.choice(wrong.get(type(own[key]), ("x", 7)))


def of_columns(lines: list[list[str]], rng: random.Random, place: int = -1) -> None:
    """Damage lines of columns: the last one is elsewhere, in one line or in all, is
    missing, or of another scheme."""
    wordy = [
        line
        for line in lines
        # A word that looks like a tag could as well be one.
        if len(line) > 1 and line[0] != "#" and not re.search("^(B-5|e-m)", line[0])
    ]
    width = len(wordy[0])
    tag = place % width
    kind = rng.randrange(5)
    line = rng.choice(wordy)
    if kind == 0 and not any("-" in each[0] for each in wordy):
        other = 3 if width == 12 else rng.randrange(width)
        for each in lines:
            if len(each) == width and each[0] != "#begin document (a); part 000":
                each[tag], each[other] = each[other], each[tag]
    elif kind == 1:
        line[0], line[tag] = line[tag], line[0]
    elif kind == 2:
        line.pop(tag)
    elif kind == 3:
        tagged = [each for each in wordy if "-" in each[tag] or "(" in each[tag]]
        line = rng.choice(tagged)
        line[tag] = rng.choice(("Q", "?", "7")) + line[tag][1:]
    else:
        line[tag] = ""
