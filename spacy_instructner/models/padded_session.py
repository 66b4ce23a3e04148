"""Rows under way in an encoder-decoder: a padded batch with a padded KV cache."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from ..decoding.answers import Ids
from ..decoding.request import PromptIds
from ..weights.versions import cached
from .padded_kv_cache import PaddedBatch, PaddedKVCache

# Ids of an answer for which there is room at first.
CAPACITY = 64


class PaddedModel(Protocol):
    """What a session needs of an encoder-decoder: see `seq2seq.Seq2SeqBackbone`."""

    hf: Any

    @property
    def device(self) -> torch.device: ...

    @property
    def positions(self) -> int: ...

    @property
    def decoder_start(self) -> int: ...

    def encode(
        self, prompts: Sequence[PromptIds]
    ) -> tuple[torch.Tensor, torch.Tensor]: ...


class PaddedSession:
    """See `decoding.beam_search.Session`."""

    # The encoder's states of all rows stand side by side, padded.
    supports_continuous_batching = False
    # The encoder reads a prompt as a whole, in both directions.
    supports_prefix_sharing = False

    def __init__(self, backbone: PaddedModel) -> None:
        self.backbone = backbone
        self.lengths: list[int] = []

    def add_requests(self, prompts: Sequence[PromptIds]) -> list[Ids]:
        self.lengths = [0] * len(prompts)
        self.states, self.mask = self.backbone.encode(prompts)
        self.cache = PaddedKVCache(CAPACITY)
        # The keys of the encoder's states are computed at the first call and kept.
        self.both = EncoderDecoderCache(self.cache, DynamicCache())
        return [(self.backbone.decoder_start,)] * len(prompts)

    @property
    def remaining_positions(self) -> list[int]:
        return [self.backbone.positions - length for length in self.lengths]

    def forward(
        self, rows: Sequence[Sequence[int]], wanted: Sequence[tuple[int, int]]
    ) -> torch.Tensor:
        backbone = self.backbone
        batch = PaddedBatch.of(rows, self.lengths, backbone.positions, backbone.device)
        self.cache.prepare(batch.places, batch.used)
        decoder = backbone.hf.get_decoder()
        # A decoder counts positions for all rows alike, ours differ: what it gets
        # wrong is taken off where positions come in.
        shared = torch.arange(batch.ids.shape[1], device=batch.ids.device)
        mask = batch.causal_mask(backbone.hf.dtype)
        embedded = decoder.embed_tokens(batch.ids)
        if hasattr(decoder, "embed_positions"):
            # BART: learned positions, added to the ids' embeddings.
            table = decoder.embed_positions
            embedded = embedded + table(batch.ids, position_ids=batch.positions)[0]
            embedded = embedded - table(batch.ids, position_ids=shared)
        else:
            mask = mask + relative_bias(decoder, batch.places, batch.used)
            mask = mask - relative_bias(decoder, shared[None], batch.used)
        hidden = decoder(
            inputs_embeds=embedded,
            attention_mask=mask,
            encoder_hidden_states=self.states,
            encoder_attention_mask=self.mask,
            **cached(decoder, self.both),
        ).last_hidden_state
        self.lengths = batch.lengths
        row, at = torch.tensor(wanted, device=hidden.device).unbind(1)
        return hidden[row, at]

    def rollback(self, counts: Sequence[int]) -> None:
        # What stands in their places is hidden, and written over.
        self.lengths = [n - count for n, count in zip(self.lengths, counts)]

    def reorder(self, rows: Sequence[int]) -> None:
        self.lengths = [self.lengths[row] for row in rows]
        index = torch.tensor(list(rows), dtype=torch.long, device=self.states.device)
        self.cache.reorder(rows)
        self.both.cross_attention_cache.reorder_cache(index)
        self.states, self.mask = self.states[index], self.mask[index]


def relative_bias(decoder: Any, places: torch.Tensor, used: int) -> torch.Tensor:
    """T5's bias by distance, for rows of ids in these places:
    (rows, ids) -> (rows, heads, ids, used)."""
    attention = decoder.block[0].layer[0].SelfAttention
    distance = torch.arange(used, device=places.device) - places[:, :, None]
    bucket = attention._relative_position_bucket(
        distance,
        bidirectional=False,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    return attention.relative_attention_bias(bucket).permute(0, 3, 1, 2)
