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
from ..data.corpora import without_annotation

SETTINGS = Path(__file__).with_name("training.cfg")


def learn(
    nlp: Language, name: str, docs: Sequence[Doc], labels: Mapping[str, str]
) -> Iterator[tuple[int, int, float]]:
    """Train a component of a pipeline anew, and nothing else of it.

    nlp (Language): the pipeline; it is changed.
    name (str): of its instruction_ner component.
    docs (Sequence[Doc]): annotated texts.
    labels (Mapping[str, str]): what to look for, and what it means, "" where nobody
        says.
    YIELDS (Tuple[int, int, float]): after each update how many there were, how many
        there will be, and the loss. Raises ValueError as
        `InstructionNERPipe.initialize`.
    """
    settings = registry.resolve(load_config(SETTINGS).interpolate())["training"]
    pipe = cast(InstructionNERPipe, nlp.get_pipe(name))
    examples = [Example(without_annotation(doc), doc) for doc in docs]
    fix_random_seed(settings["seed"])
    meanings: dict[str, str] = {label: said for label, said in labels.items() if said}
    pipe.initialize(
        lambda: examples, nlp=nlp, labels=list(labels), definitions=meanings
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
