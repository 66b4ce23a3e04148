"""Self-training: texts that nobody annotated, annotated by the component itself after a while.

    texts of a file ──► after so many updates: what is found ──► sure spans: targets
                                                             └─► others: unknown
                        texts with unsure spans alone are left out ──► join updates from then on

Source: self-training (Yarowsky 1995) with pseudo-labels (Lee 2013); one round, what is unknown, and
the bound by cross-fitting: ours.
"""

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import logger

from ..component import InstructionNERPipe
from ..corpus.texts import STDIN, TextSource, docs_of
from ..formats.text_files import UTF8
from ..state import FurtherChoice
from ..training.further_texts import FurtherTexts
from .precision_bound import find_bound
from .unannotated import bare, cutter, found_in, prepare, seed_of, self_annotated

# What spans from the bound on are to be right, where the bound is found.
PRECISION = 0.9


def build_self_training_v1(
    path: Path,
    after: int,
    bound: float | None = 0.8,
    share: float = 0.5,
    most_texts: int = 1000,
    column: str = "text",
    encoding: str = UTF8,
) -> FurtherChoice:
    """Registered as `spacy-instructner.SelfTraining.v1`; `self_training` of
    `[initialize.components.instruction_ner]`.

    path (Path): texts without annotation: .txt (one text a line), .jsonl, .csv or .spacy, gzipped or
        not. What is annotated in them is not looked at.
    after (int): number of updates before the texts are annotated, once.
    bound (Optional[float]): the lowest score of a span that is learned as an entity. null finds the
        score at which nine of ten spans of the training texts are right, by cross-fitting.
    share (float): how many of these texts join an update from then on, for each of its own texts.
    most_texts (int): how many texts of the file are read, at most.
    column (str): the key or column of the texts in .jsonl or .csv.
    encoding (str): of the file, as Python calls it.
    RETURNS (FurtherChoice): see `SelfTraining.begin`. Raises ValueError for values out of range.
    """
    if str(path) == STDIN:
        raise ValueError(
            "`path` of the self-training must be a file, not standard input."
        )
    if after < 1 or most_texts < 1:
        raise ValueError("`after` and `most_texts` must be at least 1.")
    if bound is not None and not 0.0 < bound <= 1.0:
        raise ValueError(f"`bound` must be above 0 and at most 1, not {bound}.")
    if not share > 0.0:
        raise ValueError(
            f"`share` must be above 0, not {share}. Leave `self_training` out for none."
        )
    # A method: pydantic would make a dict of a dataclass.
    return SelfTraining(
        Path(path), after, bound, share, most_texts, column, encoding
    ).begin


@dataclass(frozen=True)
class SelfTraining:
    """See `build_self_training_v1`."""

    path: Path
    after: int
    bound: float | None
    share: float
    most_texts: int
    column: str
    encoding: str

    def begin(
        self,
        nlp: Language | None,
        pipe: InstructionNERPipe,
        get_examples: Callable[[], Iterable[Example]],
    ) -> FurtherTexts:
        """The texts, which are annotated after a while.

        nlp (Optional[Language]): the pipeline, whose config has the seed.
        pipe (InstructionNERPipe): its component, which has labels.
        get_examples (Callable): the training data, whose texts are left out. Raises OSError for a
            missing file, and ValueError for one that cannot be read or has no other text, for
            training that ends before, and as `find_bound`."""
        self._check_steps(nlp)
        there = {example.reference.text for example in get_examples()}
        docs = self.read(cutter(nlp, pipe), there)
        bound = self.bound
        if bound is None:
            bound = find_bound(nlp, pipe, get_examples, PRECISION, self.after)
            logger.info(
                "%s is sure of spans from %.3f on: there, %g of those in the training texts are "
                "right, asked of what others taught",
                pipe.name,
                bound,
                PRECISION,
            )
        annotate = partial(self.annotated, pipe, prepare(nlp, pipe, docs), bound)
        return FurtherTexts(
            (), self.share, seed_of(nlp), after=self.after, pending=annotate
        )

    def _check_steps(self, nlp: Language | None) -> None:
        steps = nlp.config.interpolate()["training"]["max_steps"] if nlp else 0
        if steps and self.after >= steps:
            raise ValueError(
                f"`after` of the self-training ({self.after}) must be less than `[training] "
                f"max_steps` ({steps}), or nothing would be learned of its texts."
            )

    def read(self, nlp: Language, there: set[str]) -> list[Doc]:
        """The texts of the file, each once, without those that are there already. Warns of texts
        that cannot be read. Raises as `begin`."""
        source = TextSource(str(self.path), self.column, encoding=self.encoding)
        docs: dict[str, Doc] = {}
        problems: list[str] = []
        for item in source:
            if len(docs) >= self.most_texts:
                break
            if item.problem:
                problems.append(item.problem)
                continue
            for doc in docs_of(nlp, item):
                if doc.text.strip() and doc.text not in there:
                    docs.setdefault(doc.text, bare(doc))
        if problems:
            warnings.warn(
                f"{len(problems)} texts of {self.path} cannot be read and are left out, the first: "
                f"{problems[0]}.",
                stacklevel=2,
            )
        if not docs:
            raise ValueError(
                f"{self.path} has no text for the self-training that is not a training text, too."
            )
        return list(docs.values())

    def annotated(
        self, pipe: InstructionNERPipe, docs: list[Doc], bound: float
    ) -> tuple[Doc, ...]:
        """The texts with what the component finds in them now, without those of which it is sure
        of nothing and unsure of something. Logs how many, and what it took."""
        began = time.monotonic()
        found = found_in(pipe, docs, bound=bound)
        kept = [at for at, own in enumerate(found) if own.sure or not own.unsure]
        logger.info(
            "%s learns from %d of %d texts that it annotated itself in %.1f s: %d spans are sure"
            " from %.3f on, %d are unknown; %d texts are left out, as nothing is sure in them",
            pipe.name,
            len(kept),
            len(docs),
            time.monotonic() - began,
            sum(len(found[at].sure) for at in kept),
            bound,
            sum(len(found[at].unsure) for at in kept),
            len(docs) - len(kept),
        )
        if not any(found[at].sure for at in kept):
            warnings.warn(
                f"{pipe.name} is sure of no span in the texts of {self.path}: they teach it to find"
                f" nothing, and are left out. Lower `bound` ({bound:.3f}) of the self-training.",
                stacklevel=2,
            )
            return ()
        return self_annotated([docs[at] for at in kept], [found[at] for at in kept])
