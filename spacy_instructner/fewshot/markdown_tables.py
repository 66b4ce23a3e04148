"""Tables in Markdown. Source: ours."""

import re
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Nothing in an entry can end the entry, the row or the section."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(literal, line))} |" for line in lines)


def literal(value: object) -> str:
    """On one line, without tags and comments. `Code` stays code."""
    text = re.sub(r"\s+", " ", str(value)).replace("\\", r"\\").replace("|", r"\|")
    return re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")


def escaped(text: str) -> str:
    """So that it reads as it is: nothing in it is code, a link or bold."""
    return re.sub(r"([`*\[\]])", r"\\\1", literal(text))
