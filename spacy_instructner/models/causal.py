"""Decoder-only models: prefixes are read once, rows and records in packed passes."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import accumulate, zip_longest
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutput

from ..decoding.answers import Ids
from ..decoding.request import PromptIds
from ..tasks.base import TrainingRecord
from .backbone import OTHERS, Backbone
from .forward_output import (
    EmbeddingHook,
    ForwardOutput,
    TokenPositions,
    allowed_at,
    scored_ids,
    states_at,
)
from .packed_attention import repeat_plan, run_packed, use_packed_attention
from .packed_batch import PackedExamples, pack_records
from .packed_plan import FreshRow, KeysValues, PackedPlan, fresh_segments
from .packed_session import PackedSession
from .prefix_cache import PrefilledPrefix, PrefixCache

# Types of layers that attend to keys and values, as configs call them.
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}


class CausalBackbone(Backbone):
    """Any causal model of transformers that attends through its `AttentionInterface`.

    The instruction stands in front and the text last, so that little of a
    prompt is new from text to text.
    """

    @property
    def body(self) -> Any:
        """The model without its output matrix."""
        body = self.hf.base_model
        return self.hf.model if body is self.hf else body

    def __init__(self, hf: Any, *more: Any) -> None:
        super().__init__(hf, *more)
        use_packed_attention(hf.config)

    # Is it read as it reads itself?

    def check(self) -> None:
        """See `Backbone.check`."""
        other = set(getattr(self.settings, "layer_types", None) or ()) - ATTENTION
        if other:
            raise ValueError(
                f"{type(self.hf).__name__} cannot be read row by row: it has layers of "
                f"the type {', '.join(sorted(other))}, which keep a state in the place "
                f"of keys and values. {OTHERS}"
            )
        self._compare_few()

    def probe_windows(self) -> None:
        """Find out whether the layers hand their sliding window to the attention, by
        a window of a few ids. Otherwise, ids past the window are not read."""
        window = getattr(self.settings, "sliding_window", None)
        if not isinstance(window, int) or window < 1:
            return
        sliding = [
            each
            for each in (self.settings, *self.hf.modules())
            if getattr(each, "sliding_window", None) == window
        ]
        try:
            for each in sliding:
                each.sliding_window = 3
            self._compare_few()
            self.slides = True
        except ValueError:
            self.slides = False
        finally:
            for each in sliding:
                each.sliding_window = window

    def _compare_few(self) -> None:
        vocabulary = self.hf.get_input_embeddings().weight.shape[0]
        ids = [i % vocabulary for i in range(5, 12)]
        self.compare(lambda: self.own_logits(ids), (tuple(ids[:2]), ()), ids[2:])

    def own_logits(self, ids: Sequence[int]) -> torch.Tensor:
        """See `Backbone.own_logits`."""
        asked = torch.tensor([list(ids)], device=self.device)

        def read() -> torch.Tensor:
            logits: torch.Tensor = self.hf(asked, use_cache=False).logits[0, -1]
            return logits

        return run_packed(None, read)

    # Decoding.

    def open(self, prefixes: Sequence[Ids]) -> PackedSession:
        return PackedSession(self, prefixes)

    def prefill_prefix(self, prefix: Ids) -> PrefilledPrefix:
        """See `Backbone.cached_prefix`."""
        found: list[KeysValues] = []

        def store(layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
            # Copies: what is kept must not keep the whole pass.
            found.append(
                (
                    keys.transpose(0, 1).contiguous(),
                    values.transpose(0, 1).contiguous(),
                )
            )

        # Even an empty prefix takes a pass: it tells the tensors' shapes.
        ids = list(prefix or (0,))
        rows = [FreshRow((len(ids),))]
        plan = PackedPlan(fresh_segments(rows, self.device), store=store)
        output = self.run(ids, list(range(len(ids))), plan)
        if not found:
            raise TypeError("its layers do not attend through AttentionInterface")
        kept = slice(0, len(prefix))
        return PrefilledPrefix(
            [(keys[None, :, kept], values[None, :, kept]) for keys, values in found],
            output.last_hidden_state[0, kept].clone(),
        )

    def states(
        self,
        prompts: Sequence[PromptIds],
        wanted: Sequence[tuple[int, int]],
        both_ways: Sequence[bool] = (),
    ) -> torch.Tensor:
        """See `Backbone.states`. Prefixes come from the prefix cache, and nothing of what
        is read behind them is kept."""
        stored = {
            prefix: self.cached_prefix(prefix)
            for prefix in sorted({prefix for prefix, _ in prompts})
        }
        prefixes = PrefixCache(stored)
        counts = [len(suffix) for _, suffix in prompts]
        plan = PackedPlan(
            fresh_segments(
                [
                    FreshRow((count,), both)
                    for count, both in zip_longest(counts, both_ways, fillvalue=False)
                ],
                self.device,
            ),
            prefixes.segment(
                [prefixes.index[prefix] for prefix, _ in prompts], counts, self.device
            ),
        )
        ids = [token for _, suffix in prompts for token in suffix]
        in_text = [
            len(prefix) + at for prefix, own in prompts for at in range(len(own))
        ]
        hidden = self.run(ids, in_text, plan).last_hidden_state[0]
        # The states of all prefixes stand behind those of the pass.
        begins = list(accumulate([0, *counts]))
        ends = accumulate(map(len, stored), initial=len(hidden))
        first = dict(zip(stored, ends))
        places = [
            first[prefix] + at
            if at < len(prefix := prompts[row][0])
            else begins[row] + at - len(prefix)
            for row, at in wanted
        ]
        every = torch.cat([hidden, *(each.states for each in stored.values())])
        return every[torch.tensor(places, dtype=torch.long, device=self.device)]

    def run(
        self,
        ids: Sequence[int],
        positions: Sequence[int],
        plan: PackedPlan,
        hook: tuple[EmbeddingHook, TokenPositions] | None = None,
        layers: bool = False,
    ) -> BaseModelOutput:
        """One pass without the output matrix.

        ids, positions: (ids,) what is read, and where it stands in its texts; hook: what
        to do to the embeddings, and where the records stand; layers: give the hidden
        states of every layer. RETURNS: (1, ids, width) hidden states, some of padding."""
        ids, positions, plan = plan.padded(ids, positions)
        embedded = self.hf.get_input_embeddings()(
            torch.tensor([ids], device=self.device)
        )
        if hook is not None:
            perturb, token_positions = hook
            embedded = perturb(embedded[0], token_positions)[None]
        in_text = torch.tensor(positions, device=self.device)

        def read() -> BaseModelOutput:
            output: BaseModelOutput = self.body(
                inputs_embeds=embedded,
                position_ids=in_text[None],
                use_cache=False,
                output_hidden_states=layers,
            )
            return output

        return run_packed(replace(plan, positions=in_text, last=max(positions)), read)

    # Training.

    @staticmethod
    def checkpoint_contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        """See `Backbone.checkpoint_contexts`: the repetition attends as the pass did."""
        return nullcontext(), repeat_plan()

    def packs(
        self, records: Sequence[TrainingRecord], tokens: int
    ) -> list[list[TrainingRecord]]:
        return pack_records(records, tokens)

    def forward_records(
        self,
        records: Sequence[TrainingRecord],
        layers: Sequence[float] = (),
        hook: EmbeddingHook | None = None,
    ) -> ForwardOutput:
        """See `Backbone.forward_records`. All records in one row: each sees its prefix,
        what it shares and itself, nothing else."""
        packed = PackedExamples.of(records)
        positions = packed.token_positions
        output = self.run(
            packed.ids,
            packed.positions,
            packed.plan(self.device),
            None if hook is None else (hook, positions),
            bool(layers),
        )
        hidden = output.last_hidden_state[0]
        targets, weights = scored_ids(records)
        return ForwardOutput(
            logits=self.all_logits(
                hidden[
                    torch.tensor(packed.scored, dtype=torch.long, device=self.device)
                ]
            ),
            targets=torch.tensor(targets, dtype=torch.long, device=self.device),
            weights=torch.tensor(weights, device=self.device),
            last=hidden,
            states=states_at(output.hidden_states, layers),
            positions=positions,
            allowed=allowed_at(records),
        )
