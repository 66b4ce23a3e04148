"""One step of training: a pack of records in, its loss out, its gradient on demand.

    records ──► forward_records ──► likelihood + losses of the objectives ──► loss
                  ▲                 span loss                                  │ backprop
                  │ perturb: added to the embeddings                           │
                  │                                                            ▼
                  └──── a second pass, along the gradient of the first ◄── gradients
                        (objectives with a `second_pass_weight`)

Source: the likelihood is InstructionNER's, the objectives are CLLMFS's; see each.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from thinc.api import Model

from ..models.backbone import Backbone
from ..models.forward_output import EmbeddingHook, ForwardOutput, TokenPositions
from ..models.thinc_model import ModelConfig, get_backbone
from ..tasks.base import TrainingRecord
from .likelihood import likelihood
from .objective import Objective
from .span_loss import span_loss

Loss = float


@dataclass(frozen=True)
class TrainingPack:
    """Records of one pass.

    total: weight of all records of the batch, which their losses are divided by;
    terms: the same for each objective, by its name."""

    records: list[TrainingRecord]
    total: float
    terms: Mapping[str, float]


@dataclass(frozen=True)
class PerturbedPass:
    """What a second pass goes on from: the (positions, width) embeddings of the first,
    with their gradient; what had been added to them; where the records stand."""

    embedded: torch.Tensor
    added: torch.Tensor
    positions: TokenPositions


def forward(
    model: Model, pack: Any, is_train: bool
) -> tuple[Loss, Callable[[float], list]]:
    """A pack's share of the batch's loss, and a function that adds its gradient, times
    a scale, to the weights'.

    Docs in place of a pack are what `spacy debug model` gives to every model: they get
    the component's predictions, and no gradient."""
    if not isinstance(pack, TrainingPack):
        return model.attrs["predict"](pack), lambda scale: []
    backbone = get_backbone(model)
    config: ModelConfig = model.attrs["config"]
    if is_train:
        backbone.train_mode(config.checkpointing)
    else:
        backbone.eval_mode()
    step = TrainingStep(backbone, model.attrs["objectives"], pack, is_train)
    loss = step.loss()
    return float(loss.detach()), partial(step.backprop, loss)


class TrainingStep:
    """A pass over one pack."""

    def __init__(
        self,
        backbone: Backbone,
        objectives: Mapping[str, Objective],
        pack: TrainingPack,
        is_train: bool,
    ) -> None:
        self.backbone = backbone
        self.objectives = objectives
        self.pack = pack
        self.is_train = is_train
        self.second_passes = [
            each for each in objectives.values() if is_train and each.second_pass_weight
        ]
        # Of the first pass; there for those that make a second.
        self.first: PerturbedPass | None = None

    def loss(self) -> torch.Tensor:
        """The likelihood and the objectives' losses, each by its share of the batch."""
        records = self.pack.records
        hook = self._perturb_first if self.objectives and self.is_train else None
        output = self._forward_records(hook)
        with torch.set_grad_enabled(self.is_train):
            loss = self._learned(output) / self.pack.total
            for name, objective in self.objectives.items():
                own = objective.loss(records, output)
                if own is not None and self.pack.terms[name]:
                    loss = loss + own / self.pack.terms[name]
        return loss

    def backprop(self, loss: torch.Tensor, scale: float) -> list:
        """Add the gradient of the loss, times a scale, and of the second passes."""
        (loss * scale).backward()
        for objective in self.second_passes:
            assert self.first is not None
            more = objective.perturb(
                self.pack.records,
                self.first.positions,
                self.first.embedded.detach(),
                self.first.embedded.grad,
            )
            if more is not None:
                output = self._forward_records(partial(_add, self.first.added + more))
                weight = objective.second_pass_weight * scale / self.pack.total
                (self._learned(output) * weight).backward()
        return []

    def _learned(self, output: ForwardOutput) -> torch.Tensor:
        """What the records say: the likelihood of answers, the scores of spans."""
        loss = likelihood(output)
        scored = span_loss(self.backbone.head, self.pack.records, output)
        return loss if scored is None else loss + scored

    def _forward_records(self, hook: EmbeddingHook | None) -> ForwardOutput:
        backbone = self.backbone
        # The adapter's float32 weights compute in the base's format.
        half = backbone.hf.dtype != torch.float32
        layers = {at for each in self.objectives.values() for at in each.layers}
        with (
            torch.set_grad_enabled(self.is_train),
            torch.autocast(backbone.device.type, backbone.hf.dtype, enabled=half),
        ):
            return backbone.forward_records(self.pack.records, sorted(layers), hook)

    def _perturb_first(
        self, embedded: torch.Tensor, positions: TokenPositions
    ) -> torch.Tensor:
        unchanged = embedded
        for objective in self.objectives.values():
            more = objective.perturb(self.pack.records, positions, unchanged, None)
            embedded = embedded if more is None else embedded + more
        if self.second_passes:
            embedded.requires_grad_().retain_grad()
            added = (embedded - unchanged).detach()
            self.first = PerturbedPass(embedded, added, positions)
        return embedded


def _add(
    more: torch.Tensor, embedded: torch.Tensor, positions: TokenPositions
) -> torch.Tensor:
    return embedded + more
