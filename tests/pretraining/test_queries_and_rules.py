"""The project's own templates, rules and words, and what of such files is refused."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from thinc.api import Config

from helpers.places import ROOT
from helpers.pretraining import annotated, asked, variety
from spacy_instructner.pretraining.text_sources import (
    make_source,
    read_rules,
    read_texts,
)
from spacy_instructner.pretraining.wording import read_wording

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
    # Of Few-NERD and WNUT-17; of labels that hold others, for all sources, and for those
    # in which they are near others.
    parents = [label for label in words if label.startswith("any ")]
    assert len(parents) == 11
    assert len([label for label in words if "any " not in label]) == 36
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
        for name in ("base.cfg", "written.cfg")
    )
    for other in others:
        assert other["task"] == base["task"]["tasks"][base["task"]["asks"]]
        assert other["model"]["adapter"] == base["model"]["adapter"]
        assert other["model"]["name"] == base["model"]["name"]
        assert other["model"]["start"] == "auto"
