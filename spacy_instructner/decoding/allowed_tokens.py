"""What an answer could have said instead, id by id: a loss over decisions is normalised
over it. Pure Python, no torch. Source: ours."""

from collections.abc import Iterable, Sequence

from .answers import Ids
from .request import AnswerGrammar
from .trie import Trie


def allowed_tokens_along(grammar: AnswerGrammar, answer: Ids) -> tuple[Ids, ...]:
    """The ids that the grammar allows at each id of an answer.

    Raises ValueError for an answer that it does not admit."""
    state = grammar.start()
    allowed: list[Ids] = []
    for token in answer:
        allowed.append(state.allowed)
        state = state.step(token)
    return tuple(allowed)


def allowed_tokens_in_pieces(pieces: Sequence[Trie], answer: Ids) -> tuple[Ids, ...]:
    """The same where every answer has the same pieces, and each piece says one of a few
    things: the trie of these.

    Raises ValueError for an answer that is not made so."""
    # Which piece, and the node of its trie; several where one word of a piece begins
    # another.
    standing = list(_settle(pieces, [(0, 0)]))
    allowed: list[Ids] = []
    for at, token in enumerate(answer):
        allowed.append(
            tuple(
                dict.fromkeys(
                    following
                    for piece, node in standing
                    for following in pieces[piece].children[node]
                )
            )
        )
        if token not in allowed[-1]:
            raise ValueError(f"Token id {token} is not legal at answer id {at}.")
        standing = list(
            _settle(
                pieces,
                [
                    (piece, pieces[piece].children[node][token])
                    for piece, node in standing
                    if token in pieces[piece].children[node]
                ],
            )
        )
    return tuple(allowed)


def _settle(
    pieces: Sequence[Trie], standing: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], None]:
    """Where a piece may end, the next may begin."""
    found: dict[tuple[int, int], None] = {}
    for piece, node in standing:
        found[piece, node] = None
        while pieces[piece].label[node] >= 0 and piece + 1 < len(pieces):
            piece, node = piece + 1, 0
            found[piece, node] = None
    return found
