"""The likelihood of the answers: what every method learns first."""

from typing import Callable, Sequence

import torch
from torch.nn.functional import cross_entropy

from ..models.backbone import Backbone, Learned
from ..tasks.base import Record

# A further loss on a pack, summed as `likelihood` is.
Objective = Callable[[Backbone, Sequence[Record], Learned], torch.Tensor]


def likelihood(learned: Learned) -> torch.Tensor:
    """Weighted negative log-likelihood of the answers' ids, summed (nats).

    Source: InstructionNER, section on training (generation loss on all tasks);
    weights: ours."""
    losses = cross_entropy(learned.logits, learned.targets, reduction="none")
    return (losses * learned.weights).sum()
