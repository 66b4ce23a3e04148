"""Tiny models built on the spot, pipelines of them, and which tests run where."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Tests run side by side, and so do the processes that they start: threads of torch would
# take the cores from one another. Read once, when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import spacy
import torch
from spacy.lang.en import English
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.util import (
    compile_infix_regex,
    compile_prefix_regex,
    compile_suffix_regex,
)
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from helpers.pipelines import DEFINITIONS, SPACY_TRANSFORMERS
from helpers.tiny_models import byte_level_tokenizer, unigram_tokenizer
from spacy_instructner.models.tokenization import TextEncoder


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


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(byte_level_tokenizer())


@pytest.fixture(scope="module")
def nlp() -> Language:
    return spacy.blank("en")


def cut_by_rules(nlp: Language) -> Tokenizer:
    """English without its special cases: to set up these 1,300 takes longer than to load a
    tiny model, and the tests' own sentences have none of them."""
    rules = nlp.Defaults
    return Tokenizer(
        nlp.vocab,
        prefix_search=compile_prefix_regex(rules.prefixes).search,
        suffix_search=compile_suffix_regex(rules.suffixes).search,
        infix_finditer=compile_infix_regex(rules.infixes).finditer,
        token_match=rules.token_match,
        url_match=rules.url_match,
    )


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
        nlp = English(create_tokenizer=cut_by_rules)
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
