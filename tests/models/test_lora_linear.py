"""The layer with an adapter computes what peft's does, and the same gradients."""

import pytest
import torch
from peft.tuners.lora import Linear
from torch import nn

from spacy_instructner.models.lora import (
    ADAPTER,
    LoRA,
    attach,
    lora_layers,
    merged_copy,
)
from spacy_instructner.models.lora_linear import LoraLinear


class Layered(nn.Module):
    """Two linear layers, one with a bias."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.first = nn.Linear(12, 20, bias=True, dtype=dtype)
        self.second = nn.Linear(20, 8, bias=False, dtype=dtype)
        self.unused = nn.Embedding(2, 2)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.unused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.second(torch.tanh(self.first(x)))
        return found


def layered(dtype: torch.dtype) -> Layered:
    """With an adapter that has an effect."""
    torch.manual_seed(1)
    model = Layered(dtype)
    attach(model, LoRA(r=3, alpha=5, targets=["first", "second"]))
    with torch.no_grad():
        for layer in lora_layers(model):
            layer.lora_B[ADAPTER].weight.normal_(std=0.3)
    return model


def learned(model: Layered, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the model computes of x, and all gradients of one number made of it."""
    own = x.clone().requires_grad_()
    half = x.dtype != torch.float32
    with torch.autocast("cpu", x.dtype, enabled=half):
        y = model(own)
    (y.float().sin().sum()).backward()
    found = {"y": y.detach(), "x": own.grad}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found[name], parameter.grad = parameter.grad, None
    return found


def takes_one_step(model: Layered, x: torch.Tensor) -> bool:
    """Whether the first layer is one step of differentiation."""
    return "LoraProduct" in type(model.first(x).grad_fn).__name__


@pytest.mark.parametrize(
    ("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)], ids=str
)
def test_as_peft_computes_it(
    dtype: torch.dtype, near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = layered(dtype)
    x = torch.randn(12, 2, 5).to(dtype).transpose(0, 2)
    assert takes_one_step(model, x) and not x.is_contiguous()
    ours = learned(model, x)
    monkeypatch.setattr(LoraLinear, "_fast", lambda self, x: False)
    theirs = learned(model, x)
    assert list(ours) == list(theirs)
    # Both adapters' weights, what comes out, what goes back.
    assert len(ours) == 2 + 2 * len(lora_layers(model))
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype, name
        scale = theirs[name].float().abs().max()
        off = (ours[name].float() - theirs[name].float()).abs().max()
        assert off <= near * scale, name


def test_nothing_comes_of_nothing() -> None:
    """A layer of experts may get no row at all."""
    model = layered(torch.float32)
    found = model(torch.empty(0, 12))
    assert found.shape == (0, 8)
    found.sum().backward()
    assert not model.second.lora_B[ADAPTER].weight.grad.any()


def test_a_layer_in_another_format_takes_peft_s_way() -> None:
    """As T5 has them, which keeps some in float32 where the others are in float16."""
    model = layered(torch.bfloat16)
    model.first.get_base_layer().float()
    x = torch.randn(3, 12, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes_one_step(model, x)
    found = learned(model, x)
    assert found["y"].dtype == torch.bfloat16 and found["x"].abs().sum() > 0


def test_weights_that_learn_get_their_gradient() -> None:
    model = layered(torch.float32)
    weight = model.first.get_base_layer().weight
    weight.requires_grad = True
    assert learned(model, torch.randn(3, 12))["first.base_layer.weight"].abs().sum() > 0


class Scaled(nn.Linear):
    """A linear layer that does something of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * super().forward(x)


def test_other_kinds_of_layers_are_left_to_peft() -> None:
    model = Layered(torch.float32)
    model.first = Scaled(12, 20)
    x = torch.randn(4, 12)
    plain = model(x)
    attach(model, LoRA(r=3, alpha=5, targets=["first", "second"]))
    first, second = lora_layers(model)
    assert type(first) is Linear and type(second) is LoraLinear
    torch.testing.assert_close(model(x), plain)


def test_merging_folds_in_what_was_computed() -> None:
    model = layered(torch.float32)
    x = torch.randn(4, 12)
    torch.testing.assert_close(merged_copy(model)(x), model(x))


def test_dropout_takes_peft_s_way() -> None:
    """It disturbs what goes through the adapter alone."""
    model = layered(torch.float32)
    x = torch.randn(64, 12)
    plain = model(x)
    for layer in lora_layers(model):
        layer.lora_dropout[ADAPTER].p = 0.5
    torch.manual_seed(0)
    assert not takes_one_step(model, x)
    assert not torch.allclose(model(x), plain)
    assert takes_one_step(model.eval(), x)
    assert torch.equal(model(x), plain)
