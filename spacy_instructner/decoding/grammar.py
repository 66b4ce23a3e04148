"""The grammar of an answer: which token ids may come next, and what was said.

Pure Python, no torch. An answer is either the task's no-entity answer or a list of
clauses in text order, closed by the task's terminator:

    ──► LEAD ──► START ──► WORD ──► TAIL ──► CLOSE ──► DONE
         ▲                 ▲  │      │
         │                 └──┘      │      WORD again: the next word of the text, no gap
         └─────── separator ─────────┘      TAIL: the words of a label, along a trie
    ──► EMPTY ───────────────────────────────────────► DONE

Spans are contiguous runs of the text's words. Several sets of spans can write the same
ids (a repeated word, a text that looks like the template), so a `GrammarState` holds every
reading that is still possible and `GrammarState.read` returns the documented one: clause
by clause the earliest start, then the shortest span. Source: ours (the papers constrain
less or not at all).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .answers import AnswerFormat, Clause, Ids, TokenizedWords
from .request import History
from .trie import Trie

Location = tuple[int, ...]

# Kinds of locations in the automaton; each is followed by its own fields:
# LEAD   is it a later clause's (0 or 1), ids of the lead done, first word of a span
# START  first word where the span may begin
# WORD   first word of the span, word under way, ids of it done
# TAIL   node of the label trie, first word of the span, word behind it
# CLOSE, EMPTY   ids done
LEAD, START, WORD, TAIL, CLOSE, EMPTY, DONE = range(7)


@dataclass(frozen=True)
class SpanBorders:
    """Where the spans of a window may begin and end: the same for answers of any format.

    starts: the words where spans may begin, by their first id; next_end: for each word,
    the first from it on at which a span may end; start_tokens: what
    `Grammar.start_tokens` found, by position."""

    starts: dict[int, list[int]]
    next_end: list[int]
    start_tokens: dict[int, tuple[int, ...]] = field(default_factory=dict)


class Grammar:
    """The legal answers about one window.

    words (Words): the window.
    format (AnswerFormat): the task's pieces.
    max_span (int): most words in a span; 0 for no limit.
    trie (Optional[Trie]): the format's trie, to share it between windows.
    borders (Optional[SpanBorders]): those of another grammar about this window, to share
        them between formats.
    """

    def __init__(
        self,
        words: TokenizedWords,
        format: AnswerFormat,
        max_span: int = 0,
        trie: Trie | None = None,
        borders: SpanBorders | None = None,
    ) -> None:
        self.words = words
        self.format = format
        self.max_span = max_span
        self.trie = trie or Trie(format.tails)
        self.borders = borders or self._find_borders()

    def _find_borders(self) -> SpanBorders:
        words = self.words
        starts: dict[int, list[int]] = {}
        for i in range(len(words)):
            if self.may_border(i):
                starts.setdefault(words.first[i][0], []).append(i)
        next_end = [len(words)] * (len(words) + 1)
        for i in range(len(words) - 1, -1, -1):
            next_end[i] = i if self.may_border(i) else next_end[i + 1]
        return SpanBorders(starts, next_end)

    # The rules. Each is one method, so that a test can drop one and see the
    # properties of the grammar fail.

    def may_border(self, word: int) -> bool:
        """May a span begin or end at this word?"""
        return self.words.writable(word)

    def may_grow(self, start: int, word: int) -> bool:
        """May a span from `start` take in `word`?"""
        return word < len(self.words) and not (
            self.max_span and word - start >= self.max_span
        )

    def next_word(self, word: int) -> int:
        """The word that continues a span after `word`."""
        return word + 1

    def next_start(self, start: int, end: int) -> int:
        """The first word where the clause after the span [start, end) may begin."""
        return end

    def better(self, one: History, other: History) -> bool:
        """Is reading `one` the documented one of two that write the same ids?"""
        return one < other

    # The automaton.

    def start(self) -> "GrammarState":
        entries = list(self._settle((), (LEAD, 0, 0, 0)))
        entries.append(((), (EMPTY, 0)))
        return GrammarState(self, 0, self._prune(entries))

    def start_tokens(self, position: int) -> tuple[int, ...]:
        """First ids of all spans that begin at `position` or later."""
        known = self.borders.start_tokens
        if position not in known:
            known[position] = tuple(
                token for token, at in self.borders.starts.items() if at[-1] >= position
            )
        return known[position]

    def _lead(self, later: int) -> Ids:
        return self.format.next_lead if later else self.format.first_lead

    def _settle(
        self, history: History, location: Location
    ) -> Iterator[tuple[History, Location]]:
        """Follow a location's moves that take no token."""
        kind = location[0]
        if kind == LEAD:
            _, later, done, position = location
            if done == len(self._lead(later)):
                if self.start_tokens(position):
                    yield history, (START, position)
            # A lead that no span can follow is a dead end: never enter it.
            elif self.start_tokens(position):
                yield history, location
        elif kind == CLOSE and location[1] == len(self.format.closing):
            yield history, (DONE,)
        elif kind == EMPTY and location[1] == len(self.format.empty):
            yield history, (DONE,)
        else:
            yield history, location

    def _after_span(
        self, history: History, node: int, start: int, end: int, length: int
    ) -> Iterator[tuple[History, Location]]:
        """The readings at a node of the label trie, after a whole span."""
        if self.trie.children[node]:
            yield history, (TAIL, node, start, end)
        label = self.trie.label[node]
        if label >= 0:
            said = history + ((start, end, label, length),)
            position = self.next_start(start, end)
            yield from self._settle(said, (LEAD, 1, 0, position))
            yield from self._settle(said, (CLOSE, 0))

    def _arcs(
        self, history: History, location: Location, length: int
    ) -> Iterator[tuple[int, Iterable[tuple[History, Location]]]]:
        """Tokens out of a location (all but START), and where they lead.

        length: answer ids before the token."""
        kind = location[0]
        if kind == LEAD:
            _, later, done, position = location
            token = self._lead(later)[done]
            yield token, self._settle(history, (LEAD, later, done + 1, position))
        elif kind == CLOSE:
            done = location[1]
            yield (
                self.format.closing[done],
                self._settle(history, (CLOSE, done + 1)),
            )
        elif kind == EMPTY:
            done = location[1]
            yield self.format.empty[done], self._settle(history, (EMPTY, done + 1))
        elif kind == TAIL:
            _, node, start, end = location
            for token, child in self.trie.children[node].items():
                yield (
                    token,
                    self._after_span(history, child, start, end, length + 1),
                )
        elif kind == WORD:
            _, start, word, done = location
            ids = self._ids(start, word)
            if done < len(ids):
                yield ids[done], self._in_word(history, start, word, done + 1, length)

    def _ids(self, start: int, word: int) -> Ids:
        return self.words.first[word] if word == start else self.words.following[word]

    def _in_word(
        self, history: History, start: int, word: int, done: int, length: int
    ) -> Iterator[tuple[History, Location]]:
        """The readings after `done` ids of a word; length: answer ids before."""
        if done < len(self._ids(start, word)):
            yield history, (WORD, start, word, done)
            return
        if self.may_border(word):
            yield from self._after_span(history, 0, start, word + 1, length + 1)
        following = self.next_word(word)
        # Never into a word after which the span could not end.
        while self.may_grow(start, following) and self.may_grow(
            start, self.borders.next_end[following]
        ):
            if self._ids(start, following):
                yield history, (WORD, start, following, 0)
                return
            following = self.next_word(following)

    def _prune(
        self, entries: Iterable[tuple[History, Location]]
    ) -> tuple[tuple[History, Location], ...]:
        """Keep, of readings with the same future, the documented one."""
        best: dict[Location, History] = {}
        for history, location in entries:
            if location not in best or self.better(history, best[location]):
                best[location] = history
        # A reading that is better said and may go on from an earlier word can
        # do all that a later one can: the later one is dropped.
        groups: dict[tuple, list[tuple[History, int, Location]]] = {}
        kept: list[tuple[History, Location]] = []
        for location, history in best.items():
            kind = location[0]
            if kind == TAIL:
                _, node, start, end = location
                said = history + ((start, end, -1, 0),)
                groups.setdefault((kind, node), []).append((said, end, location))
            elif kind == START:
                groups.setdefault((kind,), []).append((history, location[1], location))
            elif kind == LEAD:
                key = location[:3]
                groups.setdefault(key, []).append((history, location[3], location))
            else:
                kept.append((history, location))
        for group in groups.values():
            group.sort(key=lambda item: item[:2])
            reach: int | None = None
            for _, position, location in group:
                if reach is None or position < reach:
                    reach = position
                    kept.append((best[location], location))
        return tuple(kept)


