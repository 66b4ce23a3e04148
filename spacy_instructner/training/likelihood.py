"""The likelihood of the answers: what every method learns first."""

import torch
from torch.nn.functional import cross_entropy

from ..models.forward_output import ForwardOutput, among_allowed


def likelihood(learned: ForwardOutput) -> torch.Tensor:
    """Weighted negative log-likelihood of the answers' ids, summed (nats).

    An id's probability is that among the whole vocabulary, or among the ids that the
    grammar allowed in its place, where `learned.allowed` has them.

    Source: InstructionNER, section on training (generation loss on all tasks); weights
    and the likelihood among allowed ids: ours."""
    bound = [(row, ids) for row, ids in enumerate(learned.allowed) if ids is not None]
    if not bound:
        losses = cross_entropy(learned.logits, learned.targets, reduction="none")
        return (losses * learned.weights).sum()
    device = learned.logits.device
    rows, allowed = zip(*bound)
    among = torch.tensor(rows, device=device)
    losses = among_allowed(learned.logits[among], learned.targets[among], allowed)
    loss = (losses * learned.weights[among]).sum()
    free = [row for row, ids in enumerate(learned.allowed) if ids is None]
    if free:
        at = torch.tensor(free, device=device)
        losses = cross_entropy(
            learned.logits[at], learned.targets[at], reduction="none"
        )
        loss = loss + (losses * learned.weights[at]).sum()
    return loss
