"""Rows of JSON as the annotation tools write them.

Each tool is one entry of `ROW_FORMATS`: how its rows are recognised, and how a row is read.
A row that none of them knows is an error, and so is a row that two of them read
differently. Source: ours, after the documentation of the tools.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .json_spans import (
    Draft,
    Refusal,
    entity_spans,
    hidden_spans,
    in_tokens,
    is_whole,
    needed,
    short,
    text_of,
    tokens_of,
)
from .json_values import is_pair, read_values
from .label_studio import (
    is_label_studio,
    is_label_studio_min,
    read_label_studio,
    read_label_studio_min,
)
from .prodigy import is_plain_answer, is_prodigy, read_prodigy
from .rows import Problem, Row
from .tagged import TaggedText, tagged_rows
from .tags import MISSING
from .text_files import repaired

# The keys of tags in a row of words, the most common first.
TAGS = ("ner_tags", "tags", "labels", "label", "ner")
WORDS = ("tokens", "words")
DOCCANO = ("label", "labels")


@dataclass(frozen=True)
class RowFormat:
    """A tool's rows. name: of the tool; recognises: tells whether the tool wrote a row;
    read: reads a row, which may hold several texts."""

    name: str
    recognises: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], list[Draft]]


def read_json_rows(
    text: str, name: str, tag_names: Sequence[str] = ()
) -> tuple[list[Row], list[Problem]]:
    """The rows of a file.

    text, name (str): of the file.
    tag_names (Sequence[str]): the names of tags that are numbers, from 0 on.
    RETURNS (tuple): the rows, in order, and what was left out. Raises ValueError, with
        the line, for a row of an unknown format, and for what is not JSON."""
    return read_row_values(read_values(text, name), name, tag_names)


def read_row_values(
    values: Iterable[tuple[int, Any]], name: str, tag_names: Sequence[str] = ()
) -> tuple[list[Row], list[Problem]]:
    """The rows of JSON values, each with its line, wherever they come from. See
    `read_json_rows`."""
    rows: list[Row | TaggedText] = []
    problems: list[Problem] = []
    for line, value in values:
        where = f"{name}, line {line}"
        for draft in drafts_of(value, where):
            if draft.left_out:
                problems.append(Problem(where, draft.left_out, "row"))
            else:
                rows.append(_row(draft, where, line, tag_names))
    of_tags = iter(tagged_rows([r for r in rows if isinstance(r, TaggedText)], name))
    return [next(of_tags) if isinstance(r, TaggedText) else r for r in rows], problems


def read_json_row(value: Any, where: str) -> Row:
    """One row with one text, such as {"text", "spans"}. Raises ValueError as
    `read_json_rows`, and for a row whose text does not count."""
    drafts = drafts_of(value, where)
    if len(drafts) != 1 or drafts[0].left_out or drafts[0].tags is not None:
        raise ValueError(f"{where}: there must be one text with spans.")
    row = _row(drafts[0], where, 1, ())
    assert isinstance(row, Row)  # It has no tags.
    return row


def is_annotated_row(value: Any) -> bool:
    """Does a JSON value have annotation as one of the tools writes it?"""
    if is_pair(value):
        return True
    return isinstance(value, dict) and (
        is_plain_answer(value) or any(each.recognises(value) for each in ROW_FORMATS)
    )


def drafts_of(value: Any, where: str) -> list[Draft]:
    """What a tool wrote in a row. Raises ValueError if no tool wrote it, or if two tools
    read it differently."""
    if is_pair(value):
        value = {**value[1], "text": value[0]}
    if not isinstance(value, dict):
        raise ValueError(f"{where}: not a JSON object: {short(value)}.")
    known = [each for each in ROW_FORMATS if each.recognises(value)]
    if not known and is_plain_answer(value):
        known = [PRODIGY]
    if not known:
        raise ValueError(
            f"{where}: not a JSON object with annotation that is known here: it has "
            f"{', '.join(map(repr, value)) or 'nothing'}. docs/reference/formats.md lists what is "
            "read; a text without entities has an empty list of them."
        )
    read: list[list[Draft]] = []
    for each in known:
        try:
            read.append(each.read(value))
        except Refusal as error:
            raise ValueError(
                f"{where}: not a JSON object as {each.name} writes it: {error}."
            ) from error
    if other := hidden_spans(value):
        raise ValueError(
            f"{where}: {other!r} has spans too, but they would not be read. Leave the row "
            "as its tool wrote it."
        )
    if len({_compared(drafts) for drafts in read}) > 1:
        names = " and ".join(each.name for each in known)
        raise ValueError(
            f"{where}: the row has annotation as {names} write it, and they differ. Leave "
            "one of them in the row."
        )
    return read[0]


def _compared(drafts: Sequence[Draft]) -> tuple[Any, ...]:
    """What must be the same if two tools read a row."""
    return tuple((d.text, tuple(sorted(d.spans)), d.tags, d.left_out) for d in drafts)


def _row(draft: Draft, where: str, line: int, names: Sequence[str]) -> Row | TaggedText:
    """A draft without surrogates, with names in place of numbers. Raises ValueError if the
    number of tags is not that of words, and for numbers without names."""
    surrogates: list[int] = []

    def whole(text: str) -> str:
        text, count = repaired(text)
        surrogates.append(count)
        return text

    text = None if draft.text is None else whole(draft.text)
    tokens = None if draft.tokens is None else tuple(map(whole, draft.tokens))
    spans = tuple((a, b, whole(label)) for a, b, label in draft.spans)
    rejected = tuple((a, b, whole(label)) for a, b, label in draft.rejected)
    problems: tuple[Problem, ...] = ()
    tags = draft.tags
    if tags is not None:
        tags = tuple(map(whole, _named(tags, names, where)))
    if sum(surrogates):
        why = f"{sum(surrogates)} surrogates became U+FFFD"
        problems = (Problem(where, why, "note"),)
    if tags is not None:
        if tokens is None or len(tags) != len(tokens):
            raise ValueError(
                f"{where}: there are {len(tags)} tags for {len(tokens or ())} words. Each "
                "word needs one."
            )
        numbered = tuple((line, tag) for tag in tags)
        return TaggedText(where, text, tokens, numbered, problems)
    unknown: tuple[tuple[int, int], ...] = ()
    if draft.only_spans:
        ends = sorted(at for a, b, _ in spans for at in (a, b))
        borders = [0, *ends, len(text or "")]
        unknown = tuple(zip(borders[::2], borders[1::2]))
    return Row(where, text, tokens, spans, unknown, rejected, problems)


def _named(tags: Sequence[Any], names: Sequence[str], where: str) -> list[str]:
    """Tags as texts. Raises ValueError for numbers without a name."""
    if all(isinstance(tag, str) for tag in tags):
        return list(tags)
    if not is_whole(*tags):
        raise ValueError(
            f"{where}: the tags are neither texts nor numbers: {short(tags)}."
        )
    if not names:
        raise ValueError(
            f"{where}: the tags are numbers. Name them in their order, for example `convert "
            "--tag-names O,B-PER,I-PER`, with the names of the data set's card."
        )
    if bad := [tag for tag in tags if not 0 <= tag < len(names)]:
        raise ValueError(
            f"{where}: the tag {bad[0]} has no name: there are {len(names)} names, from 0 on."
        )
    return [names[tag] for tag in tags]


# One tool after the other.


def _read_doc(row: Mapping[str, Any]) -> list[Draft]:
    text = text_of(row)
    return [Draft(text, tokens_of(row), entity_spans(row["ents"], "ents", text))]


def _read_entities(row: Mapping[str, Any]) -> list[Draft]:
    text = text_of(row)
    spans = entity_spans(row["entities"], "entities", text)
    return [Draft(text, tokens_of(row), spans)]


def _doccano_key(row: Mapping[str, Any]) -> str:
    """The key of lists of [start, end, label]; "" if there is none."""
    for key in DOCCANO:
        found = row.get(key)
        if isinstance(found, list) and all(isinstance(each, list) for each in found):
            if not any(isinstance(row.get(words), list) for words in WORDS):
                return key
    return ""


def _read_doccano(row: Mapping[str, Any]) -> list[Draft]:
    key, text = _doccano_key(row), text_of(row)
    return [Draft(text, spans=entity_spans(row[key], key, text))]


def _tag_key(row: Mapping[str, Any]) -> str:
    """The key of one tag a word in a row of words; "" if there is none."""
    if any(isinstance(row.get(words), list) for words in WORDS):
        for key in TAGS:
            found = row.get(key)
            if isinstance(found, list) and not any(
                isinstance(each, (list, dict)) for each in found
            ):
                return key
    return ""


def _read_tagged(row: Mapping[str, Any]) -> list[Draft]:
    words = next(key for key in WORDS if isinstance(row.get(key), list))
    text = text_of(row) if "text" in row else None
    return [Draft(text, tokens_of(row, words), tags=_flat(row[_tag_key(row)]))]


def _flat(tags: Sequence[Any]) -> tuple[Any, ...]:
    """Raises Refusal for anything but names and numbers."""
    for tag in tags:
        if not isinstance(tag, (str, int)):
            raise Refusal(f"there is a tag {short(tag)}")
    return tuple(tags)


def _read_gliner(row: Mapping[str, Any]) -> list[Draft]:
    tokens = tokens_of(row, "tokenized_text")
    if tokens is None:
        raise Refusal("'tokenized_text' is empty")
    spans = in_tokens(needed(row, "ner", list), "ner", tokens)
    return [Draft(None, tokens, spans)]


def _read_training(row: Mapping[str, Any]) -> list[Draft]:
    drafts = []
    for paragraph in needed(row, "paragraphs", list):
        if not isinstance(paragraph, dict):
            raise Refusal(f"'paragraphs' has {short(paragraph)}")
        words, tags = list[str](), list[Any]()
        for sentence in needed(paragraph, "sentences", list):
            for token in needed(sentence, "tokens", list):
                words.append(needed(token, "orth", str))
                tags.append(token.get("ner"))
        if None in tags and tags != [None] * len(tags):
            raise Refusal("a token has no 'ner', but others have")
        tags = [MISSING if tag is None else tag for tag in tags]
        text = paragraph.get("raw")
        if text is not None and not isinstance(text, str):
            raise Refusal(f"'raw' is {short(text)}")
        drafts.append(Draft(text, tuple(words), tags=_flat(tags)))
    return drafts


PRODIGY = RowFormat("Prodigy (`spans`)", is_prodigy, read_prodigy)
ROW_FORMATS = (
    PRODIGY,
    RowFormat("spaCy's Doc.to_json (`ents`)", lambda row: "ents" in row, _read_doc),
    RowFormat(
        "spaCy 2 or doccano (`entities`)", lambda row: "entities" in row, _read_entities
    ),
    RowFormat("doccano (`label`)", lambda row: bool(_doccano_key(row)), _read_doccano),
    RowFormat("Label Studio (JSON)", is_label_studio, read_label_studio),
    RowFormat("Label Studio (JSON-MIN)", is_label_studio_min, read_label_studio_min),
    RowFormat(
        "a Hugging Face data set (`ner_tags`)",
        lambda row: bool(_tag_key(row)),
        _read_tagged,
    ),
    RowFormat(
        "GLiNER (`tokenized_text`)", lambda row: "tokenized_text" in row, _read_gliner
    ),
    RowFormat("spaCy's training JSON", lambda row: "paragraphs" in row, _read_training),
)
