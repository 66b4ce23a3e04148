"""What a pass over records gives: hidden states, logits where there is loss, and where
each record stands among the positions. Source: ours."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..decoding.answers import Ids
from ..tasks.base import TrainingRecord


@dataclass(frozen=True)
class TokenPositions:
    """Where records' ids stand among the positions of a pass, all its rows laid end to
    end.

    prefix_starts, own_starts: the first position of each record's prefix, and of what
    follows the prefix; branch_starts: of what follows the shared ids there, for a model
    that reads these once. Records may share a prefix."""

    prefix_starts: tuple[int, ...]
    own_starts: tuple[int, ...]
    branch_starts: tuple[int, ...] = ()

    def shared(self, record: TrainingRecord) -> int:
        """How many ids of this record's suffix are read for others, too."""
        return record.shared if self.branch_starts else 0

    def of(self, index: int, record: TrainingRecord, at: int) -> int:
        """The position of an id of the record with this index in the pass."""
        own = at - len(record.prefix)
        if own < 0:
            return self.prefix_starts[index] + at
        branch = own - self.shared(record)
        if self.branch_starts and branch >= 0:
            return self.branch_starts[index] + branch
        return self.own_starts[index] + own


# Gets the (positions, width) embeddings of a pass, and gives others for them.
EmbeddingHook = Callable[[torch.Tensor, TokenPositions], torch.Tensor]


@dataclass(frozen=True)
class ForwardOutput:
    """What a pass over records gives to the objectives.

    logits: (n, vocabulary) float32, one row for each id that carries loss;
    targets: (n,) those ids; weights: (n,) their weights;
    last: (positions, width) the last hidden states; of the encoder, where there is one;
    states: the same of the layers asked for, by their share of the model's depth;
    positions: where the records stand among these;
    allowed: n entries, the ids that each one's probability is normalised over, None for
    the whole vocabulary."""

    logits: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    last: torch.Tensor
    states: Mapping[float, torch.Tensor]
    positions: TokenPositions
    allowed: tuple[Ids | None, ...] = ()


def allowed_at(records: Sequence[TrainingRecord]) -> tuple[Ids | None, ...]:
    """What was allowed where there is loss, in the order of `ForwardOutput.logits`."""
    return tuple(
        None if record.allowed is None else record.allowed[at]
        for record in records
        for at, weight in enumerate(record.weights)
        if weight
    )


def scored_ids(
    records: Sequence[TrainingRecord],
) -> tuple[list[int], list[float]]:
    """The answers' ids that carry loss, and their weights."""
    scored = [
        (token, weight)
        for record in records
        for token, weight in zip(record.answer, record.weights)
        if weight
    ]
    return [token for token, _ in scored], [weight for _, weight in scored]


def states_at(
    hidden: Sequence[torch.Tensor] | None, layers: Sequence[float]
) -> dict[float, torch.Tensor]:
    """(positions, width) states by depth. hidden: (rows, ids, width) of every layer,
    the embeddings first, as transformers gives them."""
    if not hidden:
        return {}
    deepest = len(hidden) - 1
    return {share: hidden[round(share * deepest)].flatten(0, 1) for share in layers}


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
