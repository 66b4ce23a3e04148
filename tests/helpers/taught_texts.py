"""Texts in which Anna is a person and Paris a place."""

import re
from typing import Any

from spacy_instructner.char_spans import CharSpan

WORDS = {"Anna": "PERSON", "Paris": "PLACE"}
TEXTS = (
    "Anna lives in Paris.",
    "Paris is where Anna is.",
    "It is an old place.",
    "😀 Anna lives in Paris.",
)


def taught_spans(text: str) -> tuple[CharSpan, ...]:
    """Where Anna and Paris are, by characters."""
    found = re.finditer("|".join(WORDS), text)
    return tuple((each.start(), each.end(), WORDS[each[0]]) for each in found)


def regions_of(
    text: str, tag: str = "label", to_name: str = "text"
) -> list[dict[str, Any]]:
    """The same, as Label Studio keeps them."""
    return [
        {
            "id": f"r{start}",
            "from_name": tag,
            "to_name": to_name,
            "type": "labels",
            "origin": "manual",
            "value": {
                "start": start,
                "end": end,
                "text": text[start:end],
                "labels": [label],
            },
        }
        for start, end, label in taught_spans(text)
    ]
