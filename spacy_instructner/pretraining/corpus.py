"""Annotated data as texts that each ask for labels of their own. Source: ours.

What is asked for changes from text to text: which types, in what order, by which of
their names, with which definition or none. Case, punctuation and the number of sentences
change, too. So a model learns to follow the request, not to know the types.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from spacy.language import Language
from spacy.training import Example

from ..tasks.labels import default_name
from .text_sources import SourceTexts, read_sources
from .variations import Text, join, lowered, make_example
from .wording import draw_words, wording_of


def build_label_variety_v1(
    sources: dict[str, Path],
    shares: dict[str, float],
    wording: Path,
    held_out: list[str],
    rules: Path | None = None,
    made: int = 2000,
    seed: int = 0,
    most_labels: int = 12,
    kept: float = 0.85,
    empty: float = 0.1,
    own_words: float = 0.3,
    undefined: float = 0.3,
    lowered: float = 0.4,
    joined: float = 0.15,
    texts: int = 4000,
) -> "LabelVariety":
    """Registered as `spacy-instructner.LabelVariety.v1`.

    sources (dict[str, Path]): annotated files, by name. A label is asked for only in
        texts of files that have the label, as it is annotated throughout there. A .json
        file holds templates to make texts of, and the wording of its own labels.
    shares (dict[str, float]): how often a text comes from each source, in any unit.
    wording (Path): a JSON file: {label: {"names": […], "definitions": […]}}. A label
        that it lacks is called by its default name.
    held_out (list[str]): labels that are never seen; texts that have one are left out.
    rules (Path | None): a JSON file: {label: {"names": […], "definitions": […],
        "patterns": […]}}, patterns as for spaCy's EntityRuler. What they find in
        annotated files, outside of entities, becomes entities, too.
    made (int): number of texts that are made of a file of templates.
    seed (int): the same seed makes the same texts, in the same order, without end.
    most_labels (int): largest number of labels that a text asks for.
    kept (float): probability that a label of a text is asked for.
    empty (float): share of texts without an answer. Such a text has no entity, where the
        source has such texts, or is asked only for labels that it does not have.
    own_words (float): probability that a label is called by its default name, with its
        first definition.
    undefined (float): probability that a label has no definition.
    lowered (float): share of texts in lower case, half of them without punctuation.
    joined (float): share of texts that are joined of two or three.
    texts (int): number of texts that spaCy's own commands read, as they read a corpus to
        its end. `python -m spacy instructner pretrain` reads on.
    RETURNS (LabelVariety): reads Examples. Raises ValueError for settings that cannot
        be, and, when it reads, as `read_sources`.
    """
    return LabelVariety(
        sources, shares, wording, tuple(held_out), rules, made, seed, most_labels, kept,
        empty, own_words, undefined, lowered, joined, texts,
    )  # fmt: skip


@dataclass(frozen=True)
class LabelVariety:
    """See `build_label_variety_v1`."""

    sources: Mapping[str, Path]
    shares: Mapping[str, float]
    wording: Path
    held_out: tuple[str, ...]
    rules: Path | None
    made: int
    seed: int
    most_labels: int
    kept: float
    empty: float
    own_words: float
    undefined: float
    lowered: float
    joined: float
    texts: int

    def __post_init__(self) -> None:
        """Raises ValueError for settings that cannot be."""
        unknown = sorted(set(self.shares) ^ set(self.sources))
        if unknown:
            raise ValueError(
                "`sources` and `shares` must have the same names. Only one has: "
                f"{unknown}."
            )
        if min(self.shares.values(), default=0) < 0 or not sum(self.shares.values()):
            raise ValueError("`shares` must not be negative, and one at least not 0.")
        names = ("kept", "empty", "own_words", "undefined", "lowered", "joined")
        if wrong := [name for name in names if not 0.0 <= getattr(self, name) <= 1.0]:
            raise ValueError(f"These shares must lie between 0 and 1: {wrong}.")
        if self.most_labels < 1:
            raise ValueError("`most_labels` must be at least 1.")
        if self.texts < 1:
            raise ValueError(f"`texts` must be at least 1, not {self.texts}.")

    def __call__(self, nlp: Language) -> Iterator[Example]:
        return islice(self.starting(nlp, 0), self.texts)

    def starting(self, nlp: Language, at: int) -> Iterator[Example]:
        """The Examples from number `at` on, without end. Each Example depends on the seed
        and its number alone. Raises as `read_sources`."""
        sources = read_sources(
            self.sources,
            self.wording,
            self.rules,
            self.held_out,
            nlp,
            self.made,
            self.seed,
        )
        for number in count(at):
            rng = random.Random(f"{self.seed} {number}")
            (name,) = rng.choices(
                list(sources), [self.shares[name] for name in sources]
            )
            yield self._example(nlp, sources[name], rng)

    def _example(
        self, nlp: Language, source: SourceTexts, rng: random.Random
    ) -> Example:
        empty = rng.random() < self.empty
        text = self._text(source, rng, empty)
        present = text.labels
        absent = [label for label in source.by_label if label not in present]
        asked: list[str] = []
        if present and not (empty and absent):
            asked = [label for label in present if rng.random() < self.kept]
            asked = asked or [rng.choice(present)]
            rng.shuffle(asked)
            asked = asked[: self.most_labels]
        room = rng.randint(1, self.most_labels) - len(asked)
        asked += rng.sample(absent, min(len(absent), max(room, not asked)))
        rng.shuffle(asked)
        worded: dict[str, dict[str, str]] = {}
        taken = set()
        for label in asked:
            name, definition = draw_words(
                wording_of(label, source.wording),
                default_name(label),
                rng,
                self.own_words,
                self.undefined,
            )
            # An answer could not tell two labels of one name apart.
            if name.lower() in taken:
                name = default_name(label)
            if name.lower() not in taken:
                taken.add(name.lower())
                worded[label] = {"name": name, "definition": definition}
        if rng.random() < self.lowered:
            text = lowered(text, without_punctuation=rng.random() < 0.5)
        return make_example(nlp, text, worded)

    def _text(self, source: SourceTexts, rng: random.Random, empty: bool) -> Text:
        if empty and source.empty:
            text = rng.choice(source.empty)
        else:
            text = self._with_entities(source, rng)
        if rng.random() < self.joined:
            more = [self._with_entities(source, rng) for _ in range(rng.randint(1, 2))]
            text = join([text, *more])
        return text

    @staticmethod
    def _with_entities(source: SourceTexts, rng: random.Random) -> Text:
        (label,) = rng.choices(list(source.by_label), source.weights)
        return rng.choice(source.by_label[label])
