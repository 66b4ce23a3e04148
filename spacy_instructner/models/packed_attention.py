"""Attention over packed rows: one row of ids, each seeing what its own text allows.

All ids of a pass, of however many texts, stand side by side in one row, so that the
big matrix products have no padding. Only here are they told apart. Registered with
transformers as an attention function that a model is given once, for good: the plan of a
pass travels with the thread that makes the pass, so that any number of threads can use
one model. Called outside of `run_packed`, a model attends as it did before. Source: ours.
"""

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from itertools import accumulate
from typing import (
    Any,
    TypeVar,
)

import torch
from torch.nn.functional import dropout as drop_out
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask

# By what a model attends with otherwise.
NAMES = {"sdpa": "spacy_instructner", "eager": "spacy_instructner_eager"}
# Products here come in ever new sizes. For each of them oneDNN keeps what it compiled and
# torch the product's own memory, by default for 1024 sizes each: hundreds of megabytes.
# With fewer it is not slower. Tensors of two megabytes and more in huge pages, as Linux
# offers them, take less time to be had and leave smaller holes when they are gone. All are
# read from the environment, once, at first need.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
os.environ.setdefault("LRU_CACHE_CAPACITY", "32")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
LOG2_E = math.log2(math.e)
T = TypeVar("T")

# (rows, key heads, slots, width) keys and values, given a layer and the pass's own
# (ids, key heads, width) ones.
KeysValues = tuple[torch.Tensor, torch.Tensor]
Keys = Callable[[int, torch.Tensor, torch.Tensor], KeysValues]
# (rows or 1, slots) positions of keys in their texts, given those of the pass's (ids,).
KeyPositions = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class AttentionSegment:
    """Some ids of a pass and the keys they look at.

    queries: (rows, n) places of the ids in the pass, short rows filled up with any;
    order: (its ids,) where each of them stands in that table, laid end to end;
    seen: (rows or 1, n, slots) bool, what each id may see; None where that is all;
    stand: where the keys stand in their texts, for layers with a sliding window.
    """

    queries: torch.Tensor
    order: torch.Tensor
    seen: torch.Tensor | None
    keys: Keys
    stand: KeyPositions
    _laid_out: dict[tuple, "SegmentLayout"] = field(default_factory=dict)

    def layout(
        self,
        heads: int,
        group: int,
        dtype: torch.dtype,
        near: "SlidingWindow | None" = None,
    ) -> "SegmentLayout":
        """The same for all layers of a kind, so it is made once a pass."""
        kind = heads, group, dtype
        key = (*kind, near and near.window)
        if key not in self._laid_out:
            seen = self.seen if near is None else near.within(self)
            self._laid_out[key] = SegmentLayout.of(self, seen, *kind)
        return self._laid_out[key]


@dataclass(frozen=True)
class SlidingWindow:
    """A sliding window: an id sees itself and the window - 1 ids before it.

    positions: (ids,) of the pass, in their texts."""

    window: int
    positions: torch.Tensor

    def within(self, part: AttentionSegment) -> torch.Tensor:
        """(rows, n, slots) bool, what is left of what the ids of a part may see."""
        asked = self.positions[part.queries][..., None]
        near = part.stand(self.positions)[:, None] > asked - self.window
        return near if part.seen is None else near & part.seen


