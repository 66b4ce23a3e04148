"""CoNLL and its relatives: a word a line with its columns, or a sentence a line with
`word|tag`.

The dialect of a file (its columns, their separator, the place of the tags) is found once,
from all of its lines, and then checked line by line. Source: ours.
"""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

from .conll_special import BEGIN_DOCUMENT, named_columns, ontonotes_words
from .rows import Problem, Row
from .tagged import TaggedText, tagged_rows
from .tags import MISSING, PREFIXED, TagError, find_scheme
from .text_files import numbered

DOCSTART = re.compile(r"-*DOCSTART-*", re.IGNORECASE)
# The form of comments in CoNLL-U.
KEY_AND_VALUE = re.compile(r"#\s*[\w.:]+\s+=\s")
OUTSIDE = ("O", "o", "_", MISSING)
DOCUMENT_ENDS = (BEGIN_DOCUMENT, "#end document")
# The labels of shallow parsers, which are not entities.
CHUNKS = {
    "NP",
    "VP",
    "PP",
    "ADVP",
    "SBAR",
    "ADJP",
    "PRT",
    "CONJP",
    "INTJ",
    "LST",
    "UCP",
}
TABS, PIPES, SPACES = "tabs", "|", "spaces"
MULTIWORD = re.compile(r"\d+[-.]\d+")


@dataclass(frozen=True)
class Line:
    """A line of a file. number: from 1; cells: its columns; text: the whole line."""

    number: int
    cells: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Dialect:
    """The columns of words and of tags. note: what the user must know of this choice, ""
    for nothing."""

    word: int
    tag: int
    note: str = ""


def read_conll(text: str, name: str) -> tuple[list[Row], list[Problem]]:
    """The sentences of a file.

    text, name (str): of the file.
    RETURNS (tuple): the rows, in order, and notes on the file. Raises ValueError, with
        the line, for a file without tags, or with lines of several kinds."""
    lines = [(number, line.strip("\r\n")) for number, line in numbered(text)]
    separator = find_separator([line for _, line in lines])
    if separator == PIPES:
        sentences = _pipe_sentences(lines, name)
    else:
        sentences = _sentences(lines, separator, name)
    if not sentences:
        return [], []
    named = named_columns([line for _, line in lines], name)
    if any(line.startswith(BEGIN_DOCUMENT) for _, line in lines):
        return _ontonotes_rows(sentences, name), []
    _check_width(sentences, separator, name)
    if named is None:
        dialect = find_dialect(sentences, name)
    else:
        word, tag, width = named
        if len(sentences[0][0].cells) != width:
            raise ValueError(
                f"{name}, line {sentences[0][0].number}: line 1 names {width} columns, but "
                f"this line has {len(sentences[0][0].cells)}: "
                f"{sentences[0][0].text.strip()!r}."
            )
        dialect = Dialect(word, tag)
        sentences = _syntactic_words(sentences)
    notes = [Problem(name, dialect.note, "note")] if dialect.note else []
    return _rows(sentences, dialect, name), notes


def find_separator(lines: Sequence[str]) -> str:
    """The separator of columns: tabs if there are any, `|` if most words have one, else
    spaces."""
    wordy = [line for line in lines if line.strip()]
    if any("\t" in line.strip() for line in wordy if not _is_marked(line)):
        return TABS
    items = [item for line in wordy for item in line.split()]
    if sum("|" in item[1:] for item in items) > len(items) / 2:
        return PIPES
    return SPACES


def _is_marked(line: str) -> bool:
    """Does a line look like a comment, or begin a document?"""
    return line.startswith("#") or bool(
        DOCSTART.fullmatch(re.split(r"[\s|]", line.strip())[0])
    )


