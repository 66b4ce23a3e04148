"""Tables that people wrote to sum up say no figure that the generated tables do not have."""

import re
from pathlib import Path

import pytest

from helpers.places import ROOT

RESEARCH = ROOT / "docs" / "research"
GENERATED = ("results", "ablations", "tuning", "base")
SUMMARIES = [
    ROOT / "README.md",
    RESEARCH / "base.md",
    RESEARCH / "methods-ablations.md",
]
# What the table of the stages says of their settings: no results.
SETTINGS = "| Stage | Steps |"


def tables(text: str, marked: bool) -> list[list[str]]:
    """The tables of a page, line by line: those between markers, or the others."""
    found: list[list[str]] = [[]]
    inside = False
    for line in text.splitlines():
        if line.startswith("<!-- table:"):
            inside = True
        elif line.startswith("<!-- end"):
            inside = False
        if line.startswith("|") and inside == marked:
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def figures(lines: list[str]) -> set[str]:
    """Figures with one decimal, as they are without their signs."""
    return set(re.findall(r"(?<![\d.])\d+\.\d(?!\d)", "\n".join(lines)))


@pytest.mark.parametrize("page", SUMMARIES, ids=lambda page: page.stem)
def test_a_summary_has_the_figures_of_the_studies(page: Path) -> None:
    measured: set[str] = set()
    for name in GENERATED:
        text = (RESEARCH / f"{name}.md").read_text(encoding="utf8")
        measured |= figures([line for own in tables(text, True) for line in own])
    summed_up = [
        table
        for table in tables(page.read_text(encoding="utf8"), False)
        if not table[0].startswith(SETTINGS)
    ]
    said = figures([line for table in summed_up for line in table[2:]])
    assert len(said) > 6
    assert said <= measured


def test_a_figure_that_nobody_measured_is_found() -> None:
    text = "| a |\n|---|\n| 12.3 ± 4.5 |\n\n<!-- table: x -->\n| 1.25 | 7.8 |\n<!-- end -->"
    assert figures(tables(text, False)[0]) == {"12.3", "4.5"}
    assert figures(tables(text, True)[0]) == {"7.8"}
