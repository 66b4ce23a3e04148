"""GGUF to safetensors, once, with the tokenizer's faults mended."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from .gguf_tokenizer import GGUFTokenizerFields, end_in_file, scored_tokenizer
from .loading import quiet
from .versions import DTYPE, forget_quantizer, gguf_arguments, write_for_older


def convert_gguf(path: Path, folder: Path) -> None:
    """Write the weights (float32, as the file's blocks spell them) and the
    tokenizer of a .gguf file into a folder.

    Raises ValueError where the file cannot be read."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
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
            fields = GGUFTokenizerFields.of(path)
            tokenizer = scored_tokenizer(fields)
            if tokenizer is None:
                tokenizer = AutoTokenizer.from_pretrained(**place)
            end = end_in_file(fields)
    except Exception as error:
        raise ValueError(
            f"{path.name} cannot be converted: {error}\nIs it complete, and a "
            "causal language model that transformers knows?"
        ) from error
    _mend(tokenizer, model.config, model.generation_config, end)
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


def _mend(tokenizer: Any, config: Any, generation: Any, end: int) -> None:
    """Set end, padding and start token, which transformers gets wrong: it may
    call the start token the end, sets no padding and adds a start token."""
    from tokenizers.processors import Sequence

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
