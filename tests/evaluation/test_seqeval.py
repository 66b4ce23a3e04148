"""Our counts are those of seqeval, strict, on the same annotation as IOB2 tags."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
import spacy
from hypothesis import assume, given
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc, Span
from spacy.util import filter_spans

from helpers.places import ROOT
from spacy_instructner.corpus.entities import entities_of, scored_entities_of
from spacy_instructner.data.corpora import read_docs, without_annotation
from spacy_instructner.evaluation.metrics import count, total

WORKSHOP = ROOT / "assets" / "workshop"
LABELS = ("PER", "creative-work", "B", "I")
NLP = spacy.blank("en")


def tags(doc: Doc) -> list[str]:
    return [f"{t.ent_iob_}-{t.ent_type_}" if t.ent_type_ else "O" for t in doc]


def agree(gold: Sequence[Doc], predicted: Sequence[Doc]) -> dict[str, Any]:
    """Compare, and return what seqeval says."""
    theirs = classification_report(
        [tags(doc) for doc in gold],
        [tags(doc) for doc in predicted],
        mode="strict",
        scheme=IOB2,
        output_dict=True,
        zero_division=0,
    )
    ours = count(list(map(entities_of, gold)), list(map(scored_entities_of, predicted)))
    assert set(ours) == {name for name in theirs if not name.endswith(" avg")}
    for name, own in [*ours.items(), ("micro avg", total(ours.values()))]:
        assert own.precision == pytest.approx(theirs[name]["precision"]), name
        assert own.recall == pytest.approx(theirs[name]["recall"]), name
        assert own.f1 == pytest.approx(theirs[name]["f1-score"]), name
        assert own.annotated == theirs[name]["support"], name
    return theirs


@st.composite
def pairs(draw: Any) -> tuple[Doc, Doc]:
    """One text, annotated twice: borders and labels often agree, often nearly."""
    words = draw(st.lists(st.sampled_from(["a", "New", "York", "."]), min_size=1))
    spaces = [draw(st.booleans()) for _ in words]
    docs = []
    for _ in range(2):
        doc = Doc(NLP.vocab, words, spaces)
        borders = draw(st.sets(st.integers(0, len(words)), max_size=8))
        ends = [*sorted(borders), len(words)]
        spans = []
        for begin, end in zip(ends, ends[1:]):
            label = draw(st.sampled_from((*LABELS, "")))
            if label and begin < end:
                spans.append(Span(doc, begin, end, label))
        doc.set_ents(spans, default="outside")
        docs.append(doc)
    return docs[0], docs[1]


@given(st.lists(pairs(), min_size=1, max_size=4))
def test_random_annotation(drawn: list[tuple[Doc, Doc]]) -> None:
    # Where nothing is annotated or predicted, seqeval has no averages.
    assume(any(doc.ents for pair in drawn for doc in pair))
    agree([pair[0] for pair in drawn], [pair[1] for pair in drawn])


def test_the_workshop_sentences() -> None:
    """With what a word list of the train file finds in the test file."""
    matcher = PhraseMatcher(NLP.vocab, attr="LOWER")
    for doc in read_docs(WORKSHOP / "train.jsonl", NLP)[0]:
        for ent in doc.ents:
            matcher.add(ent.label_, [ent.as_doc()])
    gold = read_docs(WORKSHOP / "test.jsonl", NLP)[0]
    predicted = [without_annotation(doc) for doc in gold]
    for doc in predicted:
        doc.set_ents(filter_spans(matcher(doc, as_spans=True)), default="outside")
    theirs = agree(gold, predicted)
    assert theirs["micro avg"]["support"] == 250
    # Neither all nor nothing: there is something to disagree on.
    assert 0.2 < theirs["micro avg"]["f1-score"] < 0.9
    assert len([name for name in theirs if re.fullmatch("[A-Z]+", name)]) == 6
