"""The grammar against a plain enumeration of all legal answers, on random texts
over alphabets so small that one answer often says several things."""

import itertools
import random
from collections.abc import Iterator

import pytest

from spacy_instructner.decoding.answers import (
    AnswerFormat,
    Clause,
    TokenizedWords,
    write_answer,
)
from spacy_instructner.decoding.grammar import Grammar, read_answer

END = 99
Ids = tuple[int, ...]


def random_words(rng: random.Random, alphabet: int) -> TokenizedWords:
    first: list[Ids] = []
    following: list[Ids] = []
    for _ in range(rng.randint(0, 4)):
        ids = tuple(rng.randint(1, alphabet) for _ in range(rng.choice((1, 1, 2))))
        other = tuple(rng.randint(1, alphabet) for _ in range(rng.choice((1, 1, 2))))
        kind = rng.random()
        if kind < 0.15:  # whitespace
            ids = other = ()
        elif kind < 0.2:  # what a tokenizer can write only after a space
            other = ()
        elif kind < 0.25:
            ids = ()
        elif kind < 0.7:
            other = ids
        first.append(ids)
        following.append(other)
    return TokenizedWords(tuple(first), tuple(following))


def random_format(rng: random.Random, alphabet: int) -> AnswerFormat:
    def piece(least: int, most: int) -> Ids:
        return tuple(rng.randint(1, alphabet) for _ in range(rng.randint(least, most)))

    tails: dict[Ids, str] = {}
    for name in "AB"[: rng.randint(1, 2)]:
        tails.setdefault(piece(0, 2), name)
    return AnswerFormat(
        first_lead=piece(0, 1),
        next_lead=piece(0, 2),
        tails=tuple((name, ids) for ids, name in tails.items()),
        closing=piece(0, 1) + (END,),
        empty=piece(0, 2) + (END,),
    )


def legal_sets(
    words: TokenizedWords, labels: int, max_span: int
) -> Iterator[list[Clause]]:
    """Every legal set of clauses, by enumeration."""
    size = len(words)
    spans = [
        (start, end)
        for start in range(size)
        for end in range(start + 1, size + 1)
        if words.first[start]
        and words.following[start]
        and words.first[end - 1]
        and words.following[end - 1]
        and (not max_span or end - start <= max_span)
    ]
    for count in range(size + 1):
        for chosen in itertools.combinations(spans, count):
            if all(a[1] <= b[0] for a, b in zip(chosen, chosen[1:])):
                for said in itertools.product(range(labels), repeat=count):
                    yield [(s, e, label) for (s, e), label in zip(chosen, said)]


def written(words: TokenizedWords, format: AnswerFormat, clauses: list[Clause]) -> Ids:
    return tuple(i for piece in write_answer(words, format, clauses) for i in piece.ids)


def accepted(grammar: Grammar, limit: int = 4000) -> list[Ids]:
    """Every answer the automaton admits, by walking it."""
    found: list[Ids] = []
    stack = [((), grammar.start())]
    while stack:
        ids, state = stack.pop()
        if state.done:
            found.append(ids)
        for token in state.allowed:
            stack.append((ids + (token,), state.step(token)))
        assert len(found) < limit and len(ids) < 60, "the automaton does not end"
    return found


def violations(
    make: type[Grammar], words: TokenizedWords, format: AnswerFormat, max_span: int
) -> list[str]:
    """What is wrong with a grammar, in words; nothing, if it is right."""
    wrong: list[str] = []
    by_ids: dict[Ids, list[list[Clause]]] = {}
    for clauses in legal_sets(words, len(format.tails), max_span):
        by_ids.setdefault(written(words, format, clauses), []).append(clauses)
    grammar = make(words, format, max_span)
    admitted = accepted(grammar)
    if len(set(admitted)) != len(admitted):
        wrong.append("an answer is admitted twice")
    if set(admitted) - set(by_ids):
        wrong.append("an answer is admitted that says nothing legal")
    if set(by_ids) - set(admitted):
        wrong.append("a legal set cannot be said")
    for ids in set(admitted) & set(by_ids):
        # The documented reading: the earliest start, then the shortest span.
        if read_answer(grammar, ids) != min(by_ids[ids]):
            wrong.append("an answer is not read as documented")
    return wrong


