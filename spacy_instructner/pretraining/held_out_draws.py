"""Texts of many sources that ask for what a base never learns, to score by. Source: ours."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from spacy.language import Language
from spacy.training import Example

from .base_lists import read_catalog, read_held_out
from .base_sources import BaseFiles, BaseSource, apart, read_base_sources
from .label_draws import absent_count, answered
from .span_texts import SpanText
from .variations import make_example, text_of_spans
from .wording import first_words

# A label with fewer mentions in the texts for scoring is scored by others, too. They are
# not learned from either.
FEWEST_MENTIONS = 20


def build_held_out_v2(
    held_out: Path,
    base: Path | None = None,
    sources: dict[str, Path] | None = None,
    wording: Path | None = None,
    catalog: Path | None = None,
    rules: Path | None = None,
    texts: int = 400,
    seed: int = 0,
    absent: float = 0.5,
    empty: float = 0.2,
    most_labels: int = 12,
    defined: bool = True,
    nested: bool = False,
    made: int = 2000,
    longest: int = 400,
) -> "HeldOutDraws":
    """Registered as `spacy-instructner.HeldOut.v2`.

    held_out, base, sources, wording, catalog, rules, made, longest: see
        `spacy-instructner.LabelVariety.v2`. Only what is held out is read of `sources`.
    texts (int): number of texts. Half of them are for held-out labels, as many for each,
        and half for held-out sources, as many of each.
    seed (int): of the draw.
    absent (float): about the share of labels without a mention among all labels that are
        asked for. They are of the same source, also of those that are learned.
    empty (float): share of texts without an answer.
    most_labels (int): largest number of labels that a text asks for.
    defined (bool): whether a label has its first definition, or its first name alone.
    nested (bool): whether a text of a held-out label is asked for those that hold it, too,
        such as a text with an actor for persons. Then the most special is the answer.
    RETURNS (HeldOutDraws): reads Examples. A text of a held-out label is asked for the
        held-out labels that it has, one of a held-out source for all that it has. The
        reference's `user_data["source"]` names the source. Raises
        ValueError, when it reads, where nothing is held out, for a held-out label that its
        source lacks, and as `read_base_sources`.
    """
    if not 0.0 <= absent < 1.0 or not 0.0 <= empty <= 1.0:
        raise ValueError("`absent` and `empty` are shares: from 0 to 1, `absent` less.")
    if min(texts, most_labels) < 1:
        raise ValueError("`texts` and `most_labels` must be at least 1.")
    files = BaseFiles(base, sources or {}, wording, rules, made, longest)
    return HeldOutDraws(
        files,
        held_out,
        catalog,
        texts,
        seed,
        absent,
        empty,
        most_labels,
        defined,
        nested,
    )


@dataclass(frozen=True)
class _Scored:
    """What texts are drawn for: a held-out label of a source, or the whole source.

    source: whose; name: of the source; labels: those that are held out; answered: texts
    that have the label, or any; empty: texts that have not."""

    source: BaseSource
    name: str
    labels: frozenset[str]
    answered: Sequence[SpanText]
    empty: Sequence[SpanText]


@dataclass(frozen=True)
class HeldOutDraws:
    """See `build_held_out_v2`."""

    files: BaseFiles
    held_out: Path
    catalog: Path | None
    texts: int
    seed: int
    absent: float
    empty: float
    most_labels: int
    defined: bool
    nested: bool

    def __call__(self, nlp: Language) -> Iterator[Example]:
        held = read_held_out(self.held_out)
        only = {*held.sources, *held.labels}
        read = read_base_sources(
            self.files, read_catalog(self.catalog), nlp, self.seed, only
        )
        held.check({name: source.labels for name, source in read.items()})
        rng = random.Random(self.seed)
        kinds = [
            [_of_source(n, read[n], rng) for n in held.sources if n in read],
            [
                _of_label(n, read[n], label, frozenset(held.labels[n]), rng)
                for n in held.labels
                if n in read
                for label in held.labels[n]
            ],
        ]
        kinds = [kind for kind in kinds if kind]
        if not kinds:
            raise ValueError(
                f"{self.held_out} holds out nothing that the sources have. They are "
                f"{sorted(read)}."
            )
        for at, kind in enumerate(kinds):
            texts = self.texts // len(kinds) + (at < self.texts % len(kinds))
            yield from self._examples(kind, texts, nlp, rng)

    def _examples(
        self, scored: Sequence[_Scored], texts: int, nlp: Language, rng: random.Random
    ) -> Iterator[Example]:
        """As many texts for each label or source, where there are. No text comes twice."""
        without = round(texts * self.empty)
        done: set[tuple[str, str]] = set()
        for most, is_answered in ((texts - without, True), (without, False)):
            turns = zip_longest(
                *(
                    [
                        (own, text)
                        for text in (own.answered if is_answered else own.empty)
                    ]
                    for own in scored
                )
            )
            for own, text in (row for turn in turns for row in turn if row):
                if most and (own.name, text.text) not in done:
                    most -= 1
                    done.add((own.name, text.text))
                    yield self._example(own, text, is_answered, nlp, rng)

    def _example(
        self,
        own: _Scored,
        text: SpanText,
        is_answered: bool,
        nlp: Language,
        rng: random.Random,
    ) -> Example:
        present, absent = own.source.may_be_asked([text])
        rng.shuffle(absent)
        asked: list[str] = []
        if is_answered:
            asked = [label for label in present if label in own.labels]
            rng.shuffle(asked)
            if self.nested:
                asked += [label for label in present if _holds(label, asked, text)]
            else:
                asked = apart(asked, [text])
            asked = asked[: self.most_labels]
        else:
            # A held-out label, where one is known to be absent.
            absent.sort(key=lambda label: label not in own.labels)
        rate = self.absent / (1.0 - self.absent)
        asked += absent[: absent_count(len(asked), rate, self.most_labels, rng)]
        rng.shuffle(asked)
        worded = {label: self._words(own.source, label) for label in asked}
        cut = text_of_spans(text.text, text.spans, own.source.cut)
        example = make_example(nlp, answered(cut, [text], asked), worded)
        example.reference.user_data["source"] = own.name
        return example

    def _words(self, source: BaseSource, label: str) -> dict[str, str]:
        words = first_words(label, source.wording)
        return words if self.defined else {**words, "definition": ""}


def _holds(label: str, asked: Sequence[str], text: SpanText) -> bool:
    """Does a label hold one of those that are asked for, and is none of them?"""
    return label not in asked and any(
        label in own[own.index(held) :]
        for own in text.span_types
        for held in asked
        if held in own
    )


def _of_source(name: str, source: BaseSource, rng: random.Random) -> _Scored:
    texts = _shuffled(source.dev or source.train, rng)
    labels = frozenset(source.labels)
    found = [text for text in texts if labels & set(text.labels)]
    none = [text for text in texts if source.absent(text)]
    return _Scored(source, name, labels, found, none)


def _of_label(
    name: str,
    source: BaseSource,
    label: str,
    labels: frozenset[str],
    rng: random.Random,
) -> _Scored:
    texts = _shuffled(source.dev, rng)
    mentions = sum(label in own for text in texts for own in text.span_types)
    if mentions < FEWEST_MENTIONS:
        texts += _shuffled(source.train, rng)
    found = [text for text in texts if label in text.labels]
    none = [text for text in texts if label in source.absent(text)]
    return _Scored(source, name, labels, found, none)


def _shuffled(texts: Sequence[SpanText], rng: random.Random) -> list[SpanText]:
    return rng.sample(list(texts), len(texts))
