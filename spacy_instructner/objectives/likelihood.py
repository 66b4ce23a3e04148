"""The likelihood of the answers: what every method learns first."""

import torch
from torch.nn.functional import cross_entropy

from ..models.backbone import Learned


def likelihood(learned: Learned) -> torch.Tensor:
    """Weighted negative log-likelihood of the answers' ids, summed (nats).

    Source: InstructionNER, section on training (generation loss on all tasks);
    weights: ours."""
    losses = cross_entropy(learned.logits, learned.targets, reduction="none")
    return (losses * learned.weights).sum()
