"""Reading ahead: likely ids enter the model before they are decided. Source: ours."""

from collections import Counter
from collections.abc import Callable, Sequence

import torch

from .hypotheses import Beam, Hypothesis, decide


class SpeculativeDecoder:
    """Guesses at what rows will say, read in the same pass as what they have said.

    Where a guess is right, a decision costs no pass of its own; where it is wrong, what
    was read of it is taken back. The answers are the same. How often each guessed id
    was right is counted, and what is mostly wrong is no more tried."""

    TRIALS = 24
    WORTH_IT = 0.25

    def __init__(self) -> None:
        self._tried: Counter = Counter()
        self._right: Counter = Counter()

    def write(self, rows: Sequence[Hypothesis], room: Sequence[int]) -> None:
        """Put a draft on rows for which there is a good guess, and room."""
        for row, space in zip(rows, room):
            token = row.state.guess()
            if token is None or not self._worth_it(token):
                continue
            draft = row.ahead(token)
            if (
                not draft.state.done
                and len(row.unprocessed) + len(draft.unprocessed) <= space
            ):
                row.draft = draft

    def _worth_it(self, token: int) -> bool:
        tried = self._tried[token]
        return tried < self.TRIALS or self._right[token] >= self.WORTH_IT * tried

    def settle(
        self,
        standing: Sequence[tuple[Beam, Hypothesis]],
        parents: dict[int, int],
        logprobs: Callable[[list[int]], torch.Tensor],
    ) -> list[int]:
        """Go on with the guesses that were right: decide once more.

        parents: where the rows now under way come from; kept up to date. logprobs:
        gives those at the decisions after these rows' drafts. RETURNS: how many ids to
        take back of every row."""
        back = [0] * len(standing)
        right: list[int] = []
        children: list[tuple[Beam, Hypothesis]] = []
        for at, (beam, row) in enumerate(standing):
            if row.draft is None:
                continue
            (child,) = beam.rows or beam.done
            token = row.draft.unprocessed[0]
            self._tried[token] += 1
            if child.ids == row.draft.ids:
                self._right[token] += 1
                child.unprocessed = []
                right.append(at)
                children.append((beam, child))
            else:
                back[at] = len(row.draft.unprocessed)
        if right:
            for row_id, at in decide(children, logprobs(right), 1).items():
                parents[row_id] = right[at]
        return back
