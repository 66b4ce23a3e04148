"""What every method's records have in common: the weights of an answer's ids, and where
its entities stand. Source: ours."""

from typing import List, Optional, Sequence, Tuple

from ..decoding.answers import AnswerFormat, Clause, Ids, Words, write
from .base import Mention


def target(
    words: Words,
    format: AnswerFormat,
    clauses: Sequence[Clause],
    weight: float = 1.0,
    missing: bool = False,
) -> Tuple[Ids, Tuple[float, ...]]:
    """The ids of an answer that says these clauses, and their weights.

    missing: annotation is missing, so the ids that say which spans there are (and are
    not) carry no weight."""
    ids: List[int] = []
    weights: List[float] = []
    for piece in write(words, format, clauses):
        counts = [weight] * len(piece.ids)
        if missing and piece.role in ("lead", "closing", "empty"):
            counts = [0.0] * len(piece.ids)
        elif missing and piece.role == "span":
            counts[0] = 0.0
        ids.extend(piece.ids)
        weights.extend(counts)
    return tuple(ids), tuple(weights)


def mentions(
    words: Words,
    format: AnswerFormat,
    clauses: Sequence[Clause],
    text: int,
    answer: int,
    types: Sequence[Optional[int]],
) -> Tuple[Mention, ...]:
    """Where the entities of these clauses stand among a record's ids.

    text, answer: where these begin; types: where each label's name does, None where the
    prompt has it not."""
    found: List[Mention] = []
    places = words.places
    at = answer
    for piece in write(words, format, clauses):
        if piece.role == "span":
            start, end, label = clauses[piece.clause]
            found.append(
                Mention(text + places[start], text + places[end], at - 1, types[label])
            )
        at += len(piece.ids)
    return tuple(found)
