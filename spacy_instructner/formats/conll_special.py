"""Relatives of CoNLL whose columns are fixed or named: OntoNotes (CoNLL-2012) and CoNLL-U
Plus. Source: ours, after the descriptions of the formats."""

import re
from collections.abc import Sequence

from .tags import Tag

BEGIN_DOCUMENT = "#begin document"
# Columns of CoNLL-2012.
NUMBER, WORD, ENTITY = 2, 3, 10
# One entity's beginning, its end, or both: (ORG*, *, *), (ORG).
BRACKETS = re.compile(r"(\((?P<label>[^()*\s]+))?(?P<star>\*)?(?P<close>\))?")
COLUMNS = re.compile(r"# *global\.columns *= *(?P<names>.+)")
WORD_COLUMN = "FORM"
TAG_COLUMN = re.compile(
    r"(.*[:_.-])?(NER|NE|ENTITY|ENTITIES|BIO|IOB|IOB2)([:_.-].*)?", re.I
)


def named_columns(lines: Sequence[str], name: str) -> tuple[int, int, int] | None:
    """The columns of words and of tags that the first line of CoNLL-U Plus names, and the
    number of columns; None if there is no such line. Raises ValueError for a line that
    does not name both."""
    found = next(filter(None, map(COLUMNS.fullmatch, map(str.strip, lines[:1]))), None)
    if found is None:
        return None
    names = found["names"].split()
    tags = [at for at, each in enumerate(names) if TAG_COLUMN.fullmatch(each)]
    if WORD_COLUMN not in names or len(tags) != 1:
        raise ValueError(
            f"{name}, line 1: of the columns {', '.join(names)}, one must be {WORD_COLUMN} "
            "and one NER (or NE, ENTITY, BIO, IOB, with anything before or after)."
        )
    return names.index(WORD_COLUMN), tags[0], len(names)


def ontonotes_words(
    lines: Sequence[tuple[int, Sequence[str]]], name: str
) -> tuple[tuple[str, ...], tuple[Tag, ...]]:
    """The words of a sentence, and their tags as IOB2.

    lines: the number of each line, and its columns.
    name: of the file, for errors.
    Raises ValueError, with the line, for a line that is not CoNLL-2012."""
    for at, (line, cells) in enumerate(lines):
        if len(cells) <= ENTITY or cells[NUMBER] != str(at):
            raise ValueError(
                f"{name}, line {line}: in CoNLL-2012 the third column counts the words "
                f"from 0, and the eleventh holds the entities: {' '.join(cells)!r}."
            )
    tags = [(line, cells[ENTITY]) for line, cells in lines]
    return tuple(cells[WORD] for _, cells in lines), tuple(_as_iob(tags, name))


def _as_iob(tags: Sequence[Tag], name: str) -> list[Tag]:
    """The brackets of a sentence as IOB2. Raises ValueError, with the line, for brackets
    that do not match."""
    found: list[Tag] = []
    label = ""
    for line, tag in tags:
        read = BRACKETS.fullmatch(tag)
        opened = (read["label"] or "") if read else ""
        if not read or not tag or (opened and label) or not (read["star"] or opened):
            raise ValueError(
                f"{name}, line {line}: {tag!r} is not a bracket of an entity."
            )
        if opened:
            label = opened
            found.append((line, f"B-{label}"))
        else:
            found.append((line, f"I-{label}" if label else "O"))
        if read["close"]:
            if not label:
                raise ValueError(f"{name}, line {line}: {tag!r} closes no entity.")
            label = ""
        elif opened and not read["star"]:
            raise ValueError(
                f"{name}, line {line}: {tag!r} is not a bracket of an entity."
            )
    if label:
        raise ValueError(
            f"{name}, line {tags[-1][0]}: the entity {label} is not closed."
        )
    return found
