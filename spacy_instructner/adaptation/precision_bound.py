"""The score from which spans are right so often, by cross-fitting on the support set.

    support set ──► two parts ──► each part: train on the other, as many updates for each text
                                      │  its spans, with their scores
                                      ▼
                    right or wrong, by falling score ──► the lowest score with the precision

No span is judged by a pipeline that has learned its text. Source: ours.
"""

from collections.abc import Callable, Iterable, Sequence

from spacy.language import Language
from spacy.training import Example

from ..calibration import Judged
from ..component import InstructionNERPipe
from ..evaluation.cross_fitting import judge_texts
from ..evaluation.support_set import folds, train_on
from ..evaluation.weight_choice import fold_config
from .unannotated import seed_of

PARTS = 2
# Fewer spans than this say nothing about a precision.
LEAST_SPANS = 10


def precision_bound(judged: Sequence[Judged], precision: float) -> float | None:
    """The lowest score at which the spans that reach it have this precision; None where those of no
    score have, or where fewer than `LEAST_SPANS` reach it.

    judged (Sequence[Judged]): the score of each span, and whether the span is right."""
    ordered = sorted(judged, key=lambda each: -each[0])
    found: float | None = None
    right = 0
    for count, (score, correct) in enumerate(ordered, 1):
        right += correct
        # Spans of one score are let through together.
        last = count == len(ordered) or ordered[count][0] < score
        if last and count >= LEAST_SPANS and right >= precision * count:
            found = score
    return found


def find_bound(
    nlp: Language | None,
    pipe: InstructionNERPipe,
    get_examples: Callable[[], Iterable[Example]],
    precision: float,
    after: int,
) -> float:
    """The score with this precision on the training texts, after so many updates. It takes about as
    long as these updates do.

    Raises ValueError without a pipeline, with too few texts to divide, where no score has the
    precision, and whatever training raises: a number is needed then."""
    if nlp is None:
        raise ValueError(
            "`bound` of the self-training is found by training on parts of the data by the "
            "pipeline's config. Give a number, such as 0.8, or initialize the component by "
            "`nlp.initialize` or `spacy train`."
        )
    support = [example.reference for example in get_examples()]
    if len({doc.text for doc in support}) < PARTS:
        raise ValueError(
            "`bound` of the self-training cannot be found on fewer than two texts. Give a "
            "number, such as 0.8."
        )
    config = fold_config(nlp, pipe, PARTS)
    for block in config["initialize"]["components"].values():
        block.pop("self_training", None)
    steps = max(1, after // PARTS)
    config["training"]["max_steps"] = config["training"]["eval_frequency"] = steps
    judged: list[Judged] = []
    for rest, held_out in folds(support, PARTS, seed_of(nlp)):
        judged += judge_texts(train_on(config, rest, {}, quiet=True), held_out)
    bound = precision_bound(judged, precision)
    if bound is None:
        right = sum(correct for _, correct in judged)
        raise ValueError(
            f"`bound` of the self-training cannot be found: of {len(judged)} spans that others' "
            f"training found in the training texts, {right} are right, and at no score that "
            f"{LEAST_SPANS} of them reach {precision:g}. Give a number, such as 0.8, raise "
            "`after`, or annotate more texts."
        )
    return bound
