"""Small random models of several architectures, requests for them, and a plain loop."""

import random

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    T5Config,
)

from helpers.tiny_models import byte_level_tokenizer, unigram_tokenizer
from spacy_instructner.decoding.request import DecodingRequest
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.models.causal import CausalBackbone
from spacy_instructner.models.seq2seq import Seq2SeqBackbone
from spacy_instructner.tasks.instruction_ner import build_instruction_ner_v1
from spacy_instructner.tasks.labels import make_label_set

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 400,
    "head_dim": 16,
}
CONFIGS = {
    "llama": LlamaConfig(**SMALL),
    "qwen2": Qwen2Config(**{k: v for k, v in SMALL.items() if k != "head_dim"}),
    "mistral": MistralConfig(**SMALL),
    "gemma2": Gemma2Config(**SMALL, final_logit_softcapping=3.0),
    "granite": GraniteConfig(
        **{k: v for k, v in SMALL.items() if k != "head_dim"}, logits_scaling=4.0
    ),
    "gpt2": GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=400),
    "gpt_neox": GPTNeoXConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=400,
    ),
}


SEQ2SEQ = {
    "t5": T5Config(
        d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4, n_positions=400
    ),
    "flan-t5": T5Config(
        d_model=64,
        d_kv=16,
        d_ff=96,
        num_layers=2,
        num_heads=4,
        n_positions=400,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    ),
    "bart": BartConfig(
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        max_position_embeddings=400,
    ),
}
ALL = [*CONFIGS, *SEQ2SEQ]


def make_seq2seq(kind: str) -> Seq2SeqBackbone:
    # T5 comes with Unigram tokenizers, BART with byte-level BPE.
    tokenizer = byte_level_tokenizer() if kind == "bart" else unigram_tokenizer()
    config = SEQ2SEQ[kind]
    config.vocab_size = len(tokenizer)
    config.pad_token_id = config.decoder_start_token_id = tokenizer.pad_token_id
    config.eos_token_id = tokenizer.eos_token_id
    torch.manual_seed(2)
    model = AutoModelForSeq2SeqLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4 if kind == "bart" else 1.5)
        if kind == "bart":
            model.final_logits_bias += torch.randn(1, len(tokenizer))
    return Seq2SeqBackbone(model.eval(), tokenizer)


def make_backbone(kind: str) -> Backbone:
    if kind in SEQ2SEQ:
        return make_seq2seq(kind)
    tokenizer = byte_level_tokenizer()
    config = CONFIGS[kind]
    config.vocab_size = len(tokenizer)
    config.pad_token_id = config.eos_token_id = tokenizer.eos_token_id
    torch.manual_seed(1)
    # Eager, as transformers' fused attention leaves out what Gemma 2 does to scores.
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**config.to_dict()), attn_implementation="eager"
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    return CausalBackbone(model.eval(), tokenizer)


def make_questions(backbone: Backbone, count: int, seed: int) -> list[DecodingRequest]:
    rng = random.Random(seed)
    names = ["Anna", "Bert", "lives", "in", "Rome", "Paris", "is", "a", "person", ","]
    labels = make_label_set(
        ["PERSON", "PLACE", "OLD_PLACE"], {"OLD_PLACE": "place of old"}, {}
    )
    task = build_instruction_ner_v1().bind(
        backbone.encoder, labels, backbone.tokenizer.eos_token_id
    )
    requests = []
    for _ in range(count):
        words = [rng.choice(names) for _ in range(rng.randint(0, 9))]
        spaces = [bool(i) and rng.random() < 0.8 for i in range(len(words))]
        encoded = backbone.encoder.words(words, spaces, 50)
        requests.extend(task.requests(encoded))
    return requests


def own_logits(backbone: Backbone, prompt: list[int], said: list[int]) -> torch.Tensor:
    """The model's own logits after a prompt and what was said."""
    with torch.no_grad():
        if not isinstance(backbone, Seq2SeqBackbone):
            return backbone.hf(torch.tensor([prompt + said])).logits[0, -1].float()
        return (
            backbone.hf(
                input_ids=torch.tensor([[*prompt, *backbone.encoder.end]]),
                decoder_input_ids=torch.tensor([[backbone.decoder_start, *said]]),
            )
            .logits[0, -1]
            .float()
        )


def plain_greedy(backbone: Backbone, request: DecodingRequest) -> tuple[tuple, list]:
    """Ids and the log-probability of each, reading everything anew every time."""
    ids = list(request.prefix + request.suffix)
    said: list[int] = []
    logprobs: list[float] = []
    state = request.grammar.start()
    while not state.done:
        logits = own_logits(backbone, ids, said)
        allowed = list(state.allowed)
        legal = torch.log_softmax(logits[allowed], dim=0)
        best = int(legal.argmax())
        logprobs.append(float(legal[best]))
        said.append(allowed[best])
        state = state.step(allowed[best])
    return tuple(said), logprobs
