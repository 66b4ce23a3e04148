"""Backbones of several architectures: their check against the model's own logits, and
their room."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig

from helpers.search import ALL, make_backbone, make_questions
from helpers.tiny_models import byte_level_tokenizer
from spacy_instructner.decoding.beam_search import search
from spacy_instructner.models.causal import CausalBackbone


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_a_reader_attends_outside_of_a_pass_as_its_model_does(kind: str) -> None:
    backbone = make_backbone(kind)
    if kind == "gemma2":
        backbone.hf.config._attn_implementation = "spacy_instructner_eager"
    reader = backbone.inference_copy()
    own = backbone.hf.config._attn_implementation
    assert reader.hf.config._attn_implementation == own
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        assert torch.equal(reader.hf(ids).logits, backbone.hf(ids).logits)


@pytest.mark.parametrize("kind", ALL)
def test_check_accepts_what_agrees(kind: str) -> None:
    make_backbone(kind).check()


def test_check_refuses_what_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = make_backbone("llama")
    monkeypatch.setattr(backbone, "scaled", lambda logits, tokens=None: logits.flip(-1))
    with pytest.raises(ValueError, match="gives other logits"):
        backbone.check()
    config = BloomConfig(hidden_size=32, n_layer=2, n_head=2, vocab_size=400)
    bloom = AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(ValueError, match="BloomForCausalLM cannot be read"):
        CausalBackbone(bloom, byte_level_tokenizer()).check()


def test_a_sliding_window_bounds_the_room() -> None:
    backbone = make_backbone("mistral")
    backbone.hf.config.sliding_window = 64
    assert backbone.positions == 64


def test_no_vocabulary_row_is_computed_but_the_reachable(tmp_path: Path) -> None:
    backbone = make_backbone("llama")
    seen: list[int] = []
    original = backbone.logits

    def logits(hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        seen.append(len(tokens))
        return original(hidden, tokens)

    backbone.logits = logits  # type: ignore[method-assign]
    search(backbone, make_questions(backbone, 2, 0))
    assert seen and max(seen) < 40
