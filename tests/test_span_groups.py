"""Scores and span groups on Docs that change behind the component."""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span

from spacy_instructner.annotations import annotate, register_score
from spacy_instructner.corpus.chunk import OutputOptions, annotate_chunk
from spacy_instructner.corpus.entities import scored_entities_of
from spacy_instructner.corpus.texts import Item
from spacy_instructner.resolve import Found
from spacy_instructner.span_groups import (
    ScoredSpanGroup,
    follow,
    make_group,
    scores_of,
)

KEY = "instruction_ner"
NLP = spacy.blank("en")
register_score("instruction_ner_score", KEY)
# The scores are exact in float32.
FOUND = [
    Found(1, 3, "PART", 0.75),
    Found(2, 3, "PART", 0.125),
    Found(5, 7, "BIKE", 0.5),
    Found(13, 15, "TOOL", 0.25),
]
ALL = [
    ("rear derailleur", "PART", 0.75),
    ("derailleur", "PART", 0.125),
    ("touring bike", "BIKE", 0.5),
    ("torque wrench", "TOOL", 0.25),
]
ENTITIES = [each for each in ALL if each[0] != "derailleur"]


def made() -> Doc:
    doc = NLP("The rear derailleur of my touring bike skips so I need a torque wrench.")
    annotate(
        doc,
        [
            Found(f.start - (f.start > 9), f.end - (f.start > 9), f.label, f.score)
            for f in FOUND
        ],
        spans_key=KEY,
        threshold=0.0,
        overwrite=False,
    )
    return doc


def said(spans: object) -> list:
    """Words, labels and scores, by the extension."""
    return [(s.text, s.label_, s._.instruction_ner_score) for s in spans]  # type: ignore[attr-defined]


def beside(doc: Doc) -> list:
    """Words, labels and scores, as the group has them side by side."""
    group = doc.spans[KEY]
    scores = [float(score) for score in group.attrs["scores"]]
    return [(s.text, s.label_, x) for s, x in zip(group, scores, strict=True)]


def test_before_anything_changes() -> None:
    doc = made()
    assert said(doc.ents) == ENTITIES
    assert said(doc.spans[KEY]) == beside(doc) == ALL


def test_merged_entities() -> None:
    doc = made()
    merge = spacy.blank("en").add_pipe("merge_entities")
    assert len(merge(doc)) == 12
    with pytest.warns(UserWarning, match=r"1 spans of .*'derailleur' \(PART\)"):
        assert beside(doc) == ENTITIES
    with warnings.catch_warnings():
        # Told once.
        warnings.simplefilter("error")
        assert said(doc.ents) == said(doc.spans[KEY]) == beside(doc) == ENTITIES
    assert [(s.start, s.end) for s in doc.spans[KEY]] == [(1, 2), (4, 5), (10, 11)]
    assert doc.spans[KEY][0].text == "rear derailleur" and len(doc.spans[KEY]) == 3


def test_scores_are_read_first() -> None:
    """Whichever is looked at first, spans and scores go together."""
    doc = made()
    spacy.blank("en").add_pipe("merge_entities")(doc)
    with pytest.warns(UserWarning, match="left out"):
        scores = list(doc.spans[KEY].attrs["scores"])
    assert scores == [0.75, 0.5, 0.25] and len(doc.spans[KEY]) == 3


def test_tokens_that_are_split() -> None:
    doc = made()
    with doc.retokenize() as retokenizer:
        for word, parts in (("The", ["T", "he"]), ("bike", ["bi", "ke"])):
            (token,) = (token for token in doc if token.text == word)
            heads = [(token, 0), (token, 0)]
            retokenizer.split(token, parts, heads=heads)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert said(doc.ents) == ENTITIES and said(doc.spans[KEY]) == beside(doc) == ALL


def test_a_span_that_no_tokens_make_up() -> None:
    doc = made()
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[2:5])
    with pytest.warns(UserWarning, match="2 spans .*'rear derailleur'.*'derailleur'"):
        assert beside(doc) == ALL[2:]
    # What spaCy makes of the entity has other characters, and no score.
    assert [score for *_, score in said(doc.ents) if score is not None] == [0.5, 0.25]


def test_copies_and_bytes() -> None:
    for merged in (False, True):
        doc, expected = made(), ALL
        if merged:
            spacy.blank("en").add_pipe("merge_entities")(doc)
            expected = ENTITIES
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = DocBin(docs=[doc], store_user_data=False).to_bytes()
            others = [
                doc.copy(),
                pickle.loads(pickle.dumps(doc)),
                Doc(doc.vocab).from_bytes(doc.to_bytes()),
                *DocBin().from_bytes(stored).get_docs(doc.vocab),
            ]
        for other in others:
            assert said(other.ents) == ENTITIES
            assert said(other.spans[KEY]) == beside(other) == expected
    assert isinstance(others[0].spans[KEY], ScoredSpanGroup)


