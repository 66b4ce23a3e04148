"""Texts of many sources that each ask for labels of their own, without end. Source: ours.

As `corpus.py`, for sources whose texts say of many labels whether they are in it, but not
of all: a label is asked for only where the answer is known.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, islice
from pathlib import Path

from spacy.language import Language
from spacy.training import Example

from .base_lists import read_catalog, read_held_out
from .base_sources import BaseFiles, BaseSource, apart, read_base_sources
from .span_texts import SpanText
from .variations import Text, join, lowered, make_example, masked, text_of_spans
from .wording import LabelWording, draw_words

# Texts that the share of absent labels is set by.
PROBES = 1000


def build_label_variety_v2(
    base: Path | None = None,
    sources: dict[str, Path] | None = None,
    wording: Path | None = None,
    held_out: Path | None = None,
    catalog: Path | None = None,
    rules: Path | None = None,
    weights: dict[str, float] | None = None,
    made: int = 2000,
    seed: int = 0,
    longest: int = 400,
    most_labels: int = 12,
    many: float = 0.05,
    many_labels: int = 30,
    kept: float = 0.85,
    absent: float = 0.5,
    empty: float = 0.1,
    own_words: float = 0.3,
    undefined: float = 0.3,
    lowered: float = 0.4,
    joined: float = 0.15,
    masked: float = 0.0,
    nested: float = 0.0,
    texts: int = 4000,
) -> "LabelDraws":
    """Registered as `spacy-instructner.LabelVariety.v2`.

    base (Path | None): a folder that has a folder for each source, as
        `span_texts.read_span_folder` reads it, and wording.json.
    sources (dict[str, Path]): further sources, by name: such folders, annotated files,
        and .json files of templates, which hold the wording of their labels.
    wording (Path | None): a JSON file: {"source/label" or label: {"names": […],
        "definitions": […], "near": […]}}. What the one in `base` has goes before it. A
        label that both lack is called by its default name.
    held_out (Path | None): a JSON file: {"sources": {source: reason}, "labels": {source:
        […]}, "twins": {source: […]}}. None of these is seen; texts that have one are left
        out, of every source.
    catalog (Path | None): a JSON file: {"groups": {group: factor}, "sources": {source:
        {"group": group, "exclude": [label, …], "filled": true or false}}}. A label that
        is excluded is not asked for. Of a source that is to be filled, texts without
        entities are left out.
    rules (Path | None): as for v1, for annotated files.
    weights (dict[str, float]): a source is drawn in proportion to the square root of the
        number of its texts, times the factor of its group, times this (1.0 if missing).
        0 leaves it out.
    made, seed, kept, own_words, undefined, lowered, joined, texts: as for v1. A label's
        own words are its first name and its first definition.
    longest (int): most characters of a text; longer ones are left out.
    most_labels (int): largest number of labels that a text asks for.
    many (float): share of texts that ask for more, up to `many_labels`, where the source
        has so many that are known to be absent.
    absent (float): share of labels without a mention among all labels that are asked for;
        not less than what `empty` and `many` bring.
    empty (float): share of texts that are asked only for labels that they do not have.
        Half of them have no entity, where the source has such texts.
    masked (float): share of texts in which about every second entity, whether asked for
        or not, is a blank.
    nested (float): share of texts that may ask for several labels of one mention, such as
        vets and persons; the most special of them is the answer. In the others, nobody is
        asked for both where a vet is.
    RETURNS (LabelDraws): reads Examples. Raises ValueError for settings that cannot
        be, and, when it reads, as `read_base_sources`.
    """
    return LabelDraws(
        BaseFiles(base, sources or {}, wording, rules, made, longest),
        held_out, catalog, weights or {}, seed, most_labels, many, many_labels, kept,
        absent, empty, own_words, undefined, lowered, joined, masked, nested, texts,
    )  # fmt: skip


@dataclass(frozen=True)
class LearnedSource:
    """What is drawn from a source.

    source: its labels are those that are learned; by_label: its texts with each of them;
    weights: how often each is drawn, added up: by the square root of the number of its
    texts; empty: its texts without entities; share: how often the source is drawn."""

    source: BaseSource
    by_label: Mapping[str, Sequence[SpanText]]
    weights: Sequence[float]
    empty: Sequence[SpanText]
    share: float


@dataclass(frozen=True)
class _Draw:
    """What a text is made of: texts to join, the labels that are asked for and have a
    mention, those that may be asked for and have none, and whether many are asked for."""

    texts: Sequence[SpanText]
    present: Sequence[str]
    absent: Sequence[str]
    many: bool


@dataclass(frozen=True)
class LabelDraws:
    """See `build_label_variety_v2`."""

    files: BaseFiles
    held_out: Path | None
    catalog: Path | None
    weights: Mapping[str, float]
    seed: int
    most_labels: int
    many: float
    many_labels: int
    kept: float
    absent: float
    empty: float
    own_words: float
    undefined: float
    lowered: float
    joined: float
    masked: float
    nested: float
    texts: int

    def __post_init__(self) -> None:
        """Raises ValueError for settings that cannot be."""
        names = (
            "many", "kept", "absent", "empty", "own_words", "undefined", "lowered",
            "joined", "masked", "nested",
        )  # fmt: skip
        if wrong := [name for name in names if not 0.0 <= getattr(self, name) <= 1.0]:
            raise ValueError(f"These shares must lie between 0 and 1: {wrong}.")
        if self.absent == 1.0:
            raise ValueError("`absent` must be less than 1: no text had an answer.")
        if not 1 <= self.most_labels <= self.many_labels:
            raise ValueError(
                "`most_labels` must be at least 1, and `many_labels` not less."
            )
        if self.texts < 1:
            raise ValueError(f"`texts` must be at least 1, not {self.texts}.")
        if min(self.weights.values(), default=0.0) < 0.0:
            raise ValueError("`weights` must not be negative.")

    def __call__(self, nlp: Language) -> Iterator[Example]:
        return islice(self.starting(nlp, 0), self.texts)

    def starting(self, nlp: Language, at: int) -> Iterator[Example]:
        """The Examples from number `at` on, without end. Each Example depends on the seed
        and its number alone. Raises as `read_base_sources`, and ValueError for a weight
        of an unknown source and where nothing is left to learn from."""
        learned = self.read(nlp)
        names = list(learned)
        shares = list(accumulate(learned[name].share for name in names))
        rate = self._rate(list(learned.values()), shares)
        for number in count(at):
            rng = random.Random(f"{self.seed} {number}")
            (name,) = rng.choices(names, cum_weights=shares)
            draw = self._draw(learned[name], rng)
            yield self._example(nlp, learned[name].source, draw, rate, rng)

    def read(self, nlp: Language) -> dict[str, LearnedSource]:
        """What is learned, by the names of the sources. Raises as `starting`."""
        catalog, held = read_catalog(self.catalog), read_held_out(self.held_out)
        read = read_base_sources(self.files, catalog, nlp, self.seed)
        if unknown := sorted(set(self.weights) - set(read)):
            raise ValueError(
                f"`weights` names unknown sources: {unknown}. There are {sorted(read)}."
            )
        held.check({name: source.labels for name, source in read.items()})
        barred = _barred_keys(
            read, held.sources, {name: held.of(name) for name in read}
        )
        learned = {}
        for name, source in read.items():
            factor = self.weights.get(name, 1.0) * catalog.factors.get(name, 1.0)
            if factor and name not in held.sources:
                learned[name] = _learned(source, held.of(name), barred, factor)
                if not learned[name].by_label:
                    raise ValueError(
                        f"The source {name!r} has no entity to learn from."
                    )
        if not learned:
            raise ValueError("No source is left to learn from.")
        return learned

    def _draw(self, own: LearnedSource, rng: random.Random) -> _Draw:
        """What a text is made of. It asks for one label at least, or could."""
        empty = rng.random() < self.empty
        many = rng.random() < self.many
        (label,) = rng.choices(list(own.by_label), cum_weights=own.weights)
        texts = [rng.choice(own.by_label[label])]
        if empty and own.empty and rng.random() < 0.5:
            texts = [rng.choice(own.empty)]
        if rng.random() < self.joined:
            texts = self._joined(own, texts, rng)
        present, absent = own.source.may_be_asked(texts)
        if empty and absent:
            return _Draw(texts, [], absent, many)
        if not present:
            texts = [rng.choice(own.by_label[label])]
            present, absent = own.source.may_be_asked(texts)
        rng.shuffle(present)
        # The label that the text was drawn by comes first: a rare one is not crowded out.
        present.sort(key=lambda each: each != label)
        asked = [each for each in present if rng.random() < self.kept]
        asked = asked or present[:1]
        # No number is drawn in vain: without `nested`, texts are what they were before it.
        if not (self.nested and rng.random() < self.nested):
            asked = apart(asked, texts)
        return _Draw(texts, asked[: self.most_labels], absent, many)

    def _joined(
        self, own: LearnedSource, texts: list[SpanText], rng: random.Random
    ) -> list[SpanText]:
        """A text with one or two more, as long as all are not too long."""
        size = len(texts[0].text)
        for _ in range(rng.randint(1, 2)):
            (label,) = rng.choices(list(own.by_label), cum_weights=own.weights)
            more = rng.choice(own.by_label[label])
            size += 1 + len(more.text)
            if size > self.files.longest:
                break
            texts = [*texts, more]
        return texts

    def _absent_count(self, draw: _Draw, rate: float, rng: random.Random) -> int:
        """How many labels without a mention are asked for. rate: how many for each label
        that has one, where nothing is in the way."""
        have = len(draw.present)
        if draw.many:
            wanted = rng.randint(self.most_labels, self.many_labels) - have
        else:
            wanted = absent_count(have, rate, self.most_labels, rng)
        return min(wanted, len(draw.absent))

    def _rate(self, learned: Sequence[LearnedSource], shares: Sequence[float]) -> float:
        """The rate of `_absent_count` that gives the wanted share: some texts ask for
        many labels and some for none that they have, and others have to make up for it."""
        draws = []
        for number in range(PROBES):
            rng = random.Random(f"{self.seed} rate {number}")
            (own,) = rng.choices(learned, cum_weights=shares)
            draws.append(self._draw(own, rng))
        present = sum(len(draw.present) for draw in draws)
        low, high = 0.0, 2.0 * self.most_labels
        for _ in range(20):
            rate = (low + high) / 2
            rng = random.Random(self.seed)
            absent = sum(self._absent_count(draw, rate, rng) for draw in draws)
            if absent < self.absent * (present + absent):
                low = rate
            else:
                high = rate
        return low

    def _example(
        self,
        nlp: Language,
        source: BaseSource,
        draw: _Draw,
        rate: float,
        rng: random.Random,
    ) -> Example:
        asked = [
            *draw.present,
            *rng.sample(draw.absent, self._absent_count(draw, rate, rng)),
        ]
        rng.shuffle(asked)
        worded = self._worded(asked, source.wording, rng)
        text = join([text_of_spans(t.text, t.spans, source.cut) for t in draw.texts])
        if rng.random() < self.masked:
            text = masked(text, rng)
        if rng.random() < self.lowered:
            # Texts without spaces are not torn apart.
            bare = rng.random() < 0.5 and any(text.spaces[:-1])
            text = lowered(text, without_punctuation=bare)
        return make_example(nlp, answered(text, draw.texts, list(worded)), worded)

    def _worded(
        self,
        asked: Sequence[str],
        wording: Mapping[str, LabelWording],
        rng: random.Random,
    ) -> dict[str, dict[str, str]]:
        """The name and the definition of each label. No two labels have one name."""
        worded: dict[str, dict[str, str]] = {}
        taken: set[str] = set()
        for label in asked:
            own = wording[label]
            name, definition = draw_words(
                own, own.names[0], rng, self.own_words, self.undefined
            )
            free = [each for each in (name, *own.names) if each.lower() not in taken]
            if free:
                taken.add(free[0].lower())
                worded[label] = {"name": free[0], "definition": definition}
        return worded


def absent_count(have: int, rate: float, most: int, rng: random.Random) -> int:
    """How many labels without a mention are asked for beside so many that have one: about
    `rate` for each, one at least if there is no other, and `most` in all."""
    wanted = int(2 * rate * max(have, 1) * rng.random() + rng.random())
    return min(max(wanted, not have), most - have)


def answered(text: Text, texts: Sequence[SpanText], asked: Sequence[str]) -> Text:
    """A text with the label of each entity that is asked for, where an entity has
    several: the most special of these.

    text (Text): made of `texts`, with as many entities, in the same order.
    texts (Sequence[SpanText]): what it is made of.
    asked (Sequence[str]): labels."""
    types = [own for each in texts for own in each.span_types]
    entities = [
        (start, end, next((each for each in own if each in asked), label))
        for (start, end, label), own in zip(text.entities, types, strict=True)
    ]
    return Text(text.words, text.spaces, tuple(entities))


def _barred_keys(
    read: Mapping[str, BaseSource],
    sources: Sequence[str],
    labels: Mapping[str, frozenset[str]],
) -> set[str]:
    """The keys of texts that are not learned from: those of held-out sources, and those
    with a held-out label."""
    return {
        text.key
        for name, source in read.items()
        for text in (*source.train, *source.dev)
        if name in sources or not labels[name].isdisjoint(text.labels)
    } - {""}


def _learned(
    source: BaseSource, held: frozenset[str], barred: set[str], factor: float
) -> LearnedSource:
    """A source without what is held out. factor: how often it is drawn, compared with
    others of its size."""
    seen = [
        text
        for text in source.train
        if held.isdisjoint(text.labels) and text.key not in barred
    ]
    by_label: dict[str, list[SpanText]] = {label: [] for label in source.labels}
    for text in seen:
        for label in text.labels:
            if label in by_label:
                by_label[label].append(text)
    by_label = {label: own for label, own in by_label.items() if own}
    return LearnedSource(
        BaseSource(seen, (), list(by_label), source.wording, source.near, source.cut),
        by_label,
        list(accumulate(len(own) ** 0.5 for own in by_label.values())),
        [text for text in seen if not text.spans],
        factor * len(seen) ** 0.5,
    )
