"""Pseudo-labels as annotation, and texts that join updates."""

import pickle
from collections import Counter

import pytest
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_instructner.data.gold import read_example
from spacy_instructner.resolve import Found
from spacy_instructner.training.further_texts import (
    FurtherTexts,
    as_example,
    asking,
    joined,
)
from spacy_instructner.training.pseudo_labels import (
    PseudoLabels,
    add_pseudo_labels,
    pseudo_labels,
)

NAN = float("nan")
TEXT = "Anna met Bert in Paris today"


@pytest.fixture
def doc(nlp: Language) -> Doc:
    made = nlp.make_doc(TEXT)
    made.set_ents([Span(made, 0, 1, label="PERSON")], default="outside")
    return made


def test_what_is_sure_and_what_is_unknown(nlp: Language) -> None:
    doc = nlp.make_doc(TEXT)
    found = [
        Found(0, 1, "PERSON", 0.9),
        Found(0, 2, "PERSON", 0.6),  # Sure enough, but it overlaps a better one.
        Found(2, 3, "PERSON", 0.3),
        Found(4, 5, "PLACE", 0.3),
        Found(5, 6, "DATE", NAN),
    ]
    own = pseudo_labels(doc, found, 0.5, {"PLACE": 0.2})
    assert own.sure == ((0, 4, "PERSON"), (17, 22, "PLACE"))
    assert own.unsure == ((9, 13, "PERSON"), (23, 28, "DATE"))
    # An answer that is written is meant, whatever its score.
    own = pseudo_labels(doc, found, 0.0)
    assert [label for *_, label in own.sure] == ["PERSON", "PERSON", "PLACE", "DATE"]
    assert own.unsure == ()


def test_pseudo_labels_stand_beside_annotation(doc: Doc) -> None:
    labels = PseudoLabels(
        sure=((9, 13, "GUEST"), (0, 4, "HOST"), (18, 22, "CITY")),
        unsure=((9, 22, "PLACE"),),
    )
    made = add_pseudo_labels(doc, labels)
    gold = read_example(Example(made.copy(), made)).gold
    assert gold.entities == ((0, 1, "PERSON"), (2, 3, "GUEST"))
    assert gold.missing == frozenset()
    # Half of a word is unsure; what is in an entity is known.
    assert set(gold.lost) == {(3, 5, "PLACE"), (4, 5, "CITY")}
    assert gold.unknown_of("PERSON") == frozenset()
    assert gold.unknown_of("PLACE") == {3, 4}
    # The Doc itself stays, and what it has is added to.
    assert [ent.label_ for ent in doc.ents] == ["PERSON"] and not doc.user_data
    again = add_pseudo_labels(made, PseudoLabels(unsure=((17, 28, "DATE"),)))
    gold = read_example(Example(again.copy(), again)).gold
    assert gold.unknown_of("DATE") == {4, 5} and gold.unknown_of("PLACE") == {3, 4}


def test_missing_and_blocked_tokens_stay(nlp: Language) -> None:
    doc = nlp.make_doc(TEXT)
    doc.set_ents([], missing=[doc[4:5]], blocked=[doc[5:6]], default="outside")
    made = add_pseudo_labels(
        doc, PseudoLabels(sure=((17, 22, "PLACE"),), unsure=((17, 28, "DATE"),))
    )
    assert [token.ent_iob for token in made] == [token.ent_iob for token in doc]
    before = read_example(Example(doc.copy(), doc)).gold
    assert 4 in before.missing
    assert read_example(Example(made.copy(), made)).gold == before


def texts(nlp: Language, *words: str) -> tuple[Doc, ...]:
    docs = [nlp.make_doc(word) for word in words]
    for doc in docs:
        doc.set_ents([], default="outside")
    return tuple(docs)


def test_draws_depend_on_seed_and_update_and_have_the_share(nlp: Language) -> None:
    pools = texts(nlp, "a"), texts(nlp, "b", "c", "d")
    further = FurtherTexts(pools, 0.5, seed=3)
    drawn = [
        [example.reference.text for example in further.drawn(update, 3)]
        for update in range(400)
    ]
    assert {len(own) for own in drawn} == {1, 2}
    assert abs(sum(map(len, drawn)) - 600) < 40
    counts = Counter(text for own in drawn for text in own)
    # Each pool as often, however many texts it has.
    assert abs(counts["a"] / counts.total() - 0.5) < 0.07
    assert set(counts) == set("abcd")
    assert drawn[7] == [e.reference.text for e in further.drawn(7, 3)]
    other = FurtherTexts(pools, 0.5, seed=4)
    assert drawn != [[e.reference.text for e in other.drawn(u, 3)] for u in range(400)]
    assert FurtherTexts((), 2.0, 0).drawn(0, 3) == []


def test_labels_and_sentences_stay_and_entities_do_not(nlp: Language) -> None:
    (doc,) = texts(nlp, "Anna sleeps. Bert, too.")
    doc[3].is_sent_start = True
    doc.set_ents([Span(doc, 0, 1, label="PERSON")], default="outside")
    example = as_example(asking(doc, {"PERSON": {"name": "human", "definition": ""}}))
    assert [ent.text for ent in example.reference.ents] == ["Anna"]
    assert not example.predicted.has_annotation("ENT_IOB")
    assert [token.is_sent_start for token in example.predicted][3]
    asked = example.predicted.user_data["instruction_ner_labels"]
    assert asked == {"PERSON": {"name": "human", "definition": ""}}
    assert not doc.user_data


def test_texts_are_made_once_when_they_are_due(nlp: Language) -> None:
    made = []

    def make() -> tuple[Doc, ...]:
        made.append(1)
        return texts(nlp, "a")

    further = FurtherTexts((), 1.0, 0, after=2, pending=make)
    for update in range(5):
        further = further.at(update)
        assert len(further.drawn(update, 2)) == (2 if update >= 2 else 0)
    assert made == [1]
    assert FurtherTexts((), 1.0, 0, pending=lambda: ()).at(0).drawn(0, 9) == []


def test_silence_says_nothing_of_labels_that_nobody_annotated(
    nlp: Language, doc: Doc
) -> None:
    known = PseudoLabels(sure=((17, 22, "PLACE"),), unsure=((9, 13, "PLACE"),))
    further = FurtherTexts((), 1.0, 0, ("PLACE",), {TEXT: known})
    (other,) = texts(nlp, "Rome is old")
    own = asking(texts(nlp, TEXT)[0], {"DATE": {"name": "date", "definition": ""}})
    given = [Example(nlp.make_doc(TEXT), doc), as_example(other), as_example(own)]
    first, second, third = joined([further], 0, given)
    gold = read_example(first).gold
    assert gold.entities == ((0, 1, "PERSON"), (4, 5, "PLACE"))
    assert gold.lost == ((2, 3, "PLACE"),)
    # Nobody asked about it.
    assert read_example(second).gold.lost == ((0, 3, "PLACE"),)
    assert read_example(second).gold.unknown_of("PERSON") == frozenset()
    # It asks for labels of its own.
    assert third is given[2]
    again = pickle.loads(pickle.dumps(further))
    assert read_example(again.completed(given[0])).gold == gold
