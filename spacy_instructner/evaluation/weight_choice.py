"""How far training goes from the weights that it began with, chosen on the support set itself.

    support set ──► parts ──► each part: train on the others, as long for each text
                                 │  ask the part at each share of what was learned
                                 ▼
                      F1 of all parts together, by share ──► the share that is taken

The start is the share 0. What was learned is taken only as far as it does better there than
less of it: a few texts are worth less than what the base knows of some labels. Source:
WiSE-FT chooses nothing (0.5); the choice by cross-fitting is ours.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from confection import Config
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import logger

from ..component import InstructionNERPipe
from ..models.thinc_model import check_interpolated, get_backbone, interpolate
from ..models.weight_interpolation import Named, trained_weights
from ..state import InterpolationChoice
from .metrics import Counts, count, total
from .predicted_texts import predict_texts
from .support_set import config_again, folds, train_on, training_seed

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def build_interpolation_v1(
    shares: Sequence[float] = SHARES, folds: int = 2, most_texts: int = 500
) -> InterpolationChoice:
    """Registered as `spacy-instructner.Interpolation.v1`; `interpolation` of
    `[initialize.components.instruction_ner]`.

    shares (Sequence[float]): how much of what was learned may be taken, from 0 to 1. One
        alone is taken without being asked about.
    folds (int): parts that the training texts are divided into. Each is asked once, by
        what the others taught. With two parts, that takes as long as the training itself,
        and with more (folds - 1) times as long.
    most_texts (int): with more texts than this, all of what is learned is taken.
    RETURNS (InterpolationChoice): see `WeightChoice.choose`. Raises ValueError for shares
        that are not from 0 to 1, and for fewer than two parts.
    """
    if not shares or not all(0.0 <= share <= 1.0 for share in shares):
        raise ValueError(f"`shares` must be from 0 to 1, one at least, not {shares}.")
    if folds < 2:
        raise ValueError(f"`folds` must be at least 2, not {folds}.")
    # A method: pydantic would make a dict of a dataclass.
    return WeightChoice(tuple(sorted(set(shares))), folds, most_texts).choose


@dataclass(frozen=True)
class WeightChoice:
    """See `build_interpolation_v1`."""

    shares: tuple[float, ...]
    folds: int
    most_texts: int

    def choose(
        self,
        nlp: Language | None,
        pipe: InstructionNERPipe,
        get_examples: Callable[[], Iterable[Example]],
    ) -> dict[str, Any]:
        """The share that is taken, and F1 of the training texts by share, none of them
        asked by what it taught: {"share": 0.5, "f1": {"0": …, "0.5": …}}. Without F1 where
        there are too many texts, or too few to divide.

        nlp (Language): the pipeline, with its config.
        pipe (InstructionNERPipe): its component, which has labels and the weights to begin
            with.
        get_examples (Callable): the training data. Raises ValueError without a pipeline,
            and whatever training raises."""
        # What cannot be interpolated fails here, not after minutes of training.
        check_interpolated(pipe.model)
        if len(self.shares) == 1:
            return {"share": self.shares[0], "f1": {}}
        if nlp is None:
            raise ValueError(
                "`interpolation` trains on parts of the data by the pipeline's config: "
                "initialize the component by `nlp.initialize` or `spacy train`."
            )
        config = fold_config(nlp, pipe, self.folds)
        examples = islice(get_examples(), self.most_texts + 1)
        support = [example.reference for example in examples]
        different = len({doc.text for doc in support})
        stream = config.interpolate()["training"]["max_epochs"] < 0
        if stream or len(support) > self.most_texts or different < self.folds:
            logger.info(
                "%s takes all of what it learns: its texts are a stream, more than %d, or "
                "fewer than %d parts",
                pipe.name,
                self.most_texts,
                self.folds,
            )
            return {"share": 1.0, "f1": {}}
        f1 = self.cross_fit(config, pipe.name, support)
        share = choose_share(f1)
        by_share = ", ".join(f"{each:g}: {100 * own:.1f}" for each, own in f1.items())
        logger.info(
            "%s takes %g of what it learns. F1 of the training texts by share, asked of "
            "what others taught: %s",
            pipe.name,
            share,
            by_share,
        )
        return {
            "share": share,
            "f1": {f"{each:g}": round(own, 4) for each, own in f1.items()},
        }

    def cross_fit(
        self, config: Config, name: str, support: Sequence[Doc]
    ) -> dict[float, float]:
        """F1 of all texts by share, each part asked by what the others taught. config: for
        the parts; name: of the component."""
        counts = dict.fromkeys(self.shares, Counts(0, 0, 0))
        for rest, held_out in folds(support, self.folds, training_seed(config)):
            starts: list[Named] = []

            def keep(nlp: Language, starts: list[Named] = starts) -> None:
                begun = cast(InstructionNERPipe, nlp.get_pipe(name))
                starts.append(trained_weights(get_backbone(begun.model)))

            learned = train_on(config, rest, {}, quiet=True, on_begin=keep)
            own = cast(InstructionNERPipe, learned.get_pipe(name))
            for share in self.shares:
                interpolate(own.model, share, starts[0])
                counts[share] += f1_counts(learned, held_out)
        return {share: each.f1 for share, each in counts.items()}


def fold_config(nlp: Language, pipe: InstructionNERPipe, parts: int) -> Config:
    """The config of a pipeline, for all but one part of its training texts: as long for
    each text, without choosing anything again, and quiet. Raises ValueError for frozen
    components, which have no weights in a pipeline that is made anew."""
    config = config_again(nlp, pipe.name, pipe.cfg)
    known = config.interpolate()
    if frozen := known["training"]["frozen_components"]:
        raise ValueError(
            f"The pipeline is trained anew on parts of the data, where {frozen} would have no "
            "weights, as they are frozen. Leave `interpolation` out, or give it one of the "
            "`shares` alone; give `self_training` a number as `bound`."
        )
    config["components"][pipe.name]["bundle"] = "adapter"
    for block in config["initialize"]["components"].values():
        block.pop("interpolation", None)
    training = config["training"]
    if steps := known["training"]["max_steps"]:
        training["max_steps"] = math.ceil(steps * (parts - 1) / parts)
        begun = known["initialize"]["components"].get(pipe.name, {})
        if "self_training" in begun:
            # As early in a shorter training.
            after = begun["self_training"]["after"] * (parts - 1) // parts
            own = config["initialize"]["components"][pipe.name]["self_training"]
            own["after"] = max(1, after)
        # Scored once, and not ended by it.
        training["eval_frequency"] = training["max_steps"]
        training["patience"] = 0
    training["before_to_disk"] = None
    training["logger"] = {
        "@loggers": "spacy.ConsoleLogger.v3",
        "progress_bar": None,
        "console_output": False,
        "output_file": None,
    }
    return config


def f1_counts(nlp: Language, docs: Sequence[Doc]) -> Counts:
    """What a pipeline finds in annotated texts."""
    predicted = predict_texts(nlp, docs)
    return total(count(predicted.gold, predicted.found).values())


def choose_share(f1: Mapping[float, float]) -> float:
    """The share with the best F1; of equal ones, the smallest: what was known before holds
    for more texts than those that were asked. 1 where nothing was found at any share, which
    says nothing."""
    if not any(f1.values()):
        return 1.0
    return max(f1, key=lambda share: (f1[share], -share))
