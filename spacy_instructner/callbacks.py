"""Callbacks for a pipeline that was just made. Source: ours."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper

from spacy.language import Language
from spacy.util import registry
from thinc.api import Optimizer


@dataclass(eq=False)
class CreateOptimizer:
    """`nlp.create_optimizer` for a config whose optimizer refers to other settings.

    spaCy's own method resolves [training.optimizer] alone, so `${training.max_steps}`
    stays a text, and no optimizer can be made. This one interpolates the whole config
    first, as `spacy train` does. The references stay in `nlp.config`."""

    nlp: Language

    def __call__(self) -> Optimizer:
        settings = self.nlp.config.interpolate()["training"]["optimizer"]
        return registry.resolve({"optimizer": settings})["optimizer"]


def build_interpolate_optimizer_v1() -> Callable[[Language], Language]:
    """Registered as `spacy-instructner.InterpolateOptimizer.v1`.

    RETURNS (Callable): a callback for `[nlp] after_pipeline_creation`. It lets
        [training.optimizer] refer to other settings in `nlp.create_optimizer`,
        `nlp.resume_training` and `nlp.initialize`, too. A pipeline with
        `instruction_ner` does not need it, as the component does the same.
    """

    return interpolate_optimizer


def interpolate_optimizer(nlp: Language) -> Language:
    """Replace a pipeline's `create_optimizer` with `CreateOptimizer`."""
    # A name and a docstring, as the method has them.
    method = update_wrapper(CreateOptimizer(nlp), Language.create_optimizer)
    nlp.create_optimizer = method  # type: ignore[method-assign]
    return nlp