class GrammarState:
    """Where an answer stands: every reading of its ids that is still possible.

    length: number of ids read. Immutable: `step` returns a new state."""

    __slots__ = ("grammar", "length", "entries", "_allowed")

    def __init__(
        self,
        grammar: Grammar,
        length: int,
        entries: tuple[tuple[History, Location], ...],
    ) -> None:
        self.grammar = grammar
        self.length = length
        self.entries = entries
        self._allowed: tuple[int, ...] | None = None

    @property
    def done(self) -> bool:
        return any(location[0] == DONE for _, location in self.entries)

    @property
    def allowed(self) -> tuple[int, ...]:
        """The ids that may come next (none when the answer is done)."""
        if self._allowed is None:
            tokens: dict[int, None] = {}
            for history, location in self.entries:
                if location[0] == START:
                    tokens.update(dict.fromkeys(self.grammar.start_tokens(location[1])))
                else:
                    for token, _ in self.grammar._arcs(history, location, self.length):
                        tokens[token] = None
            self._allowed = tuple(tokens)
        return self._allowed

    @property
    def ended(self) -> tuple[int, ...]:
        """Of the allowed ids, those that presuppose that a label has just ended
        (a separator, a terminator)."""
        tokens: dict[int, None] = {}
        for history, location in self.entries:
            if not history or history[-1][3] != self.length:
                continue
            kind = location[0]
            if kind == START:
                tokens.update(dict.fromkeys(self.grammar.start_tokens(location[1])))
            elif kind in (LEAD, CLOSE):
                for token, _ in self.grammar._arcs(history, location, self.length):
                    tokens[token] = None
        return tuple(tokens)

    def guess(self) -> int | None:
        """An id to try at a decision, by how answers mostly go: that an entity ends
        with this word, that another entity follows. None where nothing is likely."""
        at = {location[:3] for _, location in self.entries}
        tails = self.grammar.trie.children[0]
        if len(tails) == 1 and any(place[:2] == (TAIL, 0) for place in at):
            return next(iter(tails))
        if (LEAD, 1, 0) in at and (CLOSE, 0) in at:
            return self.grammar.format.next_lead[0]
        return None

    def step(self, token: int) -> "GrammarState":
        """The state after one more id. Raises ValueError for an illegal one."""
        grammar = self.grammar
        entries: list[tuple[History, Location]] = []
        for history, location in self.entries:
            if location[0] == START:
                at = grammar.borders.starts.get(token, ())
                for start in at[bisect_left(at, location[1]) :]:
                    entries.extend(
                        grammar._in_word(history, start, start, 1, self.length)
                    )
            else:
                for out, targets in grammar._arcs(history, location, self.length):
                    if out == token:
                        entries.extend(targets)
        if not entries:
            raise ValueError(
                f"Token id {token} is not legal at answer id {self.length}."
            )
        return GrammarState(grammar, self.length + 1, grammar._prune(entries))

    def read(self) -> History:
        """The clauses of a finished answer, by the documented reading:
        (start word, end word, index of the label, answer ids up to its end)."""
        readings = [
            history for history, location in self.entries if location[0] == DONE
        ]
        if not readings:
            raise ValueError("The answer is not finished.")
        return self._best(readings)

    def read_so_far(self) -> History:
        """The whole clauses of an answer that was broken off."""
        return self._best([history for history, _ in self.entries])

    def _best(self, readings: list[History]) -> History:
        best = readings[0]
        for history in readings[1:]:
            if self.grammar.better(history, best):
                best = history
        return best


def read_answer(grammar: Grammar, ids: Iterable[int]) -> list[Clause] | None:
    """The clauses that these ids say, or None where they are not an answer."""
    state = grammar.start()
    for token in ids:
        if token not in state.allowed:
            return None
        state = state.step(token)
    return [clause[:3] for clause in state.read()] if state.done else None
