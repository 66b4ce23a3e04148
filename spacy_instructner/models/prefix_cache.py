"""Prefix cache: keys and values of constant prompt starts, read once for all texts.

Source: ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..decoding.answers import Ids
from .packed_plan import AttentionSegment, KeysValues


@dataclass(frozen=True)
class PrefilledPrefix:
    """A constant prompt start that was read. layers: its (1, key heads, ids, width) keys
    and values by layer; states: its (ids, width) last hidden states."""

    layers: list[KeysValues]
    states: torch.Tensor


class PrefixCache:
    """Keys and values of the prefixes of a session, (prefixes, key heads, ids, width) for
    every layer, short ones padded.

    stored: what was read of each prefix."""

    def __init__(self, stored: Mapping[Ids, PrefilledPrefix]) -> None:
        self.index: dict[Ids, int] = {prefix: at for at, prefix in enumerate(stored)}
        self.lengths = [len(prefix) for prefix in stored]
        self.longest = max(self.lengths, default=0)
        columns = [each.layers for each in stored.values()]
        self.layers = (
            columns[0] if len(columns) == 1 else [_stack(c) for c in zip(*columns)]
        )

    def segment(
        self, prefixes: Sequence[int], counts: Sequence[int], device: torch.device
    ) -> AttentionSegment | None:
        """What the rows of a pass see of their prefixes; None for prefixes without ids.

        prefixes: index of each row's; counts: how many ids each row has in the pass."""
        if not self.longest:
            return None
        if len(self.lengths) == 1:
            return self._only_prefix(sum(counts), device)
        # Ids of the pass by prefix.
        members: dict[int, list[int]] = {}
        begin = 0
        for prefix, count in zip(prefixes, counts):
            members.setdefault(prefix, []).extend(range(begin, begin + count))
            begin += count
        width = max(map(len, members.values()))
        table = torch.tensor(
            [ids + [0] * (width - len(ids)) for ids in members.values()], device=device
        )
        # Where each id stands in that table.
        order = torch.empty(begin, dtype=torch.long)
        for number, ids in enumerate(members.values()):
            order[ids] = torch.arange(len(ids)) + number * width
        which = torch.tensor(list(members), device=device)
        lengths = torch.tensor(self.lengths, device=device)[which]
        positions = torch.arange(self.longest, device=device)[None]
        seen = (positions < lengths[:, None])[:, None]
        every = list(members) == list(range(len(self.lengths)))

        def keys(layer: int, *new: torch.Tensor) -> KeysValues:
            keys, values = self.layers[layer]
            return (keys, values) if every else (keys[which], values[which])

        return AttentionSegment(
            table, order.to(device), seen, keys, lambda _: positions
        )

    def _only_prefix(self, ids: int, device: torch.device) -> AttentionSegment:
        """All ids of a pass see all of the one prefix that there is."""
        every = torch.arange(ids, device=device)
        positions = torch.arange(self.longest, device=device)[None]
        return AttentionSegment(
            every[None],
            every,
            None,
            lambda layer, *new: self.layers[layer],
            lambda _: positions,
        )


def _stack(stored: Sequence[KeysValues]) -> KeysValues:
    """Tensors of (1, heads, ids, width) on top of each other, padded with 0."""
    longest = max(keys.shape[2] for keys, _ in stored)

    def stack(part: int) -> torch.Tensor:
        first = stored[0][part]
        out = first.new_zeros((len(stored), first.shape[1], longest, first.shape[3]))
        for at, layer in enumerate(stored):
            out[at, :, : layer[part].shape[2]] = layer[part][0]
        return out

    return stack(0), stack(1)
