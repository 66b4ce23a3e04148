"""What each id of a packed pass sees, read off the plan, id by id."""

from collections.abc import Sequence
from itertools import pairwise

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from spacy_instructner.models.kv_cache import CacheRow, SlotKVCache
from spacy_instructner.models.packed_batch import (
    FEW,
    PackedBatch,
    PackedExamples,
    pack_records,
)
from spacy_instructner.models.packed_plan import AttentionSegment, PackedPlan
from spacy_instructner.models.prefix_cache import PrefilledPrefix, PrefixCache
from spacy_instructner.tasks.base import TrainingRecord

CPU = torch.device("cpu")


def numbers(values: Sequence[int]) -> torch.Tensor:
    """(ids, 1 key head, 1) keys that say which id they are of."""
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


def seen_in(segment: AttentionSegment, keys: torch.Tensor) -> list[list[int]]:
    """The keys that each id of a segment sees, in its order."""
    stored, _ = segment.keys(0, keys, keys)
    found = []
    width = segment.queries.shape[1]
    for at in segment.order.tolist():
        row, column = divmod(at, width)
        own = stored[row if stored.shape[0] > 1 else 0, 0, :, 0]
        if segment.seen is not None:
            rows, columns, _ = segment.seen.shape
            mask = segment.seen[row if rows > 1 else 0, column if columns > 1 else 0]
            own = own[mask]
        found.append([int(key) for key in own])
    return found


def seen_by(plan: PackedPlan, ids: Sequence[int]) -> list[list[int]]:
    """The keys that each id of a pass sees: those of its prefix, then its own."""
    keys = numbers(ids)
    local = [own for segment in plan.local for own in seen_in(segment, keys)]
    assert len(local) == len(ids)
    if plan.prefix is None:
        return local
    shared = seen_in(plan.prefix, keys)
    return [[*first, *own] for first, own in zip(shared, local, strict=True)]


def asked_in(plan: PackedPlan) -> list[int]:
    """Which ids of the pass the local segments are about, in their order."""
    return [
        int(segment.queries.flatten()[at])
        for segment in plan.local
        for at in segment.order.tolist()
    ]


