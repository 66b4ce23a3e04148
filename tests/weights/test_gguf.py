"""A .gguf file becomes the model that it was made of: its logits, its tokenizer, its end."""

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3ForCausalLM
from transformers.models.gemma3 import Gemma3TextConfig

from helpers.gguf_files import trained, write_tokenizer, written
from spacy_instructner.weights.gguf import convert_gguf

WINDOW = 4


@pytest.fixture(scope="module")
def pieces() -> Any:
    return trained()


@pytest.fixture(scope="module")
def gemma(pieces: Any) -> Gemma3ForCausalLM:
    """A tiny Gemma 3: layers with a sliding window, and one that sees all."""
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=pieces.get_piece_size(),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=7,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=WINDOW,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    model = Gemma3ForCausalLM(config).eval()
    for name, each in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(each, std=0.3)
    return model


def write_gemma(path: Path, model: Gemma3ForCausalLM, pieces: Any, chat: bool) -> None:
    """As llama.cpp writes it: each norm's weight is one more."""
    config = model.config
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_sliding_window(WINDOW)
    write_tokenizer(writer, pieces)
    if chat:
        writer.add_chat_template("{{ messages }}<end_of_turn>")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        own = names.get_name(name, try_suffixes=(".weight",))
        assert own is not None, name
        writer.add_tensor(own, (tensor + ("norm" in name)).numpy())
    written(writer)


def test_gemma_with_its_sliding_layers(
    gemma: Gemma3ForCausalLM, pieces: Any, tmp_path: Path
) -> None:
    write_gemma(tmp_path / "tiny.gguf", gemma, pieces, chat=False)
    (tmp_path / "folder").mkdir()
    convert_gguf(tmp_path / "tiny.gguf", tmp_path / "folder")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "folder").eval()
    assert model.config.layer_types == gemma.config.layer_types
    assert set(model.config.layer_types) == {"sliding_attention", "full_attention"}
    ids = torch.randint(0, pieces.get_piece_size(), (1, 5 * WINDOW))
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, gemma(ids).logits)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "folder")
    text = "the actor  moved to paris\nin 1999"
    assert tokenizer(text).input_ids == [pieces.bos_id(), *pieces.encode(text)]
    # It was not taught to chat: a text ends with the file's own end.
    assert model.config.eos_token_id == tokenizer.eos_token_id == pieces.eos_id()
    # It brings no padding of its own.
    assert model.config.pad_token_id == tokenizer.pad_token_id == pieces.eos_id()


@pytest.mark.parametrize("chat", [False, True])
def test_a_turn_ends_as_in_chats_where_there_are_any(
    gemma: Gemma3ForCausalLM, tmp_path: Path, chat: bool
) -> None:
    pieces = trained("<end_of_turn>")
    write_gemma(tmp_path / "tiny.gguf", gemma, pieces, chat)
    (tmp_path / "folder").mkdir()
    convert_gguf(tmp_path / "tiny.gguf", tmp_path / "folder")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "folder")
    assert tokenizer.eos_token == ("<end_of_turn>" if chat else "</s>")


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF, but no more than that")
    with pytest.raises(ValueError, match=r"tiny\.gguf cannot be converted"):
        convert_gguf(tmp_path / "tiny.gguf", tmp_path)
