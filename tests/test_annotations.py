"""What is written on a Doc, and what is read off an Example."""

from math import nan

import numpy
import pytest
from spacy.lang.en import English
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_instructner.annotations import annotate, register_score
from spacy_instructner.data.gold import read_example, within
from spacy_instructner.formats.docs import make_doc as doc_of
from spacy_instructner.formats.rows import Row
from spacy_instructner.resolve import Found
from spacy_instructner.tasks.base import Gold
from spacy_instructner.windows import Window

WRITE = {"spans_key": "found", "threshold": 0.0, "overwrite": False}


def make_doc(text: str = "Anna met Bert Brown in old Rome") -> Doc:
    return English()(text)


def ents(doc: Doc) -> list:
    return [(e.start, e.end, e.label_) for e in doc.ents]


def test_all_spans_go_to_the_group_and_the_best_to_ents() -> None:
    doc = make_doc()
    found = [
        Found(0, 1, "PER", 0.75),
        Found(2, 3, "PER", 0.25),
        Found(2, 4, "PER", 0.5),
        Found(5, 7, "LOC", nan),
    ]
    annotate(doc, found, **WRITE)
    group = doc.spans["found"]
    assert [(s.start, s.end, s.label_) for s in group] == [
        (f.start, f.end, f.label) for f in found
    ]
    scores = group.attrs["scores"]
    assert scores.dtype == numpy.float32
    numpy.testing.assert_array_equal(scores, numpy.float32([0.75, 0.25, 0.5, nan]))
    assert ents(doc) == [(0, 1, "PER"), (2, 4, "PER"), (5, 7, "LOC")]
    # Tokens nobody annotated are O, not missing.
    assert [t.ent_iob_ for t in doc] == ["B", "O", "B", "I", "O", "B", "I"]


def test_scores_survive_the_docbin_without_user_data() -> None:
    doc = make_doc()
    annotate(doc, [Found(0, 1, "PER", 0.75), Found(2, 3, "PER", nan)], **WRITE)
    stored = DocBin(docs=[doc], store_user_data=False).to_bytes()
    (back,) = DocBin().from_bytes(stored).get_docs(doc.vocab)
    numpy.testing.assert_array_equal(
        back.spans["found"].attrs["scores"], numpy.float32([0.75, nan])
    )
    assert not doc.user_data


def test_earlier_entities_and_blocked_tokens_stay() -> None:
    doc = make_doc()
    earlier = Span(doc, 2, 4, label="PERSON", kb_id="Q1")
    doc.set_ents([earlier], blocked=[doc[6:7]])
    found = [
        Found(3, 4, "PER", 0.9),
        Found(5, 7, "LOC", 0.9),
        Found(0, 1, "PER", 0.2),
    ]
    annotate(doc, found, **WRITE)
    assert ents(doc) == [(0, 1, "PER"), (2, 4, "PERSON")]
    assert doc.ents[1].kb_id_ == "Q1"
    assert len(doc.spans["found"]) == 3
    assert doc[6].ent_iob == 3 and doc[6].ent_type == 0


def test_overwrite_replaces() -> None:
    doc = make_doc()
    doc.set_ents([Span(doc, 2, 4, label="PERSON")], blocked=[doc[6:7]])
    found = [Found(3, 4, "PER", 0.9), Found(6, 7, "LOC", 0.9)]
    annotate(doc, found, **{**WRITE, "overwrite": True})
    assert ents(doc) == [(3, 4, "PER"), (6, 7, "LOC")]


def test_threshold_bars_from_ents_only() -> None:
    doc = make_doc()
    found = [Found(0, 1, "PER", 0.5), Found(2, 3, "PER", 0.4)]
    annotate(doc, found, **{**WRITE, "threshold": 0.5})
    assert ents(doc) == [(0, 1, "PER")]
    assert len(doc.spans["found"]) == 2


def test_the_extension_looks_up_by_start_end_and_label() -> None:
    register_score("test_score", "found")
    doc = make_doc()
    found = [
        Found(0, 1, "PER", 0.75),
        Found(0, 1, "ORG", 0.125),
        Found(2, 3, "PER", nan),
    ]
    annotate(doc, found, **WRITE)
    assert doc.ents[0]._.test_score == 0.75
    assert Span(doc, 0, 1, label="ORG")._.test_score == 0.125
    # Unknown is None, never 0 or 1.
    assert Span(doc, 2, 3, label="PER")._.test_score is None
    assert Span(doc, 0, 2, label="PER")._.test_score is None


def test_the_extension_of_somebody_else_is_left_alone() -> None:
    Span.set_extension("taken_score", default=1)
    with pytest.raises(ValueError, match="score_extension"):
        register_score("taken_score", "found")
    assert make_doc()[0:1]._.taken_score == 1


def example(words: list, reference: Doc) -> Example:
    return Example(Doc(reference.vocab, words=words), reference)


