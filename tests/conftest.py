"""Tiny models built on the spot, and where real data and weights may lie."""

import math
import os
import string
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Tests run side by side, and so do the processes that they start: threads of torch would
# take the cores from one another. Read once, when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from spacy.lang.en import English
from spacy.language import Language
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

# Words of the tests' own sentences; what a tokenizer of the tests learns from.
SENTENCES = [
    "Instruction: please extract entities and their types from the input sentence",
    "all entity types are in options Options: person, place, creative work",
    "Sentence: Anna met Bert in Paris. Answer: Anna is a person, Paris is a place.",
    "please typing these entity words according to sentence Entity words: none.",
    "Anna's friend lives in Rome and Bert lives in Paris, which is an old place.",
]
KINDS = ("causal", "t5", "bart")
SPACY_TRANSFORMERS = find_spec("spacy_transformers") is not None
DEFINITIONS = {"PERSON": "somebody's name", "PLACE": "a town", "CITY": "a big town"}
SHARED = Path(
    os.environ.get("SPACY_INSTRUCTNER_DATA")
    or Path(__file__).parents[2] / "shared" / "data"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run slow tests too")


# Before xdist, which reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list) -> None:
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow", False):
            item.add_marker(pytest.mark.skip(reason="needs --slow"))
        if "spacy_transformers" in item.keywords and not SPACY_TRANSFORMERS:
            item.add_marker(pytest.mark.skip(reason="needs spacy-transformers"))
        # What `trained` makes takes minutes: of the processes that share the tests, one
        # makes it.
        if "trained" in item.fixturenames:
            parameter = getattr(item, "callspec", None)
            shared = f"{item.module.__name__}-{parameter.id if parameter else ''}"
            item.add_marker(pytest.mark.xdist_group(shared))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


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


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a 2-layer Llama and a byte-level tokenizer."""
    folder = tmp_path_factory.mktemp("tiny-causal")
    tokenizer = byte_level_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    # Larger weights than at the start of pretraining, so that a random model has
    # opinions and the tests' comparisons are not between near ties.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders with a 2-layer T5 (Unigram) or BART (byte-level BPE)."""

    def make(kind: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"tiny-{kind}"
        if folder.exists():
            return folder
        tokenizer = byte_level_tokenizer() if kind == "bart" else unigram_tokenizer()
        if kind == "bart":
            # Not the end token: no gradient reaches the embedding of filling.
            tokenizer.pad_token = "<|turn|>"
        ids = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "decoder_start_token_id": tokenizer.pad_token_id,
        }
        # Random models that name entities now and then, or tests would compare nothing.
        torch.manual_seed(0 if kind == "bart" else 1)
        if kind == "bart":
            shape = {"d_model": 64, "max_position_embeddings": 512}
            for side in ("encoder", "decoder"):
                shape[f"{side}_layers"] = 2
                shape[f"{side}_attention_heads"] = 4
                shape[f"{side}_ffn_dim"] = 128
            model = BartForConditionalGeneration(BartConfig(**shape, **ids))
        else:
            config = T5Config(
                d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, **ids
            )
            model = T5ForConditionalGeneration(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(5 if kind == "bart" else 1.5)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def make_nlp(
    request: pytest.FixtureRequest,
    tiny_causal: Path,
    tiny_seq2seq: Callable[[str], Path],
) -> Callable[..., Language]:
    """English with the component on a tiny model, in float32: the causal one with
    InstructionNER, or by parametrizing (see `on_every_kind`) the T5 or the BART, and
    CLLMFS."""
    kind, _, method = getattr(request, "param", "causal").partition(" ")
    architecture = "CausalLM" if kind == "causal" else "Seq2SeqLM"
    folder = tiny_causal if kind == "causal" else tiny_seq2seq(kind)

    def make(**config: object) -> Language:
        nlp = English()
        model = {
            "@architectures": f"spacy-instructner.{architecture}.v1",
            "name": str(folder),
            "precision": "float32",
            **config.pop("model", {}),  # type: ignore[dict-item]
        }
        config.setdefault("labels", ["PERSON", "PLACE"])
        if method == "cllmfs":
            # Those of the texts, where labels are still to come.
            labels: Any = config["labels"] or ["PERSON", "PLACE"]
            own = {each: DEFINITIONS[each] for each in labels if each in DEFINITIONS}
            config.setdefault("label_definitions", own)
            # The tiny T5's tokenizer has no semicolon.
            config.setdefault(
                "task", {"@misc": "spacy-instructner.CLLMFS.v1", "separator": ","}
            )
        config.setdefault("task", {"@misc": "spacy-instructner.InstructionNER.v1"})
        nlp.add_pipe("instruction_ner", config={"model": model, **config})
        return nlp

    return make


on_every_kind = pytest.mark.parametrize(
    "make_nlp",
    [f"{kind}{method}" for method in ("", " cllmfs") for kind in KINDS],
    indirect=True,
)
