"""Models that users name, each of its own architecture: a random one of a few layers is
loaded, read, trained and saved, or refused in words."""

import random
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, fix_random_seed
from torch.nn.functional import cross_entropy
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from helpers.objectives import plain_pass
from helpers.search import make_questions, plain_greedy
from helpers.tiny_models import byte_level_tokenizer
from spacy_instructner.decoding.beam_search import search
from spacy_instructner.models.causal import CausalBackbone
from spacy_instructner.models.lora import LoRA, attach
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.tasks.base import TrainingRecord
from spacy_instructner.weights.loading import load_folder
from spacy_instructner.weights.versions import VERSION, rope_stretches_from

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 400,
}
# A window much shorter than the prompts of these tests.
SLIDING = {"sliding_window": 24, "use_sliding_window": True}
ALTERNATELY = ["sliding_attention", "full_attention"] * 2
EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {  # Llama 3.2: scaled rotary embeddings, one matrix for both ends
        "tie_word_embeddings": True,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 50,
        },
    },
    "mistral": SLIDING,
    "qwen3": {**SLIDING, "max_window_layers": 2, "layer_types": ALTERNATELY},
    "gemma2": {**SLIDING, "layer_types": ALTERNATELY},
    "gemma3_text": {**SLIDING, "layer_types": ALTERNATELY},
    "smollm3": {"no_rope_layers": [1, 1, 1, 0]},
    "phi3": {  # Phi-4-mini: a part of each head is rotated
        **SLIDING,
        "partial_rotary_factor": 0.75,
    },
    "olmo2": {},
    "cohere2": {**SLIDING, "layer_types": ALTERNATELY, "logit_scale": 0.5},
    "mixtral": EXPERTS,
    # Not in the oldest transformers that is supported.
    "olmo3": {**SLIDING, "layer_types": ALTERNATELY},
    "modernbert-decoder": {"local_attention": 48, "layer_types": ALTERNATELY},
    "exaone4": {**SLIDING, "layer_types": ALTERNATELY},
    "vaultgemma": {**SLIDING, "layer_types": ALTERNATELY},
    "ernie4_5": {},
    "seed_oss": {},
}
# And why they cannot be read.
REFUSED = {
    "lfm2": (
        {"layer_types": ["conv", "full_attention"] * 2},
        "layers of the type conv",
    ),
    "mamba": ({}, "MambaForCausalLM cannot be read row by row"),
    "qwen3_next": ({**EXPERTS}, "layers of the type linear_attention"),
    "gpt_oss": ({**EXPERTS, **SLIDING}, "GptOssForCausalLM gives other logits"),
    "bloom": ({"n_head": 4}, "do not attend through AttentionInterface"),
}
TEXT = "Anna met Bert in Paris ."
ENTITIES = [(0, 1, "PERSON"), (2, 3, "PERSON"), (4, 5, "PLACE")]


def known(kinds: dict[str, Any]) -> list[Any]:
    """Those that this version of transformers has, the others as skipped."""
    return [
        pytest.param(
            kind,
            marks=()
            if kind in CONFIG_MAPPING
            else pytest.mark.skip(reason="this transformers does not know it"),
        )
        for kind in kinds
    ]


def make_model(kind: str, settings: dict[str, Any]) -> Any:
    tokenizer = byte_level_tokenizer()
    ids = {"vocab_size": len(tokenizer)}
    for name in ("bos", "eos", "pad", "cls", "sep"):
        ids[f"{name}_token_id"] = tokenizer.eos_token_id
    torch.manual_seed(3)
    config = AutoConfig.for_model(kind, **{**SMALL, **settings, **ids})
    attention = "eager" if kind in ("gemma2", "vaultgemma") else None
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return model.eval(), tokenizer


@pytest.mark.parametrize("kind", known(MODELS))
def test_it_reads_as_a_plain_loop_does(kind: str) -> None:
    backbone = CausalBackbone(*make_model(kind, MODELS[kind]))
    backbone.check()
    backbone.probe_windows()
    # Windows are looked through, not avoided.
    assert backbone.positions == SMALL["max_position_embeddings"]
    requests = make_questions(backbone, 8, 0)
    assert (
        max(len(q.prefix + q.suffix) for q in requests) > 2 * SLIDING["sliding_window"]
    )
    for request, answer in zip(requests, search(backbone, requests, 40)):
        ids, logprobs = plain_greedy(backbone, request)
        assert answer.ids == ids
        assert answer.logprob == pytest.approx(sum(logprobs), abs=5e-4)


def records_of_windows(words: int) -> list[TrainingRecord]:
    """Three windows of two records each. Two windows share a prefix, and the records of each
    window the ids of its text; all are longer than the windows of layers."""
    rng = random.Random(words)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(rng.randrange(words) for _ in range(count))

    records = []
    for prefix, length in zip((ids(17),) * 2 + (ids(5),), (40, 9, 70)):
        text = ids(length)
        for answer in (ids(6), ids(1)):
            weights = (1.0,) * len(answer)
            suffix = (*text, *ids(4))
            record = TrainingRecord(prefix, suffix, answer, weights, "t", shared=length)
            records.append(record)
    return records