def _sentences(
    lines: Sequence[tuple[int, str]], separator: str, name: str
) -> list[list[Line]]:
    """Lines of words, sentence by sentence, without comments. Raises ValueError for a line
    with one column."""
    known = [
        _cells(line, separator)
        for _, line in lines
        if line.strip() and not _is_marked(line)
    ]
    tags, width = {cells[-1] for cells in known}, len(known[0]) if known else 0
    sentences: list[list[Line]] = [[]]
    for number, line in lines:
        cells = _cells(line, separator)
        if not line.strip() or _is_docstart(cells) or line.startswith(DOCUMENT_ENDS):
            sentences.append([])
        elif not sentences[-1] and _is_comment(line, cells, width, tags, separator):
            continue
        elif len(cells) < 2:
            why = "columns are separated by tabs, and this line has none"
            why = why if separator == TABS else "the word has no tag"
            raise ValueError(f"{name}, line {number}: {why}: {line.strip()!r}.")
        else:
            sentences[-1].append(Line(number, cells, line))
    return [sentence for sentence in sentences if sentence]


def _is_comment(
    line: str, cells: Sequence[str], width: int, tags: Set[str], separator: str
) -> bool:
    """Is a line that begins with # a comment, not the word # or a hashtag? In doubt it is
    a word, and an error if it does not look like the others."""
    if not line.startswith("#") or KEY_AND_VALUE.match(line):
        return line.startswith("#")
    if separator == TABS:
        return len(cells) != width and (len(cells) == 1 or line.startswith("#\t"))
    return line.startswith("# ") and not _is_tag(cells[-1], tags)


def _cells(line: str, separator: str) -> tuple[str, ...]:
    """The columns of a line. A word may hold other spaces, such as no-break spaces."""
    if separator == TABS:
        return tuple(cell.strip(" ") for cell in line.strip(" ").split("\t"))
    return tuple(re.split(r"[ \t]+", line.strip(" \t")))


def _is_docstart(cells: Sequence[str]) -> bool:
    return bool(DOCSTART.fullmatch(cells[0]))


def _is_tag(cell: str, known: Set[str] = frozenset()) -> bool:
    return cell in known or cell in OUTSIDE or bool(PREFIXED.fullmatch(cell))


def _pipe_sentences(lines: Sequence[tuple[int, str]], name: str) -> list[list[Line]]:
    """Lines of `word|tag` or `word|pos|tag`. Raises ValueError for a word without a tag."""
    wordy = [
        (number, line)
        for number, line in lines
        if line.strip()
        and (not _is_marked(line) or any("|" in item[1:] for item in line.split()))
        and not DOCSTART.fullmatch(re.split(r"[\s|]", line.strip())[0])
    ]
    bars = max(1, min(item.count("|") for item in wordy[0][1].split()))
    sentences = []
    for number, line in wordy:
        sentence = []
        for item in line.split():
            cells = tuple(item.rsplit("|", min(bars, 2)))
            if len(cells) < min(bars, 2) + 1 or not all(cells):
                raise ValueError(
                    f"{name}, line {number}: {item!r} must have {min(bars, 2)} `|`, as "
                    "the others have."
                )
            sentence.append(Line(number, cells, item))
        sentences.append(sentence)
    return sentences


def _check_width(
    sentences: Sequence[Sequence[Line]], separator: str, name: str
) -> None:
    """Raises ValueError for a line with more or fewer columns than the first."""
    first = sentences[0][0]
    for line in (line for sentence in sentences for line in sentence):
        if len(line.cells) != len(first.cells):
            raise ValueError(
                f"{name}, line {line.number}: {len(line.cells)} columns ({separator}), "
                f"but line {first.number} has {len(first.cells)}: {line.text.strip()!r}."
            )


def find_dialect(sentences: Sequence[Sequence[Line]], name: str) -> Dialect:
    """The columns of words and tags: words are in the first column, or after the number of
    the word; tags are in the last one. Raises ValueError if the last column holds no
    tags, or if two columns hold tags that differ."""
    width = len(sentences[0][0].cells)
    word = int(width > 2 and _are_numbers(sentences))
    last = width - 1
    if fault := _tag_error(sentences, last):
        raise _no_tags(sentences, fault, name)
    labels = _labels(sentences, last)
    if labels and labels <= CHUNKS:
        raise ValueError(
            f"{name}, line {sentences[0][0].number}: the last column holds chunks "
            f"({', '.join(sorted(labels))}), not entities: "
            f"{sentences[0][0].text.strip()!r}."
        )
    others = [
        at
        for at in range(last)
        if _are_tags(sentences, at, all_of_them=at == word)
        and (at == word or not _labels(sentences, at) <= CHUNKS)
    ]
    if others and _column(sentences, others[0]) != _column(sentences, last):
        if not word or others[0] <= word:
            raise ValueError(
                f"{name}, line {sentences[0][0].number}: columns {others[0] + 1} and "
                f"{last + 1} both hold tags, and differ. Leave one of them in the file: "
                f"{sentences[0][0].text.strip()!r}."
            )
        note = (
            f"columns {others[0] + 1} to {last + 1} hold nested entities; only the outer "
            f"ones, of column {others[0] + 1}, are read"
        )
        return Dialect(word, others[0], note)
    return Dialect(word, last)


