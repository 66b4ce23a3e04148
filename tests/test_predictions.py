"""From the answers about windows to predictions."""

from spacy_instructner.calibration import Calibration
from spacy_instructner.decoding.answers import AnswerFormat, TokenizedWords
from spacy_instructner.decoding.grammar import Grammar
from spacy_instructner.decoding.request import Answer, DecodingRequest, ScoredSpan
from spacy_instructner.predictions import (
    AnsweredWindow,
    Prediction,
    make_predictions,
    predict_each,
)
from spacy_instructner.resolve import Found
from spacy_instructner.windows import Window

FORMAT = AnswerFormat((), (7,), (("A", ()),), (0,), (9, 0))
GRAMMAR = Grammar(TokenizedWords(((1,),), ((1,),)), FORMAT)


def answered(window: Window, *spans: ScoredSpan) -> AnsweredWindow:
    requests = [DecodingRequest((1, 2), (4,), GRAMMAR, shared=(3,))] * len(spans)
    answers = [Answer((span,), (5, 0), -0.5) for span in spans]
    return AnsweredWindow(window, requests, answers)


def test_spans_count_from_the_start_of_their_doc() -> None:
    windows = [
        answered(Window(2, 0, 5), ScoredSpan(1, 2, "A", 0.5)),
        answered(Window(0, 3, 9), ScoredSpan(1, 2, "A", 0.5)),
        answered(Window(2, 5, 9), ScoredSpan(1, 3, "B", 0.25)),
    ]
    assert make_predictions(3, windows, Calibration()) == [
        Prediction((Found(4, 5, "A", 0.5),)),
        Prediction(()),
        Prediction((Found(1, 2, "A", 0.5), Found(6, 8, "B", 0.25))),
    ]


def test_scores_are_calibrated_after_windows_are_merged() -> None:
    calibration = Calibration(2.0, -1.0)
    twice = [ScoredSpan(0, 1, "A", 0.4), ScoredSpan(0, 1, "A", 0.7)]
    (made,) = make_predictions(1, [answered(Window(0, 1, 4), *twice)], calibration)
    assert made.found == (Found(1, 2, "A", calibration(0.7)),)


def test_prompts_and_answers_are_kept_where_they_can_be_read() -> None:
    windows = [answered(Window(0, 2, 4), ScoredSpan(0, 1, "A", 0.5))]
    (made,) = make_predictions(1, windows, Calibration(), decode=str)
    assert made.io == (
        {"start": 2, "end": 4, "prompt": "(1, 2, 3, 4)", "answer": "(5, 0)"},
    )
    (made,) = make_predictions(1, windows, Calibration())
    assert made.io == ()


def test_docs_that_fail_together_are_tried_one_by_one() -> None:
    calls: list[int] = []

    def predict(docs: list) -> list[Prediction]:
        calls.append(len(docs))
        if "bad" in docs:
            raise ValueError("bad")
        return [Prediction(()) for _ in docs]

    first, second = predict_each(predict, ["good", "bad"])  # type: ignore[list-item]
    assert first == Prediction(()) and isinstance(second, ValueError)
    assert calls == [2, 1, 1]
