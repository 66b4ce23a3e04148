"""What differs between the versions of transformers that this package runs on, 4.53 to
5.x. The one place that asks which is there. Source: ours."""

from inspect import signature
from typing import Any, Dict, Optional

import transformers
from packaging.version import Version
from transformers import PretrainedConfig, PreTrainedModel

VERSION = Version(transformers.__version__)
# How `from_pretrained` calls the format of the weights.
DTYPE = "dtype" if Version("4.56") <= VERSION else "torch_dtype"


def cached(decoder: Any, cache: Any) -> Dict[str, Any]:
    """The arguments that give a decoder its KV cache."""
    new = "cache" in signature(decoder.forward).parameters
    return {"cache" if new else "past_key_values": cache, "use_cache": True}


def checkpoint_activations(model: PreTrainedModel, settings: Dict[str, Any]) -> None:
    """Compute each layer again when its gradient is. settings: of
    `torch.utils.checkpoint.checkpoint`."""
    # Older ones call it gradient checkpointing.
    now = hasattr(model, "activation_checkpointing_enable")
    kind = "activation" if now else "gradient"
    if not getattr(model, f"is_{kind}_checkpointing"):
        getattr(model, f"{kind}_checkpointing_enable")(settings)


def scales_decoder_outputs(config: PretrainedConfig) -> bool:
    """Whether a T5 scales its decoder's states before the output matrix: those whose
    input and output matrices are one. From version 5 on the config says it by itself,
    as all T5 share their matrices there."""
    name = "tie_word_embeddings" if VERSION.major < 5 else "scale_decoder_outputs"
    return bool(getattr(config, name, False))


def rope_stretches_from(config: PretrainedConfig) -> Optional[int]:
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
