"""Texts that ask for labels of their own: how they are drawn, and what is held out."""

import json
import random
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.training import Example

from helpers.pretraining import WORKSHOP, annotated, asked, variety
from spacy_instructner.pretraining.held_out import build_held_out_v1
from spacy_instructner.pretraining.text_sources import read_texts
from spacy_instructner.pretraining.variations import Text, join, lowered
from spacy_instructner.tasks.labels import with_own_words


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


@pytest.mark.parametrize("undefined", [0.0, 0.5, 1.0])
def test_known_labels_keep_the_wording_of_pretraining(
    tmp_path: Path, undefined: float
) -> None:
    """A label of which nothing is said has no definition, also of the table of known
    labels; one that the wording lacks is called by its default name."""
    words = {"GPE": {"names": ["realm", "town"], "definitions": ["where one lives"]}}
    (tmp_path / "wording.json").write_text(json.dumps(words))
    rows = [{"Rome": "GPE", "is": "", "Roman": "NORP"}, {"It": ""}]
    path = annotated(tmp_path / "texts.jsonl", *rows)
    more: dict[str, Any] = {"sources": {"own": path}, "shares": {"own": 1.0}}
    corpus = variety(
        tmp_path / "wording.json", held_out=[], undefined=undefined, **more
    )
    said = set()
    for example in islice(corpus(spacy.blank("en")), 60):
        labels = asked(example)
        found = with_own_words(labels, {}, {}, known_labels=True)
        own = [(words["name"], words["definition"]) for words in labels.values()]
        assert list(zip(found.names, found.definitions)) == own
        said |= {(label, words["definition"]) for label, words in labels.items()}
    given = {("GPE", "where one lives")} if undefined < 1.0 else set()
    left_out = {("GPE", "")} if undefined else set()
    assert said == {("NORP", "")} | given | left_out


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
