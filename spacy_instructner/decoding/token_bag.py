"""Answers made of the text's tokens in any order, as CLLMFS's public code has them.

For comparison with `grammar.py`: at every step any id of the text's words and of the
answer's fixed pieces may come. What is said is looked up in the text afterwards, and
dropped where it does not stand there. Source: the artefact, with ids for letters.
"""

from collections.abc import Sequence

from .answers import AnswerFormat, Ids, TokenizedWords
from .request import History

# Ids after which an answer must close.
LONGEST = 128


class TokenBagGrammar:
    """The answers about one window. words (Words): the window; format (AnswerFormat):
    the task's pieces, with one label; max_span (int): most words in a span; 0 for no
    limit."""

    def __init__(
        self, words: TokenizedWords, format: AnswerFormat, max_span: int = 0
    ) -> None:
        self.words = words
        self.format = format
        self.max_span = max_span
        ((_, self.tail),) = format.tails
        # Where no terminator stands before the end token, that may come at any time.
        closing = format.closing[:-1] or format.closing
        pieces = (
            *words.first,
            *words.following,
            format.next_lead,
            self.tail,
            closing,
            format.empty[:-1],
        )
        self.free = tuple(dict.fromkeys(token for ids in pieces for token in ids))

    def start(self) -> "TokenBagState":
        return TokenBagState(self, ())

    def find(self, said: Ids, taken: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """The first run of words that is written with these ids and is not taken;
        (0, 0) where there is none."""
        words = self.words
        for start in range(len(words)):
            if not words.writable(start):
                continue
            for first in {words.first[start], words.following[start]}:
                end, ids = start + 1, first
                while len(ids) < len(said) and end < len(words):
                    ids = ids + words.following[end]
                    end += 1
                while end > start + 1 and not words.writable(end - 1):
                    end -= 1
                short = not self.max_span or end - start <= self.max_span
                if ids == said and short and (start, end) not in taken:
                    return start, end
        return 0, 0


class TokenBagState:
    """Where an answer stands; see `grammar.GrammarState`. Immutable."""

    __slots__ = ("grammar", "ids")

    def __init__(self, grammar: TokenBagGrammar, ids: Ids) -> None:
        self.grammar = grammar
        self.ids = ids

    @property
    def done(self) -> bool:
        format = self.grammar.format
        return self.ids == format.empty or self._closed == len(format.closing)

    @property
    def allowed(self) -> Ids:
        if self.done:
            return ()
        closing, empty = self.grammar.format.closing, self.grammar.format.empty
        closed = self._closed
        if self.ids == empty[:-1] or 0 < closed == len(closing) - 1:
            return closing[-1:]
        if len(self.ids) >= LONGEST:
            return (closing[closed],)
        return self.grammar.free

    @property
    def _closed(self) -> int:
        """How many ids of the closing the answer ends with."""
        closing = self.grammar.format.closing
        for count in range(min(len(closing), len(self.ids)), 0, -1):
            if self.ids[-count:] == closing[:count]:
                return count
        return 0

    @property
    def ended(self) -> Ids:
        """None: a label has no words of its own here."""
        return ()

    def guess(self) -> int | None:
        return None

    def step(self, token: int) -> "TokenBagState":
        if token not in self.allowed:
            raise ValueError(
                f"Token id {token} is not legal at answer id {len(self.ids)}."
            )
        return TokenBagState(self.grammar, (*self.ids, token))

    def read(self) -> History:
        if not self.done:
            raise ValueError("The answer is not finished.")
        return self.read_so_far()

    def read_so_far(self) -> History:
        """The clauses, in the order of the answer."""
        # A separator before it is passed over.
        lead, tail = self.grammar.format.first_lead, self.grammar.tail
        found: dict[tuple[int, int], int] = {}
        begin: int | None = None
        at = 0
        while at < len(self.ids):
            if self.ids[at : at + len(lead)] == lead:
                at += len(lead)
                begin = at
            elif begin is not None and self.ids[at : at + len(tail)] == tail:
                span = self.grammar.find(self.ids[begin:at], list(found))
                at += len(tail)
                begin = None
                if span != (0, 0):
                    found[span] = at
            else:
                at += 1
        clauses: list[tuple[int, int, int, int]] = [
            (start, end, 0, stop) for (start, end), stop in found.items()
        ]
        return tuple(clauses)