def test_gold_is_aligned_to_the_predicted_tokens() -> None:
    nlp = English()
    reference = Doc(nlp.vocab, words=["Bert-Brown", "met", "Anna", "B", "."])
    reference.set_ents(
        [Span(reference, 0, 1, label="PER"), Span(reference, 2, 4, label="PER")],
        default="outside",
    )
    words = ["Bert", "-", "Brown", "met", "Anna", "B."]
    predicted = Doc(
        nlp.vocab,
        words=words,
        spaces=[False, False, True, True, True, False],
    )
    read = read_example(Example(predicted, reference))
    assert read.gold.entities == ((0, 3, "PER"),)
    assert [span.text for span in read.misaligned] == ["Anna B"]
    # What could not be aligned is not learnt as "none" of its label either.
    assert read.gold.lost == ((4, 6, "PER"),) and not read.gold.missing
    assert read.gold.unknown_of("PER") == {4, 5} and not read.gold.unknown_of("LOC")


def test_without_annotation_everything_is_missing() -> None:
    reference = make_doc("Anna met Bert")
    read = read_example(example(["Anna", "met", "Bert"], reference))
    assert read.gold == Gold((), frozenset({0, 1, 2}))


def test_missing_tokens_are_kept_apart_from_outside() -> None:
    reference = make_doc("Anna met Bert")
    reference.set_ents(
        [reference.char_span(0, 4, label="PER")], missing=[reference[2:3]]
    )
    read = read_example(example(["Anna", "met", "Bert"], reference))
    assert read.gold == Gold(((0, 1, "PER"),), frozenset({2}))


def test_a_cut_entity_is_neither_learnt_nor_denied() -> None:
    gold = Gold(((0, 2, "A"), (4, 7, "B"), (8, 9, "A")), frozenset({3}))
    assert within(gold, Window(0, 2, 9)) == Gold(
        ((2, 5, "B"), (6, 7, "A")), frozenset({1})
    )
    # It is unknown to its own label, and no other.
    cut = within(gold, Window(0, 1, 6))
    assert cut == Gold((), frozenset({2}), ((0, 1, "A"), (3, 5, "B")))
    assert cut.unknown == {0, 2, 3, 4}
    assert cut.unknown_of("A") == {0, 2} and cut.unknown_of("C") == {2}
    # And again, where that is cut once more.
    assert within(cut, Window(0, 4, 5)) == Gold((), frozenset(), ((0, 1, "B"),))


def test_a_misaligned_entity_costs_the_tokens_that_it_touches() -> None:
    """As entities of a Doc, as offsets that spaCy aligns, and out of a file."""
    nlp = English()
    text = "Anna Brown met Bert in no.AB12 today"
    start = text.index("B12")
    spans = [(0, 10, "PER"), (15, 19, "PER"), (start, start + 3, "SIZE")]
    row = Row("a.jsonl, line 1", text, spans=tuple(spans))
    of_file, problems = doc_of(row, nlp)
    assert [p.why for p in problems] == [
        f"SIZE at {start}-{start + 3} ('B12') does not fall on token borders"
    ]
    bytes_ = DocBin(docs=[of_file], store_user_data=True).to_bytes()
    (of_file,) = DocBin().from_bytes(bytes_).get_docs(nlp.vocab)
    finer = Doc(
        nlp.vocab,
        words=["Anna", "Brown", "met", "Bert", "in", "no.A", "B12", "today"],
        spaces=[True, True, True, True, True, False, True, False],
    )
    known = [finer.char_span(a, b, label=label) for a, b, label in spans]
    finer.set_ents(known, default="outside")
    with pytest.warns(UserWarning, match="W030"):
        offsets = Example.from_dict(nlp.make_doc(text), {"entities": spans})
    tokens = [token.text for token in nlp.make_doc(text)]
    at = next(i for i, token in enumerate(tokens) if "B12" in token)
    tags = [token.ent_iob_ for token in offsets.reference]
    assert tags == [token.ent_iob_ for token in of_file] and tags.count("") == 1
    for reference, lost in ((of_file, True), (finer, True), (offsets.reference, False)):
        read = read_example(Example(nlp.make_doc(text), reference))
        assert read.gold.entities == ((0, 2, "PER"), (3, 4, "PER"))
        assert read.gold.unknown == {at}
        # spaCy forgets the label of what it cannot align.
        assert read.gold.lost == (((at, at + 1, "SIZE"),) if lost else ())
        assert [span.label_ for span in read.misaligned] == ["SIZE"] * lost
        assert [span.text for span in read.unlabelled] == [tokens[at]] * (not lost)


def test_a_stretch_that_was_annotated_since_is_lost_no_more() -> None:
    nlp = English()
    row = Row("a", "no.AB12 is here", spans=((4, 7, "SIZE"),))
    doc, _ = doc_of(row, nlp)
    assert read_example(Example(nlp.make_doc(doc.text), doc)).misaligned
    doc.set_ents([doc[0:1]], default="outside")
    read = read_example(Example(nlp.make_doc(doc.text), doc))
    assert not read.misaligned and not read.gold.unknown


def test_an_entity_within_a_predicted_token_is_not_learnt_as_another() -> None:
    nlp = English()
    reference = Doc(nlp.vocab, words=["Anna", "Brown"])
    reference.set_ents([Span(reference, 0, 1, label="PER")], default="outside")
    read = read_example(example(["Anna Brown"], reference))
    assert read.gold == Gold((), frozenset(), ((0, 1, "PER"),))
