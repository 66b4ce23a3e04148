"""Which labels of a source are near one another, and so are not surely absent."""

from pathlib import Path

import spacy

from helpers.base_pack import draws, marked, write_json, write_source, write_wording


def test_parents_are_near_what_is_near_their_labels(tmp_path: Path) -> None:
    """A river may be a lake, so it may be any pond where ponds are lakes."""
    base = tmp_path / "base"
    texts = ["see [Rome|city]", "see [Po|river]", "see [Como|lake]"]
    write_source(base / "places", list(map(marked, texts)))
    names = {f"places/{label}": [label] for label in ("city", "river", "lake")}
    # One of the two names the other.
    write_wording(base, names, places__lake=["river"])
    parents = {"pond": ["lake"], "basin": ["pond"], "water": ["lake", "river"]}
    sources = {"places": {"group": "a", "parents": parents}}
    lists = {"groups": {"a": 1.0}, "sources": sources}
    catalog = write_json(tmp_path / "catalog.json", lists)
    own = draws(base, catalog=catalog).read(spacy.blank("en"))["places"].source
    assert own.near == {
        "lake": {"river"},
        "river": {"lake", "pond", "basin"},
        "pond": {"river"},
        "basin": {"river"},
    }
    river = own.train[1]
    assert set(river.labels) == {"river", "water"}
    # Nothing is known of lakes, ponds and basins.
    assert own.absent(river) == {"city"}
