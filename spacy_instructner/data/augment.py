"""More texts from the same few shots: mentions in the places of other mentions.

Source: mention replacement (Dai and Adel 2020, arXiv:2010.11683). Ours: the text itself is
learned, too, and all of its mentions are replaced at once.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from .blank_docs import without_annotation

# The words of a mention, and whether a space stands between each two of them.
MentionWords = tuple[tuple[str, ...], tuple[bool, ...]]


def build_mention_swap_v1(level: float, copies: int = 1) -> "MentionSwap":
    """Registered as `spacy-instructner.MentionSwap.v1`.

    level (float): probability that a text is followed by a changed copy, from 0 to 1.
    copies (int): how many times this is drawn for each text.
    RETURNS (MentionSwap): the augmenter. Raises ValueError for values out of range.
    """
    return MentionSwap(level, copies)


@dataclass(frozen=True)
class MentionSwap:
    """An augmenter, for `spacy-instructner.FewShotCorpus.v1`. See
    `build_mention_swap_v1`.

    mentions: by label, the mentions that may replace one; None before `among`."""

    level: float
    copies: int = 1
    mentions: Mapping[str, tuple[MentionWords, ...]] | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.level <= 1.0:
            raise ValueError(f"`level` must be in [0, 1], not {self.level}.")
        if self.copies < 1:
            raise ValueError(f"`copies` must be at least 1, not {self.copies}.")

    def among(self, examples: Iterable[Example]) -> "MentionSwap":
        """The augmenter with the mentions of these examples."""
        found: dict[str, dict[MentionWords, None]] = {}
        for example in examples:
            for entity in example.reference.ents:
                found.setdefault(entity.label_, {})[_words_of(entity)] = None
        return replace(self, mentions={label: tuple(of) for label, of in found.items()})

    def __call__(self, nlp: Language, example: Example) -> Iterator[Example]:
        """The example, then its changed copies, drawn from Python's `random`, which spaCy
        seeds. Raises ValueError before `among`."""
        yield example
        for _ in range(self.copies):
            if random.random() < self.level:
                changed = self.swapped(example.reference)
                if changed is not None:
                    yield Example(without_annotation(changed), changed)

    def swapped(self, doc: Doc) -> Doc | None:
        """A text with each mention replaced by another one of the same label. Only entities
        are annotated in it. None where there is no other mention. Raises ValueError
        before `among`."""
        if self.mentions is None:
            raise ValueError(
                "spacy-instructner.MentionSwap.v1 needs to know all mentions. Use it as "
                "`augmenter` of spacy-instructner.FewShotCorpus.v1: no other reader tells "
                "it which texts there are."
            )
        words: list[str] = []
        spaces: list[bool] = []
        entities: list[tuple[int, int, str]] = []
        unknown: list[int] = []
        blocked: list[int] = []
        changed = False
        inside = {entity.start: entity for entity in doc.ents}
        at = 0
        while at < len(doc):
            if at not in inside:
                token = doc[at]
                if token.ent_iob_ == "":
                    unknown.append(len(words))
                elif token.ent_iob_ == "B":
                    # Without a type: the token is blocked for entities.
                    blocked.append(len(words))
                words.append(token.text)
                spaces.append(bool(token.whitespace_))
                at += 1
                continue
            entity = inside[at]
            own = _words_of(entity)
            others = [m for m in self.mentions.get(entity.label_, ()) if m != own]
            mention = random.choice(others) if others else own
            changed = changed or bool(others)
            begin = len(words)
            words.extend(mention[0])
            # After a mention stands what stood after the one that it replaces.
            spaces.extend((*mention[1], bool(entity[-1].whitespace_)))
            entities.append((begin, len(words), entity.label_))
            at = entity.end
        if not changed:
            return None
        made = Doc(doc.vocab, words=words, spaces=spaces)
        made.set_ents(
            [Span(made, *entity) for entity in entities],
            blocked=[made[i : i + 1] for i in blocked],
            missing=[made[i : i + 1] for i in unknown],
            default="outside",
        )
        return made


def _words_of(entity: Span) -> MentionWords:
    return (
        tuple(token.text for token in entity),
        tuple(bool(token.whitespace_) for token in entity[:-1]),
    )
