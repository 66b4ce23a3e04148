"""Texts that templates make."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import spacy

from helpers.pretraining import WORKSHOP, asked, variety
from spacy_instructner.pretraining.held_out import build_held_out_v1
from spacy_instructner.pretraining.template_texts import make_texts, read_templates
from spacy_instructner.pretraining.text_sources import make_source

FILE = {
    "labels": {
        "city": {"names": ["city", "town"], "definitions": ["where to"]},
        "day": {"names": ["day"], "definitions": ["when"]},
    },
    "lists": {
        "city": ["New <end>", "Oslo"],
        "end": ["York", "(Haven|Delhi)"],
        "when": ["on {weekday:day}", "now"],
        "weekday": ["monday", "next friday"],
    },
    "texts": ["[please ]go to {city}[ <when>]", "(what|who) is that"],
}


def templates(tmp_path: Path, **other: Any) -> Path:
    path = tmp_path / "templates.json"
    path.write_text(json.dumps({**FILE, **other}))
    return path


def test_all_that_templates_make(tmp_path: Path) -> None:
    made = make_texts(read_templates(templates(tmp_path)), 1000, seed=0)
    found = {
        text: [(text[start:end], label) for start, end, label in entities]
        for text, entities in made
    }
    expected: dict[str, list] = {"what is that": [], "who is that": []}
    for before in ("", "please "):
        for city in ("New York", "New Haven", "New Delhi", "Oslo"):
            for when in ("", " on monday", " on next friday", " now"):
                named = [(city, "city")]
                if " on " in when:
                    named.append((when.removeprefix(" on "), "day"))
                expected[f"{before}go to {city}{when}"] = named
    assert found == expected and len(made) == len(found)
    again = make_texts(read_templates(templates(tmp_path)), 20, seed=1)
    assert again == make_texts(read_templates(templates(tmp_path)), 20, seed=1)
    assert len(again) == 20


def test_choices_inside_choices_and_spaces(tmp_path: Path) -> None:
    path = templates(
        tmp_path,
        lists={"city": ["  Rome "], "weekday": ["[big ]day"]},
        texts=["[a (b|[c ]d) |e ] {city:city}  {weekday:day}"],
    )
    made = dict(make_texts(read_templates(path), 1000, seed=0))
    for start in ("", "a b ", "a d ", "a c d ", "e "):
        for day in ("day", "big day"):
            place = len(start)
            assert made.pop(f"{start}Rome {day}") == [
                (place, place + 4, "city"),
                (place + 5, place + 5 + len(day), "day"),
            ]
    assert made == {}


def test_templates_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    lists = FILE["lists"]
    assert isinstance(lists, dict)
    cases: list[Any] = [
        ({"texts": []}, "templates.json has no texts, or an empty list"),
        ({"lists": {**lists, "end": []}}, "has no texts, or an empty list"),
        ({"texts": ["{city} {weekday:day} {country:city}"]}, "no lists .'country'."),
        ({"texts": ["to {city} <on>"]}, "no lists .'on'."),
        ({"texts": ["to {city}"], "lists": {"city": ["x"]}}, "differ in: .'day'."),
        ({"texts": ["{city} {weekday:hour}"]}, "differ in: .'hour'."),
        (
            {"texts": ["[to {city} {weekday:day}"]},
            "a bracket is not closed, or closed twice",
        ),
        (
            {"texts": ["to {city {weekday:day}"]},
            "a bracket is not closed, or closed twice",
        ),
        ({"texts": ["to|by {city} {weekday:day}"]}, "a bracket is not closed, or"),
        ({"texts": "x", "lists": 3}, 'must hold one JSON object with "labels"'),
    ]
    for other, message in cases:
        with pytest.raises(ValueError, match=message):
            read_templates(templates(tmp_path, **other))
    inside = {**lists, "city": ["Oslo <when>"], "when": ["on {weekday:day}"]}
    with pytest.raises(
        ValueError, match="'city' makes an entity that is empty or holds"
    ):
        make_texts(read_templates(templates(tmp_path, lists=inside)), 100, seed=0)
    empty = {**lists, "city": ["Oslo", "[<end>]"]}
    with pytest.raises(ValueError, match="'city' makes an entity that is empty"):
        make_texts(read_templates(templates(tmp_path, lists=empty)), 100, seed=0)
    endless = {**lists, "end": ["<end>"]}
    with pytest.raises(ValueError, match="hold each other without end, at '<end>'"):
        make_texts(read_templates(templates(tmp_path, lists=endless)), 100, seed=0)


def test_texts_of_templates_ask_for_their_own_labels(
    wording: Path, tmp_path: Path
) -> None:
    nlp = spacy.blank("en")
    sources = {"workshop": WORKSHOP, "made": templates(tmp_path)}
    shares = {"workshop": 1.0, "made": 3.0}
    config = {"joined": 0.0, "lowered": 0.0, "own_words": 0.0}
    read = variety(wording, sources=sources, shares=shares, made=30, **config)
    seen, names = set(), Counter[str]()
    for example in islice(read(nlp), 400):
        labels = asked(example)
        if "go to" not in example.text and "is that" not in example.text:
            assert not {"city", "day"} & set(labels)
            continue
        seen.add(example.text)
        assert set(labels) <= {"city", "day"}
        found = {(ent.label_, ent.text) for ent in example.reference.ents}
        cities = {text for label, text in found if label == "city"}
        assert not cities or cities & {"New York", "New Haven", "New Delhi", "Oslo"}
        names[labels.get("city", {}).get("name", "")] += 1
    assert 20 < len(seen) <= 30 and sum(names.values()) > 250
    assert set(names) >= {"city", "town", "CITY", "Town"}


def test_an_entity_ends_where_its_template_says(tmp_path: Path) -> None:
    path = templates(
        tmp_path,
        lists={"city": ["block C", "U.S."], "weekday": ["monday's"]},
        texts=["In {city}. Not `{weekday:day}`!"],
    )
    texts, words = make_source(path, spacy.blank("en"), 10, seed=0)
    assert words["day"].names == ["day"]
    assert sorted((text.words, text.entities) for text in texts) == [
        (
            ("In", "U.S.", ".", "Not", "`", "monday", "'s", "`", "!"),
            ((1, 2, "city"), (5, 7, "day")),
        ),
        (
            ("In", "block", "C", ".", "Not", "`", "monday", "'s", "`", "!"),
            ((1, 3, "city"), (6, 8, "day")),
        ),
    ]


def test_held_out_templates_ask_for_all_their_labels(
    wording: Path, tmp_path: Path
) -> None:
    sources = {"workshop": WORKSHOP, "made": templates(tmp_path)}
    read = build_held_out_v1(sources, wording, ["TOOL"], texts=20, empty=0.2)
    examples = list(read(spacy.blank("en")))
    said = [tuple(asked(example)) for example in examples]
    # In turn, as long as both have some; here two texts say nothing at all.
    assert said[:16] == [("TOOL",), ("city", "day")] * 8
    assert asked(examples[1]) == {
        "city": {"name": "city", "definition": "where to"},
        "day": {"name": "day", "definition": "when"},
    }
    assert len(said) == 20 and said[16:].count(("city", "day")) == 2
    assert [bool(each.reference.ents) for each in examples] == [True] * 16 + [False] * 4
