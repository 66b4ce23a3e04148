"""Between Label Studio's tasks and texts: predictions, and annotations to learn from.

Offsets are Python's own. Label Studio runs in a browser, but it turns its offsets into code
points before it keeps them (its selection-tools.js), and reads them so, too. Versions that
counted UTF-16 units are told by the text that each of their regions has with it
(`spacy_instructner/formats/json_spans.py`). Source: ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from spacy_instructner.formats.json_rows import read_json_row
from spacy_instructner.formats.rows import Row
from spacy_instructner.formats.text_files import repaired

from ..project_pipelines import AskedText, FoundSpans
from .labeling_config import SpanTag

Task = Mapping[str, Any]
# Regions of other kinds stand beside spans in an annotation.
SPANS = "labels"
# As far as scores are told.
DIGITS = 4


def text_to_ask(task: Task, tag: SpanTag) -> AskedText:
    """The text of a task for a tag. Raises ValueError where the task has none."""
    data = task.get("data")
    text = data.get(tag.key) if isinstance(data, Mapping) else None
    if not isinstance(text, str):
        raise ValueError(
            f"Task {task.get('id')} has no text under {tag.key!r}, which the tag "
            f"{tag.to_name!r} shows."
        )
    # Halves of characters become U+FFFD: as many, so that offsets stay.
    return AskedText(Row(f"task {task.get('id')}", repaired(text)[0]), tag.labels)


def prediction_of(
    asked: Sequence[tuple[SpanTag, AskedText, FoundSpans]], version: str
) -> dict[str, Any]:
    """A task's prediction as Label Studio reads it: the regions of all tags, and as score
    the lowest of any, by which tasks can be ordered. Where a tag could not be predicted, an
    "error" in place of the "result": Label Studio then keeps no prediction of the task."""
    errors = [found.error for _, _, found in asked if found.error]
    if errors:
        return {"error": errors[0], "model_version": version}
    return {
        "result": [
            {
                "id": uuid4().hex[:10],
                "from_name": tag.name,
                "to_name": tag.to_name,
                "type": SPANS,
                "value": {
                    "start": start,
                    "end": end,
                    "text": (text.row.text or "")[start:end],
                    "labels": [label],
                },
                "score": None if score is None else round(score, DIGITS),
            }
            for tag, text, found in asked
            for start, end, label, score in found.spans
        ],
        "score": round(min(found.certainty for _, _, found in asked), DIGITS),
        "model_version": version,
    }


def annotated_texts(
    tasks: Iterable[Task], tags: Sequence[SpanTag]
) -> tuple[list[AskedText], list[str]]:
    """The annotated texts of tasks, one for each tag, and why others are left out: nobody
    annotated them, annotators disagree, or their labels are no longer asked for."""
    texts: list[AskedText] = []
    left_out: list[str] = []
    for task in tasks:
        for tag in tags:
            try:
                asked = text_to_ask(task, tag)
                row = read_json_row(_of_tag(task, tag), asked.row.where)
                if gone := {label for *_, label in row.spans} - set(tag.labels):
                    raise ValueError(
                        f"{row.where}: {', '.join(sorted(gone))} is no label of the "
                        f"tag {tag.name!r}."
                    )
            except ValueError as error:
                left_out.append(str(error))
            else:
                texts.append(replace(asked, row=row))
    return texts, left_out


def _of_tag(task: Task, tag: SpanTag) -> dict[str, Any]:
    """A task as if it had this tag alone."""
    annotations = task.get("annotations")
    own = [
        {**each, "result": [r for r in each.get("result") or () if _is_of(r, tag)]}
        for each in (annotations if isinstance(annotations, list) else ())
        if isinstance(each, Mapping)
    ]
    return {"data": {"text": task["data"][tag.key]}, "annotations": own}


def _is_of(region: Any, tag: SpanTag) -> bool:
    return isinstance(region, Mapping) and (
        (region.get("from_name"), region.get("to_name"), region.get("type"))
        == (tag.name, tag.to_name, SPANS)
    )
