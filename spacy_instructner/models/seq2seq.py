"""Encoder-decoder models: the prompt is encoded once, the answer read row by row."""

from collections.abc import Sequence

import torch
from transformers.modeling_outputs import BaseModelOutput

from ..decoding.answers import Ids
from ..decoding.request import PromptIds
from ..scoring.scoring_request import ScoringRequest
from ..tasks.base import TrainingRecord
from ..weights.versions import scales_decoder_outputs
from .backbone import Backbone
from .forward_output import (
    EmbeddingHook,
    ForwardOutput,
    TokenPositions,
    allowed_at,
    scored_ids,
    states_at,
)
from .padded_session import PaddedSession


class Seq2SeqBackbone(Backbone):
    """T5, Flan-T5, BART and their like. Prompts come in the paper's order: the
    encoder sees both directions, and is run once a text."""

    layout = "text_first"

    @property
    def decoder_start(self) -> int:
        """The id a decoder begins with."""
        config = self.hf.config
        start = config.decoder_start_token_id
        return int(config.bos_token_id if start is None else start)

    def open(self, prefixes: Sequence[Ids]) -> PaddedSession:
        return PaddedSession(self)

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
        hook: EmbeddingHook | None = None,
        layers: bool = False,
    ) -> tuple[BaseModelOutput, torch.Tensor]:
        """The encoder's output and the (rows, ids) mask. hook: what to do to the
        embeddings; layers: give the hidden states of every layer."""
        ids, mask = self.padded(self.encoded(prompts))
        encoder = self.hf.get_encoder()
        embedded = encoder.get_input_embeddings()(ids)
        if hook is not None:
            positions = self.token_positions(prompts, ids.shape[1])
            flat = hook(embedded.flatten(0, 1), positions)
            embedded = flat.view_as(embedded)
        output = encoder(
            inputs_embeds=embedded,
            attention_mask=mask,
            output_hidden_states=layers,
        )
        return output, mask

    def ids_to_read(self, request: ScoringRequest) -> int:
        """See `scoring.one_pass.ScoringModel`. Nothing is kept of a prefix."""
        return len(request.prefix) + len(request.suffix)

    def states(
        self,
        prompts: Sequence[PromptIds],
        wanted: Sequence[tuple[int, int]],
        both_ways: Sequence[bool] = (),
    ) -> torch.Tensor:
        """See `Backbone.states`. The encoder reads each prompt as a whole, both ways."""
        states, _ = self.encode(prompts)
        row, at = torch.tensor(wanted, device=self.device).unbind(1)
        return states[row, at]

    def token_positions(
        self, prompts: Sequence[PromptIds], width: int
    ) -> TokenPositions:
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
        hook: EmbeddingHook | None = None,
    ) -> ForwardOutput:
        """See `Backbone.forward_records`."""
        prompts = [(record.prefix, record.suffix) for record in records]
        output, mask = self.run_encoder(prompts, hook, bool(layers))
        # Logits are needed where the answers' ids carry loss.
        scored = [
            (row, at)
            for row, record in enumerate(records)
            for at, weight in enumerate(record.weights)
            if weight
        ]
        # Where spans are scored alone, there is nothing to decode.
        logits = torch.empty(0, self.hf.config.vocab_size, device=self.device)
        if scored:
            hidden = self._run_decoder(records, output.last_hidden_state, mask)
            row, at = torch.tensor(scored, device=self.device).unbind(1)
            logits = self.all_logits(hidden[row, at])
        targets, weights = scored_ids(records)
        return ForwardOutput(
            logits=logits,
            targets=torch.tensor(targets, dtype=torch.long, device=self.device),
            weights=torch.tensor(weights, device=self.device),
            last=output.last_hidden_state.flatten(0, 1),
            states=states_at(output.hidden_states, layers),
            positions=self.token_positions(prompts, mask.shape[1]),
            allowed=allowed_at(records),
        )

    def _run_decoder(
        self,
        records: Sequence[TrainingRecord],
        states: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """(records, ids, width) states of the decoder, which reads all answers at once.

        states, mask: of the encoder."""
        ids, own = self.padded([(self.decoder_start, *r.answer[:-1]) for r in records])
        hidden: torch.Tensor = self.hf.get_decoder()(
            input_ids=ids,
            attention_mask=own,
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        return hidden

    def check(self) -> None:
        """See `Backbone.check`."""
        ids = [i % self.hf.config.vocab_size for i in range(5, 12)]
        self.compare(lambda: self.own_logits(ids), ((), tuple(ids)), ids)

    def own_logits(self, ids: Sequence[int]) -> torch.Tensor:
        """See `Backbone.own_logits`. The ids are what is read, and what was said."""
        logits: torch.Tensor = self.hf(
            input_ids=self.padded(self.encoded([((), tuple(ids))]))[0],
            decoder_input_ids=torch.tensor(
                [[self.decoder_start, *ids]], device=self.device
            ),
            use_cache=False,
        ).logits[0, -1]
        return logits
