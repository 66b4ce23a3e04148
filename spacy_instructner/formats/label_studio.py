"""Label Studio's exports: JSON, and JSON-MIN. Source: ours, after its documentation."""

from collections.abc import Mapping
from typing import Any

from ..char_spans import CharSpan
from .json_spans import Draft, Refusal, entity_spans, needed, short, text_of, tokens_of

# A task's annotations, now and in old exports.
ANNOTATIONS = ("annotations", "completions")
LABELS = "labels"
# Results that are not spans, but other statements about the text or a span.
NO_SPANS = (
    "choices",
    "relation",
    "textarea",
    "rating",
    "taxonomy",
    "number",
    "datetime",
)
# The keys of every row of JSON-MIN, with or without annotation.
ANNOTATED_BY = ("annotation_id", "annotator")
MIN_KEYS = {
    *ANNOTATED_BY,
    "text",
    "id",
    "created_at",
    "updated_at",
    "lead_time",
    "label",
}


def is_label_studio(row: Mapping[str, Any]) -> bool:
    """Is a row a task of Label Studio's JSON export?"""
    return isinstance(row.get("data"), dict) and any(key in row for key in ANNOTATIONS)


def read_label_studio(row: Mapping[str, Any]) -> list[Draft]:
    """Read a task. Raises Refusal for annotations that differ, and for those of HTML and
    dialogues."""
    key = next(key for key in ANNOTATIONS if key in row)
    text = _text(row["data"])
    done = [
        each
        for each in needed(row, key, list)
        if isinstance(each, dict) and not each.get("was_cancelled")
    ]
    done = [each for each in done if each.get("ground_truth")] or done
    if not done:
        return [Draft(text, left_out="nobody has annotated the task")]
    found = {_spans(needed(each, "result", list), text) for each in done}
    if len(found) > 1:
        raise Refusal(
            f"its {len(done)} annotations differ; mark one of them as the ground truth"
        )
    return [Draft(text, spans=found.pop())]


def _text(data: Mapping[str, Any]) -> str:
    """A task's text: the one under `text`, or the only one."""
    texts = [value for value in data.values() if isinstance(value, str)]
    if "text" not in data and len(texts) == 1:
        return texts[0]
    return text_of(data)


def _spans(result: list[Any], text: str) -> tuple[CharSpan, ...]:
    found: set[CharSpan] = set()
    for each in result:
        if not isinstance(each, dict):
            raise Refusal(f'"result" has {short(each)}')
        kind = each.get("type", LABELS)
        if kind == LABELS:
            value = needed(each, "value", dict)
            found.update(entity_spans([value], "value", text))
        elif kind not in NO_SPANS:
            raise Refusal(f"it has {short(kind)}: only `labels` of plain text are read")
    return tuple(sorted(found))


def min_keys(row: Mapping[str, Any]) -> list[str]:
    """The keys of spans in a row of JSON-MIN. Such a key is the name of the tag in the
    labelling interface, whatever that is."""
    return [
        key
        for key, value in row.items()
        if isinstance(value, list)
        and value
        and all(isinstance(each, dict) and LABELS in each for each in value)
    ]


def is_label_studio_min(row: Mapping[str, Any]) -> bool:
    """Does a row have spans, or only keys that cannot be annotation of another kind?"""
    return bool(min_keys(row)) or (
        all(key in row for key in ANNOTATED_BY)
        and set(row) <= MIN_KEYS
        and row.get("label", []) == []
    )


def read_label_studio_min(row: Mapping[str, Any]) -> list[Draft]:
    """Read a row of JSON-MIN. Raises Refusal for spans under two keys."""
    keys = min_keys(row)
    if len(keys) > 1:
        raise Refusal(f"both {keys[0]!r} and {keys[1]!r} have spans")
    text = text_of(row)
    spans = entity_spans(row[keys[0]], keys[0], text) if keys else ()
    return [Draft(text, tokens_of(row), spans)]
