"""Tokenizers of the tests' tiny models, trained or put together on the spot."""

import math
import string
from collections import Counter

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

# Words of the tests' own sentences; what a tokenizer of the tests learns from.
SENTENCES = [
    "Instruction: please extract entities and their types from the input sentence",
    "all entity types are in options Options: person, place, creative work",
    "Sentence: Anna met Bert in Paris. Answer: Anna is a person, Paris is a place.",
    "please typing these entity words according to sentence Entity words: none.",
    "Anna's friend lives in Rome and Bert lives in Paris, which is an old place.",
]


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>", "<|turn|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|end|>",
        additional_special_tokens=["<|turn|>"],
    )


def unigram_pieces(most: int = 70) -> list[tuple[str, float]]:
    """A vocabulary with log-probabilities: letters, and what the sentences repeat.

    Not by a trainer: that of tokenizers gives another one in every process."""
    words = ["\u2581" + w for text in SENTENCES for w in text.split()]
    signs = sorted({*"".join(words), *string.ascii_letters, *".,'\"/<>"})
    counts = Counter(
        word[begin:end]
        for word in words
        for begin in range(len(word))
        for end in range(begin + 1, len(word) + 1)
    )
    longer = [piece for piece in counts if len(piece) > 1 and counts[piece] > 1]
    longer.sort(key=lambda piece: (-counts[piece] * (len(piece) - 1), piece))
    pieces = [*signs, *longer[:most]]
    total = sum(counts[piece] + 0.1 for piece in pieces)
    return [(piece, math.log((counts[piece] + 0.1) / total)) for piece in pieces]


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """As T5's: Unigram, with its end token in the vocabulary of the model."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = Tokenizer(models.Unigram([*special, *unigram_pieces()], unk_id=2))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("\n", " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([piece for piece, _ in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )
