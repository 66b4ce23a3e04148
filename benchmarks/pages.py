"""Pages with tables of results: `python -m benchmarks.pages` makes the tables and plots
again from what was measured (`benchmarks/results`).

A page is prose with tables in it. A table stands between two lines:

    <!-- table: STUDY NAME -->
    <!-- end -->

What is between them is made here; everything else is left as it is. A page may lie
anywhere in `docs`, and a table on any page.
"""

import argparse
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from wasabi import msg

from spacy_instructner.files import write_whole

from . import (
    base,
    claims,
    forgetting_shots,
    interpolation,
    interval_coverage,
    second_base,
    sentences,
    simulated_tables,
    studies,
    without_shots,
)
from .reliability import tables as reliability
from .speed import plots as speed_plots
from .speed import tables as speed

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PLOTS = DOCS / "research" / "plots"
BEGIN = re.compile(r"<!--\s*table:\s*(.*?)\s*-->")
END = re.compile(r"<!--\s*end\s*-->")
# By study: Markdown of one of its tables, with the folder of plots as seen from the page.
# Raises KeyError for a table that it does not have.
SECTIONS: dict[str, Callable[[str, str], str]] = {
    **dict.fromkeys(studies.STUDIES, studies.section),
    "base": base.section,
    "claims": claims.section,
    "forgetting_shots": forgetting_shots.section,
    "interpolation": interpolation.section,
    "interval_coverage": interval_coverage.section,
    "reliability": reliability.section,
    "second_base": second_base.section,
    "sentences": sentences.section,
    "simulated": simulated_tables.section,
    "speed": speed.section,
    "without_shots": without_shots.section,
}
# By name of a file: what draws the plot.
DRAWN: dict[str, Callable[[], str]] = {
    **studies.plots(),
    **base.plots(),
    **reliability.plots(),
    **simulated_tables.plots(),
    **speed_plots.plots(),
}


def pages(docs: Path = DOCS) -> Iterator[Path]:
    """The pages that have a table."""
    for path in sorted(docs.rglob("*.md")):
        if any(BEGIN.fullmatch(line.strip()) for line in _lines(path)):
            yield path


def made(path: Path) -> str:
    """The page with its tables as they are measured. Raises ValueError with the line
    of a marker that is out of order."""
    folder = Path(os.path.relpath(PLOTS, path.parent)).as_posix()
    return fill(path.read_bytes().decode("utf8"), lambda name: table_of(name, folder))


def table_of(name: str, folder: str) -> str:
    """The table of a marker. Raises KeyError where there is none of this name."""
    return SECTIONS[name.partition(" ")[0]](name, folder)


def fill(text: str, make: Callable[[str], str]) -> str:
    """The text with what `make` returns for its name in each section."""
    out: list[str] = []
    name, begin = None, 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        begins = BEGIN.fullmatch(line.strip())
        if begins and name is not None:
            raise ValueError(f"Line {begin}: table '{name}' has no end marker.")
        if begins:
            name, begin = begins.group(1), number
            try:
                content = make(name)
            except KeyError as error:
                raise ValueError(
                    f"Line {number}: there is no table '{name}'."
                ) from error
            out.append(line.rstrip("\r\n") + f"\n\n{content}\n\n")
        elif END.fullmatch(line.strip()):
            if name is None:
                raise ValueError(f"Line {number}: an end marker without a beginning.")
            name = None
            out.append(line)
        elif name is None:
            out.append(line)
    if name is not None:
        raise ValueError(f"Line {begin}: table '{name}' has no end marker.")
    return "".join(out)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf8").splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages")
    parser.add_argument("--no-plots", action="store_true", help="only the tables")
    args = parser.parse_args()
    # Nothing is written where a page is not in order.
    for path, text in [(path, made(path)) for path in pages()]:
        write_whole(path, text.encode("utf8"))
        msg.good(str(path.relative_to(ROOT)))
    PLOTS.mkdir(parents=True, exist_ok=True)
    for name, draw in () if args.no_plots else DRAWN.items():
        write_whole(PLOTS / name, draw().encode("utf8"))
        msg.good(str((PLOTS / name).relative_to(ROOT)))


if __name__ == "__main__":
    main()
