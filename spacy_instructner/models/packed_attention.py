"""Packed (varlen) attention: many texts in one row, each attending to itself alone.

    one pass of the model            run_packed(plan, work)
      layer 1, 2, …                    transformers calls attend() for each layer
        local segments                 softmax over each row's own keys      ┐ joined by
        prefix segment                 softmax over the keys of its prefix   ┘ their totals

Registered with transformers as an attention function that a model is given once, for good:
the plan of a pass (`packed_plan.py`) travels with the thread that makes the pass, so that
any number of threads can use one model. Called outside of `run_packed`, a model attends as
it did before. Source: ours; the interface is that of FlashAttention's varlen kernels, and
two softmaxes are joined as there, by their logarithmic totals.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

import torch
from torch.nn.functional import dropout as drop_out
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, eager_mask, sdpa_mask

from .packed_plan import AttentionSegment, KeysValues, PackedPlan, SlidingWindow

# By what a model attends with otherwise.
NAMES = {"sdpa": "spacy_instructner", "eager": "spacy_instructner_eager"}
LOG2_E = math.log2(math.e)
T = TypeVar("T")

# Of this thread's pass; a task of asyncio has its own, too.
_plan_under_way: "ContextVar[PackedPlan | None]" = ContextVar("plan", default=None)


def run_packed(plan: PackedPlan | None, work: Callable[[], T]) -> T:
    """What work gives, where the models that it calls attend as the plan says; with None,
    as they do by themselves.

    In a context of its own, so that nothing of the plan is left behind, wherever an
    interrupt comes."""

    def planned() -> T:
        _plan_under_way.set(plan)
        return work()

    return copy_context().run(planned)


def repeat_plan() -> AbstractContextManager:
    """To be made in a pass and entered later, by any thread, for a repetition of it, as
    gradient checkpointing makes it."""
    return _repeated(_plan_under_way.get())


@contextmanager
def _repeated(plan: PackedPlan | None) -> Iterator[None]:
    before = _plan_under_way.get()
    try:
        _plan_under_way.set(plan)
        yield
    finally:
        _plan_under_way.set(before)


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
        return mask_alone(*args, **kwargs) if _plan_under_way.get() is None else None

    def attention(
        module: Any, *states: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        plan = _plan_under_way.get()
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
    joined = plan.prefix is not None
    settings = scale, softcap, dropout, plan.window(sliding_window), joined
    local = [
        _attend_segment(segment, segment.keys(layer, keys, values), queries, *settings)
        for segment in plan.local
    ]
    found, total = (c[0] if len(local) == 1 else torch.cat(c) for c in zip(*local))
    if plan.prefix is not None:
        stored = plan.prefix.keys(layer, keys, values)
        shared, shared_total = _attend_segment(plan.prefix, stored, queries, *settings)
        # One softmax over the keys of both: each counts by its share of the total.
        share = torch.sigmoid(total - shared_total).to(found.dtype)
        found = torch.lerp(shared, found, share)
    return found.view(1, *queries.shape)


def _attend_segment(
    segment: AttentionSegment,
    stored: KeysValues,
    queries: torch.Tensor,
    scale: float,
    softcap: float | None,
    dropout: float,
    window: SlidingWindow | None,
    joined: bool,
) -> KeysValues:
    """What a segment's ids find, id by id and head by head: the (ids x heads, width) mean
    of the values, weighted by their softmax, and the (ids x heads, 1) logarithm of the
    softmax's total, in float32; an empty one where it is not to be joined with another."""
    keys, values = stored
    rows, heads, slots, width = keys.shape
    layout = segment.layout(heads, queries.shape[1] // heads, queries.dtype, window)
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
    if joined:
        weights, total = _softmax_and_total(scores, window is not None)
        total = total.reshape(-1, 1).index_select(0, layout.give)
    else:
        # Forward and backward, a third of the time of the one with its total. Rounded
        # to the model's format, also where its gradient is made.
        weights, total = torch.softmax(scores, dim=-1), scores.new_empty(0)
    if dropout:
        weights = drop_out(weights, dropout)
    found = torch.bmm(
        weights.to(values.dtype), values.reshape(rows * heads, slots, width)
    )
    return found.view(-1, width).index_select(0, layout.give), total


def _softmax_and_total(
    scores: torch.Tensor, windowed: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The softmax of (rows, ids, slots) scores, and the (rows, ids, 1) logarithm of its
    total; both float32."""
    logs = torch.log_softmax(scores, dim=-1, dtype=torch.float32)
    # By any key that is not hidden: the first, unless a sliding window has passed it.
    if windowed:
        score, log = (each.amax(dim=-1, keepdim=True) for each in (scores, logs))
    else:
        score, log = scores[..., :1], logs[..., :1]
    # exp is many times slower than exp2 where it underflows, as it does at all that is
    # hidden.
    return torch.exp2(logs * LOG2_E), score.float() - log


_register("sdpa", sdpa_attention_forward, sdpa_mask)
_register("eager", _eager, eager_mask)
