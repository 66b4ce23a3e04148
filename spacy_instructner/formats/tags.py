"""Tags of words: the scheme of a file, and the entities of its tags.

The scheme is found once, from all tags of a file, and then checked tag by tag: a file that
mixes schemes is always an error. Source: ours.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

# A tag with the number of its line.
Tag = tuple[int, str]
SchemeName = Literal["none", "bare", "IOB1", "IOB2", "BIOES", "BILUO", "BMES", "BMEW"]

MISSING = "-"
PREFIXED = re.compile(r"([BIELMSUW])-(\S.*)", re.IGNORECASE | re.DOTALL)
# Forms that would be read as different types although they mean the same type.
UNKNOWN_FORM = re.compile(r"[BIELMSUW][_:./|].+|.+[-_:./|][BIELMSUW]")
LETTERS: dict[SchemeName, frozenset[str]] = {
    "IOB2": frozenset("BI"),
    "BIOES": frozenset("BIES"),
    "BILUO": frozenset("BILU"),
    "BMES": frozenset("BMES"),
    "BMEW": frozenset("BMEW"),
}
BEGIN, INSIDE, LAST, SINGLE = "B", "IM", "EL", "SUW"
# A column with more types than this, most of them on one word, is a column of words.
MANY_TYPES = 10


class TagError(ValueError):
    """A tag that cannot be read. line: of the tag; 0 if no line is to blame."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


@dataclass(frozen=True)
class Scheme:
    """A scheme of tags. kind: its name; outside: the tags of words outside of entities."""

    kind: SchemeName
    outside: frozenset[str]


def find_scheme(sentences: Iterable[Sequence[Tag]]) -> Scheme:
    """The scheme of a file.

    sentences (Iterable[Sequence[Tag]]): all of its tags.
    RETURNS (Scheme): the one scheme of all tags. Raises TagError if there is none."""
    listed = [list(sentence) for sentence in sentences]
    first: dict[str, int] = {}
    for line, tag in (tag for sentence in listed for tag in sentence):
        first.setdefault(tag, line)
    if "" in first:
        raise TagError(first[""], "a word has an empty tag")
    # The tags of words outside of entities in this file.
    outside = frozenset(first).intersection(("O", "o", "_"))
    inside = {t: line for t, line in first.items() if t not in {*outside, MISSING}}
    if "_" in outside and len(outside) > 1:
        raise TagError(first["_"], "'_' and 'O' are both here: which is no entity?")
    if not inside:
        if outside <= {"_"}:
            raise TagError(next(iter(first.values()), 0), "there is no tag here")
        return Scheme("none", outside)
    prefixed = {tag: line for tag, line in inside.items() if PREFIXED.fullmatch(tag)}
    others = [tag for tag in inside if tag not in prefixed]
    if not prefixed:
        counts = sum(tag in inside for sentence in listed for _, tag in sentence)
        _check_bare(inside, outside, counts)
        return Scheme("bare", outside)
    if others:
        raise TagError(
            inside[others[0]],
            f"{others[0]!r} is not a tag like {next(iter(prefixed))!r}, as others are",
        )
    kind = _scheme_name(prefixed)
    scheme = Scheme("IOB1" if kind == "IOB2" and _is_iob1(listed) else kind, outside)
    for sentence in listed:
        entities(sentence, scheme)
    return scheme


def _check_bare(inside: dict[str, int], outside: frozenset[str], counts: int) -> None:
    """Check types without a prefix strictly, as any word looks like one. Raises
    TagError."""
    tag, line = next(iter(inside.items()))
    if not outside:
        raise TagError(line, f"{tag!r} is not a tag, and no word here has the tag O")
    if set(map(str.upper, inside)) <= set("BIELMSUW"):
        raise TagError(line, f"the tag {tag!r} has no type, as B-PERSON has")
    for tag, line in inside.items():
        if not tag[0].isalpha() or tag.split() != [tag]:
            raise TagError(line, f"{tag!r} is not a tag")
        if UNKNOWN_FORM.fullmatch(tag):
            raise TagError(
                line, f"the tag {tag!r} is of no known scheme; write B-PERSON"
            )
    if len(inside) > max(MANY_TYPES, counts / 2):
        raise TagError(line, f"{tag!r} and others here are words, not tags")


def _scheme_name(prefixed: dict[str, int]) -> SchemeName:
    """The scheme by its letters. Raises TagError."""
    case = next(iter(prefixed))[0].isupper()
    for tag, line in prefixed.items():
        if tag[0].isupper() is not case:
            raise TagError(
                line,
                f"{tag!r} and {next(iter(prefixed))!r} are not both in capital letters",
            )
    letters = {tag[0].upper() for tag in prefixed}
    for kind, known in LETTERS.items():
        if letters <= known:
            return kind
    raise TagError(
        next(iter(prefixed.values())),
        f"the letters {', '.join(sorted(letters))} are of no one scheme (IOB, BIOES, "
        "BILUO, BMES)",
    )


def _is_iob1(sentences: Sequence[Sequence[Tag]]) -> bool:
    """Does I begin an entity that follows none of the same type? Raises TagError if a file
    does so in one place and not in another."""
    by_i: Tag | None = None
    by_b: Tag | None = None
    for sentence in sentences:
        before = ""
        for line, tag in sentence:
            found = PREFIXED.fullmatch(tag)
            label = found[2] if found else ""
            if found and label != before:
                if found[1] in "Ii":
                    by_i = by_i or (line, tag)
                else:
                    by_b = by_b or (line, tag)
            before = label
    if by_i and by_b:
        raise TagError(
            by_i[0],
            f"{by_i[1]!r} begins an entity (IOB1), but so does {by_b[1]!r} in line "
            f"{by_b[0]} (IOB2); one of them must be wrong",
        )
    return by_i is not None


def entities(
    sentence: Sequence[Tag], scheme: Scheme
) -> tuple[list[tuple[int, int, str]], list[int]]:
    """The entities of a sentence (start word, end word exclusive, label), and its words
    without annotation. Raises TagError for a tag that cannot stand where it does."""
    found: list[tuple[int, int, str]] = []
    missing: list[int] = []
    open_label = ""
    for at, (line, tag) in enumerate(sentence):
        letter, label = _parsed(tag, scheme)
        may_end = scheme.kind in ("none", "bare", "IOB1", "IOB2")
        goes_on = letter in INSIDE + LAST and label == open_label != ""
        if open_label and not goes_on and not may_end:
            raise TagError(line, f"{tag!r} cannot follow {sentence[at - 1][1]!r} here")
        if letter == MISSING:
            missing.append(at)
        if goes_on:
            found[-1] = (found[-1][0], at + 1, label)
        elif label:
            if not may_end and letter not in BEGIN + SINGLE:
                raise TagError(
                    line, f"{tag!r} does not begin an entity, but none is open"
                )
            found.append((at, at + 1, label))
        open_label = "" if letter in LAST + SINGLE else label
    if open_label and scheme.kind in ("BIOES", "BILUO", "BMES", "BMEW"):
        raise TagError(sentence[-1][0], f"{sentence[-1][1]!r} ends no entity")
    return found, missing


def _parsed(tag: str, scheme: Scheme) -> tuple[str, str]:
    """A tag's letter, in capitals, and its type."""
    if tag == MISSING:
        return MISSING, ""
    if tag in scheme.outside:
        return "O", ""
    if scheme.kind == "bare":
        return "I", tag
    found = PREFIXED.fullmatch(tag)
    assert found is not None  # `find_scheme` saw to it.
    return found[1].upper(), found[2]
