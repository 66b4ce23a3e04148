"""What may be learned besides the likelihood: further losses, perturbed embeddings."""

from collections.abc import Sequence

import torch

from ..models.forward_output import ForwardOutput, TokenPositions
from ..tasks.base import Task, TrainingRecord


class Objective:
    """A part of training that the setting `objectives` switches on. What a subclass
    leaves as it is does nothing, and costs nothing.

    Source: ours; the objectives themselves say where they come from."""

    @property
    def layers(self) -> tuple[float, ...]:
        """Whose hidden states `loss` looks at, as shares of the model's depth."""
        return ()

    @property
    def second_pass_weight(self) -> float:
        """Weight of the likelihood of a second pass, whose embeddings `perturb` makes
        from the gradient of the first; 0 for none."""
        return 0.0

    def check(self, kind: str, task: Task) -> None:
        """Raises ValueError where it cannot work with a kind of model ("causal" or
        "seq2seq") or a task; called when the config is read."""

    def terms(self, records: Sequence[TrainingRecord]) -> float:
        """How much the loss is a sum of: what it is divided by, over a batch."""
        return sum(record.weight for record in records)

    def loss(
        self, records: Sequence[TrainingRecord], output: ForwardOutput
    ) -> torch.Tensor | None:
        """A loss on a pack, summed over its terms."""
        return None

    def perturb(
        self,
        records: Sequence[TrainingRecord],
        token_positions: TokenPositions,
        embedded: torch.Tensor,
        gradient: torch.Tensor | None,
    ) -> torch.Tensor | None:
        """What to add to the (positions, width) embeddings of a pass, or None.

        gradient: of the loss in these embeddings, when a second pass is asked for;
        None before the first."""
        return None
