"""Texts that ask for labels of their own, tasks side by side, and training that goes on
where it was stopped."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from filelock import FileLock
from safetensors.torch import load_file
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from thinc.api import Adam, Config
from typer.testing import CliRunner

from spacy_instructner.cli import app
from spacy_instructner.models import pretrained_adapters
from spacy_instructner.models.lora import adapter_state
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.pretraining import checkpoints
from spacy_instructner.pretraining.corpus import LabelVariety, build_label_variety_v1
from spacy_instructner.pretraining.held_out import build_held_out_v1
from spacy_instructner.pretraining.loop import (
    ADAPTER_FOLDER,
    LOG,
    MODEL,
    pretrain,
    read_log,
)
from spacy_instructner.pretraining.sources import make_source, read_rules, read_texts
from spacy_instructner.pretraining.template_texts import make_texts, read_templates
from spacy_instructner.pretraining.texts import Text, join, lowered
from spacy_instructner.pretraining.wording import read_wording
from spacy_instructner.tasks.cllmfs import build_cllmfs_v1
from spacy_instructner.tasks.instruction_ner import build_instruction_ner_v1
from spacy_instructner.tasks.mixture import build_mixture_v1

ROOT = Path(__file__).parents[1]
WORKSHOP = ROOT / "assets" / "workshop" / "train.jsonl"
WORDING = {
    "PART": {"names": ["component", "bicycle part"], "definitions": ["a piece", "x"]},
    "TOOL": {"names": ["device", "tool"], "definitions": ["to work with"]},
}
MakeNLP = Callable[..., Language]


@pytest.fixture
def wording(tmp_path: Path) -> Path:
    path = tmp_path / "wording.json"
    path.write_text(json.dumps(WORDING))
    return path


def variety(wording: Path, **more: Any) -> LabelVariety:
    config: dict[str, Any] = {
        "sources": {"workshop": WORKSHOP},
        "shares": {"workshop": 1.0},
        "wording": wording,
        "held_out": ["TOOL"],
        **more,
    }
    return build_label_variety_v1(**config)


def asked(example: Example) -> dict[str, dict[str, str]]:
    labels: dict[str, dict[str, str]] = example.predicted.user_data[
        "instruction_ner_labels"
    ]
    return labels


def row(example: Example) -> Any:
    entities = [(e.start, e.end, e.label_) for e in example.reference.ents]
    return example.text, asked(example), entities


def test_texts_depend_on_seed_and_number_alone(wording: Path) -> None:
    nlp = spacy.blank("en")
    rows = [row(each) for each in islice(variety(wording)(nlp), 40)]
    random.seed(99)
    later = variety(wording).starting(nlp, 25)
    assert [row(each) for each in islice(later, 15)] == rows[25:]
    other = [row(each) for each in islice(variety(wording, seed=1)(nlp), 40)]
    assert other != rows and len({text for text, _, _ in rows}) > 25


def test_what_a_text_asks_for(wording: Path) -> None:
    nlp = spacy.blank("en")
    gold = {text.words: text for text in read_texts(WORKSHOP, nlp)}
    sizes, absent, answered = Counter[int](), 0, 0
    config = {"lowered": 0.0, "joined": 0.0, "most_labels": 4}
    for example in islice(variety(wording, **config)(nlp), 300):
        labels = asked(example)
        text = gold[tuple(token.text for token in example.reference)]
        # Never a text with a label that is held out, nor that label.
        assert "TOOL" not in (*text.labels, *labels)
        sizes[len(labels)] += 1
        absent += not set(labels) <= set(text.labels)
        found = [(e.start, e.end, e.label_) for e in example.reference.ents]
        assert found == [each for each in text.entities if each[2] in labels]
        assert not example.predicted.ents
        answered += bool(found)
    # Never more, also where the text has more; an answer in nine of ten.
    assert min(sizes) == 1 and max(sizes) == 4
    assert all(sizes[n] > 10 for n in (1, 2, 3, 4))
    assert 100 < absent < 290
    assert 0.04 < 1 - answered / 300 < 0.17
    always = islice(variety(wording, empty=0.0, **config)(nlp), 100)
    assert all(example.reference.ents for example in always)


def test_words_of_labels_vary(wording: Path) -> None:
    nlp = spacy.blank("en")
    names, meanings = Counter[str](), Counter[str]()
    for example in islice(variety(wording)(nlp), 400):
        said = asked(example).get("PART")
        if said:
            names[said["name"]] += 1
            meanings[said["definition"]] += 1
    assert set(meanings) == {"", "a piece", "x"} and meanings["a piece"] > 30
    assert {"part", "component", "bicycle part", "Component", "BICYCLE PART"} <= set(
        names
    )
    own = islice(variety(wording, own_words=1.0, undefined=0.0)(nlp), 100)
    said = [asked(each)["PART"] for each in own if "PART" in asked(each)]
    assert said and {tuple(each.values()) for each in said} == {("part", "a piece")}


def test_shares_of_sources_and_of_texts_without_entities(
    wording: Path, tmp_path: Path
) -> None:
    nlp = spacy.blank("en")
    rows = [{"text": f"none {n}", "spans": []} for n in range(5)]
    rows.append({"text": "a b", "spans": [{"start": 0, "end": 1, "label": "A"}]})
    path = tmp_path / "few.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    both = {
        "sources": {"workshop": WORKSHOP, "few": path},
        "shares": {"workshop": 1, "few": 3},
        "joined": 0.0,
    }
    counts = Counter[str]()
    for example in islice(variety(wording, **both)(nlp), 400):
        labels = set(asked(example))
        # Each source's own labels, never the other's: they are not annotated there.
        assert labels == {"A"} or "A" not in labels
        few = "A" in labels
        counts["few"] += few
        counts["empty"] += few and example.text.lower().startswith("none")
    assert 260 < counts["few"] < 340
    assert 0.04 < counts["empty"] / counts["few"] < 0.18


def test_held_out(wording: Path) -> None:
    nlp = spacy.blank("en")
    sources = {"workshop": WORKSHOP}
    read = build_held_out_v1(sources, wording, ["TOOL"], texts=10)
    examples = list(read(nlp))
    assert len(examples) == 10
    said = {"TOOL": {"name": "device", "definition": "to work with"}}
    for at, example in enumerate(examples):
        assert asked(example) == said
        found = {ent.label_ for ent in example.reference.ents}
        # Two of ten have no answer.
        assert found == ({"TOOL"} if at < 8 else set())
    assert [row(each) for each in read(nlp)] == [row(each) for each in examples]


def annotated(path: Path, *rows: dict[str, str]) -> Path:
    """A file of texts: word to label, in order."""
    with path.open("w") as file_:
        for words in rows:
            text, spans = "", []
            for word, label in words.items():
                start = len(text)
                text += f"{word} "
                if label:
                    end = start + len(word)
                    spans.append({"start": start, "end": end, "label": label})
            file_.write(json.dumps({"text": text, "spans": spans}) + "\n")
    return path


def test_held_out_labels_are_asked_of_files_that_have_them(
    wording: Path, tmp_path: Path
) -> None:
    nlp = spacy.blank("en")
    one = annotated(tmp_path / "one.jsonl", {"x": "A", "y": "C"}, {"z": "C"})
    two = annotated(tmp_path / "two.jsonl", {"u": "B"}, {"v": "A", "w": "B"})
    sources = {"one": one, "two": two}
    read = build_held_out_v1(sources, wording, ["A", "B"], texts=4, empty=0.25)
    rows = {
        example.text.split()[0]: (set(asked(example)), len(example.reference.ents))
        for example in read(nlp)
    }
    assert rows == {
        "x": ({"A"}, 1),
        "u": ({"A", "B"}, 1),
        "v": ({"A", "B"}, 2),
        "z": ({"A"}, 0),
    }
    with pytest.raises(
        ValueError, match="held-out labels .'D'.. The sources have these labels: .'A'"
    ):
        list(build_held_out_v1(sources, wording, ["A", "D"])(nlp))
    with pytest.raises(ValueError, match="held-out labels .'D'."):
        next(
            variety(
                wording, sources=sources, shares={"one": 1, "two": 1}, held_out=["D"]
            )(nlp)
        )
    with pytest.raises(ValueError, match="'two' has no entity to learn from"):
        next(
            variety(
                wording, sources=sources, shares={"one": 1, "two": 1}, held_out=["B"]
            )(nlp)
        )


def test_a_held_out_text_is_held_out_of_every_file(
    wording: Path, tmp_path: Path
) -> None:
    nlp = spacy.blank("en")
    one = annotated(tmp_path / "one.jsonl", {"x": "A", "y": ""}, {"z": "C"})
    two = annotated(tmp_path / "two.jsonl", {"x": "", "y": "B"}, {"w": "B"})
    both = {"sources": {"one": one, "two": two}, "shares": {"one": 1, "two": 1}}
    read = variety(wording, held_out=["A"], joined=0.0, lowered=0.0, **both)
    seen = {example.text.strip() for example in islice(read(nlp), 60)}
    assert seen == {"z", "w"}


TEXT = Text(
    ("In", "Rome", ",", "U.", "-", "S.", "!", "…"),
    (True, False, True, False, False, False, True, False),
    ((1, 2, "A"), (3, 6, "B")),
)


def test_lower_case_and_bare_texts() -> None:
    low = lowered(TEXT, without_punctuation=False)
    assert low.words == ("in", "rome", ",", "u.", "-", "s.", "!", "…")
    assert (low.spaces, low.entities) == (TEXT.spaces, TEXT.entities)
    bare = lowered(TEXT, without_punctuation=True)
    # What belongs to an entity stays.
    assert bare.words == ("in", "rome", "u.", "-", "s.")
    assert bare.entities == ((1, 2, "A"), (2, 5, "B")) and all(bare.spaces)


def test_joined_texts() -> None:
    both = join([TEXT, Text(("x", "y"), (False, False), ((1, 2, "C"),))])
    assert both.words == (*TEXT.words, "x", "y")
    assert both.spaces == (*TEXT.spaces[:-1], True, False, False)
    assert both.entities == (*TEXT.entities, (9, 10, "C"))


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


# What a base is measured on is never to be learned from: nor is what it is about.
JUDGED = (
    *("film", "films", "movie", "movies", "cinema", "actress", "restaurant", "food"),
    *(
        "restaurants",
        "cuisine",
        "dish",
        "dishes",
        "dinner",
        "chef",
        "waiter",
        "trailer",
    ),
)
QUERIES = sorted((ROOT / "assets" / "base" / "queries").glob("*.json"))


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_templates_of_the_project(path: Path) -> None:
    texts, words = make_source(path, spacy.blank("en"), 2000, seed=0)
    assert len(texts) == 2000 and 9 <= len(words) <= 12
    counts = Counter(label for text in texts for label in text.labels)
    assert set(counts) == set(words) and min(counts.values()) >= 20
    # Few have none, none has many, and each label is said in many ways.
    sizes = Counter(len(text.entities) for text in texts)
    assert 0 < sizes[0] < 300 and max(sizes) <= 6
    mentions = {
        (label, text.words[start:end])
        for text in texts
        for start, end, label in text.entities
    }
    assert min(Counter(label for label, _ in mentions).values()) >= 8
    for name, said in words.items():
        assert said.names[0] == name and len(said.names) >= 3 <= len(set(said.names))
    used = {word.lower() for text in texts for word in text.words}
    assert not used & set(JUDGED)
    # The config learns from it, or measures by it.
    config = Config().from_disk(ROOT / "configs" / "base.cfg", interpolate=False)
    sources = [config["corpora"][part]["sources"] for part in ("train", "dev")]
    assert [path.stem in own for own in sources].count(True) == 1


def test_rules_of_the_project() -> None:
    path = ROOT / "assets" / "base" / "rules.json"
    nlp = spacy.blank("en")
    ruler, words = read_rules(path, nlp)
    text = (
        "On 12 May 1931 his second wife , a Swedish singer , rowed 40 km north in "
        "three days and sold the wooden house near the lake for 20 percent ."
    )
    doc = ruler(Doc(nlp.vocab, words=text.split()))
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("12 May 1931", "date"),
        ("second", "rank"),
        ("wife", "relative"),
        ("Swedish", "nationality"),
        ("singer", "occupation"),
        ("40 km", "measure"),
        ("north", "direction"),
        ("three days", "time span"),
        ("house", "kind of building"),
        ("lake", "kind of landscape"),
        ("20 percent", "share"),
    ]
    # A capital letter makes a name, of which these are a part.
    assert not ruler(Doc(nlp.vocab, words=["King", "House", "Lake", "Steel"])).ents
    for name, said in words.items():
        assert said.names[0] == name and len(said.names) >= 2


def test_rules_add_to_what_is_annotated(wording: Path, tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    one = annotated(
        tmp_path / "one.jsonl", {"on": "", "May": "", "2": "", "Red": "A"}, {"red": ""}
    )
    rules = tmp_path / "rules.json"
    said = {"names": ["x"], "definitions": ["y"]}
    rules.write_text(
        json.dumps(
            {
                "date": {**said, "patterns": [[{"ORTH": "May"}, {"LIKE_NUM": True}]]},
                "colour": {**said, "patterns": ["red", "dark red"]},
            }
        )
    )
    ruler, words = read_rules(rules, nlp)
    assert {name: own.names for name, own in words.items()} == {
        "date": ["x"],
        "colour": ["x"],
    }
    found = [text.entities for text in read_texts(one, nlp, ruler)]
    # Never inside what somebody marked.
    assert found == [((1, 3, "date"), (3, 4, "A")), ((0, 1, "colour"),)]
    both = {"sources": {"one": one}, "shares": {"one": 1}, "held_out": []}
    read = variety(wording, rules=rules, **both)
    labels = {label for each in islice(read(nlp), 60) for label in asked(each)}
    assert labels == {"A", "date", "colour"}
    for patterns, message in (
        ([], 'no list of "patterns"'),
        ([[{"LIKE_NUN": True}]], "(?s)rules.json: 'date'.*LIKE_NUN"),
    ):
        rules.write_text(json.dumps({"date": {**said, "patterns": patterns}}))
        with pytest.raises(ValueError, match=message):
            read_rules(rules, nlp)


def test_what_cannot_be_read_is_told(wording: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="same names. Only one has: .'other'."):
        variety(wording, shares={"workshop": 1.0, "other": 1.0})
    for config, message in (
        ({"shares": {"workshop": 0}}, "one at least not 0"),
        ({"shares": {"workshop": -1}}, "must not be negative"),
        ({"most_labels": 0}, "at least 1"),
        ({"kept": 85, "lowered": -0.1}, "between 0 and 1: .'kept', 'lowered'."),
    ):
        with pytest.raises(ValueError, match=message):
            variety(wording, **config)
    for said in (
        '{"PART": {"names": []}}',
        '{"PART": {"names": "song", "definitions": ["x"]}}',
        '{"PART": {"names": ["", "y"], "definitions": ["x"]}}',
        '{"PART": {"names": ["y"], "definitions": [3]}}',
        '["PART"]',
        "{",
    ):
        wording.write_text(said)
        with pytest.raises(ValueError, match="wording.json (must hold|is not a JSON)"):
            read_wording(wording)
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "abc", "spans": [{"start": 0, "end": 2, "label": "A"}]}')
    with pytest.raises(
        ValueError, match="1 spans cannot be kept. The first is .*borders"
    ):
        read_texts(path, spacy.blank("en"))
    nlp = spacy.blank("en")
    for ents in ({"missing": [0]}, {"blocked": [0]}):
        doc = nlp.make_doc("a b c")
        spans = {name: [doc[at : at + 1] for at in own] for name, own in ents.items()}
        doc.set_ents([Span(doc, 1, 2, label="A")], **spans, default="outside")
        DocBin(docs=[doc]).to_disk(tmp_path / "some.spacy")
        with pytest.raises(
            ValueError, match="1 words of .* have no annotation. The first is a"
        ):
            read_texts(tmp_path / "some.spacy", nlp)


def test_words_of_the_project() -> None:
    """Every label has several, and no two labels of a set share the first."""
    words = read_wording(ROOT / "assets" / "base" / "wording.json")
    assert len(words) == 36
    for said in words.values():
        for kind in (said.names, said.definitions):
            assert len(kind) == len(set(kind)) >= 2 and all(kind)
        assert len(said.names) >= 3
    config = Config().from_disk(ROOT / "configs" / "base.cfg", interpolate=False)
    held_out = config["corpora"]["train"]["held_out"]
    firsts = [words[label].names[0] for label in held_out]
    assert len(firsts) == len(set(firsts)) == 5


def test_a_start_fits_the_configs_that_begin_from_it() -> None:
    """The same prompt, adapter and weights, in three places."""
    base, *others = (
        Config().from_disk(ROOT / "configs" / name, interpolate=False)["components"][
            "instruction_ner"
        ]
        for name in ("base.cfg", "fewshot.cfg", "zeroshot.cfg")
    )
    for other in others:
        assert other["task"] == base["task"]["tasks"][base["task"]["asks"]]
        assert other["model"]["adapter"] == base["model"]["adapter"]
        assert other["model"]["name"] == base["model"]["name"]
        assert other["model"]["start"] == "auto"


# Tasks side by side.


def mixture(**more: Any) -> Any:
    tasks = {"one": build_cllmfs_v1(), "all": build_instruction_ner_v1()}
    return build_mixture_v1(
        **{"tasks": tasks, "shares": {"one": 3, "all": 1}, "asks": "one", **more}
    )


def test_a_mixture_learns_all_and_asks_one(make_nlp: MakeNLP) -> None:
    given = {
        "one": {"@misc": "spacy-instructner.CLLMFS.v1"},
        "all": {"@misc": "spacy-instructner.InstructionNER.v1"},
    }
    task = {
        "@misc": "spacy-instructner.Mixture.v1",
        "tasks": given,
        "shares": {"one": 3.0, "all": 1.0},
    }
    definitions = {"PERSON": "a human", "PLACE": "a town"}

    def made(**more: Any) -> Language:
        return make_nlp(label_definitions=definitions, **more)

    nlp = made(task={**task, "asks": "one"})
    texts = ["Anna met Bert in Paris.", "Rome is an old place."]
    for asks in ("one", "all"):
        mixed, alone = made(task={**task, "asks": asks}), made(task=given[asks])
        for doc, other in zip(mixed.pipe(texts), alone.pipe(texts)):
            assert [
                (s.start, s.end, s.label_) for s in doc.spans["instruction_ner"]
            ] == [(s.start, s.end, s.label_) for s in other.spans["instruction_ner"]]
    doc = nlp.make_doc(texts[0])
    doc.set_ents([doc.char_span(0, 4, label="PERSON")], default="outside")
    random.seed(0)
    kinds = Counter[str]()
    for _ in range(200):
        records = nlp.get_pipe("instruction_ner").records(
            [Example(nlp.make_doc(doc.text), doc)]
        )
        kinds["all" if "main" in {r.task for r in records} else "one"] += 1
    assert 125 < kinds["one"] < 175


@pytest.mark.parametrize(
    "config,message",
    [
        ({"shares": {"one": 1}}, "must name all `tasks`"),
        ({"asks": "none"}, "`asks` .'none'. one of them"),
        ({"shares": {"one": 0, "all": 0}}, "one at least not 0"),
        ({"shares": {"one": -1, "all": 2}}, "must not be negative"),
    ],
)
def test_mixtures_that_make_no_sense(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture(**config)
    shows = build_instruction_ner_v1(examples=lambda nlp: [])
    with pytest.raises(ValueError, match="show no examples; take them out of ..all"):
        mixture(tasks={"one": build_cllmfs_v1(), "all": shows})


# Training in stages.


@pytest.fixture
def config(tiny_causal: Path, wording: Path) -> Config:
    """The project's own, on a tiny model and the workshop sentences."""
    config = Config().from_disk(ROOT / "configs" / "base.cfg", interpolate=False)
    config["paths"].update(data="", wording=str(wording))
    config["corpora"]["train"].update(
        sources={"workshop": str(WORKSHOP)},
        shares={"workshop": 1.0},
        held_out=["TOOL"],
    )
    config["corpora"]["dev"].update(sources={"workshop": str(WORKSHOP)}, texts=5)
    config["training"].update(max_steps=9, eval_frequency=2, dropout=0.1)
    config["training"]["batcher"]["size"] = 2
    config["training"]["optimizer"]["use_averages"] = True
    config["components"]["instruction_ner"]["model"]["name"] = str(tiny_causal)
    config["components"]["instruction_ner"]["model"]["precision"] = "float32"
    return config


