"""A Hugging Face model as this package uses it: what both kinds have in common."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from ..decoding.answers import Ids
from ..decoding.beam_search import Session
from ..decoding.request import PromptIds
from ..locks import LOADING, Cache
from ..scoring.scoring_request import ScoringRequest, SpanHeadConfig
from ..tasks.base import PromptOrder, TrainingRecord
from ..weights.versions import checkpoint_activations, rope_stretches_from
from .forward_output import EmbeddingHook, ForwardOutput
from .lora import (
    ADAPTER,
    LoRA,
    attach,
    copy_without_adapter,
    has_adapter,
    lora_layers,
    merged_copy,
)
from .span_head import SpanHead
from .tokenization import TextEncoder

CACHED_PREFIXES = 256
# Ids and logits of `Backbone.fingerprint`.
FINGER_IDS, FINGERS = 32, 8
# Scalings of the output that some architectures apply after the output matrix.
MULTIPLIERS = ("logit_scale",)
DIVISORS = ("logits_scaling",)
POSITIONS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "attention_chunk_size",
    "window_size",
)
NO_HEAD = (
    "The model has no head to score spans with. Train one (spacy train), let the model "
    'begin from an adapter that has one (`start`, with `layers = "auto"`), or take a task '
    "that writes answers: spacy-instructner.CLLMFS.v1, or, for an encoder-decoder model, "
    "spacy-instructner.InstructionNER.v1."
)
OTHERS = (
    "Choose another model (Llama, SmolLM, Qwen, Mistral, Gemma, Phi, OLMo, GPT-2, "
    "GPT-NeoX; T5, BART …)."
)


class Backbone(nn.Module):
    """Weights, tokenizer and caches of one model. One thread at a time may change its
    weights or learn with it; `inference_copy` gives one for all threads.

    hf (PreTrainedModel): the model, on its device, in its dtype.
    tokenizer (PreTrainedTokenizerFast): its tokenizer.
    """

    # The order of prompts that suits the model, where a task leaves it open.
    layout: PromptOrder = "text_last"

    def __init__(
        self,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        encoder: TextEncoder | None = None,
    ) -> None:
        super().__init__()
        self.hf = hf
        self.tokenizer = tokenizer
        self.encoder = encoder or TextEncoder(tokenizer)
        self.lora: LoRA | None = None
        self.head: SpanHead | None = None
        self.learned = False
        # How many of the model's layers are read, the first ones; None for all.
        self.layers: int | None = None
        # Whether each layer hides what is past its sliding window.
        self.slides = False
        # Dropout stands as a module, or as a rate that a function is given.
        self._dropouts = [
            (module, name)
            for module in hf.modules()
            for name in ("p", "dropout", "attention_dropout", "activation_dropout")
            if (name != "p" or isinstance(module, nn.Dropout))
            and isinstance(getattr(module, name, None), float)
            and getattr(module, name) > 0.0
        ]
        self._prefix_cache: Cache[Ids, Any] = Cache(CACHED_PREFIXES)
        # In a tuple, as a module within a module counts as a part of it.
        self._kept: tuple[Backbone, ...] = ()

    # Life of the adapter.

    def add_adapter(self, lora: LoRA) -> None:
        """A fresh adapter; the one that is there goes on where there is one."""
        if not has_adapter(self.hf):
            attach(self.hf, lora)
            self.lora = lora

    def add_head(self, config: SpanHeadConfig) -> None:
        """A fresh head to score spans with; the one that is there goes on where there is
        one."""
        if self.head is None:
            # While another thread loads weights, new modules come without any.
            with LOADING:
                self.head = SpanHead(self.width, config).float().to(self.device)

    def without_adapter(self) -> "Backbone":
        """Another over the same base weights, without adapter and head: whatever is done
        to its own, this one does not see."""
        return self._around(copy_without_adapter(self.hf))

    def inference_copy(self) -> "Backbone":
        """One to decode answers with, by the weights as they are now: adapter merged,
        dropout off. It does not change any more, so any number of threads may use it
        while this one learns."""
        other = self._around(merged_copy(self.hf))
        other.head = deepcopy(self.head).eval() if self.head else None
        return other

    def _around(self, hf: PreTrainedModel) -> "Backbone":
        other = type(self)(hf, self.tokenizer, self.encoder)
        other.slides = self.slides
        other.layers = self.layers
        other._kept = self._kept
        return other

    def keep(self, base: "Backbone") -> None:
        """Let the backbone that this one was made of live as long as this one, and all
        that are made of it."""
        self._kept = (base,)

    def set_dropout(self, rate: float) -> None:
        """The rate of dropout of the adapter and of the head, and of all that the
        architecture has switched on."""
        for layer in lora_layers(self.hf):
            layer.lora_dropout[ADAPTER].p = rate
        for module in self.head.modules() if self.head else ():
            if isinstance(module, nn.Dropout):
                module.p = rate
        for module, name in self._dropouts:
            setattr(module, name, rate)

    def train_mode(self, checkpointing: bool = False) -> None:
        """Make ready for an update: dropout on.

        checkpointing: compute each layer again when its gradient is, and keep nothing
        of it till then."""
        self.learned = True
        if checkpointing:
            settings = {
                "use_reentrant": False,
                "context_fn": self.checkpoint_contexts,
            }
            checkpoint_activations(self.hf, settings)
        if self.lora is None:
            # Full fine-tuning: thinc passes weights through numpy, which knows
            # no bfloat16, and small steps would vanish in it.
            self.hf.float()
            for parameter in self.hf.parameters():
                parameter.requires_grad = True
        self.train()

    def eval_mode(self) -> None:
        """Make ready for a pass without an update: dropout off."""
        self.eval()

    @staticmethod
    def checkpoint_contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        """For a layer's pass, and for its repetition by gradient checkpointing."""
        return nullcontext(), nullcontext()

    def check(self) -> None:
        """Compare our way of reading with the model's own, on a few ids.

        Raises ValueError for an architecture that cannot be read row by row."""
        raise NotImplementedError

    def fingerprint(self) -> list[float | None]:
        """A few logits of the base after a few ids, in standard deviations from their
        mean, None where they are not finite: how these weights are read, to be compared
        with how another version of transformers reads them."""
        vocabulary = self.hf.get_input_embeddings().weight.shape[0]
        ids = [(5 + 7 * at) % vocabulary for at in range(FINGER_IDS)]
        base = self.without_adapter()
        # This one may be learning, with dropout.
        base.eval_mode()
        with torch.inference_mode():
            logits = base.own_logits(ids).float()
        chosen = logits[:: max(1, len(logits) // FINGERS)][:FINGERS]
        scaled = (chosen - logits.mean()) / logits.std()
        return [round(float(each), 4) if each.isfinite() else None for each in scaled]

    def own_logits(self, ids: Sequence[int]) -> torch.Tensor:
        """(vocabulary,) what the model itself gives after ids."""
        raise NotImplementedError

    def probe_windows(self) -> None:
        """Find out what `slides` is. To be called once, before anybody reads."""

    def compare(
        self, own: Callable[[], torch.Tensor], prompt: PromptIds, ids: Sequence[int]
    ) -> None:
        """See `check`. own: gives the model's own logits after the prompt and ids."""
        name = type(self.hf).__name__
        try:
            with torch.inference_mode():
                expected = own().float()
                # Two rows that are never equally long until the end.
                session = self.open([prompt[0]])
                one, other = ([*b, *ids] for b in session.add_requests([prompt] * 2))
                session.forward([one[:3], other[:1]], [(0, 0)])
                # Two ids too many, as a wrong guess brings them.
                session.forward([one[3:4], [*other[1:2], *ids[:2]]], [(0, 0)])
                session.rollback([0, 2])
                ends = [(0, len(one) - 5), (1, len(other) - 3)]
                found = self.all_logits(session.forward([one[4:], other[2:]], ends))
        except (
            AttributeError,
            IndexError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise ValueError(
                f"{name} cannot be read row by row: {error!r}. {OTHERS}"
            ) from error
        self._prefix_cache.clear()
        off = float((found - expected).abs().max() / expected.std())
        if not off < (0.01 if self.hf.dtype == torch.float32 else 0.5):
            raise ValueError(
                f"{name} gives other logits when read row by row (off by {off:.2f} "
                f"standard deviations). {OTHERS}"
            )

    # What the search asks.

    def open(self, prefixes: Sequence[Ids]) -> Session:
        raise NotImplementedError

    def logits(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """(rows, width) and (n,) token ids -> (rows, n) float32 logits."""
        head = self.hf.get_output_embeddings()
        weight = head.weight[tokens.to(self.device)].float()
        logits = self.transformed(hidden).float() @ weight.T
        bias = getattr(head, "bias", None)
        if bias is not None:
            logits = logits + bias[tokens.to(self.device)].float()
        return self.scaled(logits, tokens)

    def all_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, vocabulary) float32 logits."""
        logits = self.hf.get_output_embeddings()(self.transformed(hidden))
        return self.scaled(logits.float())

    def transformed(self, hidden: torch.Tensor) -> torch.Tensor:
        """What some architectures (ModernBERT's decoder) do to the last states before the
        output matrix, in a head of their own."""
        head = getattr(self.hf, "lm_head", None)
        if head is None or head is self.hf.get_output_embeddings():
            return hidden
        transformed: torch.Tensor = head(hidden)
        return transformed

    def scaled(
        self, logits: torch.Tensor, tokens: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What some architectures do with the output matrix's product.

        tokens: which columns these are; None for the whole vocabulary."""
        config = self.settings
        for name in MULTIPLIERS:
            if getattr(config, name, None):
                logits = logits * getattr(config, name)
        for name in DIVISORS:
            if getattr(config, name, None):
                logits = logits / getattr(config, name)
        cap = getattr(config, "final_logit_softcapping", None)
        return torch.tanh(logits / cap) * cap if cap else logits

    # What scoring asks.

    def span_logits(self, requests: Sequence[ScoringRequest]) -> list[torch.Tensor]:
        """See `scoring.one_pass.ScoringModel`. Raises ValueError without a head."""
        if self.head is None:
            raise ValueError(NO_HEAD)
        wanted = [
            (row, place)
            for row, request in enumerate(requests)
            for place in (*request.word_places, *request.label_places)
        ]
        prompts = [(request.prefix, request.suffix) for request in requests]
        states = iter(
            self.states(prompts, wanted, [each.both_ways for each in requests])
            .float()
            .split(
                [
                    len(places)
                    for request in requests
                    for places in (request.word_places, request.label_places)
                ]
            )
        )
        return [self.head(next(states), next(states)) for _ in requests]

    def ids_to_read(self, request: ScoringRequest) -> int:
        """See `scoring.one_pass.ScoringModel`."""
        return len(request.suffix)

    def states(
        self,
        prompts: Sequence[PromptIds],
        wanted: Sequence[tuple[int, int]],
        both_ways: Sequence[bool] = (),
    ) -> torch.Tensor:
        """One pass over prompts, of which nothing is kept.

        wanted: (prompt, index of one of its ids), for each last hidden state that is asked
        for; of an encoder-decoder model, those of the encoder; both_ways: of each prompt,
        whether the ids behind the prefix see those behind them, too; nowhere by default.
        RETURNS: (wanted, width) these states."""
        raise NotImplementedError

    # What the objectives ask.

    def packs(
        self, records: Sequence[TrainingRecord], tokens: int
    ) -> list[list[TrainingRecord]]:
        """Records in batches of at most so many ids each, one record at least."""
        raise NotImplementedError

    def forward_records(
        self,
        records: Sequence[TrainingRecord],
        layers: Sequence[float] = (),
        hook: EmbeddingHook | None = None,
    ) -> ForwardOutput:
        """One pass over a pack of records, gradients kept.

        layers: whose hidden states are wanted, as shares of the model's depth (0: the
        embeddings); hook: what to do to the embeddings of the prompts first."""
        raise NotImplementedError

    # Facts.

    @property
    def device(self) -> torch.device:
        return self.hf.device

    @property
    def width(self) -> int:
        """Width of the last hidden states."""
        return int(self.hf.get_output_embeddings().weight.shape[1])

    @property
    def positions(self) -> int:
        """Most ids the model can take.

        Not more than a local window, where layers have one and do not say so to the
        attention, and not more than where a model begins to stretch its positions by
        the longest text of a pass: there, what is read together would matter."""
        names = POSITIONS if self.slides else (*POSITIONS, "sliding_window")
        found = [getattr(self.settings, name, None) for name in names]
        found.append(rope_stretches_from(self.settings))
        return min((n for n in found if isinstance(n, int) and n > 0), default=2048)

    @property
    def settings(self) -> PretrainedConfig:
        """The config of the part that reads texts."""
        return self.hf.config.get_text_config()

    def cached_prefix(self, prefix: Ids) -> Any:
        """What the model keeps of a prompt's constant part, read once."""
        return self._prefix_cache.get(prefix, lambda: self.prefill_prefix(prefix))

    def prefill_prefix(self, prefix: Ids) -> Any:
        raise NotImplementedError