def test_a_stored_doc_that_is_merged_later() -> None:
    """spaCy reads a group of its own, which follows from the first score on."""
    for look_first in (False, True):
        stored = DocBin(docs=[made()]).to_bytes()
        (doc,) = DocBin().from_bytes(stored).get_docs(NLP.vocab)
        if look_first:
            assert said(doc.ents) == ENTITIES
        spacy.blank("en").add_pipe("merge_entities")(doc)
        with pytest.warns(UserWarning, match="1 spans .*'derailleur'"):
            assert said(doc.ents) == ENTITIES
        assert said(doc.spans[KEY]) == beside(doc) == ENTITIES
        assert doc.to_bytes() and doc.copy() and doc.to_json()


def test_json_keeps_spans_and_no_scores() -> None:
    doc = Doc(NLP.vocab).from_json(made().to_json())
    nothing = [(text, label, None) for text, label, _ in ALL]
    assert said(doc.spans[KEY]) == nothing
    assert {score for *_, score in said(doc.ents)} == {None}


def test_a_part_as_a_doc_has_no_scores() -> None:
    doc = made()
    for part in (doc[4:].as_doc(), doc.ents[1].as_doc(), doc[1:3].as_doc()):
        assert part.ents and {score for *_, score in said(part.ents)} == {None}


