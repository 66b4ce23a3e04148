"""UIMA documents become texts, and what is found in them becomes annotations."""

import pytest

pytest.importorskip("cassis")

from helpers.cas_documents import LAYER, PREDICTED, make_cas, make_types
from integrations.inception.cas_texts import (
    AnnotationLayer,
    add_predictions,
    annotated_sentences,
    read_cas,
    read_type_system,
    sentences_of,
)

NER = AnnotationLayer(LAYER, "value")
LINES = ["😀 Anna lives in Paris .", "It is old .", "Bert 𝕩 is in Rome ."]
TEXT = "\n".join(LINES)


def place(word: str, label: str) -> tuple[int, int, str]:
    at = TEXT.index(word)
    return at, at + len(word), label


def test_a_document_with_its_words() -> None:
    types = read_type_system(make_types().to_xml(), NER)
    xmi = make_cas(make_types(), LINES).to_xmi()
    # Java counts the first sign as two.
    assert 'begin="3" end="7"' in xmi
    parts = sentences_of(read_cas(xmi, types), "document 3")
    assert [row.text for _, row in parts] == LINES
    assert all(TEXT[begin:].startswith(row.text or "?") for begin, row in parts)
    assert all(row.where == "document 3" and row.spans == () for _, row in parts)
    assert [row.tokens for _, row in parts] == [tuple(line.split()) for line in LINES]
    # Words that do not make up the text are no help.
    cas = make_cas(make_types(), LINES)
    cas.remove(next(a for a in cas.select_all() if a.type.name.endswith("Token")))
    parts = sentences_of(cas, "document 3")
    assert [row.tokens is None for _, row in parts] == [True, False, False]
    bare = sentences_of(make_cas(make_types(), LINES, tokens=False), "x")
    assert [row.tokens for _, row in bare] == [None] * 3


def test_sentences_in_which_something_is_annotated() -> None:
    types = make_types()
    spans = [place("Paris", "PLACE"), place("Anna", "PERSON"), place("Rome", "PLACE")]
    cas = make_cas(types, LINES, spans)
    # Without a label, and predicted: neither is an annotation.
    layer = types.get_type(LAYER)
    at = TEXT.index("It")
    cas.add(layer(begin=at, end=at + 2))
    cas.add(layer(begin=at, end=at + 2, value="PLACE", **{PREDICTED: True}))
    again = read_cas(cas.to_xmi(), read_type_system(types.to_xml(), NER))
    for document in (cas, again):
        first, last = annotated_sentences(document, NER, "document 3")
        assert (first.text, last.text) == (LINES[0], LINES[2])
        assert first.spans == ((2, 6, "PERSON"), (16, 21, "PLACE"))
        assert first.tokens == tuple(LINES[0].split())
        assert [LINES[2][a:b] for a, b, _ in last.spans] == ["Rome"]


def test_half_an_annotation_teaches_nothing() -> None:
    types = make_types()
    at = TEXT.index("old")
    spans = [place("Anna", "PERSON"), (at, at + 10, "THING"), place("Rome", "PLACE")]
    (only,) = annotated_sentences(make_cas(types, LINES, spans), NER, "x")
    assert only.text == LINES[0]


def test_a_document_without_sentences_is_one() -> None:
    types = make_types()
    cas = make_cas(types, LINES, [place("Rome", "PLACE")])
    for each in [a for a in cas.select_all() if a.type.name.endswith("Sentence")]:
        cas.remove(each)
    assert [(begin, row.text) for begin, row in sentences_of(cas, "x")] == [(0, TEXT)]
    (row,) = annotated_sentences(cas, NER, "x")
    assert row.text == TEXT and row.spans == (place("Rome", "PLACE"),)
    assert annotated_sentences(make_cas(types, LINES), NER, "x") == []


@pytest.mark.parametrize("more", [True, False])
def test_predictions_are_told_from_annotations(more: bool) -> None:
    types = make_types(more)
    cas = make_cas(types, LINES, [place("Rome", "PLACE")])
    found = [(*place("Anna", "PERSON"), 0.75), (*place("Paris", "PLACE"), None)]
    add_predictions(cas, NER, found)
    again = read_cas(cas.to_xmi(), read_type_system(types.to_xml(), NER))
    told = {each.get_covered_text(): each for each in again.select(LAYER)}
    assert {word: each.value for word, each in told.items()} == {
        "Anna": "PERSON",
        "Paris": "PLACE",
        "Rome": "PLACE",
    }
    if more:
        assert told["Anna"][PREDICTED] and told["Paris"][PREDICTED]
        assert not told["Rome"][PREDICTED]
        assert told["Anna"].value_score == 0.75 and told["Paris"].value_score is None
        # What is predicted is not learned.
        (row,) = annotated_sentences(again, NER, "x")
        assert [label for *_, label in row.spans] == ["PLACE"]


def test_what_cannot_be_read() -> None:
    good = make_types().to_xml()
    for xml, layer, why in (
        ("<types", NER, "cannot be read"),
        ("", NER, "cannot be read"),
        ("<!DOCTYPE a><a/>", NER, "document type"),
        (good, AnnotationLayer("some.Layer", "value"), "no layer some.Layer"),
        (good, AnnotationLayer(LAYER, "colour"), "no feature 'colour'"),
        (make_types(label="uima.cas.Integer").to_xml(), NER, "holds a text"),
    ):
        with pytest.raises(ValueError, match=why):
            read_type_system(xml, layer)
    types = read_type_system(good, NER)
    empty = make_cas(make_types(), LINES).to_xmi()
    begin = empty.index("sofaString")
    end = empty.index('"', begin + 12) + 1
    for xmi, why in (
        ("<xmi", "cannot be read"),
        ("<!DOCTYPE a><a/>", "document type"),
        (make_cas(types, LINES).to_xmi()[:200], "cannot be read"),
        (empty[:begin] + empty[end:], "cannot be read|no text"),
    ):
        with pytest.raises(ValueError, match=why):
            read_cas(xmi, types)
