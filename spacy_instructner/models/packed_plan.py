"""The plan of a packed pass: which ids attend to which keys.

All ids of a pass, of however many texts, stand side by side in one row. A plan says what
each of them sees, in segments, so that each segment is one matrix product:

    ids of the pass    a1 a2 a3 a4 b1 b2 b3 │ c5 d9 d10 │ (padding)
    local segments     fresh rows a, b      │ cached    │   keys of each row's own
    prefix segment     ──────── all of them ─────────────   keys of the rows' prompt starts

    what a fresh row sees         a row with two branches       a row in the KV cache
     (both ways: all of it)
          a1 a2 a3 a4                  t1 t2 x1 x2 y1                d1 … d8 d9 d10
      a1   ■                       t1   ■                       d9    ■  ■ ■  ■
      a2   ■  ■                    t2   ■  ■                    d10   ■  ■ ■  ■  ■
      a3   ■  ■  ■                 x1   ■  ■  ■
      a4   ■  ■  ■  ■              x2   ■  ■  ■  ■
                                   y1   ■  ■        ■

Rows of a segment are padded to its longest; between segments nothing is. Source: ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

import torch
from torch.nn.functional import pad

# The number of ids of a pass is a multiple of this.
ROUND = 16

# (rows, key heads, slots, width) keys and values, given a layer and the pass's own
# (ids, key heads, width) ones.
KeysValues = tuple[torch.Tensor, torch.Tensor]
Keys = Callable[[int, torch.Tensor, torch.Tensor], KeysValues]
# (rows or 1, slots) positions of keys in their texts, given those of the pass's (ids,).
KeyPositions = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class AttentionSegment:
    """Some ids of a pass and the keys that they attend to.

    queries: (rows, n) indices of the ids in the pass, short rows padded with any;
    order: (its ids,) where each of them stands in that table, flattened;
    seen: (rows or 1, n or 1, slots) bool, what each id may see; None where that is all;
    keys: gives a layer's keys and values;
    key_positions: gives where the keys stand in their texts, for sliding windows.
    """

    queries: torch.Tensor
    order: torch.Tensor
    seen: torch.Tensor | None
    keys: Keys
    key_positions: KeyPositions
    _layouts: dict[tuple, "SegmentLayout"] = field(default_factory=dict)

    def layout(
        self,
        heads: int,
        group: int,
        dtype: torch.dtype,
        window: "SlidingWindow | None" = None,
    ) -> "SegmentLayout":
        """The same for all layers of a kind, so it is made once a pass."""
        kind = heads, group, dtype
        key = (*kind, window and window.size)
        if key not in self._layouts:
            seen = self.seen if window is None else window.within(self)
            self._layouts[key] = SegmentLayout.of(self, seen, *kind)
        return self._layouts[key]


@dataclass(frozen=True)
class SlidingWindow:
    """An id sees itself and the size - 1 ids before it. positions: (ids,) of the pass,
    in their texts."""

    size: int
    positions: torch.Tensor

    def within(self, segment: AttentionSegment) -> torch.Tensor:
        """(rows, n, slots) bool, what is left of what the ids of a segment may see."""
        asked = self.positions[segment.queries][..., None]
        close = segment.key_positions(self.positions)[:, None] > asked - self.size
        return close if segment.seen is None else close & segment.seen


@dataclass(frozen=True)
class SegmentLayout:
    """A segment for (rows, key heads, n, group) queries: heads that share keys stand
    under each other, so that one product serves all of them.

    take: of the pass's (ids x heads) queries, in this order; give: of what was found,
    back in the order of the segment's ids; mask: (rows x key heads, n x group, slots)."""

    take: torch.Tensor
    give: torch.Tensor
    mask: torch.Tensor | None

    @classmethod
    def of(
        cls,
        segment: AttentionSegment,
        seen: torch.Tensor | None,
        heads: int,
        group: int,
        dtype: torch.dtype,
    ) -> "SegmentLayout":
        """heads: that have keys of their own; group: how many share each of these."""
        rows, n = segment.queries.shape
        device = segment.queries.device
        head = torch.arange(heads, device=device)[:, None]
        member = torch.arange(group, device=device)[None]
        each = (head * group + member)[:, None]
        take = segment.queries[:, None, :, None] * (heads * group) + each
        row = (segment.order // n)[:, None, None]
        at = (segment.order % n)[:, None, None]
        give = ((row * heads + head) * n + at) * group + member
        mask = None
        if seen is not None:
            mask = additive_mask(seen, dtype)[:, None, :, None]
            mask = mask.expand(rows, heads, n, group, mask.shape[-1])
            mask = mask.reshape(rows * heads, n * group, -1)
        return cls(take.flatten(), give.flatten(), mask)


@dataclass(frozen=True)
class PackedPlan:
    """Who sees what in a pass.

    local: segments of what is each row's own; they cover the ids of the pass in order.
    prefix: keys that many rows share (a constant prompt start), for all ids of the pass.
    store: gets a layer and its new (ids, key heads, width) keys and values first.
    positions: (ids,) where the ids stand in their texts; last: the highest of them.
    """

    local: Sequence[AttentionSegment]
    prefix: AttentionSegment | None = None
    store: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None
    positions: torch.Tensor = torch.empty(0)
    last: int = 0

    def window(self, size: int | None) -> SlidingWindow | None:
        """What a layer's window hides; None where it reaches over all positions."""
        return (
            SlidingWindow(size, self.positions) if size and size <= self.last else None
        )

    def padded(
        self, ids: Sequence[int], positions: Sequence[int]
    ) -> tuple[list[int], list[int], "PackedPlan"]:
        """The pass with a round number of ids: matrix products are compiled for every
        size that they meet, which costs time and memory."""
        more = -len(ids) % ROUND

        def longer(segment: AttentionSegment) -> AttentionSegment:
            # What pads looks where the first id does.
            return replace(segment, order=pad(segment.order, (0, more)))

        zeros = [0] * more
        plan = replace(
            self,
            local=[*self.local[:-1], longer(self.local[-1])],
            prefix=None if self.prefix is None else longer(self.prefix),
        )
        return [*ids, *zeros], [*positions, *zeros], plan


def index_table(
    begins: Sequence[int], counts: Sequence[int], device: torch.device
) -> torch.Tensor:
    """(rows, most ids of a row): begin, begin + 1, … for each row; past a row's
    count, its begin again."""
    begin = torch.tensor(begins, device=device)[:, None]
    count = torch.tensor(counts, device=device)[:, None]
    at = torch.arange(max(counts), device=device)[None]
    return begin + at * (at < count)


def packed_order(counts: Sequence[int], device: torch.device) -> torch.Tensor:
    """(sum of counts,) where the ids of rows stand in a flattened table of padded rows."""
    count = torch.tensor(counts, device=device)[:, None]
    at = torch.arange(max(counts), device=device)[None]
    return (at < count).flatten().nonzero()[:, 0]


def additive_mask(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What to add to attention scores, so that only what is seen counts. Finite, also with
    a score on top: a row that sees nothing (padding only) must not become NaN."""
    hidden = torch.finfo(dtype).min / 2
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, hidden)


def keys_of_pass(table: torch.Tensor) -> tuple[Keys, KeyPositions]:
    """The pass's own keys and values at these (rows, slots) indices, and where they
    stand in their texts."""
    flat = table.flatten()

    def rows_of(tensor: torch.Tensor) -> torch.Tensor:
        shape = (*table.shape, *tensor.shape[1:])
        return tensor.index_select(0, flat).view(shape).transpose(1, 2)

    def keys_values(layer: int, keys: torch.Tensor, values: torch.Tensor) -> KeysValues:
        return rows_of(keys), rows_of(values)

    return keys_values, lambda positions: positions[table]


@dataclass(frozen=True)
class FreshRow:
    """A row with nothing cached.

    counts: how many ids are in its trunk, and in each of the branches behind it; an id sees
    those of its row up to itself, of another branch none. both_ways: whether an id sees
    those behind it, too, in a row without branches; the first `causal` ids do not."""

    counts: tuple[int, ...]
    both_ways: bool = False
    causal: int = 0

    def __len__(self) -> int:
        return sum(self.counts)


def fresh_segments(
    rows: Sequence[FreshRow], device: torch.device
) -> list[AttentionSegment]:
    """The first rows of a pass, with nothing cached. Rows of like length that follow each
    other make up a segment, so that none is padded to more than twice its length."""
    segments: list[AttentionSegment] = []
    group: list[FreshRow] = []
    begin = 0
    for row in rows:
        counts = [len(other) for other in (*group, row)]
        if min(counts) * 2 < max(counts):
            segments.append(_fresh_segment(group, begin, device))
            begin += sum(counts[:-1])
            group = []
        group.append(row)
    return [*segments, _fresh_segment(group, begin, device)]


def _fresh_segment(
    rows: Sequence[FreshRow], begin: int, device: torch.device
) -> AttentionSegment:
    counts = [len(row) for row in rows]
    table = index_table(list(accumulate([begin, *counts[:-1]])), counts, device)
    at = torch.arange(table.shape[1], device=device)
    seen = at[None, None] <= at[None, :, None]
    if any(row.both_ways for row in rows):
        # Which ids of each row see both ways; they see all of their row.
        first = [row.causal if row.both_ways else len(row) for row in rows]
        asking = at[None] >= torch.tensor(first, device=device)[:, None]
        own = at[None] < torch.tensor(counts, device=device)[:, None]
        seen = seen | (asking[:, :, None] & own[:, None])
    if any(len(row.counts) > 1 for row in rows):
        branch = torch.tensor(
            [
                [
                    number
                    for number, count in enumerate(row.counts)
                    for _ in range(count)
                ]
                + [0] * (table.shape[1] - len(row))
                for row in rows
            ],
            device=device,
        )
        trunk = branch[:, None] == 0
        seen = seen & (trunk | (branch[:, None] == branch[:, :, None]))
    order = packed_order(counts, device)
    return AttentionSegment(table, order, seen, *keys_of_pass(table))


@dataclass(frozen=True)
class PrefixRange:
    """A prefix among the ids of a pass: where it begins and ends, and where the last of
    the records behind it ends. It ends where it begins if it is read in the row of its only
    text."""

    begin: int
    end: int
    stop: int


def prefixes_of_pass(
    prefixes: Sequence[PrefixRange], device: torch.device
) -> AttentionSegment:
    """The prefixes of a pass as keys for the records behind them."""
    lengths = [each.end - each.begin for each in prefixes]
    counts = [each.stop - each.begin for each in prefixes]
    begins = [each.begin for each in prefixes]
    table = index_table(begins, [max(1, n) for n in lengths], device)
    queries = index_table(begins, counts, device)
    length = torch.tensor(lengths, device=device)[:, None]
    seen = torch.arange(table.shape[1], device=device)[None] < length
    # A prefix has seen itself as a row of its own.
    behind = torch.arange(queries.shape[1], device=device)[None] >= length
    seen = seen[:, None] & behind[..., None]
    order = packed_order(counts, device)
    return AttentionSegment(queries, order, seen, *keys_of_pass(table))
