"""Rehearsal, against forgetting: while a component learns new labels, it is asked for others, too.

    its own texts ──► other labels ──► what it finds before it learns ──┐
    shipped texts ──► labels of theirs ──► their annotation ────────────┼──► join updates
    labels that no text mentions ──► what it finds before it learns ────┘    complete Examples

Source: Learning without Forgetting (Li & Hoiem 2016, arXiv:1606.09282), with hard targets (knowledge
distillation by what the model answered); that other labels are asked for by their names, on the
same texts and on texts of templates, and what is unknown: ours.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import logger

from ..component import InstructionNERPipe
from ..state import FurtherChoice
from ..tasks.labels import LabelSet, labels_of, with_own_words
from ..training.further_texts import FurtherTexts, asking
from ..training.pseudo_labels import PseudoLabels
from .rehearsal_set import (
    AskedLabel,
    asked_labels,
    draw_labels,
    names_of,
    read_sources,
    shipped_docs,
    without_names,
)
from .unannotated import cutter, found_in, own_texts, prepare, seed_of, self_annotated

# How often each own text is asked, for other labels each time.
ASKED = 2
# How many of those that come with the package are drawn from.
SHIPPED_TEXTS = 300


def build_rehearsal_v1(
    share: float = 0.5,
    labels: int = 8,
    shipped: bool = True,
    most_texts: int = 500,
) -> FurtherChoice:
    """Registered as `spacy-instructner.Rehearsal.v1`; `rehearsal` of
    `[initialize.components.instruction_ner]`.

    share (float): how many rehearsed texts join an update, for each of its own texts.
    labels (int): how many labels a rehearsed text asks for, at most.
    shipped (bool): whether every second rehearsed text is one of those that come with the package.
        Their labels are asked of the training texts in any case.
    most_texts (int): how many training texts are asked before training, at most.
    RETURNS (FurtherChoice): see `Rehearsal.begin`. Raises ValueError for a share that is not above
        0, and for fewer than one label or text.
    """
    if not share > 0.0:
        raise ValueError(
            f"`share` must be above 0, not {share}. Leave `rehearsal` out for no rehearsal."
        )
    if labels < 1 or most_texts < 1:
        raise ValueError("`labels` and `most_texts` must be at least 1.")
    # A method: pydantic would make a dict of a dataclass.
    return Rehearsal(share, labels, shipped, most_texts).begin


@dataclass(frozen=True)
class Rehearsal:
    """See `build_rehearsal_v1`."""

    share: float
    labels: int
    shipped: bool
    most_texts: int

    def begin(
        self,
        nlp: Language | None,
        pipe: InstructionNERPipe,
        get_examples: Callable[[], Iterable[Example]],
    ) -> FurtherTexts:
        """The texts that join updates, and what the component says now of labels that no Example
        mentions. Logs what it took.

        nlp (Optional[Language]): the pipeline, whose config has the seed.
        pipe (InstructionNERPipe): its component, with labels and the weights to begin with.
        get_examples (Callable): the training data."""
        began = time.monotonic()
        seed = seed_of(nlp)
        rng = random.Random(f"rehearsal {seed}")
        examples = list(get_examples())
        texts = prepare(nlp, pipe, own_texts(examples)[: self.most_texts])
        unmentioned = unmentioned_labels(pipe, examples)
        sources = without_names(read_sources(), names_asked_for(pipe, examples))
        words = pipe.label_words
        kept = [AskedLabel(label, **words[label]) for label in unmentioned]
        others = [each for own in sources for each in asked_labels(own, rng)]
        own = self._asked(texts, kept, others, rng)
        pools = [self_annotated(own, found_in(pipe, own))] if own else []
        if self.shipped:
            cut = cutter(nlp, pipe)
            made = shipped_docs(sources, cut, self.labels, SHIPPED_TEXTS, rng)
            pools.append(tuple(prepare(nlp, pipe, made)))
        answers: dict[str, PseudoLabels] = {}
        if unmentioned:
            asked = {label: words[label] for label in unmentioned}
            answers = dict(
                zip((doc.text for doc in texts), found_in(pipe, texts, asked))
            )
        logger.info(
            "%s rehearses %d labels: %g more texts for each text of an update. Its own %d texts"
            " were asked %d times before training, in %.1f s.",
            pipe.name,
            len(kept) + len(others),
            self.share,
            len(texts),
            len(own) + len(answers),
            time.monotonic() - began,
        )
        if unmentioned:
            logger.info(
                "%s keeps what it says of labels that no text mentions: %s",
                pipe.name,
                ", ".join(unmentioned),
            )
        return FurtherTexts(
            tuple(pool for pool in pools if pool),
            self.share,
            seed,
            unmentioned,
            answers,
        )

    def _asked(
        self,
        texts: Sequence[Doc],
        kept: Sequence[AskedLabel],
        others: Sequence[AskedLabel],
        rng: random.Random,
    ) -> list[Doc]:
        """Own texts that ask for labels that are not learned: first those that are kept."""
        drawn = [
            asking(doc, draw_labels(kept, others, self.labels, rng))
            for _ in range(ASKED)
            for doc in texts
        ]
        return [doc for doc in drawn if labels_of(doc)] if kept or others else []


def unmentioned_labels(
    pipe: InstructionNERPipe, examples: Iterable[Example]
) -> tuple[str, ...]:
    """The labels of a component that no Example which asks for them mentions."""
    mentioned = {
        span.label_
        for example in examples
        if labels_of(example.predicted) is None
        for span in example.reference.ents
    }
    return tuple(label for label in pipe.labels if label not in mentioned)


def names_asked_for(pipe: InstructionNERPipe, examples: Iterable[Example]) -> set[str]:
    """What the labels are called, folded, that a component has and that Examples bring: none of
    these may stand for something else."""
    own: list[LabelSet | None] = [pipe.state.label_set(None, None)]
    brought = (labels_of(example.predicted) for example in examples)
    own += [with_own_words(each, {}, {}) for each in brought if each]
    return set().union(*(names_of(each) for each in own))