def cases(count: int, seed: int) -> Iterator[tuple[TokenizedWords, AnswerFormat, int]]:
    rng = random.Random(seed)
    for _ in range(count):
        alphabet = rng.randint(2, 4)
        yield (
            random_words(rng, alphabet),
            random_format(rng, alphabet),
            rng.choice((0, 0, 1, 2)),
        )


@pytest.mark.parametrize("seed", range(4))
def test_properties(seed: int) -> None:
    ambiguous = 0
    for words, format, max_span in cases(800, seed):
        assert violations(Grammar, words, format, max_span) == []
        sets = list(legal_sets(words, len(format.tails), max_span))
        ambiguous += len({written(words, format, s) for s in sets}) < len(sets)
    # The alphabets are small enough for the ambiguous case to be well covered.
    assert ambiguous > 150


class AnyBorder(Grammar):
    def may_border(self, word: int) -> bool:
        return bool(self.words.first[word])


class AnyLength(Grammar):
    def may_grow(self, start: int, word: int) -> bool:
        return word < len(self.words)


class Gaps(Grammar):
    def next_word(self, word: int) -> int:
        return word + 2


class Backwards(Grammar):
    def next_start(self, start: int, end: int) -> int:
        return max(0, start - 1)


class Overlapping(Grammar):
    def next_start(self, start: int, end: int) -> int:
        return start + 1


class LatestStart(Grammar):
    def better(self, one, other) -> bool:  # type: ignore[no-untyped-def]
        return [c[0] for c in one] > [c[0] for c in other] or super().better(one, other)


class LongestSpan(Grammar):
    def better(self, one, other) -> bool:  # type: ignore[no-untyped-def]
        def key(history):  # type: ignore[no-untyped-def]
            return [(start, -end, label) for start, end, label, _ in history]

        return key(one) < key(other)


@pytest.mark.parametrize(
    "mutant",
    [AnyBorder, AnyLength, Gaps, Backwards, Overlapping, LatestStart, LongestSpan],
)
def test_dropping_a_rule_is_noticed(mutant: type[Grammar]) -> None:
    for words, format, max_span in cases(1500, 7):
        try:
            wrong = violations(mutant, words, format, max_span)
        except (AssertionError, IndexError):
            return
        if wrong:
            return
    pytest.fail(f"{mutant.__name__} passes all properties")


# A worked example, in words: a dictionary stands in for the tokenizer.

VOCABULARY: dict[str, int] = {}


def ids_of(text: str) -> Ids:
    return tuple(
        VOCABULARY.setdefault(word, 1000 + len(VOCABULARY)) for word in text.split()
    )


def worded(text: str) -> TokenizedWords:
    ids = tuple(ids_of(word) for word in text.split())
    return TokenizedWords(ids, ids)


FORMAT = AnswerFormat(
    first_lead=(),
    next_lead=ids_of(","),
    tails=(
        ("PERSON", ids_of("is a person")),
        ("PLACE", ids_of("is a place")),
        ("OLD", ids_of("is a place of old")),
    ),
    closing=ids_of(". <end>"),
    empty=ids_of("none . <end>"),
)


