"""What a model keeps of rows under way: shared prefixes, and a slot for each row.

Source: ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import torch

from ..decoding.answers import Ids
from .packed_attention import AttentionSegment, KeysValues, packed_order, position_table

# Slots for answers beyond what is needed now, so that buffers seldom grow.
SPARE = 32


@dataclass
class CacheRow:
    """slot: of the cache; length: ids of its own that are stored there; prefix: which
    one it has; begin: how many ids that one has."""

    slot: int
    length: int
    prefix: int
    begin: int


class SlotKVCache:
    """Keys and values of rows, each in a buffer of (layers, slots, key heads, capacity,
    width). A slot that is given back is used again; what is left in it is hidden by
    masks and written over.

    layers: keys and values of any row, layer by layer, which tell the shapes."""

    def __init__(self, layers: Sequence[KeysValues]) -> None:
        # One block each for all layers: many small ones that grow would leave holes.
        self.keys, self.values = (
            one.new_zeros((len(layers), 0, one.shape[1], 0, one.shape[3]))
            for one in layers[0]
        )
        self.slots = 0
        self._free: list[int] = []
        # Where the next ids go: (ids,) slots, (ids,) places in them.
        self._where: tuple[torch.Tensor, torch.Tensor] = (torch.empty(0),) * 2

    def take(self) -> int:
        """The lowest slot that is free."""
        if self._free:
            return heappop(self._free)
        self.slots += 1
        return self.slots - 1

    def place(
        self,
        slots: Sequence[int],
        at: Sequence[int],
        longest: int,
        device: torch.device,
    ) -> None:
        """Say where the ids of the next pass go. longest: ids in any slot before."""
        self._where = (
            torch.tensor(slots, device=device),
            torch.tensor(at, device=device),
        )
        self._reserve(max(longest, max(at) + 1))

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """A layer's new (ids, key heads, width) keys and values."""
        slots, at = self._where
        # Ids that only fill up the pass are not kept.
        self.keys[layer][slots, :, at] = keys[: len(slots)]
        self.values[layer][slots, :, at] = values[: len(slots)]

    def part(
        self,
        rows: Sequence[CacheRow],
        counts: Sequence[int],
        begin: int,
        apart: bool,
        device: torch.device,
    ) -> AttentionSegment:
        """Rows that have something stored, by ascending slots, with so many new ids
        each, which stand in the pass from `begin` on.

        apart: copy what is stored of them. Otherwise all slots up to the last are
        looked at: what nobody uses is computed for nothing, which is cheaper than to
        copy the others at every pass."""
        slots = [row.slot for row in rows]
        if not apart:
            # A round number: products are compiled for every size they meet.
            top = min(-(-(slots[-1] + 1) // 8) * 8, self.keys.shape[1])
            slots = list(range(top))
        at = {slot: place for place, slot in enumerate(slots)}
        begins, own, lengths = ([0] * len(slots) for _ in range(3))
        for row, count in zip(rows, counts):
            place = at[row.slot]
            begins[place], own[place], lengths[place] = begin, count, row.length
            begin += count
        queries = position_table(begins, own, device)
        used = max(row.length + count for row, count in zip(rows, counts))
        # Softmax is faster over whole vectors of the processor.
        used = min(self.keys.shape[3], -(-used // 16) * 16)
        position = torch.tensor(lengths, device=device)[:, None]
        position = position + torch.arange(queries.shape[1], device=device)[None]
        seen = torch.arange(used, device=device) <= position[..., None]
        which = torch.tensor(slots, device=device) if apart else slice(len(slots))

        def keys(layer: int, *new: torch.Tensor) -> KeysValues:
            return (
                self.keys[layer][which, :, :used],
                self.values[layer][which, :, :used],
            )

        starts = [0] * len(slots)
        for row in rows:
            starts[at[row.slot]] = row.begin
        stand = torch.tensor(starts, device=device)[:, None]
        stand = stand + torch.arange(used, device=device)
        return AttentionSegment(
            queries, packed_order(own, device), seen, keys, lambda _: stand
        )

    def keep(self, rows: Sequence[CacheRow], kept: Sequence[int]) -> list[CacheRow]:
        """These rows, by their places; copies of those that stand there again."""
        for at in set(range(len(rows))) - set(kept):
            heappush(self._free, rows[at].slot)
        out: list[CacheRow] = []
        copies: list[tuple[int, int]] = []
        seen = set()
        for at in kept:
            row = rows[at]
            if at in seen:
                slot = self.take()
                copies.append((row.slot, slot))
                row = CacheRow(slot, row.length, row.prefix, row.begin)
            seen.add(at)
            out.append(row)
        self._copy(copies, out)
        self._copy(self._close_gaps(out), out)
        return out

    def _close_gaps(self, rows: list[CacheRow]) -> list[tuple[int, int]]:
        """Move rows down where most slots are empty."""
        if 2 * len(rows) > self.slots:
            return []
        taken = {row.slot for row in rows}
        empty = [slot for slot in range(len(rows)) if slot not in taken]
        moves = []
        for row in sorted(rows, key=lambda row: -row.slot)[: len(empty)]:
            slot = empty.pop(0)
            # Of a row that nothing was fed to there is nothing to move.
            if row.length:
                moves.append((row.slot, slot))
            row.slot = slot
        self.slots = len(rows)
        self._free.clear()
        return moves

    def _copy(
        self, copies: Sequence[tuple[int, int]], rows: Sequence[CacheRow]
    ) -> None:
        if not copies:
            return
        self._reserve(max(row.length for row in rows))
        source, target = torch.tensor(copies, device=self.keys.device).unbind(1)
        for buffer in (self.keys, self.values):
            buffer[:, target] = buffer[:, source]

    def _reserve(self, needed: int) -> None:
        """Room for all slots, and for so many ids in each."""
        _, slots, _, capacity, _ = self.keys.shape
        if self.slots <= slots and needed <= capacity:
            return
        # Grown by a part at least, so that copying stays rare; but what texts of before
        # needed is not kept for many more of now.
        if self.slots > slots:
            slots, capacity = max(self.slots, slots * 5 // 4), needed + SPARE
        else:
            capacity = max(needed + SPARE, capacity * 5 // 4)
        self.keys = _resized(self.keys, slots, capacity)
        self.values = _resized(self.values, slots, capacity)


def _resized(old: torch.Tensor, slots: int, capacity: int) -> torch.Tensor:
    layers, before, heads, room, width = old.shape
    new = old.new_zeros((layers, slots, heads, capacity, width))
    kept = min(capacity, room)
    new[:, :before, :, :kept] = old[:, :, :, :kept]
    return new


class PrefixCache:
    """Keys and values of constant prompt starts, (prefixes, key heads, ids, width) for
    every layer, short ones filled up.

    stored: by prefix, its (1, key heads, ids, width) keys and values by layer."""

    def __init__(self, stored: Mapping[Ids, list[KeysValues]]) -> None:
        self.index: dict[Ids, int] = {prefix: at for at, prefix in enumerate(stored)}
        self.lengths = [len(prefix) for prefix in stored]
        self.longest = max(self.lengths, default=0)
        columns = list(stored.values())
        self.layers = (
            columns[0] if len(columns) == 1 else [_stack(c) for c in zip(*columns)]
        )

    def part(
        self, rows: Sequence[CacheRow], counts: Sequence[int], device: torch.device
    ) -> AttentionSegment | None:
        """What the rows of a pass see of their prefixes; None for prefixes without
        ids."""
        if not self.longest:
            return None
        stand = torch.arange(self.longest, device=device)[None]
        if len(self.lengths) == 1:
            every = torch.arange(sum(counts), device=device)
            return AttentionSegment(
                every[None],
                every,
                None,
                lambda layer, *new: self.layers[layer],
                lambda _: stand,
            )
        # Ids by prefix, and where each id stands among them.
        members: dict[int, list[int]] = {}
        at = 0
        for row, count in zip(rows, counts):
            members.setdefault(row.prefix, []).extend(range(at, at + count))
            at += count
        width = max(map(len, members.values()))
        table = torch.tensor(
            [ids + [0] * (width - len(ids)) for ids in members.values()], device=device
        )
        order = torch.empty(at, dtype=torch.long)
        for number, ids in enumerate(members.values()):
            order[ids] = torch.arange(len(ids)) + number * width
        which = torch.tensor(list(members), device=device)
        lengths = torch.tensor(self.lengths, device=device)[which]
        seen = stand < lengths[:, None]

        def keys(layer: int, *new: torch.Tensor) -> KeysValues:
            keys, values = self.layers[layer]
            if list(members) == list(range(len(self.lengths))):
                return keys, values
            return keys[which], values[which]

        seen = seen[:, None]
        return AttentionSegment(table, order.to(device), seen, keys, lambda _: stand)


def _stack(stored: Sequence[KeysValues]) -> KeysValues:
    """Tensors of (1, heads, ids, width) on top of each other, filled up with 0."""
    longest = max(keys.shape[2] for keys, _ in stored)

    def stack(part: int) -> torch.Tensor:
        first = stored[0][part]
        out = first.new_zeros((len(stored), first.shape[1], longest, first.shape[3]))
        for at, layer in enumerate(stored):
            out[at, :, : layer[part].shape[2]] = layer[part][0]
        return out

    return stack(0), stack(1)
