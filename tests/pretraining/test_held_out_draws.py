"""Texts that ask for what a base never learns, of many sources."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import spacy

from helpers.base_pack import marked, scored, write_json, write_source, write_wording
from helpers.pretraining import asked

NLP = spacy.blank("en")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    write_source(
        folder / "trips",
        [marked(f"{n} by [bus|means] to [Oslo|city]") for n in range(30)],
        [
            *(marked(f"{n} to [Rome|city] in [May|month]") for n in range(25)),
            *(marked(f"{n} by [tram|means]") for n in range(3)),
            *(marked(f"stay {n}") for n in range(10)),
        ],
    )
    write_source(
        folder / "law",
        [marked("[A|judge] and [B|clerk]")],
        [marked(f"[J{n}|judge] and [C{n}|clerk]") for n in range(20)]
        + [marked(f"[K{n}|clerk] left") for n in range(20)],
    )
    names = ("trips/means", "trips/city", "trips/month", "law/judge", "law/clerk")
    write_wording(folder, {name: [f"first {name}", "second"] for name in names})
    return folder


def rows(base: Path, held: dict[str, Any], **more: Any) -> list[Any]:
    path = write_json(base.parent / "held_out.json", held)
    return [
        (example.text, asked(example), {ent.label_ for ent in example.reference.ents})
        for example in scored(path, base, **more)(NLP)
    ]


HELD = {"sources": {"law": ""}, "labels": {"trips": ["means", "month"]}}


def test_labels_and_sources_are_asked_for_in_equal_parts(base: Path) -> None:
    made = rows(base, HELD, texts=40)
    assert rows(base, HELD, texts=40) == made != rows(base, HELD, texts=40, seed=1)
    assert len(made) == 40 == len({text for text, _, _ in made})
    law = [row for row in made if {"judge", "clerk"} & set(row[1])]
    assert len(law) == 20
    assert [bool(have) for _, _, have in law] == [True] * 16 + [False] * 4
    for text, labels, have in law:
        # All that the text has, or nothing of it.
        assert have in (set(), {"judge", "clerk"} if " and " in text else {"clerk"})
        assert have <= set(labels)
    trips = [row for row in made if row not in law]
    counts = Counter(label for _, _, have in trips for label in have)
    # Learned labels are asked for where they are absent alone.
    assert counts == {"means": 8, "month": 8}
    # Three texts for scoring have means: others come from those to learn from.
    assert sum("tram" in text for text, _, have in trips if have) <= 3
    assert any("bus" in text for text, _, _ in trips)
    assert any("city" in labels for _, labels, _ in trips)
    for _, labels, have in trips:
        assert have or {"means", "month"} & set(labels)


def test_each_text_says_of_which_source_it_is(base: Path) -> None:
    path = write_json(base.parent / "held_out.json", HELD)
    for example in scored(path, base, texts=40)(NLP):
        source = example.reference.user_data["source"]
        assert source == (
            "law" if {"judge", "clerk"} & set(asked(example)) else "trips"
        )


def test_what_labels_are_called(base: Path) -> None:
    for defined, said in ((True, "what trips/means means"), (False, "")):
        found = [
            labels["means"]
            for _, labels, _ in rows(base, HELD, texts=20, defined=defined)
            if "means" in labels
        ]
        assert found and all(
            each == {"name": "first trips/means", "definition": said} for each in found
        )


def test_what_holds_a_held_out_label_is_asked_for_too(tmp_path: Path) -> None:
    base = tmp_path / "base"
    text = "the [vet|vet,doctor,person] {} saw [Ann|person] and a [dog|dog,animal]"
    write_source(base / "beings", [], [marked(text.format(n)) for n in "abcdefgh"])
    names = ("vet", "doctor", "person", "dog", "animal")
    write_wording(base, {f"beings/{name}": [name] for name in names})
    held = {"labels": {"beings": ["doctor"]}}
    for _, labels, _ in rows(base, held, texts=8, empty=0.0):
        assert set(labels) == {"doctor"}
    path = tmp_path / "held_out.json"
    for each in scored(path, base, texts=8, empty=0.0, nested=True)(NLP):
        # Not the vet, which the doctor holds; nor animals, which hold no doctor.
        assert set(asked(each)) == {"doctor", "person"}
        assert [(ent.text, ent.label_) for ent in each.reference.ents] == [
            ("vet", "doctor"),
            ("Ann", "person"),
        ]


def test_the_share_of_absent_labels(base: Path) -> None:
    held = {"labels": {"trips": ["means"]}}
    for share in (0.0, 0.5):
        made = rows(base, held, texts=30, absent=share, empty=0.0)
        total = sum(len(labels) for _, labels, _ in made)
        assert total - len(made) == pytest.approx(share * total, abs=5)
    most = rows(base, HELD, texts=40, most_labels=1)
    assert {len(labels) for _, labels, _ in most} == {1}


def test_what_cannot_be_scored_is_told(base: Path) -> None:
    with pytest.raises(
        ValueError, match="'trips' does not have the held-out labels .'x"
    ):
        rows(base, {"labels": {"trips": ["x"]}})
    with pytest.raises(ValueError, match="holds out nothing that the sources have"):
        rows(base, {"sources": {"other": ""}})
    for settings in (
        {"absent": 1.0},
        {"empty": -1.0},
        {"texts": 0},
        {"most_labels": 0},
    ):
        with pytest.raises(ValueError):
            rows(base, HELD, **settings)
