"""The head that scores words against labels: starts, ends and insides of spans.

    states of words   (words, width)  ──► words ──┐  (words, 3, size)
                                                  ├──► dot products ──► (words, labels, 3)
    states of labels  (labels, width) ──► labels ─┘  (labels, 3, size)

Its weights are trained with the adapter, and saved with it. Source: Just Pass Twice (tokens
are scored against the embeddings of labels); that the head has three channels, and its
shape: ours.
"""

import math

import torch
from torch import nn

from ..scoring.scoring_request import SpanHeadConfig
from ..scoring.span_scores import CHANNELS
from .lora import fill

# The log-odds of a label against none for a word, before anything is learned: about one
# in twenty.
RARE = -3.0
# The mean square of what GELU makes of normal numbers.
GELU_SQUARE = 0.425
# What the head's weights are called beside the adapter's.
HEAD = "span_head."


class SpanHead(nn.Module):
    """See the module. width: of the model's states; its weights are float32."""

    def __init__(self, width: int, config: SpanHeadConfig) -> None:
        super().__init__()
        self.config = config
        self.words = Projection(width, config)
        self.labels = Projection(width, config)
        self.bias = nn.Parameter(torch.full((CHANNELS,), RARE))

    def forward(self, words: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(words, width) and (labels, width) states -> (words, labels, 3) logits."""
        return self.compare(self.words(words), self.labels(labels))

    def compare(self, words: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(words, 3, size) and (labels, 3, size) projections -> (words, labels, 3)."""
        products = torch.einsum("wcs,lcs->wlc", words, labels)
        return products / math.sqrt(self.config.size) + self.bias


class Projection(nn.Module):
    """(n, width) states -> (n, 3, size) vectors to compare."""

    def __init__(self, width: int, config: SpanHeadConfig) -> None:
        super().__init__()
        self.size = config.size
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, config.hidden)
        self.dropout = nn.Dropout(0.0)
        self.outer = nn.Linear(config.hidden, CHANNELS * config.size)
        # Each number that is compared has variance 1, and so have the logits around their
        # bias. From torch's own start, which is smaller, a product of two projections
        # takes several times as many steps to begin to learn.
        for layer, square in ((self.inner, 1.0), (self.outer, GELU_SQUARE)):
            nn.init.normal_(layer.weight, std=(square * layer.in_features) ** -0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        hidden = self.dropout(nn.functional.gelu(self.inner(self.norm(states))))
        projected: torch.Tensor = self.outer(hidden)
        return projected.view(-1, CHANNELS, self.size)


def head_state(head: SpanHead | None) -> dict[str, torch.Tensor]:
    """A head's weights by their names beside the adapter's, on the CPU; none without one."""
    named = head.named_parameters() if head else ()
    return {HEAD + name: each.detach().cpu().contiguous() for name, each in named}


def load_head_state(head: SpanHead, state: dict[str, torch.Tensor]) -> None:
    """Put weights, by their names beside the adapter's, into a head. Raises ValueError
    where they do not fit it."""
    own = {HEAD + name: each for name, each in head.named_parameters()}
    hint = "Were they made on another base model?"
    fill(own, state, "The weights of the head", hint)
