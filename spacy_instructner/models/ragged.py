"""Rows of different lengths side by side: where their ids go and what they see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .packed_attention import additive

if TYPE_CHECKING:
    from .backbone import Backbone


@dataclass(frozen=True)
class Block:
    """The ids of one call. ids, slots, positions: (rows, most ids of a row), short
    rows filled up at their ends; lengths: of each row after the call; used: slots that
    any row has filled by then."""

    ids: torch.Tensor
    slots: torch.Tensor
    positions: torch.Tensor
    lengths: list[int]
    used: int

    @classmethod
    def of(
        cls,
        rows: Sequence[Sequence[int]],
        lengths: Sequence[int],
        backbone: "Backbone",
    ) -> "Block":
        """rows: what each row is fed; lengths: of each before."""
        device = backbone.device
        counts = torch.tensor([len(row) for row in rows], device=device)
        width = int(counts.max())
        ids = torch.tensor(
            [list(row) + [0] * (width - len(row)) for row in rows], device=device
        )
        begin = torch.tensor(lengths, device=device)
        slots = begin[:, None] + torch.arange(width, device=device)[None]
        return cls(
            ids=ids,
            slots=slots,
            # An id that only fills up a row must not ask for a position the model
            # does not have; what it computes is never looked at.
            positions=slots.clamp(max=backbone.positions - 1),
            lengths=[n + len(row) for n, row in zip(lengths, rows)],
            used=int(slots.max()) + 1,
        )


def causal_mask(slots: torch.Tensor, used: int, dtype: torch.dtype) -> torch.Tensor:
    """(rows, n) slots -> (rows, 1, n, used): each id sees its slot and those before."""
    seen = torch.arange(used, device=slots.device)[None, None] <= slots[:, :, None]
    return additive(seen, dtype)[:, None]
