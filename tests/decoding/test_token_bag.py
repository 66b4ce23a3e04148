"""The token bag, in words: a dictionary stands in for the tokenizer."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.cllmfs import golds, letters, stepped
from spacy_instructner.decoding.answers import (
    AnswerFormat,
    TokenizedWords,
    write_answer,
)
from spacy_instructner.decoding.token_bag import LONGEST, TokenBagGrammar

Ids = tuple[int, ...]


# The bag, in words: a dictionary stands in for the tokenizer.

VOCABULARY: dict[str, int] = {}


def ids_of(text: str) -> Ids:
    return tuple(VOCABULARY.setdefault(w, 1000 + len(VOCABULARY)) for w in text.split())


def worded(text: str) -> TokenizedWords:
    ids = tuple(ids_of(word) for word in text.split())
    return TokenizedWords(ids, ids)


FORMAT = AnswerFormat(
    first_lead=ids_of("[ ["),
    next_lead=ids_of("[ ["),
    tails=(("PERSON", ids_of("] ]")),),
    closing=ids_of("the end <end>"),
    empty=ids_of("the end <end>"),
)


def bag_reads(grammar: TokenBagGrammar, answer: str) -> list[tuple[int, int]]:
    state = stepped(grammar, ids_of(answer + " the end <end>"))
    assert state.done
    return [(start, end) for start, end, _, _ in state.read()]


@pytest.mark.parametrize(
    "text,answer,spans",
    [
        ("anna met bert", "", []),
        ("anna met bert", "[ [ anna ] ]", [(0, 1)]),
        ("anna met bert", "[ [ anna met ] ] [ [ bert ] ]", [(0, 2), (2, 3)]),
        # In any order, and overlapping.
        ("anna met bert", "[ [ bert ] ] [ [ anna ] ]", [(2, 3), (0, 1)]),
        ("anna met bert", "[ [ anna met ] ] [ [ met bert ] ]", [(0, 2), (1, 3)]),
        # What does not stand in the text is dropped, and nothing else.
        ("anna met bert", "[ [ bert anna ] ] [ [ met ] ]", [(1, 2)]),
        ("anna met bert", "[ [ anna bert ] ]", []),
        ("anna met bert", "[ [ ] ] [ [ bert ] ]", [(2, 3)]),
        ("anna met bert", "[ [ anna the ] ] [ [ bert ] ]", [(2, 3)]),
        # A run of words is found once for each time that it stands there.
        ("paris and paris", "[ [ paris ] ]", [(0, 1)]),
        ("paris and paris", "[ [ paris ] ] [ [ paris ] ]", [(0, 1), (2, 3)]),
        (
            "paris and paris",
            "[ [ paris ] ] [ [ paris ] ] [ [ paris ] ] [ [ and ] ]",
            [(0, 1), (2, 3), (1, 2)],
        ),
        ("a a a", "[ [ a a ] ] [ [ a a ] ] [ [ a a ] ]", [(0, 2), (1, 3)]),
        # Markers that do not close, or open again, say nothing.
        ("anna met bert", "anna ] ] [ [ bert", []),
        ("anna met bert", "[ [ anna [ [ bert ] ]", [(2, 3)]),
        ("anna met bert", "[ [ anna ] ] bert ] ]", [(0, 1)]),
        ("anna met bert", "[ anna ] [ [ bert ] ] ] ]", [(2, 3)]),
        ("", "[ [ ] ]", []),
        ("anna ] ] bert", "[ [ anna ] ] bert ] ]", [(0, 1)]),
    ],
)
def test_the_bag_finds_what_stands_in_the_text(
    text: str, answer: str, spans: list[tuple[int, int]]
) -> None:
    assert bag_reads(TokenBagGrammar(worded(text), FORMAT), answer) == spans


def test_the_bag_counts_where_each_span_ends() -> None:
    grammar = TokenBagGrammar(worded("anna met bert"), FORMAT)
    ids = ids_of("[ [ bert anna ] ] [ [ bert ] ] [ [ anna met ] ] the end <end>")
    assert stepped(grammar, ids).read() == ((2, 3, 0, 11), (0, 2, 0, 17))
    broken = stepped(grammar, ids[:13])
    assert broken.read_so_far() == ((2, 3, 0, 11),)
    with pytest.raises(ValueError, match="not finished"):
        broken.read()


def test_the_bag_admits_any_id_of_text_and_pieces() -> None:
    state = TokenBagGrammar(worded("anna met bert anna"), FORMAT).start()
    free = set(ids_of("anna met bert [ ] the end"))
    for token in ids_of("met [ the ] bert bert the"):
        assert set(state.allowed) == free
        assert len(state.allowed) == len(free)
        assert state.ended == () and state.guess() is None and not state.done
        state = state.step(token)
    assert set(state.allowed) == free
    state = state.step(*ids_of("end"))
    # What is closed is closed.
    assert state.allowed == ids_of("<end>")
    assert state.step(*ids_of("<end>")).done
    for token in ids_of("<end> carl"):
        with pytest.raises(ValueError, match="not legal at answer id 0"):
            TokenBagGrammar(worded("anna"), FORMAT).start().step(token)


def test_an_answer_over_the_longest_closes() -> None:
    grammar = TokenBagGrammar(worded("anna met bert"), FORMAT)
    one = stepped(grammar, ids_of("[ [ anna ] ] [ [" + " bert" * (LONGEST - 7)))
    assert len(one.ids) == LONGEST == 128
    for token in ids_of("the end <end>"):
        assert one.allowed == (token,)
        one = one.step(token)
    assert one.done and one.read() == ((0, 1, 0, 5),)
    # One id less leaves a choice; half a terminator is made a whole one.
    assert len(stepped(grammar, ids_of("bert " * (LONGEST - 1))).allowed) > 1
    half = stepped(grammar, ids_of("bert " * (LONGEST - 1) + "the"))
    assert half.allowed == ids_of("end") and half.step(*ids_of("end")).allowed == (
        ids_of("<end>")
    )


def test_a_terminator_may_repeat_itself() -> None:
    closing = ids_of("no no <end>")
    format = replace(FORMAT, closing=closing, empty=closing)
    state = TokenBagGrammar(worded("anna"), format).start()
    for token in ids_of("no anna no"):
        state = state.step(token)
        assert len(state.allowed) > 1
    state = state.step(closing[1])
    assert state.allowed == closing[2:] and state.step(closing[2]).done


def test_the_bag_keeps_to_max_span() -> None:
    text = worded("new york city new york")
    answer = "[ [ new york city ] ] [ [ new york ] ] [ [ york city new ] ]"
    assert bag_reads(TokenBagGrammar(text, FORMAT), answer) == [(0, 3), (0, 2), (1, 4)]
    assert bag_reads(TokenBagGrammar(text, FORMAT, max_span=2), answer) == [(0, 2)]


def test_the_bag_passes_over_words_without_ids() -> None:
    (anna,), (bert,) = ids_of("anna"), ids_of("bert")
    words = TokenizedWords(
        ((), (anna,), (), (bert,), ()), ((), (anna,), (), (bert,), ())
    )
    grammar = TokenBagGrammar(words, FORMAT)
    assert bag_reads(grammar, "[ [ anna bert ] ]") == [(1, 4)]
    assert bag_reads(grammar, "[ [ anna ] ] [ [ bert ] ]") == [(1, 2), (3, 4)]
    assert (
        bag_reads(TokenBagGrammar(words, FORMAT, max_span=2), "[ [ anna bert ] ]") == []
    )


def test_the_bag_finds_a_word_written_either_way() -> None:
    """As after a space, and as it stands."""
    (lone,), (close,), (bert,) = ids_of("_anna"), ids_of("anna"), ids_of("bert")
    words = TokenizedWords(((lone,), (lone,), (bert,)), ((lone,), (close,), (bert,)))
    grammar = TokenBagGrammar(words, FORMAT)
    assert bag_reads(grammar, "[ [ anna bert ] ]") == [(1, 3)]
    assert bag_reads(grammar, "[ [ _anna bert ] ]") == [(1, 3)]
    assert bag_reads(grammar, "[ [ _anna anna ] ]") == [(0, 2)]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=golds(st.lists(letters, max_size=8, unique=True)))
def test_the_bag_reads_what_is_written(data: tuple) -> None:
    text, entities = data
    words = worded(" ".join(text))
    clauses = [(start, end, 0) for start, end, _ in entities]
    ids = [
        token for piece in write_answer(words, FORMAT, clauses) for token in piece.ids
    ]
    state = stepped(TokenBagGrammar(words, FORMAT), ids)
    assert state.done and [clause[:3] for clause in state.read()] == clauses
