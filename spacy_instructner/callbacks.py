"""What is done to a pipeline once it is made. Source: ours."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper

from spacy.language import Language
from spacy.util import registry
from thinc.api import Optimizer


@dataclass(eq=False)
class CreateOptimizer:
    """`nlp.create_optimizer`, for a config whose optimizer refers to other settings.

    spaCy resolves [training.optimizer] by itself there, so that `${training.max_steps}`
    stays a text and no optimizer can be made. Here the whole config is interpolated
    first, as in `spacy train`. The references themselves stay in `nlp.config`."""

    nlp: Language

    def __call__(self) -> Optimizer:
        settings = self.nlp.config.interpolate()["training"]["optimizer"]
        return registry.resolve({"optimizer": settings})["optimizer"]


def build_interpolate_optimizer_v1() -> Callable[[Language], Language]:
    """Registered as `spacy-instructner.InterpolateOptimizer.v1`.

    RETURNS (Callable): for `[nlp] after_pipeline_creation` of a pipeline without
        `instruction_ner`, which does the same for its own: lets [training.optimizer]
        refer to other settings in `nlp.create_optimizer`, `nlp.resume_training` and
        `nlp.initialize`, too.
    """

    return interpolate_optimizer


def interpolate_optimizer(nlp: Language) -> Language:
    """Give a pipeline `CreateOptimizer` in the place of its own method."""
    # A name and a docstring, as the method has them.
    method = update_wrapper(CreateOptimizer(nlp), Language.create_optimizer)
    nlp.create_optimizer = method  # type: ignore[method-assign]
    return nlp
