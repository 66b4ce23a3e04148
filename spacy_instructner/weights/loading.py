"""From a folder to a model on its device; the one place that calls
transformers' loaders."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from ..locks import LOADING
from .remote_code import refuse_remote_code
from .versions import DTYPE, refuse_newer

LOADERS = {"causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}


def load_folder(
    folder: Path,
    kind: str,
    dtype: torch.dtype,
    device: torch.device,
    layers: int | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The model and the tokenizer in a folder, from its files alone.

    kind: "causal" or "seq2seq"; layers: how many of its layers, the first ones; None for
    all. Raises ValueError, saying what to do, where the folder's files are damaged, of
    another kind, name code to be run, lack a fast tokenizer, or are of a version that the
    installed one would misread, and where there are not so many layers.
    """
    refuse_remote_code(folder)
    refuse_newer(folder)
    with quiet():
        config = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if bool(config.is_encoder_decoder) != (kind == "seq2seq"):
            other = "Seq2SeqLM" if config.is_encoder_decoder else "CausalLM"
            raise ValueError(
                f"The model in {folder} is a {config.model_type}: it needs the "
                f'architecture "spacy-instructner.{other}.v1".'
            )
        if layers is not None:
            keep_first_layers(config.get_text_config(), layers, folder)
        try:
            model = LOADERS[kind].from_pretrained(
                folder,
                config=config,
                **{DTYPE: dtype},
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise ValueError(
                f"The weights in {folder} cannot be read: {error}\nA truncated or "
                "damaged file is the usual reason. Remove the folder and get the "
                "weights again (python -m spacy instructner fetch)."
            ) from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, use_fast=True, trust_remote_code=False
            )
        except Exception as error:
            raise ValueError(
                f"The tokenizer in {folder} cannot be read: {error}\nThe folder needs "
                "a fast tokenizer (tokenizer.json)."
            ) from error
    if not tokenizer.is_fast:
        raise ValueError(
            f"The tokenizer in {folder} is not a fast one (tokenizer.json); save it "
            "again from `AutoTokenizer.from_pretrained(…, use_fast=True)`."
        )
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"The tokenizer in {folder} has no end token, so a model could not learn "
            "to stop. Set its `eos_token` and save it again."
        )
    # The source's own may hold settings of sampling that refuse to be saved.
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model.to(device).eval(), tokenizer


def keep_first_layers(config: PretrainedConfig, layers: int, folder: Path) -> None:
    """Let a config be that of the model's first layers alone. Raises ValueError where it
    has not so many."""
    most = config.num_hidden_layers
    if layers > most:
        raise ValueError(
            f"`layers` is {layers}, but the model in {folder} has {most}. Lower it, or "
            "write `layers = null` for all."
        )
    for name, value in list(vars(config).items()):
        # What is said of each layer, such as which of them look through a window.
        if "layer" in name and isinstance(value, list) and len(value) == most:
            setattr(config, name, value[:layers])
    config.num_hidden_layers = layers


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' remarks and progress bars to itself, one thread at a time: they
    are settings of the whole process."""
    from transformers.utils import logging as hf_logging

    with LOADING:
        level = hf_logging.get_verbosity()
        bars = hf_logging.is_progress_bar_enabled()
        try:
            hf_logging.set_verbosity(logging.ERROR)
            hf_logging.disable_progress_bar()
            yield
        finally:
            hf_logging.set_verbosity(level)
            if bars:
                hf_logging.enable_progress_bar()
