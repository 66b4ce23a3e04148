"""Speculative decoding without a second model: the grammar guesses, the model verifies.

A guess and what is forced after it (the draft) enter the model in the same pass as what
was decided before. Where the decision agrees, the next one is made in that pass, too;
where it does not, the ids of the draft are rolled back. The answers are the same.

    unprocessed   draft            decided    then
    ids of "Ada"  " (" + "person"  " ("       decide after "person", in the same pass
    ids of "Ada"  " (" + "person"  ";"        roll the draft back

Source: ours; the idea is that of Leviathan et al. 2023 (arXiv:2211.17192), with greedy
decoding and drafts that cost nothing.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import torch

from .hypotheses import Beam, Hypothesis, decide


class SpeculativeDecoder:
    """Proposes drafts and verifies them. How often each guessed id was right is counted,
    and what is mostly wrong is no longer tried."""

    # An id is tried so often before its share of right guesses counts.
    TRIALS = 24
    # The smallest share of right guesses that pays.
    WORTH_IT = 0.25

    def __init__(self) -> None:
        self._tried: Counter[int] = Counter()
        self._right: Counter[int] = Counter()

    def propose(
        self, hypotheses: Sequence[Hypothesis], remaining: Sequence[int]
    ) -> list[Hypothesis | None]:
        """A draft for each hypothesis, None where there is no good guess or no room.

        remaining: how many ids the model can take for each."""
        return [self._draft(h, room) for h, room in zip(hypotheses, remaining)]

    def _draft(self, hypothesis: Hypothesis, remaining: int) -> Hypothesis | None:
        token = hypothesis.state.guess()
        if token is None or not self._worth_it(token):
            return None
        draft = hypothesis.draft(token)
        ids = len(hypothesis.unprocessed) + len(draft.unprocessed)
        return None if draft.state.done or ids > remaining else draft

    def _worth_it(self, token: int) -> bool:
        tried = self._tried[token]
        return tried < self.TRIALS or self._right[token] >= self.WORTH_IT * tried

    def verify(
        self,
        drafts: Sequence[Hypothesis | None],
        rows: Sequence[int],
        beams: Sequence[Beam],
        logprobs: Callable[[list[int]], torch.Tensor],
    ) -> list[int]:
        """Decide once more after the drafts that were right. To be called when all
        hypotheses that the drafts continue have been decided greedily.

        rows: the session's row of each draft; beams: by request; logprobs: gives (n, most
        allowed ids) of what is allowed after these n drafts, by their indices. RETURNS
        (list[int]): how many ids to roll back for each."""
        wrong = [0] * len(drafts)
        right: list[int] = []
        children: list[Hypothesis] = []
        for at, draft in enumerate(drafts):
            if draft is None:
                continue
            beam = beams[draft.request]
            (child,) = beam.hypotheses or beam.finished
            token = draft.unprocessed[0]
            self._tried[token] += 1
            if child.ids == draft.ids:
                self._right[token] += 1
                # The model has read them as the draft.
                child.unprocessed = []
                right.append(at)
                children.append(child)
            else:
                wrong[at] = len(draft.unprocessed)
        if right:
            after = [rows[at] for at in right]
            decide(children, after, logprobs(right), beams, width=1)
        return wrong
