"""Going on from what a component has learned, with new labels beside the old ones. Source: ours."""

from collections.abc import Callable, Iterable
from typing import cast

from spacy.language import Language
from spacy.training import Example, validate_get_examples
from spacy.util import logger, registry, resolve_dot_names

from ..component import InstructionNERPipe
from ..data.gold import survey
from ..models.thinc_model import has_backbone
from ..state import FurtherChoice


def build_resume_training_v1() -> Callable[[Language], Language]:
    """Registered as `spacy-instructner.ResumeTraining.v1`.

    RETURNS (Callable): a callback for `[initialize] after_init`. It does for components that are
        taken from another pipeline (`source`) and trained on what `[initialize.components]` says of
        them, as spaCy does not initialize these. See `resume_all`.
    """
    return resume_all


def resume_all(nlp: Language) -> Language:
    """`resume` for each instruction_ner component that the config has by `source` and does not
    freeze, with the training data of the config.

    Raises ValueError for `interpolation` and `labels` of such a component, and where there is no
    such component."""
    config = nlp.config.interpolate()
    training = config["training"]
    begun = registry.resolve(config["initialize"])["components"]
    names = [
        name
        for name, pipe in nlp.components
        if isinstance(pipe, InstructionNERPipe)
        # Those that spaCy initializes are enabled meanwhile, and others have no weights.
        and name in nlp.disabled
        and has_backbone(pipe.model)
        and name not in training["frozen_components"]
    ]
    if not names:
        raise ValueError(
            "spacy-instructner.ResumeTraining.v1 has no component to go on with: none of the "
            "pipeline's instruction_ner components is taken from another pipeline by `source`. "
            "Leave it out."
        )
    (corpus,) = resolve_dot_names(config, [training["train_corpus"]])
    for name in names:
        settings = dict(begun.get(name, {}))
        for setting in ("interpolation", "labels"):
            if settings.pop(setting, None) is not None:
                raise ValueError(
                    f"[initialize.components.{name}] has `{setting}`, which is for components "
                    f"that begin anew. {name} goes on from what it has learned; leave it out."
                )
        resume(nlp, name, lambda: corpus(nlp), **settings)
    return nlp


def resume(
    nlp: Language,
    name: str,
    get_examples: Callable[[], Iterable[Example]],
    *,
    names: dict[str, str] | None = None,
    definitions: dict[str, str] | None = None,
    rehearsal: FurtherChoice | None = None,
    self_training: FurtherChoice | None = None,
) -> None:
    """Go on from what a component has learned, before the first update. Its weights stay. Labels of
    the data that it does not have are asked for from now on, too.

    nlp (Language): the pipeline.
    name (str): of its instruction_ner component.
    get_examples (Callable): the training data.
    names, definitions (Optional[Dict[str, str]]): words and meanings, by label.
    rehearsal, self_training (Optional[FurtherChoice]): texts that join updates, as
        `spacy-instructner.Rehearsal.v1` and `spacy-instructner.SelfTraining.v1` choose them.
    Raises ValueError for a component of another kind. Where anything goes wrong, the component stays
    as it was."""
    pipe = nlp.get_pipe(name)
    if not isinstance(pipe, InstructionNERPipe):
        raise ValueError(f"The component {name!r} is no instruction_ner component.")
    validate_get_examples(get_examples, "resume")
    with pipe.state.all_or_nothing(pipe.model):
        new = sorted(set(survey(get_examples()).counts) - set(pipe.labels))
        pipe.set_labels([*pipe.labels, *new], names, definitions)
        if new:
            logger.info("%s asks for %s from now on, too", name, ", ".join(new))
        chosen = cast(tuple, (rehearsal, self_training))
        pipe.state.begin_further(chosen, nlp, pipe, get_examples)
