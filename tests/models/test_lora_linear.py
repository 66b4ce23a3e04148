"""The layer with an adapter computes what peft's does, and the same gradients."""

import pytest
import torch
from peft.tuners.lora import Linear
from torch import nn

from spacy_instructner.models.lora import ADAPTER, LoRA, attach, lora_layers
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


@pytest.mark.parametrize(
    ("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)], ids=str
)
def test_as_peft_computes_it(
    dtype: torch.dtype, near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = layered(dtype)
    assert all(type(layer) is LoraLinear for layer in lora_layers(model))
    x = torch.randn(2, 5, 12).to(dtype)
    ours = learned(model, x)
    monkeypatch.setattr(LoraLinear, "forward", Linear.forward)
    theirs = learned(model, x)
    assert list(ours) == list(theirs)
    # Both adapters' weights, what comes out, what goes back.
    assert len(ours) == 2 + 2 * len(lora_layers(model))
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype, name
        scale = theirs[name].float().abs().max()
        off = (ours[name].float() - theirs[name].float()).abs().max()
        assert off <= near * scale, name


def test_dropout_takes_peft_s_way() -> None:
    """It disturbs what goes through the adapter alone."""
    model = layered(torch.float32)
    x = torch.randn(64, 12)
    plain = model(x)
    for layer in lora_layers(model):
        layer.lora_dropout[ADAPTER].p = 0.5
    torch.manual_seed(0)
    assert not torch.allclose(model(x), plain)
    assert torch.equal(model.eval()(x), plain)
