"""GGUF to safetensors, once, with the tokenizer's faults mended."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from .gguf_tokenizer import scored_tokenizer
from .loading import quiet
from .versions import DTYPE, forget_quantizer, gguf_arguments, write_for_older

# How chat models end a turn, likeliest first.
TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "</s>")


def convert_gguf(path: Path, folder: Path) -> None:
    """Write the weights (float32, as the file's blocks spell them) and the
    tokenizer of a .gguf file into a folder.

    Raises ValueError where transformers cannot read the file."""
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        reader = GGUFReader(str(path))
        with quiet(), tempfile.TemporaryDirectory() as alone:
            # What lies beside the file is nobody's business.
            place = {
                "pretrained_model_name_or_path": alone,
                "gguf_file": _linked(path, Path(alone)).name,
                "local_files_only": True,
                "trust_remote_code": False,
            }
            model = AutoModelForCausalLM.from_pretrained(
                **place, **gguf_arguments(), **{DTYPE: torch.float32}
            )
            forget_quantizer(model)
            tokenizer = scored_tokenizer(reader)
            if tokenizer is None:
                tokenizer = AutoTokenizer.from_pretrained(**place)
    except Exception as error:
        raise ValueError(
            f"transformers cannot read {path.name}: {error}\nIs it complete, and a "
            "causal language model?"
        ) from error
    _mend(tokenizer, model.config, model.generation_config, _end_in_file(reader))
    with quiet():
        model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    write_for_older(folder)


def _linked(path: Path, folder: Path) -> Path:
    """A file in another folder; copied where it cannot be linked."""
    there = folder / path.name
    try:
        there.symlink_to(path.resolve())
    except OSError:
        shutil.copyfile(path, there)
    return there


def _end_in_file(reader: Any) -> int | None:
    """The id that ends a text or, in a model that was taught to chat, a turn; None where
    the file says neither."""

    def said(name: str) -> Any:
        field = reader.get_field(f"tokenizer.{name}")
        return None if field is None else field.contents()

    if said("chat_template"):
        pieces = said("ggml.tokens")
        for token in TURN_ENDS:
            if token in pieces:
                return int(pieces.index(token))
    end = said("ggml.eos_token_id")
    return None if end is None else int(end)


def _mend(tokenizer: Any, config: Any, generation: Any, end: int | None) -> None:
    """Set end, padding and start token, which transformers gets wrong: it may
    call the start token the end, sets no padding and adds a start token."""
    from tokenizers.processors import Sequence

    if end is None:
        end = tokenizer.eos_token_id
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    for settings in (config, generation):
        settings.eos_token_id = end
        settings.pad_token_id = tokenizer.pad_token_id
    # A start token that is also how a turn starts was never seen at a text's
    # start in pretraining.
    if tokenizer.bos_token in ("<|im_start|>", None):
        tokenizer.backend_tokenizer.post_processor = Sequence([])
        tokenizer.add_bos_token = False
