"""Annotated files as texts that are decided already: each row says what is in its text. A file
is read as a whole or refused, with the lines of what is wrong. Source: ours.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ...char_spans import CharSpan
from ...formats.conll import read_conll
from ...formats.docs import CONLL, JSON, JSONL, SPACY, read_spacy
from ...formats.json_rows import is_annotated_row, read_row_values
from ...formats.json_values import read_values
from ...formats.rows import Row, spaces_after
from ...formats.text_files import UTF8, read_bytes, read_text, repaired, suffix_of
from .imports import check_unpacked
from .project_state import ProjectLabel, ProjectState, overlaps

# The spans of a text that begin and end with words.
WholeWords = Callable[[str, Sequence[CharSpan]], list[CharSpan]]
# Lines that a refusal names.
MOST_NAMED = 5
NOBODY = (
    "its spans have scores: a model found them, and nobody has said that they are right"
)


@dataclass(frozen=True)
class DecidedText:
    """A text to add. name: the number of its line, or of its Doc; spans: its entities, None
    where nobody annotated it."""

    text: str
    name: str
    spans: tuple[CharSpan, ...] | None


@dataclass
class DecidedFile:
    """The texts of an annotated file, and what was left out of it on purpose, such as tasks
    that somebody rejected."""

    texts: list[DecidedText] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def has_annotation(path: Path) -> bool:
    """Is a file annotated? By its name, or, for JSON Lines, by any of its rows. (A .txt file
    is a file of texts.)"""
    suffix = suffix_of(path)
    if suffix in JSONL:
        check_unpacked(path)
        return any(is_annotated_row(value) for value in _whole_lines(path))
    return suffix in (SPACY, JSON, *CONLL) and suffix != ".txt"


def _whole_lines(path: Path) -> Iterator[Any]:
    """The values of the lines that are JSON. Whoever reads the file says what is wrong with
    the others."""
    for line in read_bytes(path).decode(UTF8, "replace").split("\n"):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue


def read_decided(path: Path, whole: WholeWords, longest: int = 20_000) -> DecidedFile:
    """Read an annotated file.

    path (Path): .spacy, JSON Lines, JSON or CoNLL; see docs/reference/formats.md.
    whole (WholeWords): of the pipeline that is served.
    longest (int): characters of a text.
    RETURNS (DecidedFile): each text once. Raises ValueError, with file and lines, for a file
        that cannot be read, and where what is said of a text cannot be all of its entities:
        spans that overlap, or end inside of words, or that a model found; parts without
        annotation; two rows that say different things of one text; texts that are too
        long."""
    check_unpacked(path)
    found = DecidedFile()
    wrong: list[str] = []
    if suffix_of(path) == SPACY:
        rows = list(_docs(path, wrong))
    else:
        rows = list(_rows(path, found.notes, wrong))
    known: dict[str, DecidedText] = {}
    for where, text, spans in rows:
        own = stripped(text, where.rpartition(" ")[2], spans)
        if why := why_not(own, whole, longest):
            wrong.append(f"{where}: {why}")
        elif own.text.strip():
            first = known.setdefault(own.text, own)
            if first.spans != own.spans:
                wrong.append(f"{where}: text {first.name} is the same and has other entities")  # fmt: skip
    if wrong:
        more = len(wrong) - MOST_NAMED
        raise ValueError(
            f"Nothing of {path} is added. {'; '.join(wrong[:MOST_NAMED])}"
            f"{f'; and {more} more' if more > 0 else ''}. Correct the file, or take its "
            "texts without the annotation."
        )
    found.texts = list(known.values())
    return found


Given = tuple[str, str, tuple[CharSpan, ...] | None]


def _rows(path: Path, notes: list[str], wrong: list[str]) -> Iterator[Given]:
    """Where a row stands, its text and its spans. notes, wrong: what is said of rows."""
    text = read_text(path)
    if suffix_of(path) in CONLL:
        rows, problems = read_conll(text, str(path))
    else:
        values = list(read_values(text, str(path)))
        scored = [line for line, value in values if is_prediction(value)]
        wrong += [f"{path}, line {line}: {NOBODY}" for line in scored]
        rows, problems = read_row_values(values, str(path))
    for problem in [*problems, *(own for row in rows for own in row.problems)]:
        # A span that a reader drops would be missing from what was decided.
        (wrong if problem.kind == "span" else notes).append(str(problem))
    for row in rows:
        if row.unknown or row.lost:
            wrong.append(f"{row.where}: a part of the text has no annotation")
        yield row.where, _text_of(row), row.spans


def _text_of(row: Row) -> str:
    if row.text is not None:
        return row.text
    words = row.tokens or ()
    return "".join(w + " " * s for w, s in zip(words, spaces_after(words))).rstrip()


def is_prediction(value: Any) -> bool:
    """Has a row spans with scores, and no answer of anybody to them?"""
    spans = value.get("spans") if isinstance(value, dict) else None
    if not isinstance(spans, list) or value.get("answer") is not None:
        return False
    return any(isinstance(s, dict) and s.get("score") is not None for s in spans)


def _docs(path: Path, wrong: list[str]) -> Iterator[Given]:
    """The same of Docs. wrong: what is said of them."""
    for number, doc in enumerate(read_spacy(path, Vocab()), 1):
        name = f"{path}, Doc {number}"
        if any(group.attrs.get("scores") for group in doc.spans.values()):
            wrong.append(f"{name}: {NOBODY}")
        annotated = [token.ent_iob != 0 for token in doc]
        if any(annotated) and not all(annotated):
            wrong.append(f"{name}: a part of the text has no annotation")
        yield name, doc.text, _entities(doc) if all(annotated) else None


def _entities(doc: Doc) -> tuple[CharSpan, ...]:
    return tuple((ent.start_char, ent.end_char, ent.label_) for ent in doc.ents)


def stripped(text: str, name: str, spans: Iterable[CharSpan] | None) -> DecidedText:
    """A text as others are imported, without line ends around it. Spans move with it."""
    text = repaired(text)[0]
    cut = len(text) - len(text.lstrip("\ufeff\r\n"))
    moved = (
        None
        if spans is None
        else tuple(sorted({(a - cut, b - cut, own.strip()) for a, b, own in spans}))
    )
    return DecidedText(text.strip("\ufeff\r\n"), name, moved)


def why_not(own: DecidedText, whole: WholeWords, longest: int) -> str:
    """Why a text and its spans cannot be decided; "" where they can."""
    if len(own.text) > longest:
        return f"it has {len(own.text)} characters; at most {longest} are read"
    spans = own.spans or ()
    kept = set(whole(own.text, spans))
    for at, span in enumerate(spans):
        start, end, label = span
        named = (
            f"{label} at {start}-{end} ({own.text[max(0, start) : max(0, end)][:40]!r})"
        )
        if not label:
            return f"the span at {start}-{end} has no label"
        if not 0 <= start < end <= len(own.text) or span not in kept:
            return f"{named} does not begin and end with whole words"
        if overlaps(span, spans[:at]):
            return f"{named} overlaps another entity"
    return ""


def decided_event(
    state: ProjectState, texts: Sequence[DecidedText], colours: Sequence[str]
) -> dict[str, Any]:
    """The event that adds texts with what is decided about them: all at once, so that no part
    of a file is ever there alone, and one `undo` takes all decisions back.

    state (ProjectState): what there is. A text that is there is not added again, and what
        somebody decided about it stays.
    colours (Sequence[str]): of labels that the project does not have.
    RETURNS (dict): {"labels": all of them, where there are new ones, "texts": the new ones,
        "decisions": [{"text", "spans"}]}."""
    there = {own.text: own.id for own in state.texts.values()}
    number = max(state.texts, default=0)
    rows: list[dict[str, Any]] = []
    decisions: list[dict[str, Any]] = []
    for each in texts:
        if each.text not in there:
            number += 1
            there[each.text] = number
            rows.append({"id": number, "text": each.text, "name": each.name})
        own = there[each.text]
        if each.spans is not None and state.decision(own) is None:
            decisions.append({"text": own, "spans": list(each.spans)})
    names = dict.fromkeys(label for row in decisions for *_, label in row["spans"])
    labels = list(state.labels.values())
    for name in names:
        if name not in state.labels:
            labels.append(ProjectLabel(name, "", colours[len(labels) % len(colours)]))
    fresh = labels if len(labels) > len(state.labels) else []
    return {"labels": fresh, "texts": rows, "decisions": decisions}
