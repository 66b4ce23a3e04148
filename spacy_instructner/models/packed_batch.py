"""What enters the model in one packed pass: rows that are decoded, records to learn from.

Decoding, a `PackedBatch`. Rows are laid end to end, by how much of them is cached:

    fed            row 0: x │ row 1: a b c (new) │ row 2: p q r s t u v │ row 3: y
    ids            a b c    │ x y                │ p q r s t u v
    segments       fresh    │ cached, few ids    │ cached, many ids (their keys are gathered)

Training, `PackedExamples`. What records share is read once:

    ids            prefix │ trunk of text 1 │ branch │ branch │ trunk of text 2 │ branch │ …
    records               └──────── label A ────┘        │
                          └──────── label B ─────────────┘

A prefix that one text alone has is part of its row.

Source: ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from operator import itemgetter

import torch

from ..decoding.answers import Ids
from ..tasks.base import TrainingRecord
from .forward_output import TokenPositions
from .kv_cache import CacheRow, SlotKVCache
from .packed_plan import (
    AttentionSegment,
    FreshRow,
    PackedPlan,
    PrefixRange,
    fresh_segments,
    prefixes_of_pass,
)
from .prefix_cache import PrefixCache

# Rows under way that are fed more ids at once than this (a long word that leaves no
# choice) are told apart from the others, which would be padded to it.
FEW = 6


@dataclass(frozen=True)
class PackedRow:
    """A row of a pass. index: of it in the session; ids: what it is fed."""

    index: int
    cached: CacheRow
    ids: Sequence[int]


class PackedBatch:
    """The ids that rows under way are fed.

    rows: of the session, with what is cached of them; fed: the ids of each."""

    def __init__(self, rows: Sequence[CacheRow], fed: Sequence[Sequence[int]]) -> None:
        each = [PackedRow(i, row, ids) for i, (row, ids) in enumerate(zip(rows, fed))]
        # Long ones before short ones, so that a segment has rows of like length.
        self.fresh = [row for row in each if not row.cached.length]
        self.fresh.sort(key=lambda row: -len(row.ids))
        # By their slots, as the cache has them.
        cached = [row for row in each if row.cached.length]
        cached.sort(key=lambda row: row.cached.slot)
        self.few = [row for row in cached if len(row.ids) <= FEW]
        self.many = [row for row in cached if len(row.ids) > FEW]
        self.rows = [*self.fresh, *self.few, *self.many]

    @property
    def ids(self) -> list[int]:
        """(ids,) of the pass."""
        return [token for row in self.rows for token in row.ids]

    @property
    def positions(self) -> list[int]:
        """(ids,) where they stand in their texts."""
        return [r.cached.position + at for r in self.rows for at in range(len(r.ids))]

    @property
    def slots(self) -> list[int]:
        """(ids,) in which slots of the cache their keys and values are stored."""
        return [row.cached.slot for row in self.rows for _ in row.ids]

    @property
    def offsets(self) -> list[int]:
        """(ids,) and where in these slots."""
        return [r.cached.length + at for r in self.rows for at in range(len(r.ids))]

    def plan(
        self, cache: SlotKVCache, prefixes: PrefixCache, device: torch.device
    ) -> PackedPlan:
        """Who sees what; the cache is made ready to store what is new."""
        longest = max(row.cached.length for row in self.rows)
        cache.prepare(self.slots, self.offsets, longest, device)
        fresh = [FreshRow((len(row.ids),)) for row in self.fresh]
        local = fresh_segments(fresh, device) if fresh else []
        begin = sum(len(row.ids) for row in self.fresh)
        for group, gather in ((self.few, False), (self.many, True)):
            if group:
                counts = [len(row.ids) for row in group]
                cached = [row.cached for row in group]
                local.append(cache.segment(cached, counts, begin, gather, device))
                begin += sum(counts)
        counts = [len(row.ids) for row in self.rows]
        own = [row.cached.prefix for row in self.rows]
        return PackedPlan(local, prefixes.segment(own, counts, device), cache.store)

    def index(self, wanted: Sequence[tuple[int, int]]) -> list[int]:
        """Where ids stand in the pass. wanted: (row of the session, which of its ids)."""
        begins = accumulate([0, *(len(row.ids) for row in self.rows)])
        first = {row.index: begin for row, begin in zip(self.rows, begins)}
        return [first[row] + at for row, at in wanted]


@dataclass
class PackedExamples:
    """Records side by side: each sees its prefix, what it shares and itself.

    ids, positions: (ids,) of the pass, and where they stand in their texts;
    rows: what each row holds: a shared prefix, or a trunk and its branches, behind a prefix that
        no other text has;
    prefixes: where shared ones stand in the pass, and which ids each is seen by;
    scored: where the logits of the answers' ids with a weight are read;
    prefix_starts, own_starts, branch_starts: of each record, see `TokenPositions`."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    rows: list[FreshRow] = field(default_factory=list)
    prefixes: list[PrefixRange] = field(default_factory=list)
    scored: list[int] = field(default_factory=list)
    prefix_starts: list[int] = field(default_factory=list)
    own_starts: list[int] = field(default_factory=list)
    branch_starts: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, records: Sequence[TrainingRecord]) -> "PackedExamples":
        """records: those of one prefix, and of one text, beside each other."""
        packed = cls()
        for prefix, group in groupby(records, key=lambda record: record.prefix):
            packed._add_prefix(prefix, list(group))
        return packed

    @property
    def token_positions(self) -> TokenPositions:
        return TokenPositions(
            tuple(self.prefix_starts),
            tuple(self.own_starts),
            tuple(self.branch_starts),
        )

    def plan(self, device: torch.device) -> PackedPlan:
        """Who sees what."""
        prefix: AttentionSegment | None = None
        if any(each.end > each.begin for each in self.prefixes):
            prefix = prefixes_of_pass(self.prefixes, device)
        return PackedPlan(fresh_segments(self.rows, device), prefix)

    def _add_prefix(self, prefix: Ids, records: Sequence[TrainingRecord]) -> None:
        keyed = groupby(zip(_text_keys(records), records), key=itemgetter(0))
        texts = [[record for _, record in text] for _, text in keyed]
        # What no other text has needs no softmax of its own.
        unshared = len(prefix) if len(texts) == 1 else 0
        begin = self._read(prefix, 0)
        if prefix and not unshared:
            self.rows.append(FreshRow((len(prefix),)))
        for text in texts:
            trunk = text[0].trunk
            own = self._read(trunk, len(prefix))
            self.prefix_starts.extend([begin] * len(text))
            self.own_starts.extend([own] * len(text))
            branches = [self._read_branch(record) for record in text]
            counts = [unshared + len(trunk), *branches]
            # What branches off nothing of its own is a trunk itself.
            if not trunk:
                counts = [sum(counts)]
            row = FreshRow(tuple(counts), text[0].both_ways, unshared)
            self.rows.append(row)
        end = begin if unshared else begin + len(prefix)
        self.prefixes.append(PrefixRange(begin, end, len(self.ids)))

    def _read_branch(self, record: TrainingRecord) -> int:
        """Add what a record reads behind its trunk. RETURNS: how many ids."""
        trunk = record.trunk
        branch = record.suffix[len(trunk) :] + record.answer[:-1]
        begin = self._read(branch, len(record.prefix) + len(trunk))
        self.branch_starts.append(begin)
        # The last id of the suffix is read before the first of the answer is written.
        first = begin + len(record.suffix) - len(trunk) - 1
        self.scored.extend(first + at for at, w in enumerate(record.weights) if w)
        return len(branch)

    def _read(self, ids: Ids, position: int) -> int:
        """Add ids that stand in their text from this position on. RETURNS: where the
        first of them stands in the pass."""
        begin = len(self.ids)
        self.ids.extend(ids)
        self.positions.extend(range(position, position + len(ids)))
        return begin


