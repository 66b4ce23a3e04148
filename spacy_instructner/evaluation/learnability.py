"""What an instruction_ner component could not learn from annotated texts. Source: ours."""

import re
import warnings
from collections.abc import Sequence

from spacy.language import Language
from spacy.schemas import ConfigSchemaInit
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

from ..component import InstructionNERPipe
from ..config_checks import check_paths
from ..data.blank_docs import without_annotation
from ..data.checks import Finding
from ..data.sampling import label_counts
from ..models.thinc_model import get_backbone
from ..tasks.base import Encoder
from ..tasks.cllmfs import CLLMFS
from ..tasks.instruction_ner import InstructionNER
from ..tasks.just_pass_twice import JustPassTwice
from ..tasks.labels import unasked_words


def check_component(nlp: Language, train: Sequence[Doc]) -> list[Finding]:
    """Look for what the pipeline's instruction_ner component could not learn.

    nlp (Language): a pipeline that was made of a config, not initialized. Its component
        gets the labels that it would be trained on.
    train (Sequence[Doc]): annotated texts.
    RETURNS (list[Finding]): what was found; fatal where the component cannot be
        initialized."""
    pipes = [
        (name, pipe)
        for name, pipe in nlp.pipeline
        if isinstance(pipe, InstructionNERPipe)
    ]
    if not pipes:
        return [Finding("The config has no component `instruction_ner`", fatal=True)]
    name, pipe = pipes[0]
    try:
        initialize = nlp.config.interpolate()["initialize"]
        given = registry.resolve(initialize, schema=ConfigSchemaInit)["components"]
        words = dict(given.get(name, {}))
        labels = words.pop("labels", None) or pipe.labels or sorted(label_counts(train))
        check_paths(nlp)
        with warnings.catch_warnings():
            # What is wrong with the words is a finding, below.
            warnings.simplefilter("ignore")
            pipe.set_labels(labels, **words)
        found = [
            *_check_labels(pipe, train),
            *_check_words(pipe),
            *_check_windows(nlp, pipe, train),
        ]
        return [Finding(message) for message in found]
    except (OSError, ValueError) as error:
        return [Finding(str(error), fatal=True)]


def _check_labels(pipe: InstructionNERPipe, train: Sequence[Doc]) -> list[str]:
    """Labels without examples, with few, and those that the component does not have."""
    counts = label_counts(train)
    found: list[str] = []
    if absent := [label for label in pipe.labels if label not in counts]:
        found.append(f"The data has no example of: {', '.join(absent)}")
    if extra := [label for label in counts if label not in pipe.labels]:
        found.append(
            "These labels are not in `labels`; their entities are learned as text "
            f"without entities: {', '.join(extra)}"
        )
    if rare := [label for label in pipe.labels if 0 < counts.get(label, 0) < 5]:
        found.append(f"The data has fewer than 5 examples of: {', '.join(rare)}")
    if isinstance(pipe.task, InstructionNER) and all(doc.ents for doc in train):
        found.append("Every text has an entity: InstructionNER learns no empty answer")
    return found


def _check_words(pipe: InstructionNERPipe) -> list[str]:
    """Words for labels that the component does not have, labels whose words the model may
    not know, and labels without a definition where prompts give definitions."""
    own = ("label_names", "label_definitions")
    found = unasked_words(
        pipe.labels, **{setting: pipe.cfg[setting] for setting in own}
    )
    words = pipe.label_words
    named = pipe.cfg["label_names"]
    encoder = get_backbone(pipe.model).encoder
    unclear = {
        label: said["name"]
        for label, said in words.items()
        if not named.get(label) and is_unclear(said["name"], encoder)
    }
    if unclear:
        asked = ", ".join(f"{label} (asked as {unclear[label]!r})" for label in unclear)
        found.append(
            f"The model may not know what these labels mean: {asked}. Say it in plain "
            f'words in `label_names`, as {{{next(iter(unclear))!r}: "words"}}.'
        )
    without = [label for label, said in words.items() if not said["definition"]]
    if without and isinstance(pipe.task, (CLLMFS, JustPassTwice)):
        found.append(
            f"These labels have no definition: {', '.join(without)}. Define them in "
            "`label_definitions` or in the file `--paths.definitions`; F1 is often better "
            "with definitions."
        )
    return found


def is_unclear(name: str, encoder: Encoder) -> bool:
    """Is there a word in a label's name that looks like a code: letters and digits mixed,
    or cut by the model's tokenizer into pieces of less than three letters, on average? A
    tokenizer keeps frequent words whole and cuts those that it has seldom seen.

    Only words of the letters a to z are looked at. Abbreviations that are frequent text
    (org, cls) are not found. The rule and its limit of three: ours, chosen on lists of
    label words (`tests/evaluation/test_learnability.py`)."""
    for word in re.findall(r"\w+", name):
        if not word.isascii() or word.isdigit():
            continue
        pieces = len(encoder.text(f" {word}"))
        if not word.isalpha() or 1 < pieces and len(word) < 3 * pieces:
            return True
    return False


def _check_windows(
    nlp: Language, pipe: InstructionNERPipe, train: Sequence[Doc]
) -> list[str]:
    """Texts that are cut, and entities and answers that cannot be learned."""
    found: list[str] = []
    own = [Example(without_annotation(doc), doc) for doc in train]
    learnable = pipe.learnable(own)
    asked = sum(e.label_ in pipe.labels for doc in train for e in doc.ents)
    if learnable.cut:
        found.append(f"{learnable.cut} texts are cut into windows")
    if learnable.entities < asked:
        found.append(
            f"{asked - learnable.entities} entities fit into no answer: a window cuts "
            "them, or they are longer than `max_span`, or they begin or end at a token "
            "that the model's tokenizer cannot write"
        )
    if lost := pipe.answer_ids(own).lost:
        found.append(
            f"{lost} token ids of answers are not learned, as their text is not annotated"
        )
    # The pipeline will cut the texts that it meets with its own tokenizer.
    with nlp.select_pipes(enable=[]):
        retokenized = [Example(nlp(doc.text), doc) for doc in train]
    lost = learnable.entities - pipe.learnable(retokenized).entities
    if lost > 0:
        found.append(
            f"{lost} entities do not fall on tokens of the pipeline's own tokenizer: the "
            "pipeline will not find such entities in raw text"
        )
    return found
