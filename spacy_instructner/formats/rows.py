"""A text with its annotation, whatever file it comes from: plain data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..char_spans import CharSpan

# Chinese and Japanese have no space between words.
UNSPACED = re.compile(
    "[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Problem:
    """Something of a file that was changed or left out.

    where: file and line; why: the reason; kind: "span" for an entity that was left out,
    "row" for a text that was left out, such as a rejected task, "note" if nothing was
    left out."""

    where: str
    why: str
    kind: Literal["span", "row", "note"] = "span"

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass(frozen=True)
class Row:
    """A text with its entities.

    where: file and line; text: None if the file has only words (`spaces_after` tells the
    spaces between them); tokens: the file's own words, None if the pipeline is to cut the
    text; spans: the entities;

    unknown: start and end of each part of the text that is not annotated; lost: each
    part that may hold an entity of this label but none of another label, such as an
    entity whose annotation cannot be kept, or that somebody rejected;

    problems: what was found while reading."""

    where: str
    text: str | None
    tokens: tuple[str, ...] | None = None
    spans: tuple[CharSpan, ...] = ()
    unknown: tuple[tuple[int, int], ...] = ()
    lost: tuple[CharSpan, ...] = ()
    problems: tuple[Problem, ...] = ()


def left_out(problems: Sequence[Problem]) -> str:
    """How many spans and texts were left out, in words; "" for nothing."""
    counts = {
        "spans": sum(each.kind == "span" for each in problems),
        "texts": sum(each.kind == "row" for each in problems),
    }
    return " and ".join(f"{count} {what}" for what, count in counts.items() if count)


def spaces_after(words: Sequence[str]) -> list[bool]:
    """Whether a space follows each word: always, except between two characters of Chinese
    or Japanese."""
    pairs = zip(words, words[1:])
    return [not (UNSPACED.match(a[-1]) and UNSPACED.match(b[0])) for a, b in pairs] + [
        True
    ] * bool(words)


def word_starts(words: Sequence[str]) -> list[int]:
    """The character that each word begins at, in a text with `spaces_after` them."""
    places, at = [], 0
    for word, space in zip(words, spaces_after(words)):
        places.append(at)
        at += len(word) + space
    return places
