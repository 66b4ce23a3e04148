"""The loss of the head that scores spans: of which label each word begins, ends and is inside of
an entity, or of none. Labels compete for a word, as they are contrasted with each other and with none
in one softmax. Source: Just Pass Twice learns to score tokens against labels; three channels,
and one softmax for all labels, in the way of CLLMFS's contrast: ours.
"""

import math
from collections.abc import Sequence

import torch

from ..models.forward_output import ForwardOutput
from ..models.span_head import SpanHead
from ..scoring.one_pass import label_logprobs
from ..scoring.span_scores import CHANNELS, END, INSIDE, START
from ..tasks.base import SpanTargets, TrainingRecord


def span_loss(
    head: SpanHead | None, records: Sequence[TrainingRecord], output: ForwardOutput
) -> torch.Tensor | None:
    """The cross-entropy of all words and channels of a pack, summed (nats); None where
    nothing is scored.

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
    """(words, labels, 3) bool, what each word is; and (words, labels) bool, for which labels
    that is known."""
    shape = len(spans.words), len(spans.labels)
    wanted = torch.zeros((*shape, CHANNELS), dtype=torch.bool)
    known = torch.ones(shape, dtype=torch.bool)
    for start, end, label in spans.entities:
        wanted[start, label, START] = True
        wanted[end - 1, label, END] = True
        wanted[start:end, label, INSIDE] = True
    if spans.unknown:
        words, labels = zip(*spans.unknown)
        known[list(words), list(labels)] = False
    return wanted, known


def _loss(logits: torch.Tensor, spans: SpanTargets) -> torch.Tensor:
    """A label that is not known of a word does not compete for it; of several right ones,
    each is right."""
    wanted, known = (each.to(logits.device) for each in span_targets(spans))
    hidden = logits.masked_fill(~known[..., None], -math.inf)
    none = ~wanted.any(dim=1, keepdim=True)
    right = torch.cat([none, wanted], dim=1)
    logprobs = label_logprobs(hidden).masked_fill(~right, -math.inf)
    return -torch.logsumexp(logprobs, dim=1).sum()


def _states(output: ForwardOutput, places: Sequence[Sequence[int]]) -> torch.Tensor:
    """(all places, width) float32 last states."""
    flat = [at for own in places for at in own]
    return output.last[torch.tensor(flat, device=output.last.device)].float()