@pytest.mark.parametrize("ensure", [True, False])
@pytest.mark.parametrize("merged", [True, False])
def test_joined_docs_have_spans_and_no_scores(ensure: bool, merged: bool) -> None:
    docs = [NLP("No entity."), made(), made()]
    annotate(docs[0], [], spans_key=KEY, threshold=0.0, overwrite=False)
    expected = ENTITIES if merged else ALL
    if merged:
        list(map(spacy.blank("en").add_pipe("merge_entities"), docs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = Doc.from_docs(docs, ensure_whitespace=ensure)
    assert whole is not None
    own = said(whole.spans[KEY])
    assert own == [(text, label, None) for text, label, _ in expected] * 2


def test_what_others_change_in_a_group_gets_no_score_of_another() -> None:
    doc = made()
    group = doc.spans[KEY]
    group.append(Span(doc, 0, 1, label="PART"))
    assert said(group) == [*ALL, ("The", "PART", None)]
    group[0], group[2] = group[2], group[0]
    assert said(group) == [ALL[2], ALL[1], ALL[0], ALL[3], ("The", "PART", None)]
    # Scores that somebody else wrote, without saying of which spans.
    plain = spacy.tokens.SpanGroup(doc, name=KEY, spans=doc.ents)
    plain.attrs["scores"] = [0.5, 0.25]
    doc.spans[KEY] = plain
    assert {score for *_, score in said(doc.ents)} == {None}
    plain.attrs["scores"] = [0.5, 0.25, 0.75]
    assert [score for *_, score in said(doc.ents)] == [0.5, 0.25, 0.75]


def test_scores_outlive_their_doc() -> None:
    group = made().spans[KEY]
    assert list(group.attrs["scores"]) == [score for *_, score in ALL]
    assert len(group) == len(ALL)


def test_groups_can_be_added() -> None:
    doc = made()
    more = make_group(doc, "more", [Span(doc, 0, 1, label="X")], [0.625])
    both = doc.spans[KEY] + more
    assert [s.text for s in both] == [text for text, *_ in ALL] + ["The"]
    assert dict(scores_of(both)) == dict(scores_of(doc.spans[KEY]))
    group = doc.spans[KEY]
    group += more
    assert len(group) == 5 and list(group)[4].text == "The"
    group.extend([Span(doc, 3, 4, label="X")])
    assert group[-1].text == "of" and group.has_overlap is not None


WORDS = st.lists(
    st.sampled_from(["Anna", "met", "Bert", "a", "bb"]), min_size=1, max_size=8
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_a_score_is_a_spans_own_or_none(data: st.DataObject) -> None:
    words = data.draw(WORDS)
    doc = Doc(NLP.vocab, words=words)
    borders = st.tuples(st.integers(0, len(words) - 1), st.integers(1, 4))
    places = data.draw(st.lists(borders, unique=True, max_size=6))
    found = [
        Found(start, min(start + size, len(words)), label, (1 + at) / 16)
        for at, (start, size) in enumerate(places)
        for label in ("A",)
    ]
    unique = {(f.start, f.end, f.label): f for f in found}
    annotate(doc, list(unique.values()), spans_key=KEY, threshold=0.0, overwrite=False)
    text = doc.text
    known = {
        (s.start_char, s.end_char, s.label_): s._.instruction_ner_score
        for s in doc.spans[KEY]
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(data.draw(st.integers(1, 4))):
            doc = changed(doc, data)
            for span in (*doc.ents, *doc.spans[KEY]):
                own = (span.start_char, span.end_char, span.label_)
                begin, end, _ = own
                assert doc.text == text and span.text == text[begin:end]
                # Whatever has these characters has this score, or none at all.
                score = span._.instruction_ner_score
                assert score in (known.get(own), None)
                if span in list(doc.spans[KEY]):
                    assert score == known[own]


def changed(doc: Doc, data: st.DataObject) -> Doc:
    kind = data.draw(st.sampled_from(["merge", "split", "copy", "bytes"]))
    if kind == "merge":
        start = data.draw(st.integers(0, len(doc) - 1))
        end = data.draw(st.integers(start + 1, len(doc)))
        with doc.retokenize() as retokenizer:
            retokenizer.merge(doc[start:end])
    elif kind == "split":
        # Not those of entities: split and merged, spaCy may leave tags that it refuses.
        plain = [token for token in doc if not token.ent_type]
        long = [token for token in plain if len(token) > 1 and " " not in token.text]
        if long:
            token = data.draw(st.sampled_from(long))
            parts = [token.text[:1], token.text[1:]]
            with doc.retokenize() as retokenizer:
                retokenizer.split(token, parts, heads=[(token, 0), (token, 0)])
    elif kind == "copy":
        return doc.copy()
    else:
        doc = Doc(doc.vocab).from_bytes(doc.to_bytes())
        assert follow(doc, KEY) is doc.spans[KEY]
    return doc


# In a pipeline.


@pytest.mark.parametrize("processes", [1, 2])
def test_a_pipeline_that_merges(
    make_nlp: Callable[..., Language], processes: int
) -> None:
    texts = ["Anna met Bert Brown in old Paris.", "", "Rome and Bert"]
    nlp = make_nlp()
    before = [scored_entities_of(doc) for doc in nlp.pipe(texts)]
    assert sum(map(len, before)) > 0
    nlp.add_pipe("merge_entities")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        docs = list(nlp.pipe(texts, n_process=processes))
        for doc, expected in zip(docs, before):
            found = [(*span[:3], pytest.approx(span[3], abs=1e-4)) for span in expected]
            assert scored_entities_of(doc) == found
            group = doc.spans[KEY]
            assert len(group) == len(group.attrs["scores"])
            for span in group:
                assert span.text == doc.text[span.start_char : span.end_char]


def test_pieces_of_a_long_text_keep_their_scores() -> None:
    nlp = spacy.blank("en")
    scores = {"Anna": 0.75, "Bert": 0.25}

    @Language.component("names_with_scores")
    def names(doc: Doc) -> Doc:
        found = [
            Found(t.i, t.i + 1, "X", scores[t.text]) for t in doc if t.text in scores
        ]
        if found or "no group" not in doc.text:
            annotate(doc, found, spans_key=KEY, threshold=0.0, overwrite=False)
        return doc

    nlp.add_pipe("names_with_scores")
    nlp.add_pipe("merge_entities")
    nlp.max_length = 30
    text = (
        "no group is in here at all ; " + "Bert and then Anna and then Bert went . " * 2
    )
    done = annotate_chunk(nlp, [Item("1", text)], OutputOptions(uncertain=1))
    ((_, task),) = done.uncertain
    assert not done.report.problems and done.report.cut == 1
    found = [(text[s["start"] : s["end"]], s["score"]) for s in task["spans"]]
    assert found == [("Bert", 0.25), ("Anna", 0.75), ("Bert", 0.25)] * 2
    for span in task["spans"]:
        tokens = task["tokens"][span["token_start"] : span["token_end"] + 1]
        assert tokens[0]["start"] == span["start"] and tokens[-1]["end"] == span["end"]


def test_scores_stay_float32(tmp_path: Path) -> None:
    doc = made()
    spacy.blank("en").add_pipe("merge_entities")(doc)
    with pytest.warns(UserWarning):
        scores = doc.spans[KEY].attrs["scores"]
    assert isinstance(scores, numpy.ndarray) and scores.dtype == numpy.float32
    DocBin(docs=[doc]).to_disk(tmp_path / "a.spacy")
