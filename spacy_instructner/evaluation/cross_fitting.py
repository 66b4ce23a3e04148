"""Scores of entities that a pipeline did not learn from, for their calibration.

Development data give them directly. Without any, the support set is divided into parts,
and each part is predicted by a pipeline that was trained on the others (cross-fitting).
Source: ours.
"""

from collections.abc import Callable, Sequence
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import resolve_dot_names

from ..calibration import Judged
from ..corpus.pipelines import find_component
from .metrics import judged
from .predicted_texts import PredictedTexts, predict_texts
from .support_set import config_again, folds, train_on, training_seed

OnPredicted = Callable[[PredictedTexts], None]


def _ignore(predictions: PredictedTexts) -> None:
    """The default of callbacks."""


def judge_texts(
    nlp: Language, docs: Sequence[Doc], on_predicted: OnPredicted = _ignore
) -> list[Judged]:
    """Score the entities that a pipeline finds in annotated texts.

    nlp (Language): a pipeline with one instruction_ner component. Its threshold and its
        calibration are off meanwhile.
    docs (Sequence[Doc]): annotated texts.
    on_predicted (Callable): gets the predictions, with the texts that failed.
    RETURNS (list[Judged]): the score of each predicted entity as the model gives it, and
        whether the entity is right. Raises ValueError as `find_component` and `predict_texts`.
    """
    _, pipe = find_component(nlp)
    kept = dict(pipe.cfg)
    pipe.cfg.update(threshold=0.0, thresholds={})
    pipe.cfg.pop("calibration", None)
    try:
        predictions = predict_texts(nlp, docs)
        on_predicted(predictions)
        return judged(predictions.gold, predictions.found)
    finally:
        pipe.cfg.clear()
        pipe.cfg.update(kept)


def judge_folds(
    nlp: Language,
    support: Sequence[Doc],
    count: int,
    on_predicted: OnPredicted = _ignore,
) -> list[Judged]:
    """The same for a support set, by cross-fitting.

    nlp (Language): the pipeline whose config is trained anew for each part, with the
        labels and the words for them that the pipeline has now.
    support (Sequence[Doc]): the annotated texts that the pipeline learned from.
    count (int): parts.
    on_predicted (Callable): gets the predictions of each part.
    RETURNS (list[Judged]): as `judge_texts`, for all parts. Raises ValueError as
        `folds`, `train_on` and `judge_texts`."""
    name, pipe = find_component(nlp)
    config = config_again(nlp, name, pipe.cfg)
    found: list[Judged] = []
    for rest, held_out in folds(support, count, training_seed(config)):
        found += judge_texts(train_on(config, rest, {}), held_out, on_predicted)
    return found


def read_support_set(nlp: Language) -> list[Doc]:
    """The texts that a pipeline was trained on, as its config reads them, without those
    that an augmenter makes of them. Raises ValueError where they cannot be read."""
    config = nlp.config.interpolate()
    name = config["training"]["train_corpus"]
    block: Any = config
    for part in name.split("."):
        block = block.get(part, {})
    # A changed copy of a text must not be in another part than the text.
    if block.get("augmenter"):
        block["augmenter"] = None
    try:
        (corpus,) = resolve_dot_names(config, [name])
        return [example.reference for example in corpus(nlp)]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The pipeline's [{name}] cannot be read: {error} Name its support set with "
            "--train, or development data with --dev."
        ) from error
