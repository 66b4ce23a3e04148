"""One update: records become gradients, pack by pack. Source: ours."""

import math
from collections.abc import Sequence

from thinc.api import Model

from ..models.backbone import Backbone
from ..models.thinc_model import ModelConfig, drop_gradients
from ..tasks.base import TrainingRecord
from .objective import Objective
from .step import TrainingPack

DIVERGED = (
    "The loss of the component {name!r} is {loss}: the training diverged, and its weights "
    "are lost. Train again from the start with a lower learn rate ([training.optimizer])."
)


def add_gradients(
    model: Model,
    backbone: Backbone,
    records: Sequence[TrainingRecord],
    drop: float,
    name: str,
    losses: dict[str, float],
) -> None:
    """Add the gradients of one batch of records to those that the model holds.

    drop: rate of dropout; losses: the loss (nats for each answer id that carries loss, and
    for each word that is scored) is added under the component's name.

    Raises ValueError for a loss that is no finite number; where anything goes wrong, the
    model holds no gradients."""
    total = sum(record.weight for record in records)
    if not total:
        return
    config: ModelConfig = model.attrs["config"]
    backbone.set_dropout(drop)
    objectives: dict[str, Objective] = model.attrs["objectives"]
    terms = {key: objective.terms(records) for key, objective in objectives.items()}
    try:
        for pack in backbone.packs(records, config.pack_tokens):
            loss, backprop = model.begin_update(TrainingPack(pack, total, terms))
            if not math.isfinite(loss):
                raise ValueError(DIVERGED.format(name=name, loss=loss))
            backprop(1.0)
            losses[name] += loss
    except BaseException:
        # Half of a step must not become a part of the next.
        drop_gradients(model)
        raise
