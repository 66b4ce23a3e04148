"""KV cache of rows under way: a slot for each row, all slots in one block of memory.

    slot 0   a1 a2 a3 a4 ·· ··     a row with 4 ids of its own
    slot 1   ·· ·· ·· ·· ·· ··     free: the next row takes it
    slot 2   c1 c2 c3 c4 c5 c6     a row that fills its capacity
             └ what is left past a row's length is hidden by masks, and written over

A constant prompt start is no part of it: see `prefix_cache.py`. Source: ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import torch

from .packed_plan import AttentionSegment, KeysValues, index_table, packed_order

# Ids for which each slot has room beyond what is needed now, so that buffers seldom grow.
SPARE = 32


@dataclass
class CacheRow:
    """slot: of the cache; length: ids of the row's own that are stored there; prefix:
    index of its prefix in the prefix cache; prefix_length: ids of that."""

    slot: int
    length: int
    prefix: int
    prefix_length: int

    @property
    def position(self) -> int:
        """Where the row's next id stands in its text."""
        return self.prefix_length + self.length


class SlotKVCache:
    """Keys and values of rows, each in a buffer of (layers, slots, key heads, capacity,
    width). A slot that is given back is used again.

    layers: keys and values of any row, layer by layer, which tell the shapes."""

    def __init__(self, layers: Sequence[KeysValues]) -> None:
        # One block each for all layers: many small ones that grow would leave holes.
        self.keys, self.values = (
            one.new_zeros((len(layers), 0, one.shape[1], 0, one.shape[3]))
            for one in layers[0]
        )
        self.slots = 0
        self._free: list[int] = []
        # Where the next ids go: (ids,) slots, (ids,) offsets in them.
        self._targets: tuple[torch.Tensor, torch.Tensor] = (torch.empty(0),) * 2

    def take_slot(self) -> int:
        """The lowest slot that is free."""
        if self._free:
            return heappop(self._free)
        self.slots += 1
        return self.slots - 1

    def prepare(
        self,
        slots: Sequence[int],
        offsets: Sequence[int],
        longest: int,
        device: torch.device,
    ) -> None:
        """Say where the ids of the next pass go. longest: ids in any slot before."""
        self._targets = (
            torch.tensor(slots, device=device),
            torch.tensor(offsets, device=device),
        )
        self._reserve(max(longest, max(offsets) + 1))

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """A layer's new (ids, key heads, width) keys and values."""
        slots, offsets = self._targets
        # Ids that only pad the pass are not kept.
        self.keys[layer][slots, :, offsets] = keys[: len(slots)]
        self.values[layer][slots, :, offsets] = values[: len(slots)]

    def segment(
        self,
        rows: Sequence[CacheRow],
        counts: Sequence[int],
        begin: int,
        gather: bool,
        device: torch.device,
    ) -> AttentionSegment:
        """What rows with something stored see, by ascending slots.

        counts: how many new ids each has; begin: where the first of these stands in the
        pass; gather: copy what is stored of these rows. Otherwise all slots up to the last
        are looked at: what nobody uses is computed for nothing, which is cheaper than to
        copy the others at every pass."""
        slots = [row.slot for row in rows]
        if not gather:
            # A round number: products are compiled for every size they meet.
            top = min(-(-(slots[-1] + 1) // 8) * 8, self.keys.shape[1])
            slots = list(range(top))
        place = {slot: at for at, slot in enumerate(slots)}
        begins, new, lengths, firsts = ([0] * len(slots) for _ in range(4))
        for row, count in zip(rows, counts):
            at = place[row.slot]
            begins[at], new[at], lengths[at] = begin, count, row.length
            firsts[at] = row.prefix_length
            begin += count
        queries = index_table(begins, new, device)
        used = max(row.length + count for row, count in zip(rows, counts))
        # Softmax is faster over whole vectors of the processor.
        used = min(self.keys.shape[3], -(-used // 16) * 16)
        last = torch.tensor(lengths, device=device)[:, None]
        last = last + torch.arange(queries.shape[1], device=device)[None]
        seen = torch.arange(used, device=device) <= last[..., None]
        which = torch.tensor(slots, device=device) if gather else slice(len(slots))

        def keys(layer: int, *new: torch.Tensor) -> KeysValues:
            return (
                self.keys[layer][which, :, :used],
                self.values[layer][which, :, :used],
            )

        positions = torch.tensor(firsts, device=device)[:, None]
        positions = positions + torch.arange(used, device=device)
        order = packed_order(new, device)
        return AttentionSegment(queries, order, seen, keys, lambda _: positions)

    def reorder(self, rows: Sequence[CacheRow], kept: Sequence[int]) -> list[CacheRow]:
        """These rows, by their indices; copies of those that are kept more than once."""
        for at in set(range(len(rows))) - set(kept):
            heappush(self._free, rows[at].slot)
        out: list[CacheRow] = []
        copies: list[tuple[int, int]] = []
        seen = set()
        for at in kept:
            row = rows[at]
            if at in seen:
                slot = self.take_slot()
                copies.append((row.slot, slot))
                row = CacheRow(slot, row.length, row.prefix, row.prefix_length)
            seen.add(at)
            out.append(row)
        self._copy(copies, out)
        self._copy(self._close_gaps(out), out)
        return out

    def _close_gaps(self, rows: list[CacheRow]) -> list[tuple[int, int]]:
        """Move rows down where most slots are empty. RETURNS: what to copy where."""
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
