"""Attention over packed rows: one row of ids, each seeing what its own text allows.

All ids of a pass, of however many texts, stand side by side in one row, so that the
big matrix products have no padding. Only here are they told apart. Registered with
transformers as an attention function; a model keeps its own outside of `packed`.
Source: ours.
"""

import math
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import torch
from torch.nn.functional import dropout as drop_out
from transformers import AttentionInterface, PretrainedConfig

NAME = "spacy_instructner"
# Added to the scores of what must not be seen. Finite: a row of which nothing may be
# seen (filling only) must not become NaN.
HIDDEN = -1e30
LOG2_E = math.log2(math.e)

# (rows, key heads, slots, width) keys and values, given a layer and the pass's own
# (ids, key heads, width) ones.
KeysValues = Tuple[torch.Tensor, torch.Tensor]
Keys = Callable[[int, torch.Tensor, torch.Tensor], KeysValues]


@dataclass(frozen=True)
class Part:
    """Some ids of a pass and the keys they look at.

    queries: (rows, n) places of the ids in the pass, short rows filled up with any;
        None for all ids in their order, as one row.
    mask: (rows or 1, n, slots) float32, added to the scores; None where all is seen.
    """

    queries: Optional[torch.Tensor]
    mask: Optional[torch.Tensor]
    keys: Keys


@dataclass(frozen=True)
class Pass:
    """Who sees what. Every id is in exactly one row of `near`; where there is a `far`
    (keys that many rows share: a constant prompt start), in one of its rows, too.

    near_order, far_order: (ids,) where each id of the pass stands among the rows of
        its parts, laid end to end; None for the same order.
    store: gets a layer and its new (ids, key heads, width) keys and values first.
    """

    near: Sequence[Part]
    near_order: Optional[torch.Tensor]
    far: Optional[Part] = None
    far_order: Optional[torch.Tensor] = None
    store: Optional[Callable[[int, torch.Tensor, torch.Tensor], None]] = None


_under_way: "ContextVar[Optional[Pass]]" = ContextVar("pass", default=None)


@contextmanager
def packed(config: PretrainedConfig, plan: Pass) -> Iterator[None]:
    """Within it, the model of this config attends as the plan says."""
    own = config._attn_implementation
    token = _under_way.set(plan)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = own
        _under_way.reset(token)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Optional[torch.Tensor],
    scaling: Optional[float] = None,
    dropout: float = 0.0,
    softcap: Optional[float] = None,
    **kwargs: Any,
) -> Tuple[torch.Tensor, None]:
    """As transformers calls it. query: (1, heads, ids, width); key, value: (1, key
    heads, ids, width). RETURNS: (1, ids, heads, width), and no weights."""
    plan = _under_way.get()
    if plan is None:
        raise ValueError("Packed attention outside of a packed pass.")
    layer = module.layer_idx
    queries, keys, values = (t[0].transpose(0, 1) for t in (query, key, value))
    if plan.store is not None:
        plan.store(layer, keys, values)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    settings = scale, softcap, dropout
    found = [
        _look(part, part.keys(layer, keys, values), queries, *settings)
        for part in plan.near
    ]
    said, total = _in_order(found, plan.near_order)
    if plan.far is not None:
        looked = _look(plan.far, plan.far.keys(layer, keys, values), queries, *settings)
        other, others = _in_order([looked], plan.far_order)
        # One softmax over the keys of both: each counts by its share of the total.
        share = torch.sigmoid(total - others).to(said.dtype)
        said = torch.lerp(other, said, share)
    return said.flatten(1, 2)[None], None


# What is found for (ids, key heads, group): the (…, width) mean of the values, weighted
# by their softmax, and the (…, 1) logarithm of the softmax's total, in float32.
Looked = Tuple[torch.Tensor, torch.Tensor]


def _look(
    part: Part,
    stored: KeysValues,
    queries: torch.Tensor,
    scale: float,
    softcap: Optional[float],
    dropout: float,
) -> Looked:
    keys, values = stored
    rows, heads, slots, width = keys.shape
    group = queries.shape[1] // heads
    if part.queries is not None:
        queries = queries.index_select(0, part.queries.flatten())
    n = len(queries) // rows
    # Heads that share keys stand under each other: one product for all of them.
    asked = queries.view(rows, n, heads, group, width).permute(0, 2, 1, 3, 4)
    asked = asked.reshape(rows * heads, n * group, width)
    # Keys cut out of a bigger buffer are copied: the product is several times slower
    # on a transposed view with gaps.
    keys = keys.reshape(rows * heads, slots, width).contiguous()
    product = torch.bmm(asked, keys.transpose(1, 2))
    scores = product.float().mul_(scale).view(rows, heads, n, group, slots)
    if softcap:
        scores = torch.tanh(scores / softcap) * softcap
    if part.mask is not None:
        scores += part.mask[:, None, :, None]
    logs = torch.log_softmax(scores, dim=-1)
    total = scores[..., :1] - logs[..., :1]
    # exp is many times slower than exp2 where it underflows, as it does at all that is
    # hidden.
    weights = torch.exp2(logs * LOG2_E)
    if dropout:
        weights = drop_out(weights, dropout)
    said = torch.bmm(
        weights.to(values.dtype).view(rows * heads, n * group, slots),
        values.reshape(rows * heads, slots, width),
    ).view(rows, heads, n, group, width)
    said, total = (t.permute(0, 2, 1, 3, 4).flatten(0, 1) for t in (said, total))
    return said, total


def _in_order(parts: List[Looked], order: Optional[torch.Tensor]) -> Looked:
    said, total = (
        column[0] if len(parts) == 1 else torch.cat(column) for column in zip(*parts)
    )
    if order is None:
        return said, total
    return said.index_select(0, order), total.index_select(0, order)


def places(
    begins: Sequence[int], counts: Sequence[int], device: torch.device
) -> torch.Tensor:
    """(rows, most ids of a row): begin, begin + 1, … for each row; past a row's
    count, its begin again."""
    begin = torch.tensor(begins, device=device)[:, None]
    count = torch.tensor(counts, device=device)[:, None]
    at = torch.arange(max(counts), device=device)[None]
    return begin + at * (at < count)


def row_order(counts: Sequence[int], device: torch.device) -> torch.Tensor:
    """(sum of counts,) where the ids of rows stand in a table of padded rows."""
    count = torch.tensor(counts, device=device)[:, None]
    at = torch.arange(max(counts), device=device)[None]
    return (at < count).flatten().nonzero()[:, 0]


def additive(seen: torch.Tensor) -> torch.Tensor:
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, HIDDEN)


def of_this_pass(table: torch.Tensor) -> Keys:
    """The pass's own keys and values at these (rows, slots) places."""
    flat = table.flatten()

    def rows_of(tensor: torch.Tensor) -> torch.Tensor:
        shape = (*table.shape, *tensor.shape[1:])
        return tensor.index_select(0, flat).view(shape).transpose(1, 2)

    return lambda layer, keys, values: (rows_of(keys), rows_of(values))


def fresh_part(counts: Sequence[int], device: torch.device) -> Part:
    """The first rows of a pass, of so many ids, with nothing stored: each id sees
    those of its row up to itself."""
    table = places(list(accumulate([0, *counts[:-1]])), counts, device)
    at = torch.arange(table.shape[1], device=device)
    mask = additive(at[None, None] <= at[None, :, None])
    return Part(table, mask, of_this_pass(table))


AttentionInterface.register(NAME, attend)
