"""A component, trained on a few corrected texts inside this process. Source: ours."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.loop import create_train_batches, train_while_improving
from spacy.util import load_config, registry
from thinc.api import fix_random_seed

from ..component import InstructionNERPipe
from ..data.blank_docs import without_annotation

SETTINGS = Path(__file__).with_name("training.cfg")


def finetune(
    nlp: Language, name: str, docs: Sequence[Doc], labels: Mapping[str, str]
) -> Iterator[tuple[int, int, float]]:
    """Train one component of a pipeline from the start of its training.

    nlp (Language): the pipeline; it is changed.
    name (str): of its instruction_ner component. Other components are not trained.
    docs (Sequence[Doc]): annotated texts.
    labels (Mapping[str, str]): the definition of each label, "" where there is none.
    YIELDS (tuple[int, int, float]): after each update, the number of updates so far, the
        number of updates in all, and the loss. Raises ValueError as
        `InstructionNERPipe.initialize`.
    """
    settings = registry.resolve(load_config(SETTINGS).interpolate())["training"]
    pipe = cast(InstructionNERPipe, nlp.get_pipe(name))
    examples = [Example(without_annotation(doc), doc) for doc in docs]
    fix_random_seed(settings["seed"])
    definitions = {label: meaning for label, meaning in labels.items() if meaning}
    pipe.initialize(
        lambda: examples, nlp=nlp, labels=list(labels), definitions=definitions
    )
    steps = train_while_improving(
        nlp,
        settings["optimizer"],
        create_train_batches(
            nlp, lambda _: iter(examples), settings["batcher"], settings["max_epochs"]
        ),
        lambda: (0.0, {}),
        dropout=settings["dropout"],
        eval_frequency=settings["eval_frequency"],
        accumulate_gradient=settings["accumulate_gradient"],
        patience=settings["patience"],
        max_steps=settings["max_steps"],
        exclude=[other for other in nlp.pipe_names if other != name],
        annotating_components=[],
        before_update=None,
    )
    before: list[float] = [0.0]
    for _, info, judged in steps:
        # spaCy adds losses up from one evaluation to the next.
        total = info["losses"][name]
        yield info["step"] + 1, settings["max_steps"] + 1, total - before[-1]
        before = [0.0 if judged is not None else total]
