"""Words with one tag each, as rows. Source: ours."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..char_spans import CharSpan
from .rows import Problem, Row, word_starts
from .tags import Scheme, Tag, TagError, entities, find_scheme


@dataclass(frozen=True)
class TaggedText:
    """A text of tagged words. where, text, problems: as in `rows.Row`; words: the words;
    tags: of the words, with their lines."""

    where: str
    text: str | None
    words: tuple[str, ...]
    tags: tuple[Tag, ...]
    problems: tuple[Problem, ...] = ()


def tagged_rows(texts: Sequence[TaggedText], name: str) -> list[Row]:
    """The texts of a file with the entities of their tags. Raises ValueError, with the
    line, if the tags do not follow one scheme, or words are not those of the text."""
    if not texts:
        return []
    try:
        scheme = find_scheme([each.tags for each in texts])
    except TagError as error:
        raise ValueError(f"{name}, line {error.line}: {error}.") from error
    return [_row(each, scheme) for each in texts]


def _row(own: TaggedText, scheme: Scheme) -> Row:
    found, missing = entities(own.tags, scheme)
    starts = word_starts(own.words) if own.text is None else _word_starts(own)
    ends = [start + len(word) for start, word in zip(starts, own.words)]
    spans: tuple[CharSpan, ...] = tuple(
        (starts[first], ends[after - 1], label) for first, after, label in found
    )
    unknown = tuple((starts[at], ends[at]) for at in missing)
    return Row(own.where, own.text, own.words, spans, unknown, (), own.problems)


def _word_starts(own: TaggedText) -> list[int]:
    """The character that each word begins at. Raises ValueError for words that are not
    those of the text."""
    text, places, at = own.text or "", list[int](), 0
    for word in own.words:
        while not word[:1].isspace() and text[at : at + 1].isspace():
            at += 1
        if not text.startswith(word, at):
            raise ValueError(f'{own.where}: "tokens" are not the words of "text".')
        places.append(at)
        at += len(word)
    return places
