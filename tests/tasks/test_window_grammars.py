"""The grammars of one window share where spans may stand, and nothing else."""

from collections.abc import Iterator

import pytest

from spacy_instructner.decoding.answers import AnswerFormat, Ids, TokenizedWords
from spacy_instructner.decoding.grammar import Grammar
from spacy_instructner.decoding.request import AnswerGrammar, AnswerState
from spacy_instructner.decoding.token_bag import TokenBagGrammar
from spacy_instructner.decoding.trie import Trie
from spacy_instructner.tasks.cllmfs import WindowGrammars

# The third word has no ids: no span begins or ends there.
WORDS = TokenizedWords(((1,), (2, 3), (), (1,)), ((4,), (5,), (), (4,)))
TAIL = (6,)
FORMATS = [
    AnswerFormat((), (7,), (("A", TAIL),), (0,), (9, 0)),
    AnswerFormat((8,), (7, 8), (("B", TAIL),), (7, 0), (9, 9, 0)),
]


def answers(state: AnswerState, said: Ids = ()) -> Iterator[tuple[Ids, object]]:
    """All answers, with what they say."""
    if state.done:
        yield said, state.read()
    for token in state.allowed:
        yield from answers(state.step(token), (*said, token))


def all_answers(grammar: AnswerGrammar) -> dict[Ids, object]:
    return dict(answers(grammar.start()))


@pytest.mark.parametrize("max_span", [0, 1])
def test_each_answers_as_if_it_were_alone(max_span: int) -> None:
    grammars = WindowGrammars("spans", WORDS, max_span, Trie((("", TAIL),)))
    shared = [grammars.of(format) for format in FORMATS]
    assert [grammar.format for grammar in shared] == FORMATS
    found = [all_answers(grammar) for grammar in shared]
    assert found == [all_answers(Grammar(WORDS, f, max_span)) for f in FORMATS]
    assert found[0].keys().isdisjoint(found[1]) and len(found[0]) > 5
    first, second = (grammar for grammar in shared if isinstance(grammar, Grammar))
    assert first.borders is second.borders


def test_what_an_answer_could_have_been() -> None:
    grammars = WindowGrammars("spans", WORDS, 0, Trie((("", TAIL),)))

    def allowed(format: AnswerFormat, answer: Ids) -> list[set[int]]:
        return [set(ids) for ids in grammars.allowed(format, answer) or ()]

    assert allowed(FORMATS[0], (9, 0)) == [{1, 2, 9}, {0}]
    assert allowed(FORMATS[1], (9, 9, 0)) == [{8, 9}, {9}, {0}]
    with pytest.raises(ValueError, match="not legal at answer id 0"):
        grammars.allowed(FORMATS[1], (0, 9))


def test_a_bag_may_not_admit_an_answer() -> None:
    grammars = WindowGrammars("bag", WORDS, 0, Trie((("", TAIL),)))
    own = grammars.of(FORMATS[1])
    assert isinstance(own, TokenBagGrammar) and own.format is FORMATS[1]
    assert grammars.allowed(FORMATS[1], (0,)) is None
    assert grammars.allowed(FORMATS[1], (9, 9, 0)) is not None
