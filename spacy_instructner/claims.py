"""Spans that several labels claim: a question in which the labels compete has a say.

Each label is asked for by itself and answers for itself, so that the scores of a span that two
of them claim say little about which of them is right. Here they share what the best of them
has: a label's part is the softmax of

    log-odds of its own score  +  SAY · log-likelihood of the typing answer that names it

so the scores of a span add up to the best claim, and what is left is "none". Spans that one
label claims stay as they are. Source: ours; the question: `tasks.typing_questions`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from .calibration import log_odds
from .decoding.request import Answer, ScoredSpan
from .locks import Cache
from .models.backbone import Backbone
from .models.forward_output import among_allowed
from .tasks.base import Encoder, TrainingRecord
from .tasks.labels import LabelSet
from .tasks.typing_questions import TypingQuestions
from .windows import BoundWindow, Window

# Found on development texts (trivia, Few-NERD dev): 0.1 to 0.5 do about the same.
SAY = 0.3
# Label sets whose questions a component keeps.
MOST_KEPT = 64
# A span: the index of its Doc, its first token, and the token behind it.
DocSpan = tuple[int, int, int]
# The score of each label that claims a span.
Claims = dict[DocSpan, dict[str, float]]


class ClaimDecider:
    """Decides claims. pack_tokens: most ids that are read together."""

    def __init__(self, pack_tokens: int) -> None:
        self.pack_tokens = pack_tokens
        self._kept: Cache[tuple[Encoder, LabelSet], TypingQuestions] = Cache(MOST_KEPT)

    def decide(
        self,
        backbone: Backbone,
        windows: Sequence[BoundWindow],
        answers: Sequence[Sequence[Answer]],
    ) -> list[list[Answer]]:
        """The answers about each window, with other scores for spans that several labels
        claim, in one window or in several. A question for which the model has no room is
        not asked."""
        own_windows = [each.window for each in windows]
        claims, where = claimed(own_windows, answers)
        asked: dict[tuple[DocSpan, str], TrainingRecord] = {}
        for span, scores in claims.items():
            window = windows[where[span]]
            start, end = (at - window.window.start for at in span[1:])
            questions = self._questions(backbone, window.labels)
            records = questions.records(window.words, start, end, list(scores))
            if max(map(len, records)) <= backbone.positions:
                asked.update(
                    ((span, label), record) for label, record in zip(scores, records)
                )
        if not asked:
            return [list(own) for own in answers]
        said = dict(zip(asked, self._likelihoods(backbone, list(asked.values()))))
        shares = {
            span: share_out(scores, {label: said[span, label] for label in scores})
            for span, scores in claims.items()
            if (span, next(iter(scores))) in said
        }
        return [
            [
                replace(answer, spans=rescored(answer.spans, window, shares))
                for answer in own
            ]
            for window, own in zip(own_windows, answers)
        ]

    def _questions(self, backbone: Backbone, labels: LabelSet) -> TypingQuestions:
        def make() -> TypingQuestions:
            return TypingQuestions(
                backbone.encoder,
                labels,
                backbone.tokenizer.eos_token_id,
                backbone.layout,
            )

        return self._kept.get((backbone.encoder, labels), make)

    def _likelihoods(
        self, backbone: Backbone, records: Sequence[TrainingRecord]
    ) -> list[float]:
        """The log-likelihood of each record's answer among what is allowed (nats)."""
        place = {id(record): at for at, record in enumerate(records)}
        found = [0.0] * len(records)
        with torch.inference_mode():
            for pack in backbone.packs(records, self.pack_tokens):
                output = backbone.forward_records(pack)
                allowed = [ids for ids in output.allowed if ids is not None]
                surprises = among_allowed(output.logits, output.targets, allowed)
                counts = [sum(map(bool, record.weights)) for record in pack]
                for record, own in zip(pack, surprises.split(counts)):
                    found[place[id(record)]] = -float(own.sum())
        return found


def claimed(
    windows: Sequence[Window], answers: Sequence[Sequence[Answer]]
) -> tuple[Claims, dict[DocSpan, int]]:
    """The spans that several labels claim, with the best score of each; and the index of a
    window in which each span was found. Spans of unknown score claim nothing."""
    claims: Claims = {}
    where: dict[DocSpan, int] = {}
    for at, (window, own) in enumerate(zip(windows, answers)):
        for span in (span for answer in own for span in answer.spans):
            if math.isnan(span.score):
                continue
            place = in_doc(window, span)
            scores = claims.setdefault(place, {})
            scores[span.label] = max(span.score, scores.get(span.label, 0.0))
            where.setdefault(place, at)
    return {place: own for place, own in claims.items() if len(own) > 1}, where


def in_doc(window: Window, span: ScoredSpan) -> DocSpan:
    """Where a span of a window stands in its Doc."""
    return window.doc, window.start + span.start, window.start + span.end


def share_out(
    scores: Mapping[str, float], likelihoods: Mapping[str, float]
) -> dict[str, float]:
    """What each label has of the best score of a span.

    scores: of the labels that claim it; likelihoods: the log-likelihood of the answer that
    names each (nats)."""
    odds = {
        label: log_odds(score) + SAY * likelihoods[label]
        for label, score in scores.items()
    }
    highest = max(odds.values())
    whole = sum(math.exp(each - highest) for each in odds.values())
    best = max(scores.values())
    return {k: best * math.exp(each - highest) / whole for k, each in odds.items()}


def rescored(
    spans: Sequence[ScoredSpan],
    window: Window,
    shares: Mapping[DocSpan, Mapping[str, float]],
) -> tuple[ScoredSpan, ...]:
    """The spans of an answer about a window. shares: the scores of those that several
    labels claim."""
    return tuple(
        replace(
            span, score=shares.get(in_doc(window, span), {}).get(span.label, span.score)
        )
        for span in spans
    )
