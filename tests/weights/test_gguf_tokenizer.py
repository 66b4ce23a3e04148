"""Tokenizers with scores in place of merges: SentencePiece's own ids, and its texts."""

from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from helpers.gguf_files import TEXTS, trained, write_tokenizer, written
from spacy_instructner.weights.gguf_tokenizer import merges_of, scored_tokenizer

# Also what the pieces lack, so that bytes stand for it.
WORDS = [*" ".join(TEXTS).split(), "  ", "Ω", "ไทย", "🎉", "\n", "\t", "<s>x", "▁"]


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Any, PreTrainedTokenizerFast]:
    """SentencePiece's model, and ours out of a file."""
    model = trained()
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    write_tokenizer(writer, model)
    written(writer)
    tokenizer = scored_tokenizer(gguf.GGUFReader(path))
    assert tokenizer is not None
    return model, tokenizer


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=12))
@settings(max_examples=200, deadline=None)
def test_ids_are_sentencepieces(
    both: tuple[Any, PreTrainedTokenizerFast], words: list[str]
) -> None:
    model, tokenizer = both
    text = " ".join(words).replace("\0", "").replace("▁", "_")
    ids = tokenizer(text).input_ids
    assert ids == [model.bos_id(), *model.encode(text)]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_roles_of_pieces(both: tuple[Any, PreTrainedTokenizerFast]) -> None:
    model, tokenizer = both
    assert len(tokenizer) == model.get_piece_size()
    assert tokenizer.bos_token_id == model.bos_id()
    assert tokenizer.eos_token_id == model.eos_id()
    assert tokenizer.unk_token_id == model.unk_id()
    assert tokenizer.pad_token_id is None


def test_it_is_saved_and_loaded(
    both: tuple[Any, PreTrainedTokenizerFast], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    model, tokenizer = both
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "the actor  moved to <b>London\n🎉"
    assert again(text).input_ids == [model.bos_id(), *model.encode(text)]


def test_merges_by_the_score_of_what_they_make() -> None:
    scores = {"a": -9.0, "b": -8.0, "c": -7.0, "bc": -1.0, "ab": -2.0, "abc": -3.0}
    pairs = [("b", "c"), ("a", "b"), ("a", "bc"), ("ab", "c")]
    assert merges_of(scores) == pairs


@pytest.mark.parametrize("what", ["gpt2", "merges", "prefix"])
def test_other_kinds_are_left_to_transformers(tmp_path: Path, what: str) -> None:
    writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "llama")
    writer.add_tokenizer_model("gpt2" if what == "gpt2" else "llama")
    writer.add_token_list(["a", "b", "ab"])
    writer.add_token_scores([0.0, 0.0, 0.0])
    if what == "merges":
        writer.add_token_merges(["a b"])
    if what != "prefix":
        writer.add_add_space_prefix(False)
    written(writer)
    assert scored_tokenizer(gguf.GGUFReader(tmp_path / "tiny.gguf")) is None


def test_pieces_that_occur_twice(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["a", "b", "a"])
    writer.add_token_scores([0.0, -1.0, -2.0])
    writer.add_add_space_prefix(False)
    written(writer)
    with pytest.raises(ValueError, match="pieces that occur twice"):
        scored_tokenizer(gguf.GGUFReader(tmp_path / "tiny.gguf"))
