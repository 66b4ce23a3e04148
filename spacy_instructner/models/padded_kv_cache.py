"""KV cache of rows of different lengths, padded to the longest, for encoder-decoders.

    row 0   a1 a2 a3 ·· ··         each row fills its places from the left
    row 1   b1 b2 b3 b4 b5         what is left past a row's length is hidden by the
    row 2   c1 ·· ·· ·· ··         mask, and written over by the next ids

The one place that depends on how transformers calls a cache. Source: ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache

from .packed_plan import additive_mask


class PaddedKVCache(Cache):
    """Buffers of (rows, places, heads, width) for every layer.

    capacity: places of the first buffers."""

    def __init__(self, capacity: int = 0) -> None:
        # What transformers 5 keeps in layers stands in the buffers.
        self.layers: list[Any] = []
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        # (rows, ids of this call): the place of each id.
        self.places: torch.Tensor = torch.empty(0)
        self.rows: torch.Tensor = torch.empty(0)
        self.used = 0
        self.capacity = capacity

    def prepare(self, places: torch.Tensor, used: int) -> None:
        """Say where the next call's ids go, growing the buffers if need be."""
        self.places = places
        self.rows = torch.arange(len(places), device=places.device)[:, None]
        self.used = used
        if used > self.capacity:
            self.capacity = max(used, self.capacity + self.capacity // 2)
            for buffers in (self.keys, self.values):
                for layer, old in enumerate(buffers):
                    rows, before, heads, width = old.shape
                    new = old.new_zeros((rows, self.capacity, heads, width))
                    new[:, :before] = old
                    buffers[layer] = new

    def reorder(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; one may stand there twice."""
        if not self.keys:
            return
        index = torch.tensor(list(rows), dtype=torch.long, device=self.keys[0].device)
        for buffers in (self.keys, self.values):
            for layer, old in enumerate(buffers):
                new = old.new_zeros((len(rows), *old.shape[1:]))
                used = slice(0, self.used)
                new[:, used] = old[index, used]
                buffers[layer] = new

    # What transformers asks of a cache.

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if layer_idx == len(self.keys):
            # Nothing stored yet for this layer.
            shape = (key_states.shape[0], self.capacity, *key_states.shape[1::2])
            self.keys.append(key_states.new_zeros(shape))
            self.values.append(
                value_states.new_zeros((*shape[:2], *value_states.shape[1::2]))
            )
        for buffer, states in (
            (self.keys[layer_idx], key_states),
            (self.values[layer_idx], value_states),
        ):
            buffer[self.rows, self.places] = states.transpose(1, 2)
        return (
            self.keys[layer_idx][:, : self.used].transpose(1, 2),
            self.values[layer_idx][:, : self.used].transpose(1, 2),
        )

    def get_seq_length(self, layer_idx: int | None = 0) -> int:
        """Zero: a decoder counts positions from here on for all rows alike, ours
        differ. Who calls the decoder says where the ids stand."""
        return 0

    def get_max_cache_shape(self) -> int | None:
        return None


@dataclass(frozen=True)
class PaddedBatch:
    """The ids of one call. ids, places, positions: (rows, most ids of a row), short
    rows padded at their ends; lengths: of each row after the call; used: places that
    any row has filled by then."""

    ids: torch.Tensor
    places: torch.Tensor
    positions: torch.Tensor
    lengths: list[int]
    used: int

    @classmethod
    def of(
        cls,
        rows: Sequence[Sequence[int]],
        lengths: Sequence[int],
        most_positions: int,
        device: torch.device,
    ) -> "PaddedBatch":
        """rows: what each row is fed; lengths: of each before; most_positions: those
        that the model has."""
        counts = torch.tensor([len(row) for row in rows], device=device)
        width = int(counts.max())
        ids = torch.tensor(
            [list(row) + [0] * (width - len(row)) for row in rows], device=device
        )
        begin = torch.tensor(lengths, device=device)
        places = begin[:, None] + torch.arange(width, device=device)[None]
        return cls(
            ids=ids,
            places=places,
            # An id that only pads a row must not ask for a position the model
            # does not have; what it computes is never looked at.
            positions=places.clamp(max=most_positions - 1),
            lengths=[n + len(row) for n, row in zip(lengths, rows)],
            used=int(places.max()) + 1,
        )

    def causal_mask(self, dtype: torch.dtype) -> torch.Tensor:
        """(rows, 1, ids, used): each id sees its own place and those before."""
        places = torch.arange(self.used, device=self.places.device)
        seen = places[None, None] <= self.places[:, :, None]
        return additive_mask(seen, dtype)[:, None]
