"""True positives, false positives and false negatives of each text of a run, as a short text:
what paired intervals are made of.

A text has a character of `DIGITS`, mostly: its place there is TP + 4 FP + 16 FN, of which
each is from 0 to 3. Greater numbers are written to base four, a character for each place,
the highest first, behind as many `MORE` as there are characters besides the last:

    AABQ.BA      0 0 0,  0 0 0,  1 0 0,  0 0 1,  4 0 0

500 short sentences take about 600 bytes. Source: ours."""

from collections.abc import Iterable, Mapping
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

import numpy as np
from numpy.typing import NDArray

BASE = 4
DIGITS = ascii_uppercase + ascii_lowercase + digits + "+-"
MORE = "."
KINDS = ("tp", "fp", "fn")
PLACE = {digit: at for at, digit in enumerate(DIGITS)}


def encode(counts: Iterable[Iterable[int]]) -> str:
    """counts: TP, FP, FN of each text. Raises ValueError for a number below zero and for
    a text that has not three."""
    return "".join(map(_encoded, counts))


def _encoded(numbers: Iterable[int]) -> str:
    left = [int(number) for number in numbers]
    if len(left) != len(KINDS) or min(left) < 0:
        raise ValueError(f"A text has three numbers from 0, not {left}.")
    places = ""
    while any(left) or not places:
        tp, fp, fn = (number % BASE for number in left)
        places = DIGITS[tp + BASE * fp + BASE**2 * fn] + places
        left = [number // BASE for number in left]
    return MORE * (len(places) - 1) + places


def decode(text: str) -> NDArray[np.int64]:
    """RETURNS: TP, FP, FN (columns) of each text (rows). Raises ValueError for what
    `encode` does not write."""
    rows: list[tuple[int, ...]] = []
    at = 0
    while at < len(text):
        first = at
        while text[at : at + 1] == MORE:
            at += 1
        places = text[at : 2 * at - first + 1]
        if len(places) < at - first + 1 or any(own not in PLACE for own in places):
            raise ValueError(f"These are no counts by text: {text[first:][:20]!r}.")
        values = [PLACE[own] for own in places]
        rows.append(
            tuple(
                sum(
                    value // BASE**kind % BASE * BASE**power
                    for power, value in enumerate(reversed(values))
                )
                for kind in range(len(KINDS))
            )
        )
        at += len(places)
    return np.array(rows, dtype=np.int64).reshape(-1, len(KINDS))


def text_counts(record: Mapping[str, Any]) -> NDArray[np.int64] | None:
    """A run's counts by text, as `decode` gives them; None where its row has none.

    Earlier rows have them as lists of numbers, by kind. Raises ValueError where they are
    of fewer or more texts than the run scored."""
    kept = record.get("by_text")
    if kept is None:
        return None
    if isinstance(kept, str):
        counts = decode(kept)
    else:
        counts = np.array([kept[kind] for kind in KINDS], dtype=np.int64).T
    if len(counts) != record["texts"]:
        wrong = f"counts of {len(counts)} texts, but scored {record['texts']}"
        raise ValueError(f"The run {record['name']} has {wrong}.")
    return counts