@pytest.mark.parametrize("kind", known(MODELS))
def test_training_reads_as_a_plain_pass_does(kind: str) -> None:
    """The likelihood of every answer, and its gradients, whatever layers look through a
    window, cap their logits or scale them."""
    backbone = CausalBackbone(*make_model(kind, MODELS[kind]))
    backbone.probe_windows()
    records = records_of_windows(len(backbone.encoder.tokenizer))
    table = backbone.hf.get_input_embeddings().weight
    read = backbone.forward_records(records)
    losses = cross_entropy(read.logits, read.targets, reduction="none")
    (packed,) = torch.autograd.grad(losses.sum(), table)
    at, expected = 0, torch.zeros_like(table)
    for record in records:
        loss, _ = plain_pass(backbone, record)
        (own,) = torch.autograd.grad(loss, table)
        expected += own
        assert losses[at : at + len(record.answer)].sum().item() == pytest.approx(
            loss.item(), abs=1e-3
        )
        at += len(record.answer)
    assert at == len(losses)
    scale = expected.abs().max()
    torch.testing.assert_close(packed / scale, expected / scale, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", known(MODELS))
def test_it_is_trained_and_saved(kind: str, tmp_path: Path) -> None:
    fix_random_seed(0)
    model, tokenizer = make_model(kind, MODELS[kind])
    model.save_pretrained(tmp_path / "weights")
    tokenizer.save_pretrained(tmp_path / "weights")
    nlp = spacy.blank("en")
    # Of experts, later versions make one parameter, beside which no adapter stands.
    adapter = {"targets": ["q_proj", "v_proj", "o_proj"]} if kind == "mixtral" else {}
    settings = {
        "@architectures": "spacy-instructner.CausalLM.v1",
        "name": str(tmp_path / "weights"),
        "precision": "float32",
        "adapter": {"@misc": "spacy-instructner.LoRA.v1", "r": 8, **adapter},
    }
    task = {"@misc": "spacy-instructner.CLLMFS.v1"}
    pipe = nlp.add_pipe("instruction_ner", config={"model": settings, "task": task})
    examples = [example(nlp)]
    nlp.initialize(lambda: examples)
    sgd = Adam(1e-2)
    losses = [
        pipe.update(examples, sgd=sgd, drop=0.0)["instruction_ner"] for _ in range(25)
    ]
    assert losses[-1] < 0.8 * losses[0]
    assert get_backbone(pipe.model).positions == SMALL["max_position_embeddings"]
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert scored(again(TEXT)) == scored(nlp(TEXT))
    assert get_backbone(again.get_pipe("instruction_ner").model).positions == 400


def example(nlp: Language) -> Example:
    doc = nlp.make_doc(TEXT)
    doc.set_ents([Span(doc, *each) for each in ENTITIES], default="outside")
    return Example(nlp.make_doc(TEXT), doc)


def scored(doc: Doc) -> list[Any]:
    group = doc.spans["instruction_ner"]
    scores = [pytest.approx(float(score), abs=1e-5) for score in group.attrs["scores"]]
    return [(s.start, s.end, s.label_, x) for s, x in zip(group, scores)]


@pytest.mark.parametrize("kind", known(MODELS))
def test_its_first_layers_read_as_in_the_whole(kind: str, tmp_path: Path) -> None:
    model, tokenizer = make_model(kind, MODELS[kind])
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ids = torch.arange(5, 65)[None]
    how = tmp_path, "causal", torch.float32, torch.device("cpu")
    with torch.inference_mode():
        for layers in (1, 3):
            found, _ = load_folder(*how, layers)
            assert found.config.num_hidden_layers == layers
            # Loaded alike: attention may be another than that of the model made here.
            expected, _ = load_folder(*how)
            expected.model.layers = expected.model.layers[:layers]
            torch.testing.assert_close(
                found(ids).logits, expected(ids).logits, atol=1e-4, rtol=1e-4
            )


@pytest.mark.parametrize("kind", known(REFUSED))
def test_what_cannot_be_read_is_refused_in_words(kind: str) -> None:
    settings, said = REFUSED[kind]
    with pytest.raises(ValueError, match=said) as refused:
        CausalBackbone(*make_model(kind, settings)).check()
    assert "Choose another model (Llama" in str(refused.value)


def test_ids_past_a_window_that_layers_keep_to_themselves_are_not_read() -> None:
    """Layers that do not say their window to the attention would see all there is."""
    model, tokenizer = make_model("mistral", SLIDING)
    backbone = CausalBackbone(model, tokenizer)
    for module in model.modules():
        if hasattr(module, "layer_idx") and hasattr(module, "q_proj"):
            # As transformers asks for it, by the layer's own config.
            module.config = AutoConfig.for_model(
                "mistral", **SMALL, sliding_window=None
            )
            module.config._attn_implementation = model.config._attn_implementation
    backbone.check()
    backbone.probe_windows()
    assert not backbone.slides and backbone.positions == SLIDING["sliding_window"]
    assert backbone.inference_copy().positions == SLIDING["sliding_window"]


@pytest.mark.parametrize(
    "settings, positions",
    [
        ({"rope_type": "dynamic", "factor": 2.0}, 400),
        ({"rope_type": "linear", "factor": 2.0}, None),
        (None, None),
    ],
)
def test_rotary_embeddings_that_depend_on_the_longest_text(
    settings: Any, positions: Any
) -> None:
    more = {} if settings is None else {"rope_scaling": settings}
    config = AutoConfig.for_model("llama", **SMALL, **more)
    assert rope_stretches_from(config) == positions


def test_long_rope_is_read_up_to_where_it_stretches() -> None:
    width = SMALL["head_dim"] // 2
    factors = {"short_factor": [1.0] * width, "long_factor": [4.0] * width}
    settings = {
        "original_max_position_embeddings": 64,
        "rope_scaling": {"type": "longrope", **factors},
        "sliding_window": None,
    }
    backbone = CausalBackbone(*make_model("phi3", settings))
    backbone.check()
    assert backbone.positions == 64


@pytest.mark.skipif(VERSION.major < 5, reason="experts are linear layers there")
def test_an_adapter_beside_fused_experts_is_refused() -> None:
    model, _ = make_model("mixtral", EXPERTS)
    with pytest.raises(ValueError, match="MixtralExperts.*`targets`"):
        attach(model, LoRA())
