"""A page as Markdown, its plots as files beside it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .page import Block, Marked, Page, Plot, Table


def write(page: Page, path: Path, drawn: Mapping[str, str]) -> None:
    """Write a page, and its plots into a folder that is called after it.

    drawn: SVG by a plot's name; a plot that is not there is left out."""
    folder = path.with_name(f"{path.stem}_plots")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(page, folder.name, drawn), encoding="utf8")
    for name, svg in drawn.items():
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.svg").write_text(svg, encoding="utf8")


def text_of(page: Page, folder: str, drawn: Mapping[str, str]) -> str:
    """folder: where the plots lie, seen from the page."""
    parts = [f"# {_exact(page.title)}"]
    for section in page.sections:
        parts.append(f"## {_exact(section.title)}")
        for block in section.blocks:
            parts += _parts(block, folder, drawn)
    return "\n\n".join(parts) + "\n"


def _parts(block: Block, folder: str, drawn: Mapping[str, str]) -> Iterator[str]:
    if isinstance(block, Table):
        yield table(block.header, block.rows)
    elif isinstance(block, Marked):
        texts = [
            "".join(
                rf"\[{_exact(piece)}\|{_exact(label)}\]" if label else _exact(piece)
                for piece, label in text
            )
            for text in block.texts
        ]
        # In a table no text begins a list or a section.
        yield "\n".join(f"| {line} |" for line in ("text", "---", *texts))
    elif isinstance(block, Plot):
        if block.name in drawn:
            yield f"![{_exact(block.said)}]({folder}/{block.name}.svg)"
    else:
        yield literal(block)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Nothing in an entry can end the entry, the row or the section."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(literal, line))} |" for line in lines)


def literal(value: object) -> str:
    """On one line, without tags and comments. `Code` stays code."""
    text = re.sub(r"\s+", " ", str(value)).replace("\\", r"\\").replace("|", r"\|")
    return re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")


def _exact(text: str) -> str:
    """So that it reads as it is: nothing in it is code, a link or bold."""
    return re.sub(r"([`*\[\]])", r"\\\1", literal(text))
