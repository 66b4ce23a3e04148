"""A contrast of hidden states: an entity's tokens are drawn to an anchor, the tokens
around it pushed away.

Source: CLLMFS (a contrastive loss on the states of a mid-to-deep layer, InfoNCE). What
the paper's visible parts leave open follows public code with the paper's template, "the
artefact", or is ours; `build_info_nce_v1` says which is which.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import logsigmoid, normalize

from ..models.forward_output import ForwardOutput
from ..tasks.base import MentionPositions, ScoringTask, Task, TrainingRecord
from .objective import Objective

Anchor = Literal["type", "opening"]
Positives = Literal["edges", "all"]
Entities = Literal["all", "first"]
Form = Literal["infonce", "logsigmoid"]


def build_info_nce_v1(
    weight: float = 0.001,
    layer: float = 0.8125,
    anchor: Anchor = "type",
    positives: Positives = "edges",
    negatives: int = 2,
    entities: Entities = "all",
    temperature: float = 1.0,
    form: Form = "infonce",
) -> "InfoNCE":
    """Registered as `spacy-instructner.InfoNCE.v1`.

    weight (float): of this loss beside the likelihood (artefact: 0.001).
    layer (float): whose states are compared, as a share of the model's depth; 0 is the
        embeddings (artefact: 26 of 32 layers).
    anchor (str): "type", the first token of the type's name in the prompt (artefact; for
        Just Pass Twice the sign that ends its entry, which has seen all of it: ours);
        in a causal model it sees only what stands before it. Or "opening", the last
        token before the entity in the answer, which has seen the text (ours).
    positives (str): the entity's first and last token in the text, "edges" (artefact),
        or "all" of its tokens (ours).
    negatives (int): tokens of the text on each side of the entity (artefact: 2). Those
        of another entity of the record, and what lies outside the text, are left out
        (ours; the artefact takes what stands there).
    entities (str): "all" of a record (ours), or the "first" alone (artefact).
    temperature (float): cosines are divided by it (artefact: 1).
    form (str): "infonce" (paper), each positive against all negatives, or "logsigmoid"
        (artefact), the sums of both against each other.
    RETURNS (InfoNCE): the objective. Raises ValueError for values out of range.
    """
    return InfoNCE(
        weight, layer, anchor, positives, negatives, entities, temperature, form
    )


@dataclass(frozen=True)
class InfoNCE(Objective):
    """See `build_info_nce_v1`."""

    weight: float
    layer: float
    anchor: Anchor
    positives: Positives
    negatives: int
    entities: Entities
    temperature: float
    form: Form

    def __post_init__(self) -> None:
        if not 0.0 <= self.layer <= 1.0:
            raise ValueError(
                f"`layer` is a share of the model's depth, from 0 to 1, not {self.layer}."
            )
        if self.temperature <= 0.0:
            raise ValueError(f"`temperature` must be above 0, not {self.temperature}.")
        if self.weight < 0.0 or self.negatives < 1:
            raise ValueError(
                f"`weight` must not be negative ({self.weight}), and `negatives` must "
                f"be at least 1 ({self.negatives})."
            )

    @property
    def layers(self) -> tuple[float, ...]:
        return (self.layer,)

    def check(self, kind: str, task: Task) -> None:
        if self.anchor == "opening" and kind == "seq2seq":
            raise ValueError(
                '`anchor = "opening"` stands in the answer, which an encoder-decoder '
                "model reads with its decoder; the text's states are the encoder's. "
                'Take `anchor = "type"`.'
            )
        if self.anchor == "opening" and isinstance(task, ScoringTask) and task.head:
            raise ValueError(
                '`anchor = "opening"` stands in an answer, and this task, or one of its '
                'parts, writes none. Take `anchor = "type"`.'
            )
        if self.anchor == "type" and not task.names_types:
            raise ValueError(
                '`anchor = "type"` needs a prompt that names the types, and the task\'s '
                'template does not. Take `anchor = "opening"`, or another template.'
            )

    def terms(self, records: Sequence[TrainingRecord]) -> float:
        return sum(len(self._mentions(record)) for record in records)

    def loss(
        self, records: Sequence[TrainingRecord], output: ForwardOutput
    ) -> torch.Tensor | None:
        anchors: list[int] = []
        near: list[list[int]] = []
        around: list[list[int]] = []
        for index, record in enumerate(records):
            for mention in self._mentions(record):
                where = [self._anchor(mention)], *self._sides(record, mention)
                anchor, inside, outside = (
                    [output.positions.of(index, record, at) for at in each]
                    for each in where
                )
                anchors.extend(anchor)
                near.append(inside)
                around.append(outside)
        if not anchors:
            return None
        states = normalize(output.states[self.layer].float(), dim=-1)
        device = states.device
        drawn, is_near = _gather(states, near)
        pushed, is_around = _gather(states, around)
        anchor_states = states[torch.tensor(anchors, device=device)][..., None]
        close = (drawn @ anchor_states)[..., 0] / self.temperature
        far = (pushed @ anchor_states)[..., 0] / self.temperature
        return self.weight * self._compare(close, is_near, far, is_around).sum()

    def _compare(
        self,
        close: torch.Tensor,
        is_near: torch.Tensor,
        far: torch.Tensor,
        is_around: torch.Tensor,
    ) -> torch.Tensor:
        """(mentions, most positives) and (mentions, most negatives) similarities, and
        which of them count -> (mentions,) losses."""
        if self.form == "logsigmoid":
            return -logsigmoid((close * is_near).sum(1) - (far * is_around).sum(1))
        against = far.masked_fill(~is_around, -torch.inf)
        all_far = torch.logsumexp(against, dim=1, keepdim=True)
        losses = torch.logaddexp(close, all_far) - close
        return (losses * is_near).sum(1) / is_near.sum(1)

    def _mentions(self, record: TrainingRecord) -> list[MentionPositions]:
        """Those that there is something to say of: infonce compares with negatives."""
        mentions = record.mentions[: 1 if self.entities == "first" else None]
        return [
            mention
            for mention in mentions
            if self.form == "logsigmoid" or self._sides(record, mention)[1]
        ]

    def _anchor(self, mention: MentionPositions) -> int:
        if self.anchor == "opening":
            # `check` saw to it that there is an answer.
            assert mention.opening is not None
            return mention.opening
        if mention.type is None:
            raise ValueError(
                '`anchor = "type"` needs records whose prompts name the types.'
            )
        return mention.type

    def _sides(
        self, record: TrainingRecord, mention: MentionPositions
    ) -> tuple[list[int], list[int]]:
        """Places of an entity's positives and negatives among the record's ids."""
        begin, end = mention.begin, mention.end
        inside = list(range(begin, end))
        if self.positives == "edges":
            inside = [begin, end - 1]
        taken = {
            at for other in record.mentions for at in range(other.begin, other.end)
        }
        first, stop = record.text
        outside = [
            at
            for at in (
                *range(max(first, begin - self.negatives), begin),
                *range(end, min(stop, end + self.negatives)),
            )
            if at not in taken
        ]
        return inside, outside


def _gather(
    states: torch.Tensor, where: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, most of a row, width) states at these positions, and which of them are
    asked for; short rows are filled up."""
    width = max(1, max(map(len, where)))
    filled = [[*row, *[0] * (width - len(row))] for row in where]
    counts = torch.tensor([len(row) for row in where], device=states.device)
    real = torch.arange(width, device=states.device)[None] < counts[:, None]
    return states[torch.tensor(filled, device=states.device)], real
