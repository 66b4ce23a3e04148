"""The spans of many windows, each of which is read in one pass of the model.

    requests ──► batches of like length ──► logits of starts, ends, insides ──► candidates

Labels compete: for each word and channel, those of all labels and of none are one distribution.

Source: Just Pass Twice (the text is given twice, and its second copy is scored against all
labels at once); what is a span, and the batches: ours.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy
import torch

from ..decoding.request import Answer, ScoredSpan
from .scoring_request import ScoringRequest
from .span_scores import read_candidates

NOTHING = Answer((), (), math.nan)
NOT_FINITE = (
    "The scores of spans are no finite numbers: the training of this model diverged, or its "
    "weights are damaged. Train it again with a lower learn rate, or get the weights again."
)


class ScoringModel(Protocol):
    """A model as scoring sees it."""

    def span_logits(self, requests: Sequence[ScoringRequest]) -> list[torch.Tensor]:
        """For each request (words, labels, 3) float32 logits of starts, ends, insides."""

    def ids_to_read(self, request: ScoringRequest) -> int:
        """How many ids a request takes of a pass."""


def score(
    model: ScoringModel, requests: Sequence[ScoringRequest], batch_tokens: int = 2048
) -> list[Answer]:
    """The spans of all requests, in their order; nothing is written, so that an answer
    has no ids.

    batch_tokens (int): most ids that are read together, short rows padded to the longest.
    Raises ValueError for scores that are no numbers."""
    answers = [NOTHING] * len(requests)
    with torch.inference_mode():
        for batch in batches(model, requests, batch_tokens):
            logits = model.span_logits([requests[at] for at in batch])
            for at, each in zip(batch, logits):
                if not each.isfinite().all():
                    raise ValueError(NOT_FINITE)
                probabilities = label_logprobs(each)[:, 1:].exp()
                answers[at] = _answer(requests[at], probabilities.cpu().numpy())
    return answers


def label_logprobs(logits: torch.Tensor) -> torch.Tensor:
    """(words, labels, 3) logits, each against a word's being of no label at all ->
    (words, 1 + labels, 3) log-probabilities of none and of each label."""
    none = torch.zeros_like(logits[:, :1])
    return torch.log_softmax(torch.cat([none, logits], dim=1), dim=1)


def batches(
    model: ScoringModel, requests: Sequence[ScoringRequest], batch_tokens: int
) -> Iterator[list[int]]:
    """Indices of requests that are read together, long ones first; one at least. Those
    without a word to score need no pass."""
    lengths = [model.ids_to_read(request) for request in requests]
    order = [at for at, request in enumerate(requests) if request.words]
    order.sort(key=lambda at: -lengths[at])
    batch: list[int] = []
    for at in order:
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def _answer(request: ScoringRequest, probabilities: numpy.ndarray) -> Answer:
    words = request.words
    spans = [
        ScoredSpan(
            words[each.start],
            words[each.end - 1] + 1,
            request.labels[each.label],
            each.score,
        )
        for each in read_candidates(probabilities, request.floor, request.max_span)
    ]
    # Words that cannot be read count, too, where they stand inside of a span.
    most = request.max_span or math.inf
    spans = [span for span in spans if span.end - span.start <= most]
    return Answer(tuple(spans), (), math.nan)
