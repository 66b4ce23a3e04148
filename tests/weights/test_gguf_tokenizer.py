"""Tokenizers with scores in place of merges: SentencePiece's own ids, and its texts."""

from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from helpers.gguf_files import TEXTS, trained, write_tokenizer, written
from spacy_instructner.weights.gguf_tokenizer import (
    GGUFTokenizerFields,
    end_in_file,
    merges_of,
    scored_tokenizer,
)

# Also what the pieces lack, so that bytes stand for it.
SEEN = sorted({word for text in TEXTS for word in text.split()})
SIGNS = ["  ", "Ω", "ไทย", "🎉", "\n", "\t", "<b>x", "the", "    "]


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
    tokenizer = scored_tokenizer(GGUFTokenizerFields.of(path))
    assert tokenizer is not None
    return model, tokenizer


@given(
    st.lists(
        st.sampled_from(SEEN) | st.sampled_from(SIGNS) | st.text(max_size=6),
        max_size=12,
    )
)
@example(["the", *SIGNS, "actor"])
@example([])
@settings(max_examples=200, deadline=None)
def test_ids_are_sentencepieces(
    both: tuple[Any, PreTrainedTokenizerFast], words: list[str]
) -> None:
    model, tokenizer = both
    # The sign of a space cannot be told from one, and controls are no text.
    text = " ".join(words).replace("\0", "").replace("▁", "_")
    assume(not any(each in text for each in tokenizer.all_special_tokens))
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


LETTERS = {
    "ggml.model": "llama",
    "ggml.tokens": ["<s>", "a", "b", "ab", "▁", "</s>"],
    "ggml.scores": [0.0, -2.0, -3.0, -1.0, -4.0, 0.0],
    "ggml.token_type": [3, 1, 1, 1, 1, 3],
    "ggml.add_space_prefix": False,
    "ggml.bos_token_id": 0,
    "ggml.eos_token_id": 5,
}


def letters(**other: Any) -> GGUFTokenizerFields:
    """A tokenizer of a few letters. other: fields that are different; None for absent."""
    named = {f"ggml.{name}": value for name, value in other.items()}
    fields = {**LETTERS, **named}
    return GGUFTokenizerFields({k: v for k, v in fields.items() if v is not None})


@pytest.mark.parametrize(
    "other",
    [
        {"model": "gpt2"},
        {"merges": ["a b"]},
        {"scores": None},
        {"add_space_prefix": True},
        {"add_space_prefix": None},
    ],
)
def test_other_kinds_are_left_to_transformers(other: dict[str, Any]) -> None:
    assert scored_tokenizer(letters()) is not None
    assert scored_tokenizer(letters(**other)) is None


@pytest.mark.parametrize(
    ("other", "ids"),
    [
        ({}, [0, 3, 4, 1]),
        ({"token_type": None}, [0, 3, 4, 1]),
        ({"add_bos_token": True}, [0, 3, 4, 1]),
        ({"add_bos_token": False}, [3, 4, 1]),
        ({"bos_token_id": None}, [3, 4, 1]),
    ],
)
def test_what_starts_a_text(other: dict[str, Any], ids: list[int]) -> None:
    tokenizer = scored_tokenizer(letters(**other))
    assert tokenizer is not None and tokenizer("ab a").input_ids == ids
    pair = tokenizer("ab", "a").input_ids
    assert pair == ([0, 3, 0, 1] if ids[0] == 0 else [3, 1])


def test_padding_of_the_file() -> None:
    tokenizer = scored_tokenizer(letters(padding_token_id=4))
    assert tokenizer is not None and tokenizer.pad_token_id == 4


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"tokens": ["<s>", "a", "b", "a", "▁", "</s>"]}, "pieces that occur twice"),
        ({"scores": [0.0]}, "6 pieces, but 1 scores and 6 token types"),
        ({"token_type": [1, 1]}, "6 pieces, but 6 scores and 2 token types"),
    ],
)
def test_damaged_lists(other: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        scored_tokenizer(letters(**other))


ENDS = ["<s>", "</s>", "<|im_end|>", "<end_of_turn>", "x"]


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        # A base model, whatever its vocabulary has.
        ({"ggml.eos_token_id": 1}, 1),
        # What the template says, not what the vocabulary happens to have.
        ({"ggml.eos_token_id": 1, "chat_template": "… <end_of_turn>"}, 3),
        ({"ggml.eos_token_id": 1, "chat_template": "…"}, 1),
        ({"ggml.eot_token_id": 4, "chat_template": "… <|im_end|>"}, 4),
        ({"ggml.eot_token_id": 4, "ggml.eos_token_id": 1}, 1),
        # Without an end: a piece that is no text. An HTML tag is one.
        ({"ggml.token_type": [3, 4, 1, 3, 1]}, 3),
    ],
)
def test_the_end(fields: dict[str, Any], end: int) -> None:
    assert end_in_file(GGUFTokenizerFields({"ggml.tokens": ENDS, **fields})) == end


def test_no_end() -> None:
    with pytest.raises(ValueError, match="does not say with which token a text ends"):
        end_in_file(GGUFTokenizerFields({"ggml.tokens": ENDS}))