def _text_keys(records: Sequence[TrainingRecord]) -> list[tuple[Ids, Ids, int]]:
    """For each record what those of one text have in common. One that shares nothing is a
    text by itself."""
    return [
        (record.prefix, record.trunk, 0 if record.shared else number + 1)
        for number, record in enumerate(records)
    ]


def pack_records(
    records: Sequence[TrainingRecord], tokens: int
) -> list[list[TrainingRecord]]:
    """Records of one prefix side by side, and of one text, in packs of at most so many
    ids, so that what they share is computed once a pack."""
    texts: dict[tuple[Ids, Ids, int], list[TrainingRecord]] = {}
    for key, record in zip(_text_keys(records), records):
        texts.setdefault(key, []).append(record)
    order = sorted(texts.items(), key=lambda each: (each[0][0], _length(each[1])))
    packs: list[list[TrainingRecord]] = []
    size = 0
    for _, text in order:
        for number, record in enumerate(text):
            own = len(record.suffix) + len(record.answer[:-1])
            same = bool(packs) and packs[-1][-1].prefix == record.prefix
            cost = own if same else own + len(record.prefix)
            cost -= record.shared if number else 0
            if not packs or size + cost > tokens:
                packs.append([])
                size, cost = 0, own + len(record.prefix)
            packs[-1].append(record)
            size += cost
    return packs


def _length(text: Sequence[TrainingRecord]) -> int:
    """Ids that are read of a text's records, what they share once."""
    own = (len(r.suffix) - r.shared + len(r.answer[:-1]) for r in text)
    return text[0].shared + sum(own)
