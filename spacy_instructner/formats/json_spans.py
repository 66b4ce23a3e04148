"""Pieces that rows of JSON have in common: texts, words, and spans with labels.
Source: ours."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..char_spans import CharSpan
from .rows import word_starts
from .text_files import repaired

# A span's ends, by the names that tools give them.
SPAN_KEYS = ("spans", "ents", "entities", "label", "labels")
STARTS, ENDS = ("start", "start_offset"), ("end", "end_offset")


class Refusal(ValueError):
    """What is wrong with a row."""


@dataclass(frozen=True)
class Draft:
    """A row as a tool wrote it. text, tokens, spans: as in `rows.Row`, but nobody has
    looked yet whether spans can be.

    tags: of the tokens, in place of spans; rejected: spans that somebody said are no
    entities; only_spans: nothing is known of the rest of the text; left_out: why the
    whole row does not count, "" where it does."""

    text: str | None = None
    tokens: tuple[str, ...] | None = None
    spans: tuple[CharSpan, ...] = ()
    tags: tuple[str, ...] | None = None
    rejected: tuple[CharSpan, ...] = ()
    only_spans: bool = False
    left_out: str = ""


def needed(row: Mapping[str, Any], key: str, kind: type) -> Any:
    """A value of a row. Raises Refusal for one that is missing, or of another kind."""
    if key not in row:
        raise Refusal(f"the key {key!r} is missing")
    if not isinstance(row[key], kind) or isinstance(row[key], bool):
        raise Refusal(f"{key!r} is {short(row[key])}")
    return row[key]


def short(value: Any) -> str:
    said = repaired(repr(value))[0]
    return said if len(said) <= 60 else f"{said[:60]}…"


def text_of(row: Mapping[str, Any]) -> str:
    """A row's text. doccano has called it `data`, too. Raises Refusal."""
    key = "data" if "text" not in row and isinstance(row.get("data"), str) else "text"
    found: str = needed(row, key, str)
    return found


def tokens_of(row: Mapping[str, Any], key: str = "tokens") -> tuple[str, ...] | None:
    """A row's words: texts, or objects with a text, or with places in the row's text.
    None where there are none. Raises Refusal for anything else."""
    if row.get(key) is None:
        return None
    found = []
    for token in needed(row, key, list):
        word: Any = token
        if isinstance(token, dict):
            word = token.get("text")
            if word is None and is_whole(token.get("start"), token.get("end")):
                word = text_of(row)[token["start"] : token["end"]]
        if not isinstance(word, str) or not word:
            raise Refusal(f"{key!r} has one that is no word: {short(token)}")
        found.append(word)
    return tuple(found)


def hidden_spans(row: Mapping[str, Any]) -> str:
    """A key of a row that holds spans, but is none that a tool has them in; "" where
    there is none."""
    for key, value in row.items():
        if key not in SPAN_KEYS and isinstance(value, list):
            if any(
                isinstance(each, dict)
                and "label" in each
                and set(each) & set(STARTS)
                and set(each) & set(ENDS)
                for each in value
            ):
                return key
    return ""


def is_whole(*values: Any) -> bool:
    """Are these whole numbers?"""
    return all(isinstance(each, int) and not isinstance(each, bool) for each in values)


def entity_spans(found: Any, key: str, text: str) -> tuple[CharSpan, ...]:
    """The spans of a list, in whatever way tools write them: [start, end, label], or
    objects. Raises Refusal for anything else."""
    if not isinstance(found, list):
        raise Refusal(f"{key!r} is {short(found)}, no list of spans")
    return tuple(span for each in found for span in _entity(each, key, text))


def _entity(found: Any, key: str, text: str) -> Iterable[CharSpan]:
    """A span, once for each of its labels."""
    if isinstance(found, list):
        if len(found) != 3 or not is_whole(*found[:2]) or not isinstance(found[2], str):
            raise Refusal(f"{key!r} has {short(found)}, not [start, end, label]")
        yield found[0], found[1], found[2]
        return
    start, end = char_span(found, key, text)
    labels = found.get("labels") if "label" not in found else [found["label"]]
    if not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
        raise Refusal(f'{key!r} has a span without a "label": {short(found)}')
    for label in labels or [""]:
        yield start, end, label


def char_span(found: Any, key: str, text: str) -> tuple[int, int]:
    """Where a span begins and ends. Raises Refusal for an object that does not say."""
    if not isinstance(found, dict):
        raise Refusal(f"{key!r} has {short(found)}, which is no span")
    places = []
    for names in (STARTS, ENDS):
        own = [found[name] for name in names if name in found]
        if not own:
            raise Refusal(f'{key!r} has a span without "{names[0]}": {short(found)}')
        # Some tools write all numbers with a point.
        place = int(own[0]) if isinstance(own[0], float) and own[0] % 1 == 0 else own[0]
        if len(own) > 1 or not is_whole(place):
            raise Refusal(f"{key!r} has a span without whole places: {short(found)}")
        places.append(place)
    return _in_characters((places[0], places[1]), found.get("text"), text)


def _in_characters(place: tuple[int, int], said: Any, text: str) -> tuple[int, int]:
    """A place by characters. Tools that run in a browser count a character outside the
    first 65,536 as two; where a span says its text, that tells. Raises Refusal where the
    text is not there, however one counts."""
    if not isinstance(said, str) or _letters(text[slice(*place)]) == _letters(said):
        return place
    units = text.encode("utf-16-le", "surrogatepass")
    before = (units[: 2 * at].decode("utf-16-le", "replace") for at in place)
    start, end = map(len, before)
    if min(place) >= 0 and _letters(text[start:end]) == _letters(said):
        return start, end
    raise Refusal(
        f"a span says its text is {short(said)}, but at {place[0]}-{place[1]} there is "
        f"{short(text[slice(*place)])}"
    )


def _letters(text: str) -> str:
    """A text without what tools may change in it: whitespace, line ends written out."""
    return "".join(repaired(text)[0].replace("\\n", " ").split())


def in_tokens(found: Any, key: str, tokens: tuple[str, ...]) -> tuple[CharSpan, ...]:
    """Spans that are counted in words, their last one included. Raises Refusal."""
    places = word_starts(tokens)
    spans = []
    for each in entity_spans(found, key, ""):
        start, last, label = each
        if not 0 <= start <= last < len(tokens):
            raise Refusal(
                f"{key!r} has {short(list(each))}; there are {len(tokens)} words"
            )
        spans.append((places[start], places[last] + len(tokens[last]), label))
    return tuple(spans)
