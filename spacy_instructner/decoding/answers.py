"""Answers as token ids: the words they are made of, their fixed pieces, and how a
set of clauses is written. Plain data; `grammar.py` reads what is written here."""

from collections.abc import Sequence
from dataclasses import dataclass

Ids = tuple[int, ...]
# (start word, end word exclusive, index of the label)
Clause = tuple[int, int, int]


@dataclass(frozen=True)
class TokenizedWords:
    """The words of one window as token ids.

    first: ids of each word where it begins a span (as after a space).
    following: ids of each word where it follows the word before it.
    A word without ids (whitespace, or nothing the tokenizer can write) is
    passed over inside a span and can neither begin nor end one.
    """

    first: tuple[Ids, ...]
    following: tuple[Ids, ...]

    def __post_init__(self) -> None:
        if len(self.first) != len(self.following):
            raise ValueError("Words need one entry of `following` for each of `first`.")

    def __len__(self) -> int:
        return len(self.first)

    def writable(self, word: int) -> bool:
        """Can a span begin or end at this word?"""
        return bool(self.first[word]) and bool(self.following[word])

    @property
    def places(self) -> tuple[int, ...]:
        """Where each word begins in `text`, and where the last one ends."""
        places = [0]
        for first, following in zip(self.first, self.following):
            places.append(places[-1] + len(following if places[-1] else first))
        return tuple(places)

    @property
    def text(self) -> Ids:
        """Ids of the whole window, as they stand in a prompt."""
        ids: list[int] = []
        for first, following in zip(self.first, self.following):
            ids.extend(following if ids else first)
        return tuple(ids)


@dataclass(frozen=True)
class AnswerFormat:
    """The fixed pieces of a task's answers, as token ids.

    first_lead: what stands before the first span.
    next_lead: what stands before every later span (a separator).
    tails: for each label, what follows its spans (connector and label words).
    closing: what follows the last clause; ends with the end token.
    empty: the whole no-entity answer; ends with the end token.
    """

    first_lead: Ids
    next_lead: Ids
    tails: tuple[tuple[str, Ids], ...]
    closing: Ids
    empty: Ids

    def __post_init__(self) -> None:
        if not self.closing or not self.empty or self.closing[-1] != self.empty[-1]:
            raise ValueError("Answers must end with one and the same end token.")
        if not self.tails:
            raise ValueError("An answer format needs at least one label.")
        seen: dict[Ids, str] = {}
        for label, ids in self.tails:
            if ids in seen:
                raise ValueError(
                    f"The labels {seen[ids]!r} and {label!r} are written with the same "
                    "words, so an answer could not tell them apart. Give one of them "
                    "other words in `label_names`."
                )
            seen[ids] = label

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(label for label, _ in self.tails)


@dataclass(frozen=True)
class Piece:
    """A stretch of a written answer. role: lead, span, tail, closing or empty;
    clause: index of the clause it belongs to (the closing: one past the last)."""

    role: str
    ids: Ids
    clause: int


def write_answer(
    words: TokenizedWords, format: AnswerFormat, clauses: Sequence[Clause]
) -> list[Piece]:
    """The answer that says these clauses, in the pieces the grammar reads.

    clauses: in text order, not overlapping, each border on a writable word.
    Raises ValueError where a clause cannot be written."""
    if not clauses:
        return [Piece("empty", format.empty, 0)]
    pieces: list[Piece] = []
    position = 0
    for index, (start, end, label) in enumerate(clauses):
        if not position <= start < end <= len(words):
            raise ValueError("Clauses must be in text order and must not overlap.")
        if not (words.writable(start) and words.writable(end - 1)):
            raise ValueError("A span cannot begin or end at a word without ids.")
        lead = format.next_lead if index else format.first_lead
        span = words.first[start] + tuple(
            token for word in range(start + 1, end) for token in words.following[word]
        )
        pieces.append(Piece("lead", lead, index))
        pieces.append(Piece("span", span, index))
        pieces.append(Piece("tail", format.tails[label][1], index))
        position = end
    pieces.append(Piece("closing", format.closing, len(clauses)))
    return pieces
