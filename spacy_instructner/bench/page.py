"""What a report says, as plain data: markdown.py and webpage.py write it down, plots.py
draws its plots."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Table:
    """header: names of columns; rows: as many entries each."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Series:
    """What one name has in a plot.

    number: tells its colour and marker, the same for a name in all plots; places: where
    on the axis, as numbers or as names; values: of each place, one or several.
    """

    name: str
    number: int
    places: tuple[Any, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Plot:
    """kind: "curves" go over numbers, with their spread; the others have a line for each
    name of a place: "points" with their spread, "bars" side by side, "stacked" bars.

    name: unlike all others on the page, fit for a file; quantity: what values are, with
    the unit; places: what places are, for curves.
    """

    kind: Literal["curves", "points", "bars", "stacked"]
    name: str
    title: str
    quantity: str
    series: tuple[Series, ...]
    places: str = ""

    @property
    def said(self) -> str:
        """For who does not see it."""
        return f"{self.title}: {self.quantity}"


@dataclass(frozen=True)
class Marked:
    """Texts in pieces, each with the label of the entity that it is, "" for none."""

    texts: Sequence[Sequence[tuple[str, str]]]


# A string is a paragraph.
Block = str | Table | Plot | Marked


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    title: str
    sections: Sequence[Section]

    def plots(self) -> Iterator[Plot]:
        for section in self.sections:
            yield from (block for block in section.blocks if isinstance(block, Plot))
