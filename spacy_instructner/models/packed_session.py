"""Rows under way in a causal model: continuous batching over a packed KV cache."""

from collections.abc import Sequence
from typing import Protocol

import torch
from transformers.modeling_outputs import BaseModelOutput

from ..decoding.answers import Ids
from ..decoding.request import PromptIds
from .kv_cache import CacheRow, SlotKVCache
from .packed_batch import PackedBatch
from .packed_plan import PackedPlan
from .prefix_cache import PrefilledPrefix, PrefixCache


class PackedModel(Protocol):
    """What a session needs of a causal model: see `causal.CausalBackbone`."""

    @property
    def device(self) -> torch.device: ...

    @property
    def positions(self) -> int: ...

    def cached_prefix(self, prefix: Ids) -> PrefilledPrefix: ...

    def run(
        self, ids: Sequence[int], positions: Sequence[int], plan: PackedPlan
    ) -> BaseModelOutput: ...


class PackedSession:
    """See `decoding.beam_search.Session`.

    A row has its prefix, which all rows of that prefix share, and a slot of the
    KV cache for what is its own. Rows may come and go at any time.
    """

    supports_continuous_batching = True
    supports_prefix_sharing = True

    def __init__(self, backbone: PackedModel, prefixes: Sequence[Ids]) -> None:
        self.backbone = backbone
        # A prefix is read before anything is asked after it.
        distinct = sorted(set(prefixes))
        self.prefixes = PrefixCache(
            {prefix: backbone.cached_prefix(prefix) for prefix in distinct}
        )
        self.cache = SlotKVCache(self.prefixes.layers)
        self.rows: list[CacheRow] = []

    def add_requests(self, prompts: Sequence[PromptIds]) -> list[Ids]:
        for prefix, _ in prompts:
            index = self.prefixes.index[prefix]
            self.rows.append(CacheRow(self.cache.take_slot(), 0, index, len(prefix)))
        return [suffix for _, suffix in prompts]

    @property
    def remaining_positions(self) -> list[int]:
        return [self.backbone.positions - row.position for row in self.rows]

    def forward(
        self, rows: Sequence[Sequence[int]], wanted: Sequence[tuple[int, int]]
    ) -> torch.Tensor:
        device = self.backbone.device
        batch = PackedBatch(self.rows, rows)
        plan = batch.plan(self.cache, self.prefixes, device)
        output = self.backbone.run(batch.ids, batch.positions, plan)
        hidden = output.last_hidden_state[0]
        index = batch.index(wanted)
        for row, ids in zip(self.rows, rows):
            row.length += len(ids)
        return hidden[torch.tensor(index, dtype=torch.long, device=device)]

    def rollback(self, counts: Sequence[int]) -> None:
        # What stands in the slots is hidden, and written over.
        for row, count in zip(self.rows, counts):
            row.length -= count

    def reorder(self, rows: Sequence[int]) -> None:
        self.rows = self.cache.reorder(self.rows, rows)
