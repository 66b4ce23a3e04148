"""What a run learns from, and what it is scored on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..data.sampling import draw, episode
from ..formats.docs import read_docs
from .grid import EPISODES, GIVEN, Run


@dataclass(frozen=True)
class Draw:
    """support: to learn from; test: to score. No sentence is in both."""

    support: list[Doc]
    test: list[Doc]


def draws(run: Run, nlp: Language) -> Draw:
    """A run's draw. It depends on the data, the protocol with its numbers, and the
    seed alone; the texts to score not even on the seed, but in an episode.

    Raises ValueError where nothing is left to learn from or to score."""
    if run.protocol == EPISODES:
        docs, _ = read_docs(Path(str(run.data.train)), nlp, run.data.encoding)
        drawn = episode(docs, run.ways, run.k, run.seed)
        return Draw(drawn.support, drawn.query)
    everything, _ = read_docs(run.data.test, nlp, run.data.encoding)
    test = draw(everything, "sentences", run.texts) if run.texts else everything
    if not test:
        raise ValueError(f"{run.data.test} holds no text.")
    given = run.protocol == GIVEN
    if given:
        path = Path(str(run.data.support).format(k=run.k, seed=run.seed))
    else:
        path = Path(str(run.data.train))
    docs, _ = read_docs(path, nlp, run.data.encoding)
    protocol: Any = "all" if given else run.protocol
    # Where both are drawn from one file, only what is scored is barred.
    barred = test if path == run.data.test else everything
    support = draw(docs, protocol, run.k, run.seed, barred)
    if not support:
        raise ValueError(f"{path} has no sentence to draw that is not in the test set.")
    return Draw(support, test)
