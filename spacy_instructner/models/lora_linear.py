"""A linear layer with an adapter beside it, as one step of automatic differentiation.

    x ──┬── W ───────────────► + ──► y        g: the gradient of y
        └── A ──(scale)── B ──┘               x's: g W + scale (g B) A, in one buffer

Step by step, as peft does it, the output and the gradients of each layer are read and
written several more times: scaled, added, and added again. Imported where an adapter is
attached, as peft takes its time. Source: ours.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch.autograd.function import once_differentiable


class LoraLinear(Linear):
    """peft's layer beside a plain linear layer, with a faster forward and backward pass.
    Hooks on the layers within it are not called there."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        found: torch.Tensor
        if args or kwargs or not self._fast(x):
            found = super().forward(x, *args, **kwargs)
            return found
        base = self.get_base_layer()
        (name,) = self.active_adapters
        found = LoraProduct.apply(
            x.to(base.weight.dtype),
            base.weight,
            base.bias,
            self.lora_A[name].weight,
            self.lora_B[name].weight,
            self.scaling[name],
        )
        return found

    def _fast(self, x: torch.Tensor) -> bool:
        """Whether it is one adapter beside frozen weights, undisturbed, and everything
        in one format."""
        weight = self.get_base_layer().weight
        names = self.active_adapters
        kind = x.device.type
        return not (
            self.disable_adapters
            or self.merged
            or len(names) != 1
            or weight.requires_grad
            or (self.training and self.lora_dropout[names[0]].p)
            # Some models keep a layer in float32 where the others are in half of it.
            or (
                torch.is_autocast_enabled(kind)
                and torch.get_autocast_dtype(kind) != weight.dtype
            )
        )


def use_lora_linear(layer: Any) -> None:
    """Let a layer of peft compute like this, where it is a plain linear layer of which we
    know all that it does: neither quantized nor another kind."""
    if type(layer) is Linear and type(layer.get_base_layer()) is torch.nn.Linear:
        layer.__class__ = LoraLinear


class LoraProduct(torch.autograd.Function):
    """x W' + bias + scale (x A') B', where ' transposes. The base's weights are frozen:
    they get no gradient.

    x: (…, in); weight: (out, in); down A: (rank, in) and up B: (out, rank), cast to the
    base's format. RETURNS: (…, out)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        ctx.scale, ctx.shape, ctx.learned = scale, x.shape, down.dtype
        down, up = down.to(weight.dtype), up.to(weight.dtype)
        low = rows @ down.T * scale
        y = torch.nn.functional.linear(rows, weight, bias)
        y.addmm_(low, up.T)
        ctx.save_for_backward(rows, weight, down, up, low)
        return y.view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weight, down, up, low = ctx.saved_tensors
        g = gradient.reshape(-1, gradient.shape[-1])
        low_g = g @ up * ctx.scale
        x_g = None
        if ctx.needs_input_grad[0]:
            x_g = (g @ weight).addmm_(low_g, down).view(ctx.shape)
        return (
            x_g,
            None,
            None,
            (low_g.T @ rows).to(ctx.learned),
            (g.T @ low).to(ctx.learned),
            None,
        )
