"""What every method's records have in common: the weights of an answer's ids, and where
its entities stand. Source: ours."""

from collections.abc import Sequence

from ..decoding.answers import AnswerFormat, Clause, Ids, TokenizedWords, write_answer
from .base import MentionPositions


def target(
    words: TokenizedWords,
    format: AnswerFormat,
    clauses: Sequence[Clause],
    weight: float = 1.0,
    unknown: frozenset[int] = frozenset(),
) -> tuple[Ids, tuple[float, ...]]:
    """The ids of an answer that says these clauses, and their weights.

    unknown: words that may be in an entity or not. Between two entities, the answer
    says that there is no other; where such a word stands there, the ids that say so
    carry no weight: those that choose the next entity, or that there is none. That
    another one follows is known, and so is how it goes on."""
    ids: list[int] = []
    weights: list[float] = []
    for piece in write_answer(words, format, clauses):
        counts = [weight] * len(piece.ids)
        begin = clauses[piece.clause - 1][1] if piece.clause else 0
        if piece.role == "span":
            between = unknown.intersection(range(begin, clauses[piece.clause][0]))
            silent = max(
                (1 + _alike(words, at, piece.ids) for at in between), default=0
            )
            counts[:silent] = [0.0] * len(counts[:silent])
        elif piece.role in ("closing", "empty") and any(at >= begin for at in unknown):
            counts = [0.0] * len(piece.ids)
        ids.extend(piece.ids)
        weights.extend(counts)
    return tuple(ids), tuple(weights)


def _alike(words: TokenizedWords, at: int, ids: Ids) -> int:
    """How many of these ids a span that begins at this word begins with, too: so long,
    the answer may yet say that one."""
    other = words.first[at] + tuple(
        id_ for following in words.following[at + 1 :] for id_ in following
    )
    pairs = enumerate(zip(other, ids))
    return next((n for n, (a, b) in pairs if a != b), min(len(other), len(ids)))


def mentions(
    words: TokenizedWords,
    format: AnswerFormat,
    clauses: Sequence[Clause],
    text: int,
    answer: int,
    types: Sequence[int | None],
) -> tuple[MentionPositions, ...]:
    """Where the entities of these clauses stand among a record's ids.

    text, answer: where these begin; types: where each label's name does, None where the
    prompt has it not."""
    found: list[MentionPositions] = []
    places = words.places
    at = answer
    for piece in write_answer(words, format, clauses):
        if piece.role == "span":
            start, end, label = clauses[piece.clause]
            found.append(
                MentionPositions(
                    text + places[start], text + places[end], at - 1, types[label]
                )
            )
        at += len(piece.ids)
    return tuple(found)
