"""The loss of the head that scores spans: which words begin, end and are inside of an entity
of each label. Source: Just Pass Twice learns to score tokens against labels; a binary
cross-entropy of three channels: ours.
"""

from collections.abc import Sequence

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ..models.forward_output import ForwardOutput
from ..models.span_head import SpanHead
from ..scoring.span_scores import CHANNELS, END, INSIDE, START
from ..tasks.base import SpanTargets, TrainingRecord


def span_loss(
    head: SpanHead | None, records: Sequence[TrainingRecord], output: ForwardOutput
) -> torch.Tensor | None:
    """The cross-entropy of all words, labels and channels of a pack, summed (nats); None
    where nothing is scored.

    head: of the model; output: of the pass over these records."""
    scored = [
        (index, record, record.spans)
        for index, record in enumerate(records)
        if record.spans is not None
    ]
    if head is None or not scored:
        return None
    places = [
        [output.positions.of(index, record, at) for at in (*spans.words, *spans.labels)]
        for index, record, spans in scored
    ]
    words = [own[: len(spans.words)] for own, (_, _, spans) in zip(places, scored)]
    labels = [own[len(spans.words) :] for own, (_, _, spans) in zip(places, scored)]
    # All of a pack through the projections at once; then each record by itself.
    projected_words = head.words(_states(output, words)).split(list(map(len, words)))
    projected_labels = head.labels(_states(output, labels)).split(
        list(map(len, labels))
    )
    losses = [
        _loss(head.compare(own_words, own_labels), spans)
        for own_words, own_labels, (_, _, spans) in zip(
            projected_words, projected_labels, scored
        )
    ]
    return torch.stack(losses).sum()


def span_targets(spans: SpanTargets) -> tuple[torch.Tensor, torch.Tensor]:
    """(words, labels, 3) what the logits should say, 0 or 1, and how much each counts."""
    shape = len(spans.words), len(spans.labels), CHANNELS
    wanted, counts = torch.zeros(shape), torch.ones(shape)
    for start, end, label in spans.entities:
        wanted[start, label, START] = 1.0
        wanted[end - 1, label, END] = 1.0
        wanted[start:end, label, INSIDE] = 1.0
    if spans.unknown:
        words, labels = zip(*spans.unknown)
        counts[list(words), list(labels)] = 0.0
    return wanted, counts


def _loss(logits: torch.Tensor, spans: SpanTargets) -> torch.Tensor:
    wanted, counts = (each.to(logits.device) for each in span_targets(spans))
    return binary_cross_entropy_with_logits(logits, wanted, counts, reduction="sum")


def _states(output: ForwardOutput, places: Sequence[Sequence[int]]) -> torch.Tensor:
    """(all places, width) float32 last states."""
    flat = [at for own in places for at in own]
    return output.last[torch.tensor(flat, device=output.last.device)].float()
