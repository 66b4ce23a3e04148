"""The likelihood of the answers: what every method learns first."""

import math
from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy

from ..decoding.answers import Ids
from ..models.forward_output import ForwardOutput


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


def among_allowed(
    logits: torch.Tensor, targets: torch.Tensor, allowed: Sequence[Ids]
) -> torch.Tensor:
    """(n, vocabulary) logits, (n,) targets and the ids allowed in each row, the target
    among them -> (n,) surprises in nats."""
    lengths = torch.tensor([len(ids) for ids in allowed], device=logits.device)
    width = max(map(len, allowed))
    filled: list[tuple[int, ...]] = [
        (*ids, *[0] * (width - len(ids))) for ids in allowed
    ]
    chosen = logits.gather(1, torch.tensor(filled, device=logits.device))
    legal = torch.arange(width, device=logits.device)[None] < lengths[:, None]
    whole = chosen.masked_fill(~legal, -math.inf).logsumexp(dim=1)
    return whole - logits.gather(1, targets[:, None])[:, 0]