@pytest.mark.parametrize(
    "text,answer,clauses",
    [
        ("anna met bert", "none . <end>", []),
        ("anna met bert", "anna is a person . <end>", [(0, 1, 0)]),
        (
            "anna met bert",
            "anna is a person , bert is a place of old . <end>",
            [(0, 1, 0), (2, 3, 2)],
        ),
        # Repeated words: the earliest that is still free, in text order.
        (
            "paris hilton visits paris",
            "paris hilton is a person , paris is a place . <end>",
            [(0, 2, 0), (3, 4, 1)],
        ),
        ("paris and paris", "paris is a place . <end>", [(0, 1, 1)]),
        (
            "paris and paris",
            "paris is a person , paris is a place . <end>",
            [(0, 1, 0), (2, 3, 1)],
        ),
        # A text that looks like the template.
        ("rome is a place", "rome is a place . <end>", [(0, 1, 1)]),
        ("rome is a place", "rome is a place is a place . <end>", [(0, 4, 1)]),
        ("none .", "none . <end>", []),
        ("none .", "none is a person . <end>", [(0, 1, 0)]),
        ("none .", "none . is a person . <end>", [(0, 2, 0)]),
        # What cannot be said.
        ("anna met bert", "anna bert is a person . <end>", None),
        ("anna met bert", "bert is a person , anna is a person . <end>", None),
        ("anna met bert", "carl is a person . <end>", None),
        ("anna met bert", "anna is a dog . <end>", None),
        ("anna met bert", "anna is a person", None),
        ("anna", "anna is a person , anna is a person . <end>", None),
        ("", "none . <end>", []),
    ],
)
def test_reading(text: str, answer: str, clauses: "list[Clause] | None") -> None:
    assert read_answer(Grammar(worded(text), FORMAT), ids_of(answer)) == clauses


def test_a_separator_is_not_offered_where_no_span_can_follow() -> None:
    state = Grammar(worded("anna"), FORMAT).start()
    for token in ids_of("anna is a person"):
        state = state.step(token)
    assert state.allowed == ids_of(".")


def test_max_span_counts_words() -> None:
    grammar = Grammar(worded("new york city"), FORMAT, max_span=2)
    assert read_answer(grammar, ids_of("new york is a place . <end>")) == [(0, 2, 1)]
    assert read_answer(grammar, ids_of("new york city is a place . <end>")) is None


def test_ended_names_the_ids_that_presuppose_a_whole_label() -> None:
    state = Grammar(worded("anna met bert"), FORMAT).start()
    for token in ids_of("anna is a place"):
        assert state.ended == ()
        state = state.step(token)
    assert set(state.allowed) == set(ids_of(". , of"))
    assert set(state.ended) == set(ids_of(". ,"))


def test_guesses_are_legal() -> None:
    guesses = 0
    for words, format, max_span in cases(300, 7):
        stack = [Grammar(words, format, max_span).start()]
        while stack:
            state = stack.pop()
            guess = state.guess()
            assert guess is None or guess in state.allowed
            guesses += guess is not None
            stack.extend(state.step(token) for token in state.allowed)
    assert guesses > 1000


def test_guesses_are_that_a_span_ends_and_another_follows() -> None:
    state = Grammar(worded("anna met bert"), FORMAT).start()
    guesses = {}
    for token in ids_of("anna is a place"):
        guesses[state.length] = state.guess()
        state = state.step(token)
    (after_label,), (after_word,) = ids_of(","), ids_of("is")
    assert state.guess() == after_label
    assert guesses[1] == after_word and guesses[0] is None and guesses[3] is None


def test_write_refuses_what_is_not_legal() -> None:
    words = worded("anna met bert")
    with pytest.raises(ValueError, match="text order"):
        write_answer(words, FORMAT, [(2, 3, 0), (0, 1, 0)])
    with pytest.raises(ValueError, match="text order"):
        write_answer(words, FORMAT, [(0, 2, 0), (1, 3, 0)])
    blank = TokenizedWords(((1,), (), (2,)), ((1,), (), (2,)))
    with pytest.raises(ValueError, match="without ids"):
        write_answer(blank, FORMAT, [(0, 2, 0)])


def test_an_illegal_id_is_refused() -> None:
    with pytest.raises(ValueError, match="not legal"):
        Grammar(worded("anna"), FORMAT).start().step(END)


def test_format_refuses_two_labels_with_the_same_words() -> None:
    with pytest.raises(ValueError, match="label_names"):
        AnswerFormat((), (), (("A", (1,)), ("B", (1,))), (9,), (9,))
    with pytest.raises(ValueError, match="end token"):
        AnswerFormat((), (), (("A", (1,)),), (9,), (8,))


def test_long_repetitive_text_stays_cheap() -> None:
    """The number of readings kept must not explode."""
    words = worded("a " * 300)
    state = Grammar(words, FORMAT).start()
    for token in ids_of("a a a is a place , " * 20):
        state = state.step(token)
        assert len(state.entries) <= 310
