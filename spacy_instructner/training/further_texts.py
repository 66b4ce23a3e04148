"""Further texts, which join each update beside its own: rehearsed ones, and those of self-training.

    Examples of an update ──► what nobody annotated in them ──► with further texts ──► records
                                 by the pseudo-labels of          drawn by seed and
                                 their texts                      number of the update

Source: ours.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from spacy.tokens import Doc
from spacy.training import Example

from ..tasks.labels import LABELS_KEY, labels_of
from .pseudo_labels import PseudoLabels, add_pseudo_labels


@dataclass(frozen=True)
class FurtherTexts:
    """Annotated texts that join updates.

    pools: texts, each pool drawn from as often as the others; a text asks for the labels that it
    brings, or else for the component's; share: how many join an update for each of its own texts;
    seed: of the draws; unmentioned: labels of the component that no training text mentions; answers:
    what the component said of these, by text; after: number of updates before `pending`, which
    then makes a pool, is asked."""

    pools: tuple[tuple[Doc, ...], ...]
    share: float
    seed: int
    unmentioned: tuple[str, ...] = ()
    answers: Mapping[str, PseudoLabels] = field(default_factory=dict)
    after: int = 0
    pending: Callable[[], tuple[Doc, ...]] | None = None

    def at(self, update: int) -> "FurtherTexts":
        """The texts as they are at this update, counted from 0: those that are due are made."""
        if self.pending is None or update < self.after:
            return self
        made = self.pending()
        return replace(
            self, pools=(*self.pools, *([made] if made else [])), pending=None
        )

    def drawn(self, update: int, texts: int) -> list[Example]:
        """Those that join an update of so many texts. They depend on the seed and the number of
        the update alone."""
        if not self.pools:
            return []
        rng = random.Random(f"{self.seed} {update}")
        # In the mean of updates, exactly the share.
        count = int(self.share * texts + rng.random())
        return [as_example(rng.choice(rng.choice(self.pools))) for _ in range(count)]

    def completed(self, example: Example) -> Example:
        """An Example with what the component said of labels that nobody annotated there. Where it
        was not asked about the text, nothing is known of them. Those that ask for labels of their
        own stay as they are."""
        if not self.unmentioned or labels_of(example.predicted) is not None:
            return example
        text = example.reference.text
        unknown = tuple((0, len(text), label) for label in self.unmentioned)
        known = self.answers.get(text, PseudoLabels(unsure=unknown))
        return Example(example.predicted, add_pseudo_labels(example.reference, known))


def as_example(doc: Doc) -> Example:
    """An annotated Doc to learn from. What other components said of it, such as where sentences
    begin, stays, and so do the labels that it asks for."""
    predicted = doc.copy()
    predicted.set_ents([], default="missing")
    return Example(predicted, doc)


def asking(doc: Doc, labels: Mapping[str, Mapping[str, str]]) -> Doc:
    """A copy of a Doc that asks for these labels. labels: "name" and "definition" of each."""
    made = doc.copy()
    made.user_data[LABELS_KEY] = {label: dict(words) for label, words in labels.items()}
    return made


def joined(
    further: Sequence[FurtherTexts], update: int, examples: Sequence[Example]
) -> list[Example]:
    """All that is learned in an update: its Examples, completed, and those that join."""
    more = [e for each in further for e in each.drawn(update, len(examples))]
    for each in further:
        examples = [each.completed(example) for example in examples]
    return [*examples, *more]
