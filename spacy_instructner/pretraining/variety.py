"""Annotated data as texts that each ask for labels of their own. Source: ours.

What is asked for changes from text to text: which types, in what order, by which of
their names, with which meaning or none; so do case, punctuation and the number of
sentences. So a model learns to follow the question, not to know the types.
"""

import operator
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, islice, zip_longest
from pathlib import Path
from typing import Any

from spacy.errors import MatchPatternError
from spacy.language import Language
from spacy.pipeline import EntityRuler
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import get_words_and_spaces

from ..annotations import LABELS_KEY
from ..data.corpora import without_annotation
from ..formats.docs import read_docs
from ..formats.text_files import read_json, suffix_of
from ..tasks.base import Entity
from ..tasks.labels import default_name, plain
from .templates import Made, make_texts, read_templates

TEMPLATES = ".json"
# Of each label its name and what it means, as a text asks for it.
Said = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Text:
    """words; whether whitespace follows each; entities."""

    words: tuple[str, ...]
    spaces: tuple[bool, ...]
    entities: tuple[Entity, ...]

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(label for _, _, label in self.entities))


@dataclass(frozen=True)
class Words:
    """What a label may be called, and what may be said of it."""

    names: Sequence[str]
    definitions: Sequence[str]


@dataclass(frozen=True)
class Source:
    """Texts of one data set, in which all of its labels are annotated.

    by_label: of each label, the texts that have it; often: how often each label is
    drawn, by the square root of its texts, so that rare ones are seen too; empty: texts
    without entities; words: of its labels."""

    by_label: Mapping[str, Sequence[Text]]
    often: Sequence[float]
    empty: Sequence[Text]
    words: Mapping[str, Words]


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

    sources (Dict[str, Path]): annotated files, by name; a label is asked for only in
        texts of files that have it, where it is annotated throughout. A .json file
        holds templates to make texts of, and the words of its own labels.
    shares (Dict[str, float]): how often a text comes from each, in any unit.
    wording (Path): a JSON file: label to {"names": […], "definitions": […]}. A label
        that it lacks goes by its own name.
    held_out (List[str]): labels that are never seen; their texts are left out.
    rules (Optional[Path]): a JSON file: label to {"names": […], "definitions": […],
        "patterns": […]}, patterns as for spaCy's EntityRuler. What they find in
        annotated files, outside of entities, becomes entities too.
    made (int): how many texts are made of a file of templates.
    seed (int): the same seed makes the same texts, in the same order, without end.
    most_labels (int): that a text asks for.
    kept (float): how likely a label that a text has is asked for.
    empty (float): share of texts without an answer: that have no entity, where the
        source has such, or are asked only for labels that they do not have.
    own_words (float): how likely a label goes by its default name and first meaning.
    undefined (float): how likely nothing is said of what a label means.
    lowered (float): share of texts in lower case, half of them without punctuation.
    joined (float): share of texts of two or three sentences.
    texts (int): how many are read by spaCy's own commands, which read a corpus to its
        end. `python -m spacy instructner pretrain` reads on.
    RETURNS (LabelVariety): reads Examples. Raises ValueError for a share of
        an unknown source, for shares that are none, and, when it reads, for a held-out
        label that no source has, and for files as `read_texts`, `read_wording`,
        `read_rules` and `read_templates`.
    """
    unknown = sorted(set(shares) ^ set(sources))
    if unknown:
        raise ValueError(
            f"`sources` and `shares` must have the same names; only one has: {unknown}."
        )
    if min(shares.values(), default=0) < 0 or not sum(shares.values()):
        raise ValueError("`shares` must not be negative, and not all of them 0.")
    likely = {"kept": kept, "empty": empty, "own_words": own_words}
    likely |= {"undefined": undefined, "lowered": lowered, "joined": joined}
    if wrong := [name for name, value in likely.items() if not 0.0 <= value <= 1.0]:
        raise ValueError(f"Shares lie between 0 and 1, but not these: {wrong}.")
    if most_labels < 1:
        raise ValueError("`most_labels` must be at least 1.")
    if texts < 1:
        raise ValueError(f"`texts` must be at least 1, not {texts}.")
    return LabelVariety(
        sources=sources,
        shares=shares,
        wording=wording,
        held_out=tuple(held_out),
        rules=rules,
        made=made,
        seed=seed,
        most_labels=most_labels,
        kept=kept,
        empty=empty,
        own_words=own_words,
        undefined=undefined,
        lowered=lowered,
        joined=joined,
        texts=texts,
    )


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

    def __call__(self, nlp: Language) -> Iterator[Example]:
        return islice(self.starting(nlp, 0), self.texts)

    def starting(self, nlp: Language, at: int) -> Iterator[Example]:
        """The Examples from the one with this number on, without end: each depends on
        seed and number alone."""
        words = read_wording(self.wording)
        ruler = None
        if self.rules is not None:
            ruler, more = read_rules(self.rules, nlp)
            words = {**more, **words}
        texts: dict[str, list[Text]] = {}
        own: dict[str, Mapping[str, Words]] = {}
        for name, path in self.sources.items():
            if is_templates(path):
                texts[name], own[name] = make_source(path, nlp, self.made, self.seed)
            else:
                texts[name], own[name] = read_texts(path, nlp, ruler), words
        read = _sources(texts, own, self.held_out)
        for number in count(at):
            rng = random.Random(f"{self.seed} {number}")
            (name,) = rng.choices(list(read), [self.shares[name] for name in read])
            yield self._example(nlp, read[name], rng)

    def _example(self, nlp: Language, source: Source, rng: random.Random) -> Example:
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
        said: dict[str, dict[str, str]] = {}
        taken = set()
        for label in asked:
            name, definition = self._words(label, source.words, rng)
            # An answer could not tell two labels of one name apart.
            if name.lower() in taken:
                name = default_name(label)
            if name.lower() not in taken:
                taken.add(name.lower())
                said[label] = {"name": name, "definition": definition}
        if rng.random() < self.lowered:
            text = lowered(text, without_annotation=rng.random() < 0.5)
        return make_example(nlp, text, said)

    def _text(self, source: Source, rng: random.Random, empty: bool) -> Text:
        if empty and source.empty:
            text = rng.choice(source.empty)
        else:
            text = self._with_entities(source, rng)
        if rng.random() < self.joined:
            more = [self._with_entities(source, rng) for _ in range(rng.randint(1, 2))]
            text = join([text, *more])
        return text

    @staticmethod
    def _with_entities(source: Source, rng: random.Random) -> Text:
        (label,) = rng.choices(list(source.by_label), source.often)
        return rng.choice(source.by_label[label])

    def _words(
        self, label: str, words: Mapping[str, Words], rng: random.Random
    ) -> tuple[str, str]:
        """A name and a meaning, "" where nothing is said of it."""
        own = words_of(label, words)
        if rng.random() < self.own_words:
            name, definition = default_name(label), own.definitions[0]
        else:
            name, definition = rng.choice(own.names), rng.choice(own.definitions)
            name = rng.choices((name, name.title(), name.upper()), (8, 1, 1))[0]
        return name, "" if rng.random() < self.undefined else definition


def build_held_out_v1(
    sources: dict[str, Path],
    wording: Path,
    labels: list[str],
    texts: int = 200,
    seed: int = 0,
    empty: float = 0.2,
) -> "HeldOut":
    """Registered as `spacy-instructner.HeldOut.v1`.

    sources, wording: see `spacy-instructner.LabelVariety.v1`.
    labels (List[str]): what is asked for: in each text, those of them that its file has;
        in one made of templates, all that its file has.
    texts (int): how many, drawn by `seed` (int), as many of each source where it has
        them.
    empty (float): share of texts without an answer.
    RETURNS (HeldOut): reads Examples with only these labels, by their first name and
        meaning. When it reads it raises ValueError for a label that no file has, and
        for files as `read_texts`, `read_wording` and `read_templates`.
    """
    return HeldOut(sources, wording, tuple(labels), texts, seed, empty)


@dataclass(frozen=True)
class HeldOut:
    """See `build_held_out_v1`."""

    sources: Mapping[str, Path]
    wording: Path
    labels: tuple[str, ...]
    texts: int
    seed: int
    empty: float

    def __call__(self, nlp: Language) -> Iterator[Example]:
        wording = read_wording(self.wording)
        rng = random.Random(self.seed)
        answered: list[list[tuple[Text, Said]]] = []
        empty: list[list[tuple[Text, Said]]] = []
        known: set[str] = set()
        for path in self.sources.values():
            if is_templates(path):
                texts, words = make_source(path, nlp, 2 * self.texts, self.seed)
                asked = list(words)
            else:
                texts, words = read_texts(path, nlp), wording
                have = {label for text in texts for label in text.labels}
                asked = [label for label in self.labels if label in have]
                known |= have
            if not asked:
                continue
            said = {label: first_words(label, words) for label in asked}
            rng.shuffle(texts)
            has = [bool(set(text.labels) & set(asked)) for text in texts]
            answered.append([(text, said) for text, own in zip(texts, has) if own])
            empty.append([(text, said) for text, own in zip(texts, has) if not own])
        check_known(self.labels, known)
        without = round(self.texts * self.empty)
        for rows, most in ((answered, self.texts - without), (empty, without)):
            in_turn = [row for rank in zip_longest(*rows) for row in rank if row]
            for text, said in in_turn[:most]:
                yield make_example(nlp, text, said)


def first_words(label: str, words: Mapping[str, Words]) -> dict[str, str]:
    own = words_of(label, words)
    return {"name": own.names[0], "definition": own.definitions[0]}


def words_of(label: str, words: Mapping[str, Words]) -> Words:
    return words.get(label) or Words((default_name(label),), ("",))


def check_known(labels: Sequence[str], known: set[str]) -> None:
    """Raises ValueError for a label that no data has."""
    if unknown := [label for label in labels if label not in known]:
        raise ValueError(
            f"No source has the held-out labels {unknown}. The sources have: "
            f"{sorted(known)}."
        )


def read_wording(path: Path) -> dict[str, Words]:
    """Label to its words. Raises ValueError for a file of another shape."""
    return _words(read_json(Path(path)), path)


def _words(labels: Any, path: Path) -> dict[str, Words]:
    try:
        return {
            label: Words(_lines(said["names"]), _lines(said["definitions"]))
            for label, said in labels.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} must say what labels are called: label to {{"names": […], '
            f'"definitions": […]}}, both with one text at least: {error!r}'
        ) from error


def read_rules(path: Path, nlp: Language) -> tuple[EntityRuler, dict[str, Words]]:
    """What finds entities by rules, and the words of their labels. Raises ValueError
    for a file of another shape, with what spaCy says of its patterns."""
    words = read_wording(path)
    ruler = EntityRuler(nlp, phrase_matcher_attr="LOWER", validate=True)
    for label, said in read_json(Path(path)).items():
        patterns = said.get("patterns")
        if not isinstance(patterns, list) or not patterns:
            raise ValueError(f'{path}: {label!r} has no list of "patterns".')
        try:
            ruler.add_patterns([{"label": label, "pattern": own} for own in patterns])
        except (MatchPatternError, ValueError) as error:
            raise ValueError(f"{path}: {label!r}: {error}") from error
    return ruler, words


def _lines(texts: Any) -> list[str]:
    """Texts on one line each. Raises ValueError for anything else."""
    if not isinstance(texts, list) or not texts:
        raise ValueError(f"{texts!r} is no list of texts")
    found = [plain(text) for text in texts if isinstance(text, str)]
    if len(found) < len(texts) or not all(found):
        raise ValueError(f"not all of {texts!r} are texts")
    return found


def read_texts(
    path: Path, nlp: Language, ruler: EntityRuler | None = None
) -> list[Text]:
    """A file's texts, and what rules find outside of their entities. Raises as
    `corpora.read_docs`, and ValueError for spans that cannot be kept and words without
    annotation: they would be learnt as none."""
    docs, problems = read_docs(Path(path), nlp)
    if spans := [each for each in problems if each.kind == "span"]:
        raise ValueError(f"{len(spans)} spans cannot be kept, first {spans[0]}.")
    # 0: nobody said; 3 without a label: barred from being an entity.
    unknown = [
        token
        for doc in docs
        for token in doc
        if token.ent_iob == 0 or (token.ent_iob == 3 and not token.ent_type)
    ]
    if unknown:
        raise ValueError(
            f"{len(unknown)} words of {path} have no annotation, first {unknown[0]}. "
            "Annotate them, or leave their texts out."
        )
    return [_text(ruler(doc) if ruler else doc) for doc in docs]


def is_templates(path: Path) -> bool:
    return suffix_of(Path(path)) == TEMPLATES


def make_source(
    path: Path, nlp: Language, count: int, seed: int
) -> tuple[list[Text], dict[str, Words]]:
    """Texts made of a file of templates, and the words of its labels. Raises as
    `read_templates` and `_words`."""
    templates = read_templates(Path(path))
    words = _words(templates.labels, path)
    made = make_texts(templates, count, seed)
    return [_made(text, nlp) for text in made], words


def _made(made: Made, nlp: Language) -> Text:
    """A text made of a template, cut at the borders of its entities too: that a
    sentence ends with one must not hide it in a word with the full stop."""
    text, entities = made
    borders = sorted({0, len(text), *(at for entity in entities for at in entity[:2])})
    pieces = [nlp.make_doc(text[a:b]) for a, b in zip(borders, borders[1:])]
    words, spaces = get_words_and_spaces(
        [token.text for doc in pieces for token in doc if not token.is_space], text
    )
    ends = list(accumulate(map(operator.add, map(len, words), spaces)))
    starts = [0, *ends]
    return Text(
        tuple(words),
        tuple(spaces),
        tuple(
            (starts.index(start), bisect_left(ends, end) + 1, label)
            for start, end, label in entities
        ),
    )


def _text(doc: Doc) -> Text:
    return Text(
        tuple(token.text for token in doc),
        tuple(bool(token.whitespace_) for token in doc),
        tuple((ent.start, ent.end, ent.label_) for ent in doc.ents),
    )


def _sources(
    texts: Mapping[str, Sequence[Text]],
    words: Mapping[str, Mapping[str, Words]],
    held_out: Sequence[str],
) -> dict[str, Source]:
    """Without texts that have a held-out label, in whatever source. Raises ValueError
    for a label that none has, and for a source that has nothing to learn."""
    everything = [text for own in texts.values() for text in own]
    check_known(held_out, {label for text in everything for label in text.labels})
    barred = {text.words for text in everything if set(text.labels) & set(held_out)}
    read: dict[str, Source] = {}
    for name, own in texts.items():
        seen = [text for text in own if text.words not in barred]
        read[name] = _source(seen, words[name])
        if not read[name].by_label:
            raise ValueError(f"The source {name!r} has no entity to learn from.")
    return read


def _source(seen: Sequence[Text], words: Mapping[str, Words]) -> Source:
    counts = Counter(label for text in seen for label in text.labels)
    by_label: dict[str, list[Text]] = {label: [] for label in sorted(counts)}
    for text in seen:
        for label in text.labels:
            by_label[label].append(text)
    often = [counts[label] ** 0.5 for label in by_label]
    empty = [text for text in seen if not text.entities]
    return Source(by_label, often, empty, words)


def join(texts: Sequence[Text]) -> Text:
    """Several texts as one, a space between them."""
    words: list[str] = []
    spaces: list[bool] = []
    entities: list[Entity] = []
    for text in texts:
        begin = len(words)
        if spaces:
            spaces[-1] = True
        words.extend(text.words)
        spaces.extend(text.spaces)
        entities += [(begin + a, begin + b, label) for a, b, label in text.entities]
    return Text(tuple(words), tuple(spaces), tuple(entities))


def lowered(text: Text, without_annotation: bool) -> Text:
    """A text in lower case. bare: without the punctuation outside its entities, with a
    space between all words."""
    words = tuple(word.lower() for word in text.words)
    if not without_annotation:
        return Text(words, text.spaces, text.entities)
    inside = {at for start, end, _ in text.entities for at in range(start, end)}
    kept = [
        at
        for at, word in enumerate(words)
        if at in inside or any(letter.isalnum() for letter in word)
    ]
    place = {at: new for new, at in enumerate(kept)}
    return Text(
        tuple(words[at] for at in kept),
        (True,) * len(kept),
        tuple((place[a], place[b - 1] + 1, label) for a, b, label in text.entities),
    )


def make_example(
    nlp: Language, text: Text, said: Mapping[str, Mapping[str, str]]
) -> Example:
    """A text that asks for labels, in these words, and its entities of them."""
    doc = Doc(nlp.vocab, words=list(text.words), spaces=list(text.spaces))
    entities = [Span(doc, a, b, label=label) for a, b, label in text.entities]
    doc.set_ents([ent for ent in entities if ent.label_ in said], default="outside")
    asking = without_annotation(doc)
    asking.user_data[LABELS_KEY] = dict(said)
    return Example(asking, doc)
