"""What the default model finds by labels as spaCy's users write them."""

import pytest
import spacy

from spacy_instructner.weights.sources import fetch

# The example sentences of spaCy's pages.
TEXTS = [
    "Apple is looking at buying U.K. startup for $1 billion",
    "Autonomous cars shift insurance liability toward manufacturers",
    "San Francisco considers banning sidewalk delivery robots",
    "London is a big city in the United Kingdom.",
]
LABELS = ["ORG", "GPE", "NORP", "PERSON", "MONEY"]


def found(known_labels: bool) -> list[list[tuple[str, str]]]:
    fetch()
    nlp = spacy.blank("en")
    config = {"labels": LABELS, "known_labels": known_labels}
    nlp.add_pipe("instruction_ner", config=config)
    return [[(ent.text, ent.label_) for ent in doc.ents] for doc in nlp.pipe(TEXTS)]


@pytest.mark.long
def test_places_are_found_by_gpe() -> None:
    assert found(known_labels=True) == [
        [("Apple", "ORG"), ("U.K.", "GPE"), ("$1 billion", "MONEY")],
        [],
        [("San Francisco", "GPE")],
        [("London", "GPE"), ("United Kingdom", "GPE")],
    ]


@pytest.mark.long
def test_no_place_is_found_by_the_letters_gpe() -> None:
    labels = {label for ents in found(known_labels=False) for _, label in ents}
    assert "ORG" in labels and "GPE" not in labels
