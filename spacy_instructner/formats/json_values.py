"""JSON Lines, and whole-file JSON: the values of a file with the lines they begin in.
Source: ours."""

import json
import re
from collections.abc import Iterator
from typing import Any

from .text_files import line_of

SPACE = re.compile(r"[ \t\r\n\ufeff]*")


def read_values(text: str, name: str) -> Iterator[tuple[int, Any]]:
    """The values of a text, one after the other. If the only value is an array, its items.

    text, name (str): of the file.
    YIELDS (tuple[int, Any]): the line that a value begins in, and the value. Raises
        ValueError, with that line, for what is not JSON."""
    listed = list(_values(text, name, 0, len(text)))
    if (
        len(listed) == 1
        and isinstance(listed[0][1], list)
        and not is_pair(listed[0][1])
    ):
        begin = text.index("[") + 1
        yield from _values(text, name, begin, text.rindex("]"), ",")
    else:
        yield from listed


def is_pair(value: Any) -> bool:
    """Is a value a text with its annotation, as for the training of spaCy 2?"""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], dict)
    )


def _values(
    text: str, name: str, begin: int, end: int, between: str = ""
) -> Iterator[tuple[int, Any]]:
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    at, line, counted = _after_space(text, begin), 1, 0
    while at < end:
        line, counted = line + line_of(text[counted:at], at) - 1, at
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{name}, line {line}: not a JSON object: {error.msg}, in line "
                f"{line_of(text, error.pos)}, column {error.colno}."
            ) from error
        except RecursionError as error:
            raise ValueError(f"{name}, line {line}: nested too deeply.") from error
        except ValueError as error:
            raise ValueError(
                f"{name}, line {line}: not a JSON object: {error}."
            ) from error
        yield line, value
        at = _after_space(text, at)
        if between and text.startswith(between, at):
            at = _after_space(text, at + len(between))


def _after_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    assert found is not None  # It matches nothing, too.
    return found.end()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"it has the key {twice!r} twice")
    return found