def steps_of(folder: Path) -> list[int]:
    return [line["step"] for line in read_log(folder / LOG)]


def result(folder: Path) -> dict[str, Any]:
    found = (folder / MODEL).rglob("adapter.safetensors")
    return {
        name: values.tolist()
        for path in found
        for name, values in load_file(path).items()
    }


def told(folder: Path) -> list[dict]:
    lines = read_log(folder / LOG)
    for line in lines:
        line.pop("seconds")
    return lines


def test_stages_do_what_one_run_does(config: Config, tmp_path: Path) -> None:
    assert pretrain(config, tmp_path / "one")
    assert steps_of(tmp_path / "one") == [0, 2, 4, 6, 8, 9]
    said: list[int] = []
    stages = 0
    while not pretrain(
        config,
        tmp_path / "two",
        seconds=0.0,
        on_progress=lambda entry: said.append(entry.state.step),
    ):
        stages += 1
    assert stages == 4 and said == [0, 2, 4, 6, 8, 9]
    assert told(tmp_path / "two") == told(tmp_path / "one")
    assert result(tmp_path / "two") == result(tmp_path / "one") != {}
    # Nothing is left to do, and nothing changes.
    assert pretrain(config, tmp_path / "two")
    assert steps_of(tmp_path / "two") == [0, 2, 4, 6, 8, 9]
    assert result(tmp_path / "two") == result(tmp_path / "one")
    last = read_log(tmp_path / "one" / LOG)[-1]
    assert last["texts"] == 18 and last["ids"] > 18 * 20 and last["loss"] > 0.0