def _column(
    sentences: Sequence[Sequence[Line]], at: int
) -> list[list[tuple[int, str]]]:
    return [[(line.number, line.cells[at]) for line in own] for own in sentences]


def _are_numbers(sentences: Sequence[Sequence[Line]]) -> bool:
    """Does the first column count the words of each sentence, from 0 or 1?"""
    begin = sentences[0][0].cells[0]
    return (
        begin in ("0", "1")
        and sum(map(len, sentences)) > 1
        and all(
            [line.cells[0] for line in own]
            == [str(int(begin) + at) for at in range(len(own))]
            for own in sentences
        )
    )


def _tag_error(sentences: Sequence[Sequence[Line]], at: int) -> TagError | None:
    """Why a column does not hold tags; None if it does."""
    try:
        find_scheme(_column(sentences, at))
    except TagError as error:
        return error
    return None


def _labels(sentences: Sequence[Sequence[Line]], at: int) -> set[str]:
    found = (
        PREFIXED.fullmatch(tag) for own in _column(sentences, at) for _, tag in own
    )
    return {each[2] for each in found if each}


def _are_tags(
    sentences: Sequence[Sequence[Line]], at: int, all_of_them: bool = False
) -> bool:
    """Does a column hold tags such as B-PER, right or wrong? (Words such as B-52 look like
    tags, too.)"""
    cells = [tag for own in _column(sentences, at) for _, tag in own]
    share = sum(map(_is_tag, cells)) / len(cells)
    return bool(_labels(sentences, at)) and share > (0.99 if all_of_them else 0.5)


def _no_tags(
    sentences: Sequence[Sequence[Line]], fault: TagError, name: str
) -> ValueError:
    """The error for a last column that does not hold tags, with the line and a remedy."""
    width = len(sentences[0][0].cells)
    every = [line for own in sentences for line in own]
    line = next((each for each in every if each.number == fault.line), every[0])
    what = "" if _are_tags(sentences, width - 1) else "the last column holds no tags: "
    hint = next(
        (
            f" Column {at + 1} looks like tags; they must be in the last column."
            for at in range(width - 1)
            if what and _are_tags(sentences, at)
        ),
        "",
    )
    return ValueError(
        f"{name}, line {line.number}: {what}{fault}, in {line.text.strip()!r}.{hint}"
    )


def _syntactic_words(sentences: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Sentences without the lines of CoNLL-U that stand for several words, or for none."""
    kept = [
        [line for line in own if not MULTIWORD.fullmatch(line.cells[0])]
        for own in sentences
    ]
    return [own for own in kept if own]


def _rows(
    sentences: Sequence[Sequence[Line]], dialect: Dialect, name: str
) -> list[Row]:
    texts = []
    for own in sentences:
        for line in own:
            if not line.cells[dialect.word]:
                raise ValueError(
                    f"{name}, line {line.number}: there is no word: {line.text!r}."
                )
        words = tuple(line.cells[dialect.word] for line in own)
        tags = tuple((line.number, line.cells[dialect.tag]) for line in own)
        where = f"{name}, line {own[0].number}"
        texts.append(TaggedText(where, None, words, tags))
    return tagged_rows(texts, name)


def _ontonotes_rows(sentences: Sequence[Sequence[Line]], name: str) -> list[Row]:
    texts = []
    for own in sentences:
        cells = [(line.number, line.cells) for line in own]
        words, tags = ontonotes_words(cells, name)
        texts.append(TaggedText(f"{name}, line {own[0].number}", None, words, tags))
    return tagged_rows(texts, name)
