"""The spans of many windows, each of which is read in one pass of the model.

    requests ──► batches of like length ──► logits of starts, ends, insides ──► candidates

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


class ScoringModel(Protocol):
    """A model as scoring sees it."""

    def span_logits(self, requests: Sequence[ScoringRequest]) -> list[torch.Tensor]:
        """For each request (words, labels, 3) float32 logits of starts, ends, insides."""


def score(
    model: ScoringModel, requests: Sequence[ScoringRequest], batch_tokens: int = 2048
) -> list[Answer]:
    """The spans of all requests, in their order; nothing is written, so that an answer
    has no ids.

    batch_tokens (int): most ids that are read together."""
    answers: dict[int, Answer] = {}
    with torch.inference_mode():
        for batch in batches(requests, batch_tokens):
            logits = model.span_logits([requests[at] for at in batch])
            for at, each in zip(batch, logits):
                answers[at] = _answer(requests[at], torch.sigmoid(each).cpu().numpy())
    return [answers[at] for at in range(len(requests))]


def batches(
    requests: Sequence[ScoringRequest], batch_tokens: int
) -> Iterator[list[int]]:
    """Indices of requests that are read together, long ones first; one at least."""
    order = sorted(range(len(requests)), key=lambda at: -len(requests[at].suffix))
    batch: list[int] = []
    size = 0
    for at in order:
        length = len(requests[at].suffix)
        if batch and size + length > batch_tokens:
            yield batch
            batch, size = [], 0
        batch.append(at)
        size += length
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