@dataclass(frozen=True)
class SegmentLayout:
    """A part for (rows, key heads, n, group) queries: heads that share keys stand under
    each other, so that one product serves all of them.

    take: of the pass's (ids x heads) queries, in this order; give: of what was found,
    back in the order of the part's ids; mask: (rows x key heads, n x group, slots)."""

    take: torch.Tensor
    give: torch.Tensor
    mask: torch.Tensor | None

    @classmethod
    def of(
        cls,
        part: AttentionSegment,
        seen: torch.Tensor | None,
        heads: int,
        group: int,
        dtype: torch.dtype,
    ) -> "SegmentLayout":
        rows, n = part.queries.shape
        device = part.queries.device
        head = torch.arange(heads, device=device)[:, None]
        member = torch.arange(group, device=device)[None]
        each = (head * group + member)[:, None]
        take = part.queries[:, None, :, None] * (heads * group) + each
        row, at = (part.order // n)[:, None, None], (part.order % n)[:, None, None]
        give = ((row * heads + head) * n + at) * group + member
        mask = None
        if seen is not None:
            mask = additive(seen, dtype)[:, None, :, None]
            mask = mask.expand(rows, heads, n, group, mask.shape[-1])
            mask = mask.reshape(rows * heads, n * group, -1)
        return cls(take.flatten(), give.flatten(), mask)


@dataclass(frozen=True)
class PackedPlan:
    """Who sees what.

    near: parts of what is each row's own; they cover the ids of the pass in order.
    far: keys that many rows share (a constant prompt start), for all ids of the pass.
    store: gets a layer and its new (ids, key heads, width) keys and values first.
    positions: (ids,) where the ids stand in their texts; last: the highest of them.
    """

    near: Sequence[AttentionSegment]
    far: AttentionSegment | None = None
    store: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None
    positions: torch.Tensor = torch.empty(0)
    last: int = 0

    def sliding(self, window: int | None) -> SlidingWindow | None:
        """What a layer's window hides; None where it reaches over all positions."""
        return (
            SlidingWindow(window, self.positions)
            if window and window <= self.last
            else None
        )


# Of this thread's pass; a task of asyncio has its own, too.
_under_way: "ContextVar[PackedPlan | None]" = ContextVar("pass", default=None)


def run_packed(plan: PackedPlan | None, work: Callable[[], T]) -> T:
    """What work gives, where the models that it calls attend as the plan says; with None,
    as they do by themselves.

    In a context of its own, so that nothing of the plan is left behind, wherever an
    interrupt comes."""

    def planned() -> T:
        _under_way.set(plan)
        return work()

    return copy_context().run(planned)


def same_plan() -> AbstractContextManager:
    """To be made in a pass and entered later, by any thread, for a repetition of it."""
    return _repeated(_under_way.get())


@contextmanager
def _repeated(plan: PackedPlan | None) -> Iterator[None]:
    before = _under_way.get()
    try:
        _under_way.set(plan)
        yield
    finally:
        _under_way.set(before)


def use_packed_attention(config: PretrainedConfig) -> None:
    """Let a model of this config attend by plans, where there is one, from now on."""
    own = config._attn_implementation
    # A copy of a model has been told already.
    if own not in NAMES.values():
        config._attn_implementation = NAMES.get(own, NAMES["sdpa"])


def _register(own: str, attend_alone: Callable, mask_alone: Callable) -> None:
    """Tell transformers of an attention function. attend_alone, mask_alone: what serves
    outside of a packed pass."""

    def mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:
        # A plan says who sees what.
        return mask_alone(*args, **kwargs) if _under_way.get() is None else None

    def attention(
        module: Any, *states: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        plan = _under_way.get()
        if plan is None:
            found: tuple[torch.Tensor, torch.Tensor | None]
            found = attend_alone(module, *states, **kwargs)
            return found
        return attend(plan, module, *states, **kwargs), None

    AttentionInterface.register(NAMES[own], attention)
    AttentionMaskInterface.register(NAMES[own], mask)


def _eager(module: Any, *states: Any, **kwargs: Any) -> Any:
    """Every architecture has its own."""
    modeling = sys.modules[type(module).__module__]
    return modeling.eager_attention_forward(module, *states, **kwargs)


def attend(
    plan: PackedPlan,
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> torch.Tensor:
    """As transformers calls it, for a pass with this plan. query: (1, heads, ids,
    width); key, value: (1, key heads, ids, width). RETURNS: (1, ids, heads, width)."""
    layer = module.layer_idx
    queries, keys, values = (t[0].transpose(0, 1) for t in (query, key, value))
    if plan.store is not None:
        plan.store(layer, keys, values)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    settings = scale, softcap, dropout, plan.sliding(sliding_window)
    near = [
        _look(part, part.keys(layer, keys, values), queries, *settings)
        for part in plan.near
    ]
    said, total = (c[0] if len(near) == 1 else torch.cat(c) for c in zip(*near))
    if plan.far is not None:
        stored = plan.far.keys(layer, keys, values)
        other, others = _look(plan.far, stored, queries, *settings)
        # One softmax over the keys of both: each counts by its share of the total.
        said = torch.lerp(other, said, torch.sigmoid(total - others).to(said.dtype))
    return said.view(1, *queries.shape)


def _look(
    part: AttentionSegment,
    stored: KeysValues,
    queries: torch.Tensor,
    scale: float,
    softcap: float | None,
    dropout: float,
    near: SlidingWindow | None,
) -> KeysValues:
    """What a part finds, id by id and head by head: the (ids x heads, width) mean of
    the values, weighted by their softmax, and the (ids x heads, 1) logarithm of the
    softmax's total, in float32."""
    keys, values = stored
    rows, heads, slots, width = keys.shape
    layout = part.layout(heads, queries.shape[1] // heads, queries.dtype, near)
    asked = queries.reshape(-1, width).index_select(0, layout.take)
    asked = asked.view(rows * heads, -1, width)
    # Keys cut out of a bigger buffer are copied: the product is several times slower
    # on a transposed view with gaps.
    seen = keys.reshape(rows * heads, slots, width).contiguous().transpose(1, 2)
    if layout.mask is None or softcap:
        scores = torch.bmm(asked, seen) * scale
        if softcap:
            scores = torch.tanh(scores / softcap) * softcap
        if layout.mask is not None:
            scores = scores + layout.mask
    else:
        scores = torch.baddbmm(layout.mask, asked, seen, alpha=scale)
    logs = torch.log_softmax(scores, dim=-1, dtype=torch.float32)
    # By any key that is not hidden: the first, unless a sliding window has passed it.
    if near is None:
        score, log = scores[..., :1], logs[..., :1]
    else:
        score, log = (each.amax(dim=-1, keepdim=True) for each in (scores, logs))
    total = score.float() - log
    # exp is many times slower than exp2 where it underflows, as it does at all that is
    # hidden.
    weights = torch.exp2(logs * LOG2_E).to(values.dtype)
    if dropout:
        weights = drop_out(weights, dropout)
    said = torch.bmm(weights, values.reshape(rows * heads, slots, width))
    return (
        said.view(-1, width).index_select(0, layout.give),
        total.reshape(-1, 1).index_select(0, layout.give),
    )


def position_table(
    begins: Sequence[int], counts: Sequence[int], device: torch.device
) -> torch.Tensor:
    """(rows, most ids of a row): begin, begin + 1, … for each row; past a row's
    count, its begin again."""
    begin = torch.tensor(begins, device=device)[:, None]
    count = torch.tensor(counts, device=device)[:, None]
    at = torch.arange(max(counts), device=device)[None]
    return begin + at * (at < count)


def packed_order(counts: Sequence[int], device: torch.device) -> torch.Tensor:
    """(sum of counts,) where the ids of rows stand in a table of padded rows."""
    count = torch.tensor(counts, device=device)[:, None]
    at = torch.arange(max(counts), device=device)[None]
    return (at < count).flatten().nonzero()[:, 0]


def additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What to add to the scores, so that only what is seen counts. Finite, also with a
    score on top: a row that sees nothing (filling only) must not become NaN."""
    hidden = torch.finfo(dtype).min / 2
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, hidden)


def keys_of_this_pass(table: torch.Tensor) -> tuple[Keys, KeyPositions]:
    """The pass's own keys and values at these (rows, slots) places, and where they
    stand in their texts."""
    flat = table.flatten()

    def rows_of(tensor: torch.Tensor) -> torch.Tensor:
        shape = (*table.shape, *tensor.shape[1:])
        return tensor.index_select(0, flat).view(shape).transpose(1, 2)

    def keys_values(layer: int, keys: torch.Tensor, values: torch.Tensor) -> KeysValues:
        return rows_of(keys), rows_of(values)

    return keys_values, lambda positions: positions[table]


def fresh_segments(
    rows: Sequence[Sequence[int]], device: torch.device
) -> list[AttentionSegment]:
    """The first rows of a pass, with nothing stored.

    rows: how many ids each has; or, of a row that branches, how many are in its trunk
    and in each of the branches behind it. An id sees those of its row up to itself, of
    another branch none. Rows of like length that follow each other make up a part, so
    that none is padded to more than twice its length."""
    parts: list[AttentionSegment] = []
    group: list[Sequence[int]] = []
    begin = 0
    for row in rows:
        counts = [sum(other) for other in (*group, row)]
        if min(counts) * 2 < max(counts):
            parts.append(_fresh_segment(group, begin, device))
            begin += sum(counts[:-1])
            group = []
        group.append(row)
    return [*parts, _fresh_segment(group, begin, device)]


def _fresh_segment(
    rows: Sequence[Sequence[int]], begin: int, device: torch.device
) -> AttentionSegment:
    counts = [sum(row) for row in rows]
    table = position_table(list(accumulate([begin, *counts[:-1]])), counts, device)
    order = packed_order(counts, device)
    at = torch.arange(table.shape[1], device=device)
    seen = at[None, None] <= at[None, :, None]
    if any(len(row) > 1 for row in rows):
        branch = torch.tensor(
            [
                [number for number, count in enumerate(row) for _ in range(count)]
                + [0] * (table.shape[1] - sum(row))
                for row in rows
            ],
            device=device,
        )
        trunk = branch[:, None] == 0
        seen = seen & (trunk | (branch[:, None] == branch[:, :, None]))
    return AttentionSegment(table, order, seen, *keys_of_this_pass(table))


_register("sdpa", sdpa_attention_forward, sdpa_mask)
_register("eager", _eager, eager_mask)
