"""What is asked of a language model, and what comes back: plain data, no torch."""

from dataclasses import dataclass
from typing import Protocol

from .answers import AnswerFormat, Ids

# Clauses read so far, each with the number of answer ids up to its label's end:
# (start word, end word, index of the label, ids).
History = tuple[tuple[int, int, int, int], ...]
# A prompt as token ids: its prefix, and what follows it.
PromptIds = tuple[Ids, Ids]


class AnswerState(Protocol):
    """Where an answer stands under a grammar. Immutable: `step` gives a new state."""

    @property
    def grammar(self) -> "AnswerGrammar": ...

    @property
    def done(self) -> bool:
        """Is the answer finished?"""

    @property
    def allowed(self) -> Ids:
        """The token ids that may come next; none when the answer is done."""

    @property
    def ended(self) -> Ids:
        """Of the allowed ids, those that presuppose that a label has just ended."""

    def guess(self) -> int | None:
        """An id that is likely to come next, for speculative decoding."""

    def step(self, token: int) -> "AnswerState":
        """The state after one more id. Raises ValueError for one that is not allowed."""

    def read(self) -> History:
        """The clauses of a finished answer. Raises ValueError before it is done."""

    def read_so_far(self) -> History:
        """The whole clauses of an answer that was broken off."""


class AnswerGrammar(Protocol):
    """The answers that are legal about one window."""

    @property
    def format(self) -> AnswerFormat: ...

    def start(self) -> AnswerState: ...


@dataclass(frozen=True)
class DecodingRequest:
    """One prompt, and the grammar of its answer.

    prefix: the ids that stay the same from text to text (kept in the prefix cache);
    shared: what follows it, and stands in other requests about the same text too;
    suffix: the ids after that, the text among them unless it is shared."""

    prefix: Ids
    suffix: Ids
    grammar: AnswerGrammar
    shared: Ids = ()

    @property
    def own(self) -> Ids:
        """All but the prefix."""
        return self.shared + self.suffix


@dataclass(frozen=True)
class ScoredSpan:
    """Words [start, end) of the window; score: probability between 0 and 1."""

    start: int
    end: int
    label: str
    score: float


@dataclass(frozen=True)
class Answer:
    """spans in text order; ids: the answer as written; logprob: of the whole
    answer under the grammar; complete: False where the model had no room left."""

    spans: tuple[ScoredSpan, ...]
    ids: Ids
    logprob: float
    complete: bool = True
