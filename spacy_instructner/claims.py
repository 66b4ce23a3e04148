"""Spans that several labels claim: a question in which the labels compete has a say.

Each label is asked for by itself and answers for itself, so that the scores of a span that two
of them claim say little about which of them is right. Here they share what the best of them
has: a label's part is the softmax of

    log-odds of its own score  +  SAY · log-likelihood of the typing answer that names it

so the scores of a span add up to the best claim, and what is left is "none". Spans that one
label claims stay as they are. Source: ours; the question: `tasks.typing_questions`.
"""

import math
from collections.abc import Sequence
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
from .windows import BoundWindow

# Found on development texts (trivia, Few-NERD dev): 0.1 to 0.5 do about the same.
SAY = 0.3
# Label sets whose questions a component keeps.
MOST_KEPT = 64
# A span of a window: its first word, and the word behind it.
Borders = tuple[int, int]


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
        claim. A question for which the model has no room is not asked."""
        claims = [claimed(own) for own in answers]
        asked: dict[tuple[int, Borders, str], TrainingRecord] = {}
        for at, (window, own) in enumerate(zip(windows, claims)):
            questions = self._questions(backbone, window.labels) if own else None
            for borders, scores in own.items():
                assert questions is not None
                records = questions.records(window.words, *borders, list(scores))
                if max(map(len, records)) <= backbone.positions:
                    asked.update(
                        ((at, borders, label), record)
                        for label, record in zip(scores, records)
                    )
        if not asked:
            return [list(own) for own in answers]
        said = self._likelihoods(backbone, list(asked.values()))
        found = dict(zip(asked, said))
        return [
            [
                replace(answer, spans=tuple(rescored(answer.spans, own, at, found)))
                for answer in of_window
            ]
            for at, (of_window, own) in enumerate(zip(answers, claims))
        ]

    def _questions(self, backbone: Backbone, labels: LabelSet) -> TypingQuestions:
        def make() -> TypingQuestions:
            return TypingQuestions(
                backbone.encoder,
                labels,
                backbone.tokenizer.eos_token_id,
                "text_first" if backbone.text_first else "text_last",
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


def claimed(answers: Sequence[Answer]) -> dict[Borders, dict[str, float]]:
    """The spans of a window that several labels claim: each label's score, by borders."""
    scores: dict[Borders, dict[str, float]] = {}
    for answer in answers:
        for span in answer.spans:
            scores.setdefault((span.start, span.end), {})[span.label] = span.score
    return {borders: own for borders, own in scores.items() if len(own) > 1}


def rescored(
    spans: Sequence[ScoredSpan],
    claims: dict[Borders, dict[str, float]],
    window: int,
    likelihoods: dict[tuple[int, Borders, str], float],
) -> list[ScoredSpan]:
    """The spans of an answer. claims: of the window with this index, see `claimed`."""
    found: list[ScoredSpan] = []
    for span in spans:
        borders = span.start, span.end
        own = claims.get(borders, {})
        if (window, borders, span.label) in likelihoods:
            odds = {
                label: log_odds(score) + SAY * likelihoods[window, borders, label]
                for label, score in own.items()
            }
            highest = max(odds.values())
            whole = sum(math.exp(each - highest) for each in odds.values())
            share = math.exp(odds[span.label] - highest) / whole
            span = replace(span, score=max(own.values()) * share)
        found.append(span)
    return found
