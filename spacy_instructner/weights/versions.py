"""What differs between the versions of transformers that this package runs on, 4.53 to
5.x. The one place that asks which is there. Source: ours."""

import json
from inspect import signature
from pathlib import Path
from typing import Any

import transformers
from packaging.version import Version
from transformers import PretrainedConfig, PreTrainedModel

VERSION = Version(transformers.__version__)
# How `from_pretrained` calls the format of the weights.
DTYPE = "dtype" if Version("4.56") <= VERSION else "torch_dtype"


def cached(decoder: Any, cache: Any) -> dict[str, Any]:
    """The arguments that give a decoder its KV cache."""
    new = "cache" in signature(decoder.forward).parameters
    return {"cache" if new else "past_key_values": cache, "use_cache": True}


def checkpoint_activations(model: PreTrainedModel, settings: dict[str, Any]) -> None:
    """Compute each layer again when its gradient is. settings: of
    `torch.utils.checkpoint.checkpoint`."""
    # Older ones call it gradient checkpointing.
    now = hasattr(model, "activation_checkpointing_enable")
    kind = "activation" if now else "gradient"
    if not getattr(model, f"is_{kind}_checkpointing"):
        getattr(model, f"{kind}_checkpointing_enable")(settings)


def gguf_arguments() -> dict[str, Any]:
    """Arguments with which `from_pretrained` unpacks every weight of a .gguf file.
    Newer ones would leave them in the file's blocks."""
    packed = getattr(transformers, "GgufConfig", None)
    return {} if packed is None else {"quantization_config": packed(dequantize=True)}


def forget_quantizer(model: PreTrainedModel) -> None:
    """Let a model be saved whose weights were unpacked: it is one like any other."""
    if getattr(model, "hf_quantizer", None) is not None:
        del model.hf_quantizer
        del model.config.quantization_config
        model.is_quantized = False


def scales_decoder_outputs(config: PretrainedConfig) -> bool:
    """Whether a T5 scales its decoder's states before the output matrix: those whose
    input and output matrices are one. From version 5 on the config says it by itself,
    as all T5 share their matrices there."""
    name = "tie_word_embeddings" if VERSION.major < 5 else "scale_decoder_outputs"
    return bool(getattr(config, name, False))


def rope_stretches_from(config: PretrainedConfig) -> int | None:
    """From how many positions on a model's rotary embeddings depend on the longest text
    of a pass (dynamic NTK, LongRoPE); None where they never do."""
    said = getattr(config, "rope_parameters", None) or getattr(
        config, "rope_scaling", None
    )
    if not isinstance(said, dict):
        return None
    # Some have one for each type of layers.
    kinds = [each for each in said.values() if isinstance(each, dict)] or [said]
    if not any(
        each.get("rope_type", each.get("type")) in ("dynamic", "longrope")
        for each in kinds
    ):
        return None
    found = [each.get("original_max_position_embeddings") for each in kinds]
    found.append(getattr(config, "original_max_position_embeddings", None))
    return min((n for n in found if n), default=config.max_position_embeddings)


def write_for_older(folder: Path) -> None:
    """Say in a saved model's files also in the words of versions before 5 what these
    would read as a default otherwise, and be wrong about in silence."""
    path = folder / "config.json"
    said = json.loads(path.read_text("utf8"))
    for part in _parts(said):
        _rope_for_older(part)
        if "dtype" in part:
            part.setdefault("torch_dtype", part["dtype"])
        # Version 5 takes the matrices of every T5 for one, and says by the other key
        # whether they are.
        if part.get("scale_decoder_outputs") is False:
            part["tie_word_embeddings"] = False
    _write(path, said)
    path = folder / "tokenizer_config.json"
    if path.is_file():
        said = json.loads(path.read_text("utf8"))
        if said.get("tokenizer_class") == "TokenizersBackend":
            said["tokenizer_class"] = "PreTrainedTokenizerFast"
        _write(path, said)


def _parts(said: dict[str, Any]) -> list[dict[str, Any]]:
    """A config, and those of its parts that have one of their own."""
    return [said, *(each for each in said.values() if _is_config(each))]


def _is_config(value: Any) -> bool:
    return isinstance(value, dict) and "model_type" in value


def _rope_for_older(said: dict[str, Any]) -> None:
    rope = said.get("rope_parameters")
    if not rope:
        return
    # Of one kind, or by the type of layers; then the local ones apart (Gemma 3).
    wide = rope.get("full_attention", rope)
    said.setdefault("rope_theta", wide.get("rope_theta"))
    if "partial_rotary_factor" in wide:
        said.setdefault("partial_rotary_factor", wide["partial_rotary_factor"])
    kind = wide.get("rope_type", "default")
    if kind == "longrope":
        # No other key is allowed there.
        factors = {k: wide[k] for k in ("short_factor", "long_factor") if k in wide}
        said.setdefault("rope_scaling", {"type": kind, **factors})
        if "original_max_position_embeddings" in wide:
            at = "original_max_position_embeddings"
            said.setdefault(at, wide[at])
    elif kind != "default":
        apart = ("rope_theta", "partial_rotary_factor")
        said.setdefault("rope_scaling", {k: wide[k] for k in wide if k not in apart})
    if local := rope.get("sliding_attention"):
        said.setdefault("rope_local_base_freq", local.get("rope_theta"))


def _write(path: Path, said: dict[str, Any]) -> None:
    path.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", "utf8")


def refuse_newer(folder: Path) -> None:
    """Raises ValueError for a model folder of transformers 5 that an older one would
    read with other rotary embeddings or another output matrix than it was trained with."""
    said = json.loads((folder / "config.json").read_text("utf8"))
    misread = any(
        ("rope_parameters" in part and "rope_theta" not in part)
        or (
            part.get("scale_decoder_outputs") is False
            and part.get("tie_word_embeddings")
        )
        for part in _parts(said)
    )
    if VERSION.major < 5 and misread:
        raise ValueError(
            f"The model in {folder} was saved by transformers "
            f"{said.get('transformers_version', '5')}; {VERSION}, which is installed, would "
            "read it wrongly. Install transformers 5, or take the folder that the model "
            "came from."
        )
