"""What a cell learns from, and what it is scored on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..data.sampling import draw, episode
from ..formats.docs import read_docs
from .matrix import EPISODES, GIVEN, Cell


@dataclass(frozen=True)
class Draw:
    """support: to learn from; test: to score. No sentence is in both."""

    support: list[Doc]
    test: list[Doc]


def draws(cell: Cell, nlp: Language) -> Draw:
    """A cell's draw. It depends on the data, the protocol with its numbers, and the
    seed alone; the texts to score not even on the seed, but in an episode.

    Raises ValueError where nothing is left to learn from or to score."""
    if cell.protocol == EPISODES:
        docs, _ = read_docs(Path(str(cell.data.train)), nlp, cell.data.encoding)
        drawn = episode(docs, cell.ways, cell.k, cell.seed)
        return Draw(drawn.support, drawn.query)
    everything, _ = read_docs(cell.data.test, nlp, cell.data.encoding)
    test = draw(everything, "sentences", cell.texts) if cell.texts else everything
    if not test:
        raise ValueError(f"{cell.data.test} holds no text.")
    given = cell.protocol == GIVEN
    if given:
        path = Path(str(cell.data.support).format(k=cell.k, seed=cell.seed))
    else:
        path = Path(str(cell.data.train))
    docs, _ = read_docs(path, nlp, cell.data.encoding)
    protocol: Any = "all" if given else cell.protocol
    # Where both are drawn from one file, only what is scored is barred.
    barred = test if path == cell.data.test else everything
    support = draw(docs, protocol, cell.k, cell.seed, barred)
    if not support:
        raise ValueError(f"{path} has no sentence to draw that is not in the test set.")
    return Draw(support, test)
