"""LoRA: a small set of trainable weights beside the frozen base (CLLMFS uses it;
for InstructionNER it is ours). One adapter a model, never stacked."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from ..locks import LOADING

ADAPTER = "default"


@dataclass(frozen=True)
class LoRA:
    """Settings of an adapter: rank r, scale alpha / r, and the layers it stands
    beside ("all-linear" or the names of modules)."""

    r: int = 16
    alpha: int = 32
    targets: str | list[str] = "all-linear"

    def __post_init__(self) -> None:
        if self.r < 1:
            raise ValueError(f"An adapter's rank `r` must be at least 1, not {self.r}.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def build_lora_v1(
    r: int = 16,
    alpha: int = 32,
    targets: str | list[str] = "all-linear",
) -> LoRA:
    """Registered as `spacy-instructner.LoRA.v1`.

    r (int): rank.
    alpha (int): the adapter's output is scaled by alpha / r.
    targets (Union[str, List[str]]): "all-linear", or names of modules.
    RETURNS (LoRA): the settings.
    """
    return LoRA(r, alpha, targets)


def attach(model: Any, lora: LoRA) -> None:
    """Freeze a model and put a fresh adapter beside its layers, in place.

    The adapter's weights are float32 and begin without effect."""
    from peft import LoraConfig, inject_adapter_in_model

    from .lora_linear import use_lora_linear

    if has_adapter(model):
        raise ValueError("The model already has an adapter; adapters are not stacked.")
    for parameter in model.parameters():
        parameter.requires_grad = False
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        target_modules=lora.targets,
    )
    try:
        # While another thread loads weights, new modules come without any.
        with LOADING:
            inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    except ValueError as error:
        raise ValueError(f"The adapter cannot be attached: {error}") from error
    for layer in lora_layers(model):
        base = layer.get_base_layer()
        if not isinstance(getattr(base, "weight", None), torch.Tensor):
            raise ValueError(
                f"An adapter cannot stand beside {type(base).__name__}, which has several "
                "weights in one. Name the layers that it is to stand beside as `targets`, "
                'such as ["q_proj", "k_proj", "v_proj", "o_proj"].'
            )
    embeddings = model.get_input_embeddings().weight
    if any(layer.get_base_layer().weight is embeddings for layer in lora_layers(model)):
        raise ValueError(
            f"An adapter cannot stand beside {lora.targets!r}: the weight is shared "
            'with the input embeddings. Take "all-linear", or other `targets`.'
        )
    for layer in lora_layers(model):
        # Its rate is set with each update, by `[training] dropout`.
        layer.lora_dropout[ADAPTER] = nn.Dropout(0.0)
        # The cast to the base's format is autocast's business.
        layer.cast_input_dtype_enabled = False
        use_lora_linear(layer)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()


def detach(model: Any) -> None:
    """Take the adapter away, in place; the base is what it was before."""
    layers = {id(layer) for layer in lora_layers(model)}
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if id(child) in layers:
                setattr(module, name, child.get_base_layer())
    # What peft leaves on the model would count as an adapter already there.
    if hasattr(model, "peft_config"):
        del model.peft_config


def lora_layers(model: nn.Module) -> list[Any]:
    return [layer for _, layer in _named_lora_layers(model)]


def _named_lora_layers(model: nn.Module) -> list[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    return [
        (n, module)
        for n, module in model.named_modules()
        if isinstance(module, LoraLayer)
    ]


def has_adapter(model: nn.Module) -> bool:
    return bool(lora_layers(model))


def adapter_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The adapter's weights by name, float32, on the CPU."""
    return {
        name.replace(f".{ADAPTER}.", "."): parameter.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if "lora_" in name
    }


def load_adapter_state(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Put weights into an attached adapter. Raises ValueError where they do not
    fit it, name by name."""
    own = {
        name.replace(f".{ADAPTER}.", "."): parameter
        for name, parameter in model.named_parameters()
        if "lora_" in name
    }
    fill(
        own,
        state,
        "The adapter's weights",
        "Was it made on another base model, with another rank, with other targets, or with "
        "another number of `layers`?",
    )


def fill(
    own: Mapping[str, nn.Parameter],
    state: Mapping[str, torch.Tensor],
    what: str,
    hint: str,
) -> None:
    """Put weights into parameters of the same names and shapes. Raises ValueError where
    they differ. what, hint: the first and the last words of its message."""
    wrong = sorted(
        (set(own) ^ set(state))
        | {n for n in set(own) & set(state) if own[n].shape != state[n].shape}
    )
    if wrong:
        raise ValueError(
            f"{what} do not fit the model: {', '.join(wrong[:3])}"
            f"{' …' if len(wrong) > 3 else ''} ({len(wrong)} in all). {hint}"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name].to(parameter))


def merged_copy(model: Any) -> Any:
    """The model with its adapter folded into the base weights, for reading answers: W +
    BA, computed in float32 and rounded once. The model itself stays as it is; weights
    without an adapter beside them are shared."""
    copied = copy_without_adapter(model)
    with torch.no_grad():
        for name, layer in _named_lora_layers(model):
            delta = layer.get_delta_weight(ADAPTER).float()
            base = layer.get_base_layer().weight
            merged = (base.data.float() + delta).to(base.dtype)
            # Not another Parameter: while any thread loads weights, modules put an
            # empty one in the place of each that they are given.
            copied.get_submodule(name).weight.data = merged
    return copied.eval()


def copy_without_adapter(model: Any) -> Any:
    """Another model over the same memory of weights, without the adapter. What is put in
    place of a weight of one of them, the other does not have."""
    own = (*model.parameters(), *model.buffers())
    memo: dict[int, Any] = {
        id(tensor): nn.Parameter(tensor.data, tensor.requires_grad)
        if isinstance(tensor, nn.Parameter)
        else tensor
        for tensor in own
    }
    copied = deepcopy(model, memo)
    detach(copied)
    return copied
