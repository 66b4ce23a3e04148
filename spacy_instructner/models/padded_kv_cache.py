"""Keys and values of rows of different lengths, preallocated.

The one place that depends on how transformers calls a cache. Source: ours.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache


class PaddedKVCache(Cache):
    """Buffers of (rows, slots, heads, width) for every layer.

    Each row fills its slots from the left; `slots` says where the ids of the
    call under way go. Slots past a row's length hold garbage that the mask
    hides and the next ids overwrite.
    """

    def __init__(self) -> None:
        # What transformers 5 keeps in layers stands in the buffers.
        self.layers: list[Any] = []
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        # (rows, ids of this call): the slot of each id.
        self.slots: torch.Tensor = torch.empty(0)
        self.rows: torch.Tensor = torch.empty(0)
        self.used = 0
        self.capacity = 0

    def place(self, slots: torch.Tensor, used: int) -> None:
        """Say where the next call's ids go, growing the buffers if need be."""
        self.slots = slots
        self.rows = torch.arange(len(slots), device=slots.device)[:, None]
        self.used = used
        if used > self.capacity:
            self.capacity = max(used, self.capacity + self.capacity // 2)
            for buffers in (self.keys, self.values):
                for layer, old in enumerate(buffers):
                    rows, slots_, heads, width = old.shape
                    new = old.new_zeros((rows, self.capacity, heads, width))
                    new[:, :slots_] = old
                    buffers[layer] = new

    def keep(self, rows: Sequence[int]) -> None:
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
            buffer[self.rows, self.slots] = states.transpose(1, 2)
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
