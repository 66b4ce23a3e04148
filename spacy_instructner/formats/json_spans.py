"""What rows of JSON have in common: texts, words, and spans with labels. Source: ours."""

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
    """A row that a tool's reader refuses, with the reason."""


@dataclass(frozen=True)
class Draft:
    """A row as a tool wrote it. text, tokens, spans: as in `rows.Row`, but spans are not
    checked yet.

    tags: of the tokens, in place of spans; rejected: spans that somebody rejected;
    only_spans: whether the rest of the text is not annotated; left_out: why the whole row
    does not count, "" if it does."""

    text: str | None = None
    tokens: tuple[str, ...] | None = None
    spans: tuple[CharSpan, ...] = ()
    tags: tuple[str, ...] | None = None
    rejected: tuple[CharSpan, ...] = ()
    only_spans: bool = False
    left_out: str = ""


def needed(row: Mapping[str, Any], key: str, kind: type) -> Any:
    """The value of a key. Raises Refusal if it is missing or of another type."""
    if key not in row:
        raise Refusal(f"the key {key!r} is missing")
    if not isinstance(row[key], kind) or isinstance(row[key], bool):
        raise Refusal(f"{key!r} is {short(row[key])}")
    return row[key]


def short(value: Any) -> str:
    """A value for a message, cut after 60 characters."""
    text = repaired(repr(value))[0]
    return text if len(text) <= 60 else f"{text[:60]}…"


def text_of(row: Mapping[str, Any]) -> str:
    """The text of a row, under `text`, or under `data` as doccano once had it. Raises
    Refusal if there is none."""
    key = "data" if "text" not in row and isinstance(row.get("data"), str) else "text"
    found: str = needed(row, key, str)
    return found


def tokens_of(row: Mapping[str, Any], key: str = "tokens") -> tuple[str, ...] | None:
    """The words of a row: texts, or objects with "text", or with "start" and "end" in the
    row's text. None if there are none. Raises Refusal for anything else."""
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
            raise Refusal(f"{key!r} has an entry that is not a word: {short(token)}")
        found.append(word)
    return tuple(found)


def hidden_spans(row: Mapping[str, Any]) -> str:
    """A key that holds spans but is not a tool's key of spans; "" if there is none."""
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
    """Are these all whole numbers?"""
    return all(isinstance(each, int) and not isinstance(each, bool) for each in values)


def entity_spans(found: Any, key: str, text: str) -> tuple[CharSpan, ...]:
    """The spans of a list: each [start, end, label] or an object. Raises Refusal for
    anything else."""
    if not isinstance(found, list):
        raise Refusal(f"{key!r} is {short(found)}, not a list of spans")
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
    """Start and end of a span, in characters. Raises Refusal for an object without them."""
    if not isinstance(found, dict):
        raise Refusal(f"{key!r} has {short(found)}, which is not a span")
    places = []
    for names in (STARTS, ENDS):
        own = [found[name] for name in names if name in found]
        if not own:
            raise Refusal(f'{key!r} has a span without "{names[0]}": {short(found)}')
        # Some tools write all numbers with a point.
        place = int(own[0]) if isinstance(own[0], float) and own[0] % 1 == 0 else own[0]
        if len(own) > 1 or not is_whole(place):
            raise Refusal(
                f"{key!r} has a span whose start and end are not whole numbers: "
                f"{short(found)}"
            )
        places.append(place)
    return _in_characters((places[0], places[1]), found.get("text"), text)


def _in_characters(place: tuple[int, int], own: Any, text: str) -> tuple[int, int]:
    """Start and end in characters. Tools that run in a browser count a character outside
    the first 65,536 as two; the text `own` that a span brings with it shows whether the
    tool did. Raises Refusal if that text is not there, either way."""
    if not isinstance(own, str) or _letters(text[slice(*place)]) == _letters(own):
        return place
    units = text.encode("utf-16-le", "surrogatepass")
    before = (units[: 2 * at].decode("utf-16-le", "replace") for at in place)
    start, end = map(len, before)
    if min(place) >= 0 and _letters(text[start:end]) == _letters(own):
        return start, end
    raise Refusal(
        f"a span says its text is {short(own)}, but at {place[0]}-{place[1]} there is "
        f"{short(text[slice(*place)])}"
    )


def _letters(text: str) -> str:
    """A text without what tools may change in it: whitespace, and \\n for line ends."""
    return "".join(repaired(text)[0].replace("\\n", " ").split())


def in_tokens(found: Any, key: str, tokens: tuple[str, ...]) -> tuple[CharSpan, ...]:
    """Spans that are counted in words, with the last word included, by characters. Raises
    Refusal for words that do not exist."""
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
