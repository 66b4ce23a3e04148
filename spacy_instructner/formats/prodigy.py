"""Prodigy's tasks. Source: ours, after its documentation.

What somebody rejected or skipped is not annotation: a task with `"answer": "reject"` or
`"ignore"` is left out. A span with such an answer, in a task that was accepted, is not an
entity of its label; nothing else is known of its words.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..char_spans import CharSpan
from .json_spans import (
    Draft,
    Refusal,
    char_span,
    entity_spans,
    needed,
    short,
    text_of,
    tokens_of,
)

ANSWERS = ("accept", "reject", "ignore")
# The interface that asks yes or no about single spans, as `ner.teach` uses it.
BINARY = "ner"
MARK = "_input_hash"
KEYS = {
    "text", "answer", "tokens", "meta", "label", "options", "accept", "config", MARK,
    "_task_hash", "_is_binary", "_view_id", "_annotator_id", "_session_id", "_timestamp",
}  # fmt: skip


def is_prodigy(row: Mapping[str, Any]) -> bool:
    """Does a row have a list of spans? (`Doc.to_json` has an object of that name.)"""
    return "spans" in row and not isinstance(row["spans"], dict)


def is_plain_answer(row: Mapping[str, Any]) -> bool:
    """Is a row a task without spans, as Prodigy saves it if nobody marked any? (It has
    Prodigy's own key, and no key that might be spans by another name.)"""
    if "text" not in row or "answer" not in row or "spans" in row:
        return False
    return row["answer"] in ("reject", "ignore") or (MARK in row and set(row) <= KEYS)


def read_prodigy(row: Mapping[str, Any]) -> list[Draft]:
    """Read a task. Raises Refusal for a task about the whole text, and for what is not a
    task."""
    text = text_of(row)
    answer = _answer(row)
    if answer != "accept":
        return [Draft(text, left_out=f'the task has the answer "{answer}"')]
    given = needed(row, "spans", list) if row.get("spans") is not None else []
    answers = [_answer(each) if isinstance(each, dict) else "accept" for each in given]
    label = _chosen(row, given)
    spans, rejected = list[CharSpan](), list[CharSpan]()
    for each, own in zip(given, answers, strict=True):
        if label is not None:
            each = {**each, "label": label}
        to = spans if own == "accept" else rejected
        to.extend(entity_spans([each], "spans", text))
    draft = Draft(text, tokens_of(row), tuple(spans), rejected=tuple(rejected))
    if not given and isinstance(row.get("label"), str):
        raise Refusal('the task is about the whole text: it has a "label" and no spans')
    return [replace(draft, only_spans=row.get("_view_id") == BINARY)]


def _answer(found: Mapping[str, Any]) -> str:
    answer = found.get("answer")
    if answer is None:
        return "accept"
    if answer not in ANSWERS:
        raise Refusal(f'"answer" is {short(answer)}, none of {", ".join(ANSWERS)}')
    return str(answer)


def _chosen(row: Mapping[str, Any], given: list[Any]) -> str | None:
    """The label that somebody chose for the one span of a task; None if spans have their
    own labels. Raises Refusal for a choice that is not about one span."""
    if "accept" not in row:
        return None
    accepted = row["accept"]
    accepted = accepted if isinstance(accepted, list) else [accepted]
    if not given:
        raise Refusal(
            'the choice in "accept" is about the whole text: there are no spans'
        )
    own = [each.get("label") for each in given if isinstance(each, dict)]
    if any(own):
        choices = [
            each.get("id")
            for each in row.get("options") or ()
            if isinstance(each, dict)
        ]
        if not set(own) & {*choices, *accepted} or accepted == own:
            return None
        raise Refusal(
            f'"spans" say {short(own)} and "accept" says {short(accepted)}: which of them '
            "is the label?"
        )
    if len(given) != 1 or len(accepted) != 1 or not isinstance(accepted[0], str):
        raise Refusal(
            f'"accept" must say one label for one span, not {short(accepted)} for '
            f"{len(given)}"
        )
    char_span(given[0], "spans", text_of(row))
    return accepted[0]
