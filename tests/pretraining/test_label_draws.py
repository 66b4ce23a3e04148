"""Texts of many sources: what they ask for, how often, and what they never ask for."""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.training import Example

from helpers.base_pack import draws, marked, write_json, write_source, write_wording
from helpers.pretraining import WORKSHOP, asked
from spacy_instructner.pretraining.base_sources import apart
from spacy_instructner.pretraining.span_texts import SpanText
from spacy_instructner.pretraining.variations import MASK, Text, masked

NLP = spacy.blank("en")
ALL = {"kept": 1.0, "empty": 0.0, "many": 0.0}


def found(example: Example) -> dict[str, set[str]]:
    """The entities of each label."""
    own: dict[str, set[str]] = {}
    for ent in example.reference.ents:
        own.setdefault(ent.label_, set()).add(ent.text)
    return own


def some(count: int, *args: Any, **more: Any) -> list[Example]:
    return list(islice(draws(*args, **more).starting(NLP, 0), count))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Three sources: places with a scope, beings with several types, and orders."""
    folder = tmp_path / "base"
    both = ["city", "river"]
    write_source(
        folder / "places",
        [
            *(marked(f"no {n} in [Rome|city]", scope=both) for n in range(4)),
            *(marked(f"see {n} [Po|river]", scope=[*both, "lake"]) for n in range(4)),
            marked("at [Como|lake]"),
            marked("on [Capri|island]"),
            marked("nowhere at all"),
        ],
    )
    write_source(
        folder / "beings",
        [
            *(
                marked(f"the [vet|vet,person] {n} had a [dog|dog,animal]")
                for n in "abcd"
            ),
            *(marked(f"[Curt|person] met {n}", unsure=["named"]) for n in "ab"),
            marked("an [elm|tree]"),
            marked("a [spy|spy,person] came"),
        ],
        unsure={"named": ["vet", "spy"]},
    )
    write_source(
        folder / "orders",
        [
            marked(f"{n} from [Bonn|start] to [Kiel|goal] at [{n}|time]")
            for n in range(9)
        ],
        [marked("from [Ulm|start]")],
    )
    places = ("city", "river", "lake", "island")
    beings = ("vet", "person", "dog", "animal", "tree", "spy")
    names = {f"places/{label}": [label, f"a {label}"] for label in places}
    names |= {f"beings/{label}": [label] for label in beings}
    names |= {
        "orders/start": ["from where", "start"],
        "orders/goal": ["where to"],
        "orders/time": ["when"],
    }
    # One of the two names the other.
    write_wording(folder, names, places__lake=["river"], beings__dog=["tree"])
    return folder


def test_draws_depend_on_seed_and_number_alone(base: Path) -> None:
    changed = {"lowered": 0.4, "joined": 0.4, "masked": 0.4}

    def rows(at: int, count: int, **more: Any) -> list[Any]:
        read = draws(base, **changed, **more).starting(NLP, at)
        return [(e.text, asked(e), found(e)) for e in islice(read, count)]

    first = rows(0, 60)
    assert rows(35, 25) == first[35:]
    assert rows(0, 60, seed=1) != first
    # As spaCy's own commands read it.
    assert len(list(draws(base, texts=7)(NLP))) == 7


def test_only_what_is_surely_absent_is_asked_for(base: Path) -> None:
    may: dict[str, set[str]] = {}
    for example in some(1500, base, absent=0.7, **ALL):
        labels, own = set(asked(example)), found(example)
        for each in own:
            may.setdefault(each, set()).update(labels - set(own))
    assert may == {
        # lake was not looked for; island never was beside a scope.
        "city": {"river"},
        # lake is near.
        "river": {"city"},
        "lake": {"city", "island"},
        "island": {"city", "river", "lake"},
        "start": set(),
        "goal": set(),
        "time": set(),
        # A vet is a person, also where nobody asks for persons; tree is near dog.
        "vet": {"spy"},
        "dog": {"spy"},
        "animal": {"spy"},
        # Curt may be a vet or spy, but is no dog. "the vet had a dog" has no spy.
        "person": {"animal", "dog", "tree", "vet", "spy"},
        "tree": {"animal", "person", "spy", "vet"},
        "spy": {"animal", "dog", "tree", "vet"},
    }
    for example in some(600, base, absent=0.7, **ALL):
        if "Curt" in example.text:
            assert not {"vet", "spy"} & set(asked(example))


def test_a_span_is_asked_for_by_one_of_its_types(base: Path) -> None:
    seen = Counter[str]()
    for example in some(800, base, absent=0.3, **ALL):
        labels, own = set(asked(example)), found(example)
        assert not {"vet", "person"} <= labels or "vet" not in example.text
        assert not {"dog", "animal"} <= labels or "dog" not in example.text
        if " vet " in example.text:
            # Whoever asks for persons gets the vet.
            for label in labels & {"vet", "person"}:
                assert own[label] == {"vet"}
            seen.update(labels & {"vet", "person"})
    assert min(seen["vet"], seen["person"]) > 30
    text = SpanText("a b", ((0, 1, "a"), (2, 3, "b")), (("a", "x"), ("b", "y", "x")))
    assert apart(["x", "a", "z"], [text]) == ["x", "z"]
    assert apart(["b", "a", "x", "y"], [text]) == ["b", "a"]


def test_who_asks_for_several_types_of_a_span_gets_the_most_special(base: Path) -> None:
    both = 0
    for example in some(400, base, absent=0.3, nested=1.0, **ALL):
        labels, own = set(asked(example)), found(example)
        if " vet " in example.text and {"vet", "person"} <= labels:
            both += 1
            assert own["vet"] == {"vet"} and "person" not in own
    assert both > 20
    # Some of the texts, and the others are as they were.
    few = some(400, base, absent=0.3, nested=0.2, **ALL)
    several = [
        example for example in few
        if " vet " in example.text and {"vet", "person"} <= set(asked(example))
    ]  # fmt: skip
    assert 0 < len(several) < both


def test_labels_hold_others_of_their_source(base: Path) -> None:
    parents = {"town": ["city"], "spot": ["town", "lake", "river"]}
    places = {"group": "a", "parents": parents}
    sources = {"places": places, "beings": {"group": "a"}, "orders": {"group": "a"}}
    catalog = write_json(
        base.parent / "catalog.json", {"groups": {"a": 1.0}, "sources": sources}
    )
    own = draws(base, catalog=catalog).read(NLP)["places"]
    assert own.source.labels == ["city", "island", "lake", "river", "spot", "town"]
    types = {each for text in own.source.train for each in text.span_types}
    # The most special first. A parent may hold another that stands before it.
    assert types == {
        ("city", "town", "spot"),
        ("river", "spot"),
        ("lake", "spot"),
        ("island",),
    }
    kinds = Counter[str]()
    for example in some(600, base, catalog=catalog, nested=0.5, absent=0.3, **ALL):
        labels, answers = set(asked(example)), found(example)
        if example.text.endswith("Rome"):
            (answer,) = answers or ("none",)
            kinds[answer] += 1
            wanted = [each for each in ("city", "town", "spot") if each in labels]
            assert [answer] == wanted[:1]
        if "Capri" in example.text:
            # Without a scope, all is known of it.
            assert "spot" not in answers
    assert min(kinds[each] for each in ("city", "town", "spot")) > 5
    sources["places"] = {"group": "a", "parents": {"lake": ["city"]}}
    write_json(catalog, {"groups": {"a": 1.0}, "sources": sources})
    with pytest.raises(ValueError, match="'places' has labels that are called as"):
        draws(base, catalog=catalog).read(NLP)
    for wrong in ({"town": ["vilage"]}, {"spot": ["town"], "town": ["city"]}):
        sources["places"] = {"group": "a", "parents": wrong}
        write_json(catalog, {"groups": {"a": 1.0}, "sources": sources})
        with pytest.raises(ValueError, match="neither labels of it nor parents"):
            draws(base, catalog=catalog).read(NLP)


def test_joined_texts_ask_for_what_each_of_them_knows(base: Path) -> None:
    several = 0
    for example in some(600, base, joined=1.0, absent=0.5, **ALL):
        labels = set(asked(example))
        if "Curt" in example.text:
            # Marked elsewhere, but open here.
            assert not {"vet", "spy"} & labels
        if "Rome" in example.text:
            assert not {"lake", "island"} & labels
        if "Po" in example.text and "Como" in example.text:
            assert not {"river", "lake"} & labels
        several += len(found(example)) > 2
    assert several > 100
    short = some(200, base, joined=1.0, longest=30, **ALL)
    assert 25 < max(len(example.text.strip()) for example in short) <= 30


def make_wide(folder: Path) -> Path:
    """A source of 40 labels: one or two in each text, some texts without any."""
    rows = [
        marked(f"{n} [x{n % 40}|L{n % 40}] " + f"[y{n % 7}|L{n % 7}]" * (n % 2))
        for n in range(160)
    ]
    write_source(folder / "wide", [*rows, *(marked(f"none {n}") for n in range(20))])
    write_wording(folder, {f"wide/L{n}": [f"label {n}"] for n in range(40)})
    return folder


@pytest.mark.parametrize("share,many", [(0.3, 0.0), (0.5, 0.04), (0.8, 0.04)])
def test_the_share_of_absent_labels(tmp_path: Path, share: float, many: float) -> None:
    sizes, absent, total, none = Counter[int](), 0, 0, 0
    count = 2000
    for example in some(count, make_wide(tmp_path), absent=share, many=many):
        labels = set(asked(example))
        sizes[len(labels)] += 1
        total += len(labels)
        absent += len(labels - set(found(example)))
        none += not found(example)
    assert abs(absent / total - share) < 0.03
    assert abs(none / count - 0.1) < 0.02
    large = sum(n for size, n in sizes.items() if size > 12)
    assert abs(large / count - many) < 0.02
    assert 20 < max(sizes) <= 30 if many else max(sizes) <= 12


def test_shares_of_sources(base: Path, tmp_path: Path) -> None:
    catalog = write_json(
        tmp_path / "sources.json",
        {
            "groups": {"few": 0.5, "many": 2.0},
            "sources": {
                "places": {"group": "few", "exclude": ["island"], "filled": True},
                "beings": {"group": "many"},
            },
        },
    )
    read = draws(base, catalog=catalog, weights={"orders": 3.0}).read(NLP)
    shares = {name: own.share for name, own in read.items()}
    # The text without entities and nothing else is left out.
    assert shares == {
        "places": pytest.approx(0.5 * 10**0.5),
        "beings": pytest.approx(2.0 * 8**0.5),
        "orders": pytest.approx(3.0 * 9**0.5),
    }
    assert list(read["places"].by_label) == ["city", "lake", "river"]
    assert "orders" not in draws(base, weights={"orders": 0.0}).read(NLP)
    counts = Counter[str]()
    for example in some(1000, base, catalog=catalog, weights={"orders": 3.0}):
        labels = set(asked(example))
        assert "island" not in labels
        counts["orders"] += bool(labels & {"start", "goal", "time"})
    assert counts["orders"] / 1000 == pytest.approx(9 / sum(shares.values()), abs=0.05)


def test_names_and_definitions(base: Path) -> None:
    names = Counter[str]()
    for example in some(800, base, **ALL):
        for label, said in asked(example).items():
            source = {"start": "orders", "city": "places"}.get(label)
            if source:
                names[said["name"].lower()] += 1
                assert said["definition"] in ("", f"what {source}/{label} means")
    assert set(names) == {"city", "a city", "from where", "start"}
    assert min(names.values()) > 10
    own = some(200, base, own_words=1.0, undefined=0.0, **ALL)
    said = [asked(each)["start"] for each in own if "start" in asked(each)]
    assert {tuple(each.values()) for each in said} == {
        ("from where", "what orders/start means")
    }


def test_a_mask_stands_in_the_place_of_entities(base: Path) -> None:
    text = Text(
        ("In", "New", "York", ",", "Bo"),
        (True, True, False, True, False),
        ((1, 3, "A"), (4, 5, "B")),
    )

    class Always:
        def random(self) -> float:
            return 0.0

    assert masked(text, Always()) == Text(  # type: ignore[arg-type]
        ("In", MASK, ",", MASK), (True, False, True, False), ((1, 2, "A"), (3, 4, "B"))
    )
    counts = Counter[bool]()
    for example in some(400, base, masked=0.5, **ALL):
        counts[MASK in example.text] += 1
    # Half of the texts, of which few keep all of their entities.
    assert 0.25 < counts[True] / 400 < 0.5
    assert not any(MASK in example.text for example in some(100, base))


def test_held_out_labels_sources_and_texts(base: Path, tmp_path: Path) -> None:
    write_source(base / "copy", [marked("Nowhere, at all"), marked("AT Como [x|A]")])
    write_source(base / "extra", [marked("see 1 Po!"), marked("[y|B]")])
    held = write_json(
        tmp_path / "held_out.json",
        {
            "sources": {"orders": "why"},
            "labels": {"places": ["lake"], "beings": ["spy"]},
            "twins": {"places": ["river"], "elsewhere": ["Z"]},
        },
    )
    read = draws(base, held_out=held).read(NLP)
    assert set(read) == {"places", "beings", "copy", "extra"}
    assert list(read["places"].by_label) == ["city", "island"]
    assert list(read["beings"].by_label) == ["animal", "dog", "person", "tree", "vet"]
    # A text with a river is left out of every source.
    assert [text.text for text in read["extra"].source.train] == ["y"]
    assert len(read["copy"].source.train) == 2
    for example in some(400, base, held_out=held, joined=0.3):
        assert not {"lake", "river", "spy", "start"} & {
            *asked(example),
            *found(example),
        }
    write_json(held, {"labels": {"places": ["sea"]}})
    with pytest.raises(
        ValueError, match="'places' does not have the held-out labels .'s"
    ):
        draws(base, held_out=held).read(NLP)


def test_files_and_templates_stand_beside(base: Path, tmp_path: Path) -> None:
    queries = write_json(
        tmp_path / "queries.json",
        {
            "labels": {"dish": {"names": ["meal"], "definitions": ["what is eaten"]}},
            "lists": {"dish": ["soup", "rice", "fish"]},
            "texts": ["(cook|make) {dish}[ now]"],
        },
    )
    wording = write_json(
        tmp_path / "wording.json",
        {"PART": {"names": ["piece"], "definitions": ["a part"]}},
    )
    sources = {"queries": queries, "workshop": WORKSHOP}
    names = Counter[str]()
    for example in some(600, base, sources=sources, wording=wording):
        for said in asked(example).values():
            names[said["name"].lower()] += 1
    assert min(names[name] for name in ("meal", "piece", "tool", "city", "vet")) > 5
    alone = some(20, None, sources={"queries": queries})
    assert {"dish"} == {label for example in alone for label in asked(example)}
    with pytest.raises(ValueError, match="have the same names: .'places'"):
        draws(base, sources={"places": WORKSHOP}).read(NLP)


def test_what_cannot_be_is_told(base: Path, tmp_path: Path) -> None:
    for settings, message in (
        ({"absent": 1.0}, "`absent` must be less than 1"),
        ({"masked": 1.5, "many": -0.1}, "'many', 'masked'"),
        ({"nested": 2.0}, "'nested'"),
        ({"most_labels": 31}, "`many_labels` not less"),
        ({"most_labels": 0}, "`most_labels` must be at least 1"),
        ({"texts": 0}, "`texts` must be at least 1"),
        ({"weights": {"a": -1.0}}, "must not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            draws(base, **settings)
    with pytest.raises(ValueError, match="unknown sources: .'sea'"):
        draws(base, weights={"sea": 1.0}).read(NLP)
    with pytest.raises(ValueError, match="No source is left"):
        draws(None).read(NLP)
    with pytest.raises(OSError, match="There is no folder"):
        draws(tmp_path / "none").read(NLP)
    with pytest.raises(OSError, match="has a file train.jsonl.gz"):
        draws(tmp_path, wording=None).read(NLP)
    write_source(base / "bare", [marked("nothing")])
    with pytest.raises(ValueError, match="'bare' has no entity to learn from"):
        draws(base).read(NLP)
    for content in ({}, {"groups": {"a": 1}, "sources": {"x": {"group": "b"}}}):
        catalog = write_json(tmp_path / "catalog.json", content)
        with pytest.raises(ValueError, match="catalog.json must hold"):
            draws(base, catalog=catalog).read(NLP)
    held = write_json(tmp_path / "held.json", {"labels": {"places": "lake"}})
    with pytest.raises(ValueError, match="held.json must hold"):
        draws(base, held_out=held).read(NLP)