@pytest.mark.long
def test_it_learns(config: Config, tmp_path: Path) -> None:
    config["training"].update(max_steps=80, eval_frequency=10)
    config["training"]["optimizer"]["learn_rate"].update(
        initial_rate=0.005, warmup_steps=2
    )
    # All weights: those of a random model say nothing that an adapter could turn.
    component = config["components"]["instruction_ner"]
    component["bundle"], component["model"]["adapter"] = "full", None
    assert pretrain(config, tmp_path)
    before, first, *_, last = (line["loss"] for line in read_log(tmp_path / LOG))
    assert before is None and last < 0.9 * first
    nlp = spacy.load(tmp_path / MODEL)
    doc = nlp.make_doc("The chain broke.")
    doc.user_data["instruction_ner_labels"] = ["ANYTHING"]
    assert {s.label_ for s in nlp(doc).spans["instruction_ner"]} <= {"ANYTHING"}


@pytest.mark.long
def test_a_killed_run_goes_on(config: Config, tmp_path: Path) -> None:
    """Killed at any moment: also between writing the log and the checkpoint."""
    assert pretrain(config, tmp_path / "one")
    config.to_disk(tmp_path / "config.cfg")
    line = [sys.executable, "-m", "spacy", "instructner", "pretrain"]
    line += [str(tmp_path / "config.cfg"), str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    log = tmp_path / "two" / LOG
    killed = 0
    for lines in (2, 4):
        process = subprocess.Popen(
            line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        while process.poll() is None and len(read_lines(log)) < lines:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed == 2
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "All steps are done" in done.stdout, done.stdout
    assert told(tmp_path / "two") == told(tmp_path / "one")
    assert result(tmp_path / "two") == result(tmp_path / "one")


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_another_config_does_not_go_on(config: Config, tmp_path: Path) -> None:
    assert not pretrain(config, tmp_path, seconds=0.0)
    config["training"]["optimizer"]["L2"] = 0.1
    with pytest.raises(ValueError, match="differ in training.optimizer.L2. Name"):
        pretrain(config, tmp_path)
    assert steps_of(tmp_path) == [0, 2]
    config["training"]["optimizer"]["L2"] = 0.0
    # What is in a file counts, not where it lies; nor on what it runs.
    words = Path(config["paths"]["wording"])
    config["paths"]["wording"] = str(words.rename(tmp_path / "elsewhere.json"))
    config["components"]["instruction_ner"]["device"] = "cpu"
    assert not pretrain(config, tmp_path, seconds=0.0)
    assert steps_of(tmp_path) == [0, 2, 4]
    (tmp_path / "elsewhere.json").write_text(
        json.dumps({**WORDING, "X": WORDING["TOOL"]})
    )
    with pytest.raises(ValueError, match="differ in corpora.dev.wording, corpora.tr"):
        pretrain(config, tmp_path)


def test_one_at_a_time(config: Config, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"):
        with pytest.raises(ValueError, match="Another process trains in"):
            pretrain(config, tmp_path)


def test_a_torn_line_of_the_log_is_written_again(
    config: Config, tmp_path: Path
) -> None:
    assert pretrain(config, tmp_path / "one")
    assert not pretrain(config, tmp_path / "two", seconds=0.0)
    with (tmp_path / "two" / LOG).open("a") as file_:
        file_.write('{"step": 4, "te')
    assert pretrain(config, tmp_path / "two")
    assert told(tmp_path / "two") == told(tmp_path / "one")


@pytest.mark.parametrize("at", range(7))
def test_a_checkpoint_is_whole_at_any_time(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The end comes at each of the steps in which one takes the place of another; at
    the last of them, nothing is left to do."""
    assert not pretrain(config, tmp_path, seconds=0.0)
    calls = 0

    def until(do: Callable[..., Any]) -> Callable[..., Any]:
        def done(*given: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            return do(*given, **named)

        return done

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.shutil, "rmtree", until(shutil.rmtree))
        patched.setattr(checkpoints.Path, "rename", until(Path.rename))
        if 0 < at < 6:
            with pytest.raises(KeyboardInterrupt):
                pretrain(config, tmp_path, seconds=0.0)
        else:
            assert not pretrain(config, tmp_path, seconds=0.0)
            assert calls == 5
    assert not pretrain(config, tmp_path, seconds=0.0)
    steps = steps_of(tmp_path)
    # The checkpoint before, or the one that was being written: never the start.
    assert steps == sorted(set(steps)) and steps[-1] in (4, 6)


def test_all_weights_in_half_precision_go_on_as_they_were(
    config: Config, tmp_path: Path
) -> None:
    model = config["components"]["instruction_ner"]["model"]
    model.update(adapter=None, precision="bfloat16")
    config["components"]["instruction_ner"]["bundle"] = "full"
    config["training"].update(max_steps=4)
    assert pretrain(config, tmp_path / "one")
    assert not pretrain(config, tmp_path / "two", seconds=0.0)
    assert pretrain(config, tmp_path / "two")
    assert told(tmp_path / "two") == told(tmp_path / "one")


def test_averages_are_measured_and_saved(config: Config, tmp_path: Path) -> None:
    config["training"]["optimizer"]["learn_rate"].update(
        initial_rate=0.05, warmup_steps=1
    )
    assert pretrain(config, tmp_path / "averaged")
    config["training"]["optimizer"]["use_averages"] = False
    assert pretrain(config, tmp_path / "last")
    averaged, last = result(tmp_path / "averaged"), result(tmp_path / "last")
    assert averaged.keys() == last.keys() and averaged != last
    losses = [[r["loss"] for r in told(tmp_path / n)] for n in ("averaged", "last")]
    assert losses[0] == losses[1]
    (moments,) = (tmp_path / "averaged").rglob("optimizer.safetensors")
    kept = [v for name, v in load_file(moments).items() if name.startswith("averages")]
    for values in map(torch.tensor, averaged.values()):
        same = [each for each in kept if each.shape == values.shape]
        assert any(each.allclose(values, atol=1e-6) for each in same)


def test_what_cannot_be_trained_is_told(config: Config, tmp_path: Path) -> None:
    config["training"]["train_corpus"] = "corpora.dev"
    with pytest.raises(ValueError, match="has no `starting` method"):
        pretrain(config, tmp_path)
    training = config["training"]
    for name, value, message in (
        ("eval_frequency", 0, "at least 1"),
        ("seed", None, "`.training. seed` must be a number"),
        (
            "batcher",
            {
                **training["batcher"],
                "@batchers": "spacy.batch_by_words.v1",
                "tolerance": 0.2,
                "discard_oversize": False,
            },
            "with a number as `size`",
        ),
    ):
        other = config.copy()
        other["training"].update(train_corpus="corpora.train")
        other["training"][name] = value
        with pytest.raises(ValueError, match=message):
            pretrain(other, tmp_path)
    config["training"].update(train_corpus="corpora.train", accumulate_gradient=2)
    with pytest.raises(ValueError, match="`accumulate_gradient` 1"):
        pretrain(config, tmp_path)
    config["nlp"]["pipeline"] = []
    with pytest.raises(ValueError, match="one instruction_ner component"):
        pretrain(config, tmp_path)


def test_the_command(config: Config, tmp_path: Path) -> None:
    config.to_disk(tmp_path / "config.cfg")

    def run_it(*more: str) -> Any:
        line = ["pretrain", str(tmp_path / "config.cfg"), str(tmp_path / "out"), *more]
        return CliRunner().invoke(app, line)

    stopped = run_it("--minutes", "0")
    assert stopped.exit_code == 0 and "Time is up" in stopped.output
    assert "Step 2 (4 texts" in stopped.output
    other = run_it("--training.dropout", "0.2")
    assert other.exit_code == 1 and "another config" in other.output
    done = run_it()
    assert done.exit_code == 0 and "All steps are done" in done.output
    loaded = spacy.load(tmp_path / "out" / MODEL).get_pipe("instruction_ner")
    assert get_backbone(loaded.model).lora is not None


# Starting from what was learned.


def state_of(nlp: Language) -> dict[str, torch.Tensor]:
    return adapter_state(get_backbone(nlp.get_pipe("instruction_ner").model).hf)


def lora(**config: Any) -> dict[str, Any]:
    return {"@misc": "spacy-instructner.LoRA.v1", **config}


TEXTS = ["Anna met Bert in Paris.", "Rome is an old place.", "Bert lives in Rome."]


def said(nlp: Language) -> list:
    return [
        [
            (s.start, s.end, s.label_, pytest.approx(float(x), abs=0.02))
            for s, x in zip(
                doc.spans["instruction_ner"],
                doc.spans["instruction_ner"].attrs["scores"],
            )
        ]
        for doc in nlp.pipe(TEXTS)
    ]


@pytest.fixture
def start(config: Config, tmp_path: Path) -> Path:
    config["training"]["optimizer"]["learn_rate"].update(initial_rate=0.05)
    config["training"].update(max_steps=4, eval_frequency=4)
    assert pretrain(config, tmp_path / "base")
    return tmp_path / "base" / ADAPTER_FOLDER


def test_an_adapter_begins_where_another_ended(
    make_nlp: MakeNLP, start: Path, tmp_path: Path
) -> None:
    model = {"start": str(start), "adapter": lora(r=16, alpha=32)}
    bare, nlp = make_nlp(), make_nlp(model=model)
    assert said(nlp) != said(bare)
    kept = load_file(start / "adapter.safetensors")
    assert {values.dtype for values in kept.values()} == {torch.bfloat16}
    full = load_file(next((start.parent / MODEL).rglob("adapter.safetensors")))
    for name, values in state_of(nlp).items():
        assert values.equal(kept[name].float())
        assert values.allclose(full[name], rtol=0.01, atol=1e-6)
    # Trained, it goes on from there; begun afresh, it is there again.
    before = said(nlp)
    docs = [nlp.make_doc(text) for text in TEXTS]
    for doc in docs:
        doc.set_ents([Span(doc, 0, 1, label="PERSON")], default="outside")
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs]
    nlp.initialize(lambda: examples)
    assert said(nlp) == before
    nlp.update(examples, sgd=Adam(1e-2))
    assert said(nlp) != before
    nlp.to_disk(tmp_path / "trained")
    learned = said(nlp)
    nlp.initialize(lambda: examples)
    assert said(nlp) == before
    # What is saved needs the start no more.
    shutil.rmtree(start)
    assert said(spacy.load(tmp_path / "trained")) == learned


def test_another_scale_means_the_same(make_nlp: MakeNLP, start: Path) -> None:
    one = make_nlp(model={"start": str(start), "adapter": lora(r=16, alpha=32)})
    other = make_nlp(model={"start": str(start), "adapter": lora(r=16, alpha=8)})
    assert said(other) == said(one)
    assert not state_of(other)[sorted(state_of(other))[1]].equal(
        state_of(one)[sorted(state_of(one))[1]]
    )


def test_the_start_that_comes_with_the_package(
    make_nlp: MakeNLP, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = said(make_nlp(model={"start": str(start)}))
    bare = said(make_nlp())
    shutil.copytree(start, tmp_path / "shipped" / "tiny")
    monkeypatch.setattr(pretrained_adapters, "SHIPPED", tmp_path / "shipped")
    assert said(make_nlp()) == given
    # It can be switched off, and is not for other weights, nor for other shapes.
    assert said(make_nlp(model={"start": None})) == bare
    with pytest.warns(UserWarning, match="r = 16 .*cannot begin from it and begins w"):
        assert said(make_nlp(model={"adapter": lora(r=4)})) == bare
    nlp = make_nlp(model={"adapter": None})
    assert said(nlp) == bare
    # Of several the one that fits.
    other = tmp_path / "shipped" / "another"
    shutil.copytree(start, other)
    own = json.loads((other / "info.json").read_text())
    own["adapter"]["r"] = 4
    (other / "info.json").write_text(json.dumps(own))
    assert said(make_nlp()) == given
    shutil.rmtree(other)
    info = json.loads((tmp_path / "shipped" / "tiny" / "info.json").read_text())
    info["identity"]["sha256"] = "0" * 64
    (tmp_path / "shipped" / "tiny" / "info.json").write_text(json.dumps(info))
    assert said(make_nlp()) == bare


def test_the_mean_of_starts(config: Config, make_nlp: MakeNLP, tmp_path: Path) -> None:
    config["training"].update(max_steps=2, eval_frequency=2)
    config["training"]["optimizer"]["learn_rate"].update(initial_rate=0.05)
    assert pretrain(config, tmp_path / "one")
    first, second = tmp_path / "one" / ADAPTER_FOLDER, tmp_path / "two" / ADAPTER_FOLDER
    config["components"]["instruction_ner"]["model"]["start"] = str(first)
    assert pretrain(config, tmp_path / "two")
    pretrained_adapters.average_starts([first, second], tmp_path / "mean")
    kept, one, two = (
        load_file(path / "adapter.safetensors")
        for path in (tmp_path / "mean", first, second)
    )
    assert any(not one[name].equal(two[name]) for name in one)
    for name, values in kept.items():
        mean = (one[name].float() + two[name].float()) / 2
        assert values.equal(mean.to(torch.bfloat16))
    model = {"start": str(tmp_path / "mean"), "adapter": lora(r=16, alpha=32)}
    for name, values in state_of(make_nlp(model=model)).items():
        assert values.equal(kept[name].float())
    # The mean of equal ones is what they are; their order is no matter.
    pretrained_adapters.average_starts([first, first], tmp_path / "same")
    assert all(
        values.equal(one[name])
        for name, values in load_file(tmp_path / "same" / "adapter.safetensors").items()
    )
    pretrained_adapters.average_starts([second, first], tmp_path / "turned")
    digests = [
        json.loads((tmp_path / name / "info.json").read_text())["files"]
        for name in ("mean", "turned")
    ]
    assert digests[0] == digests[1]


def test_starts_without_a_mean_are_told(start: Path, tmp_path: Path) -> None:
    target = tmp_path / "mean"
    with pytest.raises(ValueError, match="two adapters or more, not 1"):
        pretrained_adapters.average_starts([start], target)
    with pytest.raises(ValueError, match="no saved model in .*nowhere"):
        pretrained_adapters.average_starts([start, tmp_path / "nowhere"], target)
    other = tmp_path / "other"
    shutil.copytree(start, other)
    info = json.loads((start / "info.json").read_text())
    for part, message in [
        ({"kind": "seq2seq"}, "different base weights"),
        ({"identity": {**info["identity"], "sha256": "0" * 64}}, "different base"),
        ({"adapter": {**info["adapter"], "alpha": 8}}, "settings are .*'alpha': 8"),
        ({"adapter": None}, "other has no adapter"),
        ({"files": {"adapter.safetensors": "0" * 64}}, "damaged"),
    ]:
        (other / "info.json").write_text(json.dumps({**info, **part}))
        with pytest.raises(ValueError, match=message):
            pretrained_adapters.average_starts([start, other], target)
    assert not target.exists()


def test_starts_that_do_not_fit_are_told(
    make_nlp: MakeNLP, start: Path, tmp_path: Path
) -> None:
    def begun(**model: Any) -> list:
        return said(make_nlp(model={"start": str(start), **model}))

    with pytest.raises(ValueError, match="r = 4 .* cannot begin from it. Make them"):
        begun(adapter=lora(r=4))
    with pytest.raises(ValueError, match="targets = 'all-linear'; one with .*q_proj"):
        begun(adapter=lora(targets=["q_proj"]))
    with pytest.raises(
        ValueError, match="no adapter that could begin from .*start = n"
    ):
        begun(adapter=None)
    with pytest.raises(ValueError, match="no saved model in .*nowhere"):
        begun(start=str(tmp_path / "nowhere"))
    info = json.loads((start / "info.json").read_text())
    other = {**info, "identity": {**info["identity"], "sha256": "0" * 64}}
    (start / "info.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match="was made on .*any_base = true"):
        begun()
    expected = begun(any_base=True)
    (start / "info.json").write_text(json.dumps(info))
    assert begun() == expected
    with (start / "adapter.safetensors").open("ab") as file_:
        file_.write(b"x")
    with pytest.raises(ValueError, match="adapter.safetensors is damaged"):
        begun()
