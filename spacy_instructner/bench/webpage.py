"""A page as one HTML file that needs nothing else, light or dark, wide or narrow."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from .page import Block, Marked, Page, Plot, Table
from .plots import COLOURS, INK, PAPER

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #161616; } }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
a { color: inherit; }
h2 { margin-top: 2.5rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; }
td:first-child { white-space: nowrap; }
.plots { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; }
figure svg { width: 100%; max-width: 30rem; height: auto; }
.text { line-height: 2; overflow-wrap: anywhere; }
mark { color: inherit; background: none; border: 2px solid; border-radius: .3rem;
  padding: .05rem .25rem; }
mark b { font-size: .7rem; margin-left: .3rem; }
"""
# What it has no need of, it may not load.
SAFE = "default-src 'none'; style-src 'unsafe-inline'"


def write(page: Page, path: Path, drawn: Mapping[str, str]) -> None:
    """drawn: SVG by a plot's name; a plot that is not there is left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(page, drawn), encoding="utf8")


def text_of(page: Page, drawn: Mapping[str, str]) -> str:
    title = escape(page.title)
    links = [
        f'<li><a href="#s{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(page.sections)
    ]
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{SAFE}">',
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
        f"<h1>{title}</h1>\n<nav><ul>",
        *links,
        "</ul></nav>\n<main>",
    ]
    for number, section in enumerate(page.sections):
        parts.append(f'<section id="s{number}">\n<h2>{escape(section.title)}</h2>')
        # Those that follow each other stand side by side where there is room.
        among = False
        for block in section.blocks:
            if isinstance(block, Plot) != among:
                parts.append("</div>" if among else '<div class="plots">')
                among = not among
            parts += _parts(block, drawn)
        parts.append("</div>\n</section>" if among else "</section>")
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])


def _parts(block: Block, drawn: Mapping[str, str]) -> Iterator[str]:
    if isinstance(block, Table):
        # With tabindex it can be scrolled by keys.
        yield '<div class="wide" tabindex="0"><table>\n<thead>'
        yield _row("th", block.header)
        yield "</thead>\n<tbody>"
        for row in block.rows:
            yield _row("td", row)
        yield "</tbody>\n</table></div>"
    elif isinstance(block, Marked):
        yield from _marked(block)
    elif isinstance(block, Plot):
        if block.name in drawn:
            yield f"<figure>{_inline(block, drawn[block.name])}</figure>"
    else:
        yield f"<p>{escape(block)}</p>"


def _row(tag: str, row: Sequence[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(str(own))}</{tag}>' for own in row)}</tr>"


def _marked(marked: Marked) -> Iterator[str]:
    labels = sorted({label for text in marked.texts for _, label in text if label})
    colours = {label: COLOURS[at % len(COLOURS)] for at, label in enumerate(labels)}
    for text in marked.texts:
        pieces = [
            f'<mark style="border-color: {colours[label]}">{escape(piece)}'
            f"<b>{escape(label)}</b></mark>"
            if label
            else escape(piece)
            for piece, label in text
        ]
        yield f'<p class="text">{"".join(pieces)}</p>'


def _inline(plot: Plot, svg: str) -> str:
    """An SVG file as a part of the page: in its colours, and with ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(rf"\b(fill|stroke): {INK}", r"\1: currentColor", svg)
    svg = re.sub(rf"\bfill: {PAPER}", "fill: none", svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{plot.name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(plot.said)}"', 1)
