"""From the answers about windows to what is predicted for each Doc. Source: ours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spacy.tokens import Doc

from .calibration import Calibration
from .decoding.answers import Ids
from .decoding.beam_search import search
from .decoding.config import DecodingConfig
from .decoding.request import Answer, DecodingRequest
from .models.backbone import Backbone
from .resolve import Found, merge
from .scoring.one_pass import score
from .scoring.scoring_request import ScoringRequest
from .tasks.base import Request
from .windows import BoundWindow, Window, tell_unread

# Decides spans that several labels claim: `claims.ClaimDecider.decide`.
Decide = Callable[
    [Backbone, Sequence[BoundWindow], list[list[Answer]]], list[list[Answer]]
]


@dataclass(frozen=True)
class Prediction:
    """All spans found in one Doc; and, with `save_io`, each prompt and its answer."""

    found: tuple[Found, ...]
    io: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class AnsweredWindow:
    """A window, what the model was asked about it, and the answer to each request."""

    window: Window
    requests: Sequence[Request]
    answers: Sequence[Answer]

    def found(self) -> list[Found]:
        """The spans of all answers, counted from the start of the Doc."""
        start = self.window.start
        return [
            Found(start + span.start, start + span.end, span.label, span.score)
            for answer in self.answers
            for span in answer.spans
        ]

    def io(self, decode: Callable[[Ids], str]) -> list[dict[str, Any]]:
        """Prompts and answers as texts, with the window's tokens."""
        return [
            {
                "start": self.window.start,
                "end": self.window.end,
                "prompt": decode(request.prefix + request.own),
                "answer": decode(answer.ids),
            }
            for request, answer in zip(self.requests, self.answers)
        ]


def answer_requests(
    backbone: Backbone, requests: Sequence[Request], decoder: DecodingConfig
) -> list[Answer]:
    """The answers to requests, in their order: written under a grammar, or spans that are
    scored. Answers that the model had no room for are warned of."""
    written = [each for each in requests if isinstance(each, DecodingRequest)]
    scored = [each for each in requests if isinstance(each, ScoringRequest)]
    answers = search(backbone, written, decoder.batch_tokens, decoder.beam_width)
    incomplete = sum(not answer.complete for answer in answers)
    if incomplete:
        message = (
            f"{incomplete} answers did not fit into the model's {backbone.positions} "
            "positions; the entities named by then are kept. Lower `max_window`."
        )
        tell_unread(message, "answers", incomplete)
    of_written, of_scored = (
        iter(answers),
        iter(score(backbone, scored, decoder.batch_tokens)),
    )
    return [
        next(of_written if isinstance(each, DecodingRequest) else of_scored)
        for each in requests
    ]


def answer_windows(
    backbone: Backbone,
    windows: Sequence[BoundWindow],
    decoder: DecodingConfig,
    decide: Decide | None = None,
) -> list[AnsweredWindow]:
    """What the model says about windows. decide: which of several labels a span has, where
    they are to compete."""
    asked = [each.requests() for each in windows]
    requests = [request for own in asked for request in own]
    rest = iter(answer_requests(backbone, requests, decoder))
    answers = [[next(rest) for _ in own] for own in asked]
    if decide is not None:
        answers = decide(backbone, windows, answers)
    return [
        AnsweredWindow(each.window, own, said)
        for each, own, said in zip(windows, asked, answers)
    ]


def make_predictions(
    docs: int,
    answered: Sequence[AnsweredWindow],
    calibration: Calibration,
    decode: Callable[[Ids], str] | None = None,
) -> list[Prediction]:
    """One prediction for each of so many Docs.

    answered: the windows of all Docs; decode: ids to text, where prompts and answers are
    kept."""
    by_doc: list[list[AnsweredWindow]] = [[] for _ in range(docs)]
    for each in answered:
        by_doc[each.window.doc].append(each)
    return [
        Prediction(
            found=tuple(
                replace(found, score=calibration(found.score))
                for found in merge(
                    [each.window for each in own], [each.found() for each in own]
                )
            ),
            io=tuple(entry for each in own for entry in each.io(decode))
            if decode
            else (),
        )
        for own in by_doc
    ]


def predict_each(
    predict: Callable[[list[Doc]], list[Prediction]], docs: list[Doc]
) -> list[Prediction | Exception]:
    """What is found in each Doc, or why nothing can be: Docs that fail together are tried
    one by one."""
    try:
        return list(predict(docs))
    except Exception as error:
        if len(docs) == 1:
            return [error]
    return [predict_each(predict, [doc])[0] for doc in docs]
