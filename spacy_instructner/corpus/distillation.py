"""What a pipeline annotated, as the training data of another: knowledge distillation by
pseudo-labels.

A large model (the teacher) annotates texts that nobody annotated. A small one (the student)
learns from these texts as if people had, and beside them from those that people did annotate.

Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", for the idea; Lee
2013, "Pseudo-Label", for learning from the answer alone, without its probabilities."""

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from ..data.blank_docs import without_annotation
from ..data.sampling import same_text
from ..formats.docs import read_spacy
from .output_folder import MANIFEST, RUN

PART = "part-" + "[0-9]" * 6 + ".spacy"
OF_SHARD = re.compile(r"manifest-\d+-of-(\d+)\.json")


@dataclass(frozen=True)
class StudentTexts:
    """train: what the student learns; dev: what its training is stopped by, pseudo-labelled
    texts that are not in `train`; gold: how many of `train` people annotated; excluded:
    how many pseudo-labelled texts were left out as they are barred, repeated: as another
    text has the same words."""

    train: list[Doc]
    dev: list[Doc]
    gold: int
    excluded: int
    repeated: int


def annotated_texts(folder: Path, vocab: Vocab) -> Iterator[Doc]:
    """The texts of a folder that `annotate --format spacy` wrote, with their entities alone.

    Raises ValueError for a folder that holds no such run, or not the whole of it."""
    if not (folder / RUN).is_file():
        raise ValueError(
            f"{folder} holds nothing that `annotate` wrote. Make it with: python -m spacy "
            f"instructner annotate PIPELINE TEXTS {folder} --format spacy"
        )
    _check_finished(folder)
    parts = sorted(folder.glob(PART))
    if not parts:
        raise ValueError(
            f"{folder} has no .spacy file. Annotate the texts with --format spacy, into "
            "another folder."
        )
    for part in parts:
        yield from map(with_entities_alone, read_spacy(part, vocab))


def _check_finished(folder: Path) -> None:
    """Raises ValueError where a shard has no manifest yet."""
    if (folder / MANIFEST).is_file():
        return
    names = [path.name for path in folder.glob("manifest-*.json")]
    counts = {int(found[1]) for name in names if (found := OF_SHARD.fullmatch(name))}
    if not any(
        all(
            (folder / f"manifest-{at}-of-{of}.json").is_file()
            for at in range(1, of + 1)
        )
        for of in counts
    ):
        raise ValueError(
            f"{folder} is annotated in part only: a manifest is missing. Go on with "
            "`annotate` and --resume, for every shard."
        )


def with_entities_alone(doc: Doc) -> Doc:
    """The words of a Doc and its entities. All other tokens are outside of entities."""
    own = without_annotation(doc)
    own.user_data.clear()
    entities = [Span(own, ent.start, ent.end, ent.label) for ent in doc.ents]
    own.set_ents(entities, default="outside")
    return own


def student_texts(
    annotated: Iterable[Doc],
    gold: Iterable[Doc] = (),
    exclude: Iterable[Doc] = (),
    dev_share: float = 0.1,
    seed: int = 0,
) -> StudentTexts:
    """Divide pseudo-labelled texts into training and development data.

    annotated (Iterable[Doc]): the pseudo-labelled texts.
    gold (Iterable[Doc]): texts that people annotated. They are learned as they are, and
        win over a pseudo-labelled text with the same words.
    exclude (Iterable[Doc]): texts that must be in neither, such as the test set.
    dev_share (float): of the pseudo-labelled texts, from 0 to 1, both excluded. At least
        one text is taken.
    seed (int): of the division.
    RETURNS (StudentTexts): what to learn. Raises ValueError for a share that is none,
        for less than two pseudo-labelled texts that are left, and where no text to be
        learned has an entity."""
    if not 0.0 < dev_share < 1.0:
        raise ValueError(f"The share must be between 0 and 1, not {dev_share}.")
    barred = {same_text(doc) for doc in exclude}
    own = [doc for doc in gold if same_text(doc) not in barred]
    seen = {same_text(doc) for doc in own}
    kept: list[Doc] = []
    excluded = repeated = 0
    for doc in annotated:
        text = same_text(doc)
        excluded += text in barred
        repeated += text in seen and text not in barred
        if text not in barred and text not in seen:
            seen.add(text)
            kept.append(doc)
    if len(kept) < 2:
        raise ValueError(
            f"{len(kept)} annotated texts are left to learn from: {excluded} are excluded, "
            f"{repeated} have the words of another text. Annotate more texts."
        )
    random.Random(seed).shuffle(kept)
    count = min(max(1, round(dev_share * len(kept))), len(kept) - 1)
    train = [*own, *kept[count:]]
    if not any(doc.ents for doc in train):
        raise ValueError(
            "No text to learn from has an entity. Look at what the pipeline finds, with "
            "`python -m spacy instructner render`."
        )
    return StudentTexts(train, kept[:count], len(own), excluded, repeated)
