"""Encoder-decoder models: the prompt is encoded once, the answer read row by row."""

from collections.abc import Sequence
from typing import Any

import torch
from thinc.api import Model
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from ..decoding.answers import Ids
from ..decoding.request import PromptIds
from ..tasks.base import TrainingRecord
from ..weights.precision import Precision
from ..weights.versions import cached, scales_decoder_outputs
from .backbone import (
    Backbone,
    EmbeddingHook,
    ForwardOutput,
    TokenPositions,
    allowed_at,
    states_at,
)
from .lora import LoRA
from .padded_kv_cache import PaddedKVCache
from .pretrained_adapters import AUTO
from .ragged import Block, causal_mask
from .thinc_model import ModelConfig, make_model


class Seq2SeqBackbone(Backbone):
    """T5, Flan-T5, BART and their like. Prompts come in the paper's order: the
    encoder sees both directions, and is run once a text."""

    text_first = True

    @property
    def start(self) -> int:
        """The id a decoder begins with."""
        config = self.hf.config
        start = config.decoder_start_token_id
        return int(config.bos_token_id if start is None else start)

    def open(self, prefixes: Sequence[Ids]) -> "Seq2SeqSession":
        return Seq2SeqSession(self)

    def encoded(self, prompts: Sequence[PromptIds]) -> list[Ids]:
        """Prompts with what the tokenizer puts around an input."""
        end = self.encoder.end
        return [prefix + suffix + end for prefix, suffix in prompts]

    def encode(self, prompts: Sequence[PromptIds]) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows, ids, width) states of the encoder, and their (rows, ids) mask."""
        output, mask = self.run_encoder(prompts)
        return output.last_hidden_state, mask

    def run_encoder(
        self,
        prompts: Sequence[PromptIds],
        change: EmbeddingHook | None = None,
        layers: bool = False,
    ) -> tuple[BaseModelOutput, torch.Tensor]:
        """The encoder's output and the (rows, ids) mask. change: what to do to the
        embeddings; layers: give the hidden states of every layer."""
        ids, mask = self.padded(self.encoded(prompts))
        encoder = self.hf.get_encoder()
        embedded = encoder.get_input_embeddings()(ids)
        if change is not None:
            flat = change(embedded.flatten(0, 1), self.places(prompts, ids.shape[1]))
            embedded = flat.view_as(embedded)
        output = encoder(
            inputs_embeds=embedded,
            attention_mask=mask,
            output_hidden_states=layers,
        )
        return output, mask

    def places(self, prompts: Sequence[PromptIds], width: int) -> TokenPositions:
        """Where prompts stand among the encoder's positions, `width` ids a row."""
        firsts = [row * width for row in range(len(prompts))]
        owns = [at + len(prefix) for at, (prefix, _) in zip(firsts, prompts)]
        return TokenPositions(tuple(firsts), tuple(owns))

    def padded(self, rows: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(row) for row in rows)
        pad = self.tokenizer.pad_token_id or 0
        ids = [list(row) + [pad] * (width - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
        return (
            torch.tensor(ids, device=self.device),
            torch.tensor(mask, device=self.device),
        )

    def scaled(
        self, logits: torch.Tensor, tokens: torch.Tensor | None = None
    ) -> torch.Tensor:
        config = self.hf.config
        if config.model_type in ("t5", "mt5", "umt5") and scales_decoder_outputs(
            config
        ):
            logits = logits * config.d_model**-0.5
        bias = getattr(self.hf, "final_logits_bias", None)
        if bias is not None:
            bias = bias[0].float()
            logits = logits + (bias if tokens is None else bias[tokens])
        return super().scaled(logits, tokens)

    def packs(
        self, records: Sequence[TrainingRecord], tokens: int
    ) -> list[list[TrainingRecord]]:
        """Records of like length together; padding counts."""
        order = sorted(records, key=len, reverse=True)
        packs: list[list[TrainingRecord]] = []
        for record in order:
            if not packs or (len(packs[-1]) + 1) * len(packs[-1][0]) > tokens:
                packs.append([])
            packs[-1].append(record)
        return packs

    def forward_records(
        self,
        records: Sequence[TrainingRecord],
        layers: Sequence[float] = (),
        change: EmbeddingHook | None = None,
    ) -> ForwardOutput:
        """See `Backbone.study`."""
        prompts = [(record.prefix, record.suffix) for record in records]
        output, mask = self.run_encoder(prompts, change, bool(layers))
        ids, own = self.padded([(self.start, *r.answer[:-1]) for r in records])
        hidden = self.hf.get_decoder()(
            input_ids=ids,
            attention_mask=own,
            encoder_hidden_states=output.last_hidden_state,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        where = [
            (row, at, record.answer[at], weight)
            for row, record in enumerate(records)
            for at, weight in enumerate(record.weights)
            if weight
        ]
        rows, at, targets, weights = zip(*where)
        device = self.device
        chosen = hidden[
            torch.tensor(rows, device=device), torch.tensor(at, device=device)
        ]
        return ForwardOutput(
            logits=self.all_logits(chosen),
            targets=torch.tensor(targets, device=device),
            weights=torch.tensor(weights, device=device),
            states=states_at(output.hidden_states, layers),
            places=self.places(prompts, mask.shape[1]),
            allowed=allowed_at(records),
        )

    def check(self) -> None:
        """See `Backbone.check`."""
        ids = [i % self.hf.config.vocab_size for i in range(5, 12)]
        self.compare(lambda: self.own_logits(ids), ((), tuple(ids)), ids)

    def own_logits(self, ids: Sequence[int]) -> torch.Tensor:
        """See `Backbone.own_logits`. The ids are what is read, and what was said."""
        logits: torch.Tensor = self.hf(
            input_ids=self.padded(self.encoded([((), tuple(ids))]))[0],
            decoder_input_ids=torch.tensor([[self.start, *ids]], device=self.device),
            use_cache=False,
        ).logits[0, -1]
        return logits


class Seq2SeqSession:
    """Rows under way. See `decoding.search.Session`."""

    # The encoder's states of all rows stand side by side, padded.
    supports_continuous_batching = False
    # The encoder reads a prompt as a whole, in both directions.
    supports_prefix_sharing = False

    def __init__(self, backbone: Seq2SeqBackbone) -> None:
        self.backbone = backbone
        self.lengths: list[int] = []

    def add_requests(self, prompts: Sequence[PromptIds]) -> list[Ids]:
        self.lengths = [0] * len(prompts)
        self.states, self.mask = self.backbone.encode(prompts)
        self.cache = PaddedKVCache()
        self.cache.capacity = 64
        # The keys of the encoder's states are computed at the first call and kept.
        self.both = EncoderDecoderCache(self.cache, DynamicCache())
        return [(self.backbone.start,)] * len(prompts)

    @property
    def remaining_positions(self) -> list[int]:
        return [self.backbone.positions - length for length in self.lengths]

    def forward(
        self, rows: Sequence[Sequence[int]], marks: Sequence[tuple[int, int]]
    ) -> torch.Tensor:
        block = Block.of(rows, self.lengths, self.backbone)
        self.cache.place(block.slots, block.used)
        decoder = self.backbone.hf.get_decoder()
        # A decoder counts positions for all rows alike, ours differ: what it gets
        # wrong is taken off where positions come in.
        shared = torch.arange(block.ids.shape[1], device=block.ids.device)
        mask = causal_mask(block.slots, block.used, self.backbone.hf.dtype)
        embedded = decoder.embed_tokens(block.ids)
        if hasattr(decoder, "embed_positions"):
            # BART: learned positions, added to the ids' embeddings.
            table = decoder.embed_positions
            embedded = embedded + table(block.ids, position_ids=block.positions)[0]
            embedded = embedded - table(block.ids, position_ids=shared)
        else:
            mask = mask + relative_bias(decoder, block.slots, block.used)
            mask = mask - relative_bias(decoder, shared[None], block.used)
        hidden = decoder(
            inputs_embeds=embedded,
            attention_mask=mask,
            encoder_hidden_states=self.states,
            encoder_attention_mask=self.mask,
            **cached(decoder, self.both),
        ).last_hidden_state
        self.lengths = block.lengths
        at, position_table = torch.tensor(marks, device=hidden.device).unbind(1)
        return hidden[at, position_table]

    def rollback(self, counts: Sequence[int]) -> None:
        # What stands in the slots is hidden, and written over.
        self.lengths = [n - count for n, count in zip(self.lengths, counts)]

    def reorder(self, rows: Sequence[int]) -> None:
        self.lengths = [self.lengths[row] for row in rows]
        index = torch.tensor(list(rows), dtype=torch.long, device=self.states.device)
        if self.cache.keys:
            self.cache.keep(rows)
        self.both.cross_attention_cache.reorder_cache(index)
        self.states, self.mask = self.states[index], self.mask[index]


def relative_bias(decoder: Any, slots: torch.Tensor, used: int) -> torch.Tensor:
    """T5's bias by distance, for rows of ids in these slots:
    (rows, ids) -> (rows, heads, ids, used)."""
    attention = decoder.block[0].layer[0].SelfAttention
    distance = torch.arange(used, device=slots.device) - slots[:, :, None]
    bucket = attention._relative_position_bucket(
        distance,
        bidirectional=False,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    return attention.relative_attention_bias(bucket).permute(0, 3, 1, 2)


def build_seq2seq_lm_v1(
    name: str,
    revision: str | None = None,
    adapter: LoRA | None = None,
    precision: Precision = "auto",
    pack_tokens: int = 1024,
    checkpointing: bool = False,
    any_base: bool = False,
    start: str | None = AUTO,
) -> Model:
    """Registered as `spacy-instructner.Seq2SeqLM.v1`.

    name (str): a local folder or a hub id, such as google/flan-t5-base.
    revision (Optional[str]): of a hub id.
    adapter (Optional[LoRA]): what is trained; None trains all weights.
    precision (str): of the base weights: auto, float32, bfloat16 or float16.
    pack_tokens (int): most ids that one pass of training holds, padding included.
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
            kind="seq2seq",
            backbone=Seq2SeqBackbone,
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
