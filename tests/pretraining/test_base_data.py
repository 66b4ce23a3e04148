"""The data that a base learns from, where they are: what is asked of them, and what not."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.training import Example
from thinc.api import Config

from helpers.base_pack import draws, scored
from helpers.places import ROOT, SHARED
from helpers.pretraining import asked
from spacy_instructner.formats.text_files import read_json, read_text
from spacy_instructner.pretraining.base_lists import read_catalog, read_held_out
from spacy_instructner.pretraining.label_draws import LearnedSource

BASE, LISTS = SHARED / "base", ROOT / "assets" / "base"
HELD, CATALOG = LISTS / "held_out.json", LISTS / "sources.json"
NESTED = LISTS / "held_out_nested.json"
EVENTS = {"events": LISTS / "queries" / "events.json"}
DRAWS = 5000

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def rows() -> Mapping[str, list[dict[str, Any]]]:
    """The rows of each source as they are in its files, with the labels that hold others."""
    if not BASE.is_dir():
        pytest.skip(f"{BASE} is missing: set SPACY_INSTRUCTNER_DATA.")
    parents = {
        name: own.get("parents", {})
        for name, own in read_json(CATALOG)["sources"].items()
    }
    return {
        path.parent.name: [
            held(json.loads(line), parents[path.parent.name])
            for part in ("train", "dev")
            for line in read_text(path.with_name(f"{part}.jsonl.gz")).split("\n")
            if line
        ]
        for path in sorted(BASE.glob("*/dataset.json"))
    }


def held(row: dict[str, Any], parents: Mapping[str, list[str]]) -> dict[str, Any]:
    """A row with all labels that hold one of a span's."""
    for parent, labels in parents.items() if row["spans"] else ():
        row["types"] = [
            [*own, parent] if set(own) & set(labels) else own for own in types_of(row)
        ]
    return row


@pytest.fixture(scope="module")
def wording() -> Mapping[str, Any]:
    """What labels are called, and which are near: the data's own words, and the
    project's for labels that hold others."""
    own = read_json(LISTS / "wording.json")
    for name, about in read_json(CATALOG)["sources"].items():
        for parent in about.get("parents", ()):
            own.setdefault(f"{name}/{parent}", own[parent])
    return {**own, **read_json(BASE / "wording.json")}


@pytest.fixture(scope="module")
def learned(rows: Any) -> Mapping[str, LearnedSource]:
    read = draws(BASE, held_out=HELD, catalog=CATALOG, wording=LISTS / "wording.json")
    return read.read(spacy.blank("en"))


@pytest.fixture(scope="module")
def examples(rows: Any) -> list[Example]:
    read = draws(BASE, held_out=HELD, catalog=CATALOG, wording=LISTS / "wording.json")
    return list(islice(read.starting(spacy.blank("en"), 0), DRAWS))


def types_of(row: Mapping[str, Any]) -> list[list[str]]:
    """All labels of each span of a row."""
    own: list[list[str]] = row.get("types") or [[s["label"]] for s in row["spans"]]
    return own


def squeezed(text: str) -> str:
    return "".join(text.split())


def found(example: Example) -> set[tuple[str, str]]:
    return {(ent.label_, squeezed(ent.text)) for ent in example.reference.ents}


@pytest.mark.long
def test_every_source_is_read(
    rows: Any, learned: Mapping[str, LearnedSource], wording: Mapping[str, Any]
) -> None:
    held = read_held_out(HELD)
    assert len(rows) == 48
    assert set(rows) == set(learned) | (set(held.sources) - set(EVENTS))
    for name, own in learned.items():
        for label in own.by_label:
            assert (
                own.source.wording[label].names == wording[f"{name}/{label}"]["names"]
            )
    assert sum(len(own.source.train) for own in learned.values()) > 150_000
    assert sum(len(own.by_label) for own in learned.values()) > 1400
    catalog = read_catalog(CATALOG)
    assert set(rows) <= set(catalog.factors)
    for name, labels in catalog.excluded.items():
        if name in rows:
            known = {t for row in rows[name] for own in types_of(row) for t in own}
            assert labels <= known
            assert name in held.sources or not labels & set(learned[name].by_label)


def rows_by_text(rows: Any) -> Mapping[str, list[tuple[str, dict[str, Any]]]]:
    by_text: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, own in rows.items():
        for row in own:
            by_text.setdefault(squeezed(row["text"]), []).append((name, row))
    return by_text


def is_fair(
    labels: set[str], name: str, row: Mapping[str, Any], near: Any, unsure: Any
) -> bool:
    """May a row be asked for labels, by the rules of the data's own page?"""
    types = types_of(row)
    present = {label for own in types for label in own}
    absent = labels - present
    close = {each for label in present for each in near.get(f"{name}/{label}", ())}
    open_ = {each for kind in row.get("unsure", ()) for each in unsure[kind]}
    beside = any(
        label in present for each in absent for label in near.get(f"{name}/{each}", ())
    )
    several = any(len(labels & set(own)) > 1 for own in types)
    scope = set(row.get("scope", absent))
    return not (beside or several or absent & (close | open_) or absent - scope)


