"""Weights between those that training began with and those that it has reached.

    start ──────────●───────────────────── learned
                  share                    start + share · (learned - start)

What is learned from a few texts is laid over what was known before; a share of it often knows
more than all of it, and more than none. Source: WiSE-FT (Wortsman et al. 2022,
arXiv:2109.01903); that only an adapter and its head are mixed: ours.
"""

import torch
from torch import nn

Named = dict[str, torch.Tensor]


class WeightInterpolation:
    """How far what annotates and is saved goes from the start to what was learned.

    share: 1.0 is what was learned, 0.0 the start; start: the trained weights as they were
    before the first update, kept where the share is less than 1."""

    def __init__(self) -> None:
        self.share = 1.0
        self.start: Named | None = None

    def keep_start(self, model: nn.Module) -> None:
        """To be called before each update; the first call keeps the weights."""
        if self.share < 1.0 and self.start is None:
            self.start = trained_weights(model)

    def mixed(self, model: nn.Module) -> Named | None:
        """The weights in between, by name; None where they are those of the model, which
        stays as it is."""
        start = self.start
        if start is None or self.share >= 1.0:
            return None
        learned = {name: each.detach() for name, each in model.named_parameters()}
        # Exactly the start where nothing of what was learned is wanted.
        return {
            name: torch.lerp(begun, learned[name], self.share)
            for name, begun in start.items()
        }


def trained_weights(model: nn.Module) -> Named:
    """Copies of the weights that are trained, by name."""
    return {
        name: each.detach().clone()
        for name, each in model.named_parameters()
        if each.requires_grad
    }
