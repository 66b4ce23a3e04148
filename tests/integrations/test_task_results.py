"""Label Studio's tasks become texts, and what is found in them becomes predictions."""

from typing import Any

import pytest

from helpers.taught_texts import regions_of, taught_spans
from integrations.label_studio.labeling_config import SpanTag
from integrations.label_studio.task_results import (
    annotated_texts,
    prediction_of,
    text_to_ask,
)
from integrations.project_pipelines import FoundSpans

LABELS = {
    "PERSON": {"name": "", "definition": "somebody's name"},
    "PLACE": {"name": "", "definition": ""},
}
TAG = SpanTag("label", "text", "article", LABELS)
OTHER = SpanTag("thing", "text", "article", {"ANIMAL": {"name": "", "definition": ""}})


def task(text: str, *annotations: Any, **more: Any) -> dict[str, Any]:
    return {"id": 7, "data": {"article": text}, "annotations": [*annotations], **more}


def annotation(*regions: Any, **more: Any) -> dict[str, Any]:
    return {"result": [*regions], **more}


def in_utf16(regions: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """As versions of Label Studio had it that counted units of UTF-16."""

    def units(at: int) -> int:
        return len(text[:at].encode("utf-16-le")) // 2

    found = []
    for each in regions:
        value = each["value"]
        places = {"start": units(value["start"]), "end": units(value["end"])}
        found.append({**each, "value": {**value, **places}})
    return found


def test_the_text_of_a_task() -> None:
    asked = text_to_ask(task("Anna 😀 \ud800."), TAG)
    assert asked.row.text == "Anna 😀 \ufffd." and asked.labels == LABELS
    for wrong in ({"id": 7, "data": {"text": "Anna"}}, {"data": None}, task(3)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no text under 'article'"):
            text_to_ask(wrong, TAG)


def test_a_prediction_has_the_regions_of_all_tags_and_the_lowest_score() -> None:
    text = "😀 Anna and a 𝕔𝕒𝕥 in Paris"
    asked = text_to_ask(task(text), TAG)
    persons = FoundSpans(((2, 6, "PERSON", 0.91234), (20, 25, "PLACE", None)))
    animals = FoundSpans(((13, 16, "ANIMAL", 0.5),))
    found = prediction_of([(TAG, asked, persons), (OTHER, asked, animals)], "v1")
    ids = [each.pop("id") for each in found["result"]]
    assert len(set(ids)) == 3 and all(len(each) == 10 for each in ids)
    assert found == {
        "model_version": "v1",
        "score": 0.5,
        "result": [
            {
                "from_name": name,
                "to_name": "text",
                "type": "labels",
                # Code points, of which each of these letters is one.
                "value": {"start": a, "end": b, "text": words, "labels": [label]},
                "score": score,
            }
            for name, a, b, words, label, score in (
                ("label", 2, 6, "Anna", "PERSON", 0.9123),
                ("label", 20, 25, "Paris", "PLACE", None),
                ("thing", 13, 16, "𝕔𝕒𝕥", "ANIMAL", 0.5),
            )
        ],
    }


def test_nothing_found_is_a_prediction_and_an_error_is_none() -> None:
    asked = text_to_ask(task("Anna"), TAG)
    assert prediction_of([(TAG, asked, FoundSpans())], "v1") == {
        "result": [],
        "score": 1.0,
        "model_version": "v1",
    }
    parts = [(TAG, asked, FoundSpans()), (OTHER, asked, FoundSpans(error="broken"))]
    # Label Studio would keep an empty "result" as a prediction.
    assert prediction_of(parts, "v1") == {"error": "broken", "model_version": "v1"}


TEXT = "😀😀 Anna, Anna\r\nlives 👩‍👩‍👧 in Paris."


@pytest.mark.parametrize(
    "with_text,units", [(True, False), (False, False), (True, True)]
)
def test_annotations_are_read_by_their_characters(with_text: bool, units: bool) -> None:
    """As they are kept now, with or without `savetextresult`; and as they once were, by
    the text that regions have."""
    regions = regions_of(TEXT)
    if units:
        regions = in_utf16(regions, TEXT)
        assert regions[-1]["value"]["end"] > len(TEXT)
    for each in regions if not with_text else ():
        del each["value"]["text"]
    (asked,), left_out = annotated_texts([task(TEXT, annotation(*regions))], [TAG])
    assert not left_out
    assert asked.row.spans == taught_spans(TEXT) and len(asked.row.spans) == 3
    assert asked.row.text == TEXT and asked.labels == LABELS


def test_each_tag_learns_from_its_own_regions() -> None:
    text = "Anna lives in Paris."
    animal = {**regions_of(text)[0], "from_name": "thing"}
    animal["value"] = {**animal["value"], "labels": ["ANIMAL"]}
    others = [
        {"from_name": "tone", "to_name": "text", "type": "choices", "value": {}},
        {"type": "relation", "from_id": "r0", "to_id": "r14"},
        {**regions_of(text)[0], "to_name": "title"},
    ]
    done = task(text, annotation(*regions_of(text), animal, *others))
    texts, left_out = annotated_texts([done], [TAG, OTHER])
    assert not left_out
    assert [each.row.spans for each in texts] == [
        taught_spans(text),
        ((0, 4, "ANIMAL"),),
    ]
    assert [each.labels for each in texts] == [LABELS, OTHER.labels]


def test_what_is_left_out_is_told() -> None:
    text = "Anna lives in Paris."
    regions = regions_of(text)
    gone = {**regions[0], "value": {**regions[0]["value"], "labels": ["GONE"]}}
    tasks = [
        task(text),
        task(text, annotation(*regions, was_cancelled=True)),
        task(text, annotation(*regions), annotation()),
        task(text, annotation(gone)),
        {"id": 8, "data": {}, "annotations": [annotation()]},
    ]
    texts, left_out = annotated_texts(tasks, [TAG])
    assert texts == [] and len(left_out) == 5
    for why, said in zip(
        ("one text", "one text", "ground truth", "GONE is no label", "no text"),
        left_out,
    ):
        assert why in said, said
    # One of several that differ can be told to be right; none at all is right, too.
    truth = annotation(*regions, ground_truth=True)
    (one, none), left_out = annotated_texts(
        [task(text, truth, annotation()), task(text, annotation())], [TAG]
    )
    assert not left_out
    assert one.row.spans == taught_spans(text) and none.row.spans == ()