@pytest.mark.long
def test_nothing_is_asked_for_that_may_be_there_unmarked(
    rows: Any, examples: list[Example], wording: Mapping[str, Any]
) -> None:
    near = {key: own["near"] for key, own in wording.items() if "near" in own}
    unsure = read_json(BASE / "semcor" / "dataset.json")["unsure"]
    by_text = rows_by_text(rows)
    absent = total = 0
    for example in examples:
        labels, own = set(asked(example)), found(example)
        total += len(labels)
        absent += len(labels - {label for label, _ in own})
        fair = [
            (name, row)
            for name, row in by_text[squeezed(example.text)]
            if all(f"{name}/{label}" in wording for label in labels)
            and is_fair(labels, name, row, near, unsure)
        ]
        # The answer is all that the row has of these labels.
        answers = [
            {
                (label, squeezed(row["text"][span["start"] : span["end"]]))
                for span, types in zip(row["spans"], types_of(row), strict=True)
                for label in labels & set(types)
            }
            for _, row in fair
        ]
        assert own in answers, (example.text, labels)
    assert abs(absent / total - 0.5) < 0.05


@pytest.mark.long
def test_what_is_held_out_is_never_seen(
    rows: Any, examples: list[Example], learned: Mapping[str, LearnedSource]
) -> None:
    held, wording = read_held_out(HELD), read_json(BASE / "wording.json")
    by_text = rows_by_text(rows)
    for example in examples:
        for name, row in by_text[squeezed(example.text)]:
            assert name not in held.sources
            assert not held.of(name) & {t for own in types_of(row) for t in own}
    names = {
        each.lower(): f"{name}/{label}"
        for name, own in learned.items()
        for label in own.by_label
        for each in own.source.wording[label].names
    }
    for name, labels in held.labels.items():
        for label in labels if name in rows else ():
            first = wording[f"{name}/{label}"]["names"][0].lower()
            assert first not in names, (name, label, names[first])


def scored_rows(rows: Any, labels: Any) -> Iterator[tuple[str, str, int]]:
    for name, own in labels.items():
        counts = Counter(
            t for row in rows.get(name, ()) for types in types_of(row) for t in types
        )
        yield from ((name, label, counts[label]) for label in own if name in rows)


@pytest.mark.long
def test_what_is_scored(rows: Any) -> None:
    held = read_held_out(HELD)
    mentions = list(scored_rows(rows, held.labels))
    assert len(mentions) >= 40 and len({name for name, _, _ in mentions}) >= 10
    assert min(count for _, _, count in mentions) >= 20
    read = scored(HELD, BASE, sources=EVENTS, catalog=CATALOG)
    made = list(read(spacy.blank("en")))
    assert len(made) == 400
    counts = Counter(ent.label_ for each in made for ent in each.reference.ents)
    assert all(counts[label] for _, label, _ in mentions)
    # Half for labels, half for sources, and a fifth of each without an answer.
    assert sum(not each.reference.ents for each in made) == 80


def test_labels_that_hold_others(rows: Any, wording: Mapping[str, Any]) -> None:
    held, catalog = read_held_out(HELD), read_catalog(CATALOG)
    assert len(catalog.parents) == len(read_json(CATALOG)["sources"])
    for name, parents in catalog.parents.items():
        known = {t for row in rows.get(name, ()) for own in types_of(row) for t in own}
        for parent, labels in parents.items() if name in rows else ():
            # What is held is a label of the source, or a parent before it.
            assert labels <= known - {parent}, (name, parent, labels - known)
            assert set(wording[f"{name}/{parent}"].get("near", ())) <= known - labels
    # What is scored with the labels that hold it is never learned.
    nested = read_held_out(NESTED)
    for name, own in nested.labels.items():
        assert set(own) <= held.of(name)
    made = list(
        scored(NESTED, BASE, catalog=CATALOG, wording=LISTS / "wording.json",
               nested=True)(spacy.blank("en"))
    )  # fmt: skip
    both = 0
    for each in made:
        name, labels = each.reference.user_data["source"], set(asked(each))
        own = {ent.label_ for ent in each.reference.ents}
        both += len(labels & own) > 0 and len(labels & set(catalog.parents[name])) > 0
    assert len(made) == 400 and both > 100


def test_the_config_reads_what_is_there(rows: Any, tmp_path: Path) -> None:
    config = Config().from_disk(ROOT / "configs" / "base2.cfg", interpolate=False)
    config["paths"]["data"] = str(SHARED)
    for name in ("wording", "rules", "templates", "held_out", "nested", "catalog"):
        config["paths"][name] = str(ROOT / config["paths"][name])
    corpora = config.interpolate()["corpora"]
    paths = [*corpora["train"]["sources"].values(), corpora["train"]["base"]]
    assert [path for path in paths if not Path(path).exists()] == []
    resolved = spacy.registry.resolve(corpora)
    assert set(resolved["dev"].files.sources) >= set(EVENTS)
    assert Path(resolved["nested"].held_out) == NESTED
    for name in ("train", "dev"):
        assert Path(resolved[name].held_out) == HELD