class Texts:
    """Rows that are decoded, beside what each of them must see: fresh numbers for every
    id that is fed, so that no id can be taken for another."""

    def __init__(self, prefixes: Sequence[tuple[int, ...]]) -> None:
        stored = {}
        for prefix in prefixes:
            keys = numbers(prefix).transpose(0, 1)[None]
            stored[prefix] = PrefilledPrefix([(keys, keys)], torch.empty(0))
        self.prefixes = PrefixCache(stored)
        self.cache = SlotKVCache(self.prefixes.layers)
        self.rows: list[CacheRow] = []
        self.expected: list[tuple[tuple[int, ...], list[int]]] = []
        self.next = 1000

    def add(self, prefix: tuple[int, ...]) -> None:
        at = self.prefixes.index[prefix]
        self.rows.append(CacheRow(self.cache.take_slot(), 0, at, len(prefix)))
        self.expected.append((prefix, []))

    def feed(self, counts: Sequence[int]) -> None:
        fed = []
        for count in counts:
            fed.append(list(range(self.next, self.next + count)))
            self.next += count
        batch = PackedBatch(self.rows, fed)
        plan = batch.plan(self.cache, self.prefixes, CPU)
        assert plan.store is not None
        plan.store(0, numbers(batch.ids), numbers(batch.ids))
        assert asked_in(plan) == list(range(len(batch.ids)))
        seen = seen_by(plan, batch.ids)
        wanted = [(row, at) for row, ids in enumerate(fed) for at in range(len(ids))]
        for (row, at), place in zip(wanted, batch.index(wanted), strict=True):
            prefix, before = self.expected[row]
            assert batch.ids[place] == fed[row][at]
            assert batch.positions[place] == len(prefix) + len(before) + at
            assert seen[place] == [*prefix, *before, *fed[row][: at + 1]]
        for row, ids in enumerate(fed):
            self.rows[row].length += len(ids)
            self.expected[row][1].extend(ids)

    def rollback(self, counts: Sequence[int]) -> None:
        for row, (_, before), count in zip(self.rows, self.expected, counts):
            count = min(count, len(before) - 1)
            row.length -= count
            del before[len(before) - count :]

    def reorder(self, kept: Sequence[int]) -> None:
        self.rows = self.cache.reorder(self.rows, kept)
        self.expected = [
            (p, list(own)) for p, own in (self.expected[at] for at in kept)
        ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_id_sees_its_prefix_its_row_and_itself(data: st.DataObject) -> None:
    prefixes = data.draw(
        st.sampled_from([[()], [(7, 8, 9)], [(), (7, 8)], [(4,), (5, 6, 7), (8, 9)]])
    )
    texts = Texts(prefixes)
    for _ in range(data.draw(st.integers(1, 6))):
        new = data.draw(st.integers(0 if texts.rows else 1, 4))
        for _ in range(new):
            texts.add(data.draw(st.sampled_from(prefixes)))
        length = st.integers(1, 2 * FEW)
        size = len(texts.rows)
        texts.feed(data.draw(st.lists(length, min_size=size, max_size=size)))
        lost = st.integers(0, 3)
        texts.rollback(data.draw(st.lists(lost, min_size=size, max_size=size)))
        kept = data.draw(st.lists(st.integers(0, size - 1), max_size=size + 2))
        texts.reorder(sorted(kept) if data.draw(st.booleans()) else kept)


def test_rows_stand_by_what_is_cached_of_them() -> None:
    """New rows first, the longest ahead; then those fed a few ids, by their slots; then
    those fed many."""
    rows = [
        CacheRow(3, 5, 0, 2),
        CacheRow(4, 0, 0, 2),
        CacheRow(1, 9, 0, 2),
        CacheRow(0, 4, 0, 2),
        CacheRow(5, 0, 0, 2),
    ]
    fed = [[1], [2, 3], [4, 5], list(range(10, 11 + FEW)), [6, 7, 8]]
    batch = PackedBatch(rows, fed)
    assert [row.index for row in batch.rows] == [4, 1, 2, 0, 3]
    assert batch.ids == [6, 7, 8, 2, 3, 4, 5, 1, *range(10, 11 + FEW)]
    assert batch.positions[:8] == [2, 3, 4, 2, 3, 11, 12, 7]
    assert batch.slots[:8] == [5, 5, 5, 4, 4, 1, 1, 3]
    assert batch.offsets[:8] == [0, 1, 2, 0, 1, 9, 10, 5]
    assert batch.index([(0, 0), (3, 0), (4, 2)]) == [7, 8, 2]


def record(
    prefix: Sequence[int],
    suffix: Sequence[int],
    answer: Sequence[int],
    shared: int = 0,
    weights: Sequence[float] | None = None,
    both_ways: bool = False,
) -> TrainingRecord:
    return TrainingRecord(
        tuple(prefix),
        tuple(suffix),
        tuple(answer),
        tuple(weights or [1.0] * len(answer)),
        "main",
        shared=shared,
        both_ways=both_ways,
    )


@st.composite
def records(draw: st.DrawFn) -> list[TrainingRecord]:
    """Records of a few prefixes and texts, each id another number."""
    count = iter(range(100, 100_000))

    def ids(least: int, most: int) -> list[int]:
        return [next(count) for _ in range(draw(st.integers(least, most)))]

    found = []
    for _ in range(draw(st.integers(1, 3))):
        prefix = ids(0, 4)
        # As methods have it: rows that are read both ways have no branches.
        both = draw(st.booleans())
        for _ in range(draw(st.integers(1, 3))):
            trunk = [] if both else ids(0, 5)
            for _ in range(draw(st.integers(1, 3))):
                suffix, answer = [*trunk, *ids(1, 3)], ids(1, 4)
                weights = [draw(st.sampled_from([0.0, 1.0, 2.0])) for _ in answer]
                found.append(record(prefix, suffix, answer, len(trunk), weights, both))
    return found


@settings(max_examples=60, deadline=None)
@given(records())
def test_every_record_sees_its_prefix_what_it_shares_and_itself(
    given_records: list[TrainingRecord],
) -> None:
    packed = PackedExamples.of(given_records)
    plan = packed.plan(CPU)
    # The first id of every pass is its text's first, too.
    assert asked_in(plan) == list(range(len(packed.ids)))
    seen = seen_by(plan, packed.ids)
    positions = packed.token_positions
    scored = []
    for index, each in enumerate(given_records):
        whole = [*each.prefix, *each.suffix, *each.answer[:-1]]
        for at in range(len(whole)):
            place = positions.of(index, each, at)
            assert packed.ids[place] == whole[at]
            assert packed.positions[place] == at
            behind = each.both_ways and at >= len(each.prefix)
            assert seen[place] == (whole if behind else whole[: at + 1])
        begin = len(each.prefix) + len(each.suffix) - 1
        scored.extend(
            positions.of(index, each, begin + at)
            for at, weight in enumerate(each.weights)
            if weight
        )
    assert packed.scored == scored


def test_a_prefix_that_one_text_has_alone_is_part_of_its_row() -> None:
    """There is nothing to join, then; what is read once for many texts never sees what
    stands behind it."""
    both = record([1, 2], [3, 4], [], both_ways=True)
    packed = PackedExamples.of([both, record([5], [6, 7, 8], [9], shared=2)])
    assert [row.counts for row in packed.rows] == [(4,), (3, 1)]
    plan = packed.plan(CPU)
    assert plan.prefix is None
    own = [[1], [1, 2], [1, 2, 3, 4], [1, 2, 3, 4]]
    assert seen_by(plan, packed.ids) == [*own, [5], [5, 6], [5, 6, 7], [5, 6, 7, 8]]


def test_what_records_share_is_read_once() -> None:
    shared = [
        record([1, 2], [3, 4, 5], [6, 7], shared=2),
        record([1, 2], [3, 4, 8], [9], shared=2),
        record([1, 2], [10, 11], [12], shared=1),
    ]
    packed = PackedExamples.of(shared)
    assert packed.ids == [1, 2, 3, 4, 5, 6, 8, 10, 11]
    assert packed.positions == [0, 1, 2, 3, 4, 5, 4, 2, 3]
    assert [row.counts for row in packed.rows] == [(2,), (2, 2, 1), (1, 1)]
    assert packed.scored == [4, 5, 6, 8]


@settings(max_examples=40, deadline=None)
@given(records(), st.integers(1, 40))
def test_packs_hold_all_records_and_few_ids(
    given_records: list[TrainingRecord], tokens: int
) -> None:
    packs = pack_records(given_records, tokens)
    assert sorted(map(repr, given_records)) == sorted(repr(r) for p in packs for r in p)
    for pack in packs:
        assert len(pack) == 1 or len(PackedExamples.of(pack).ids) <= tokens
    # A pack is closed because the next record had no room.
    for pack, after in pairwise(packs):
        assert len(PackedExamples.of([*pack, after[0]]).ids) > tokens


@pytest.mark.parametrize("count", [1, 15, 16, 17])
def test_a_pass_is_padded_to_a_round_number(count: int) -> None:
    ids = list(range(50, 50 + count))
    packed = PackedExamples.of([record([], ids, [1])])
    padded, positions, plan = packed.plan(CPU).padded(packed.ids, packed.positions)
    assert len(padded) == len(positions) == -(-count // 16) * 16
    assert padded[:count] == ids
    # What pads looks where the first id does, and nobody looks at it.
    seen = seen_by(plan, padded)
    assert seen[count:] == [seen[0]] * (len(padded) - count)
    assert not {0} & {key for own in seen for key in own}
