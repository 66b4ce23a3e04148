"""CLLMFS: both grammars read what is learned."""

from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.cllmfs import (
    AB,
    accepted,
    bind,
    encoded,
    every_way,
    golds,
    letters,
    stepped,
)
from spacy_instructner.decoding.answers import TokenizedWords, write_answer
from spacy_instructner.decoding.grammar import read_answer
from spacy_instructner.decoding.request import DecodingRequest
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold, TrainingRecord
from spacy_instructner.tasks.cllmfs import BoundCLLMFS


def said_of(
    bound: BoundCLLMFS, words: TokenizedWords, gold: Gold
) -> list[tuple[str, DecodingRequest, TrainingRecord]]:
    """Records by label, with the question each answers."""
    records = {(r.prefix, r.suffix): r for r in bound.records(words, gold)}
    requests = bound.requests(words)
    assert len(records) == len(requests) == 2
    return [
        (label, request, records[request.prefix, request.own])
        for label, request in zip(("A", "B"), requests)
    ]


@every_way
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=golds(st.lists(letters, max_size=6, unique=True)))
def test_what_is_learned_is_read_back(
    encoder: TextEncoder, layout: str, grammar: str, data: tuple
) -> None:
    text, entities = data
    bound = bind(encoder, AB, layout=layout, grammar=grammar, absent=9.0)
    words = encoded(encoder, text)
    for label, request, record in said_of(bound, words, Gold(entities)):
        spans = [(start, end, 0) for start, end, own in entities if own == label]
        assert accepted(request, record.answer) == spans
        assert request.grammar.format.labels == (label,)


awkward = st.sampled_from(
    ["a", "b", "ab", "'s", " ", "<<<", ">>>", "<im_end>", ".", ";", "none"]
)


@every_way
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    data=golds(st.lists(awkward, max_size=6)),
    spaces=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_repeated_words_and_words_like_markers_are_accepted(
    encoder: TextEncoder, layout: str, grammar: str, data: tuple, spaces: list[bool]
) -> None:
    """What is read back may be another place, but writes the same."""
    text, entities = data
    if grammar == "bag":
        # Any order of ids admits the markers too, and there they are markers.
        text = ["a" if word[-1] in "<>" else word for word in text]
    bound = bind(encoder, AB, grammar=grammar, absent=9.0, layout=layout)
    words = encoded(
        encoder, text, [bool(at) and s for at, s in enumerate(spaces)][: len(text)]
    )
    sayable = tuple(
        (start, end, label)
        for start, end, label in entities
        if words.writable(start) and words.writable(end - 1)
    )
    for label, request, record in said_of(bound, words, Gold(sayable)):
        found = accepted(request, record.answer)
        pieces = [[], []]  # type: ignore[var-annotated]
        spans = [(start, end, 0) for start, end, own in sayable if own == label]
        format = request.grammar.format
        if grammar == "spans":
            for which, clauses in enumerate((found, spans)):
                pieces[which] = [
                    piece.ids for piece in write_answer(words, format, clauses)
                ]
            assert sum(pieces[0], ()) == sum(pieces[1], ()) == record.answer
        else:
            # In another order, perhaps, but as many, and each place once.
            assert len(set(found)) == len(spans)
            assert all(
                words.writable(start) and words.writable(end - 1)
                for start, end, _ in found
            )


def test_the_spans_grammar_admits_what_the_bag_does_not_refuse(
    encoder: TextEncoder,
) -> None:
    """The bag is the wider of the two."""
    words = encoded(encoder, ["a", "b"])
    spans, bag = (
        bind(encoder, AB, layout="text_last", grammar=kind).requests(words)[0].grammar
        for kind in ("spans", "bag")
    )
    stack, admitted = [((), spans.start())], 0
    while stack:
        ids, state = stack.pop()
        if state.done:
            found = stepped(bag, ids)
            assert found.done
            assert [c[:3] for c in found.read()] == [c[:3] for c in state.read()]
            admitted += 1
        stack.extend(((*ids, token), state.step(token)) for token in state.allowed)
    # None; a; b; a b; a and b.
    assert admitted == 5
    backwards = encoder.text(" <<<") + encoder.text(" b") + encoder.text(" a")
    backwards += encoder.text(" >>>") + bag.format.closing
    assert (
        stepped(bag, backwards).read() == () and read_answer(spans, backwards) is None
    )


def test_the_bag_reads_an_empty_answer_of_its_own(encoder: TextEncoder) -> None:
    """Where it is not the terminator, or there is none."""
    words = encoded(encoder, ["a", "b"])
    for pieces in ({}, {"terminator": " end"}, {"no_entity": " end"}):
        marked = {"before_entity": "[", "after_entity": "]", **pieces}
        bound = bind(encoder, AB, grammar="bag", absent=9.0, **marked)
        for entities in ((), ((0, 1, "A"),), ((0, 1, "A"), (1, 2, "A"))):
            gold = Gold(entities)
            for label, request, record in said_of(bound, words, gold):
                spans = [
                    (start, end, 0) for start, end, own in entities if own == label
                ]
                assert accepted(request, record.answer) == spans


@every_way
def test_max_span_holds(encoder: TextEncoder, layout: str, grammar: str) -> None:
    words = encoded(encoder, ["a", "b", "c"])
    free = bind(encoder, AB, absent=0.0, layout=layout)
    (long,) = free.records(words, Gold(((0, 3, "A"),)))
    (short,) = free.records(words, Gold(((1, 3, "A"),)))
    bound = bind(encoder, AB, max_span=2, layout=layout, grammar=grammar)
    request = bound.requests(words)[0]
    assert accepted(request, short.answer) == [(1, 3, 0)]
    if grammar == "spans":
        assert read_answer(request.grammar, long.answer) is None
    else:
        assert accepted(request, long.answer) == []
