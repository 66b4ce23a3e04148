"""The texts for rehearsal that come with the package, and how such a file is written.

A line is a source: {"source", "labels": {label: {"names", "definition"}}, "texts": [[text, [[start,
end, label], …]], …]}, by characters. All labels of a source are annotated in all of its texts.
`python -m benchmarks.rehearsal_texts` makes the file of the project's own templates. Source: ours.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from ..char_spans import CharSpan
from ..formats.docs import make_doc
from ..formats.rows import Row
from ..tasks.labels import LabelSet, default_name
from ..training.further_texts import asking

SHIPPED = Path(__file__).with_name("rehearsal.jsonl")
# How often a label that is asked for has its definition.
DEFINED = 0.5


@dataclass(frozen=True)
class RehearsedLabel:
    """names: what a label may be called, the first of which it is asked by; definition: what it
    means, "" for nothing."""

    names: tuple[str, ...]
    definition: str


@dataclass(frozen=True)
class RehearsalSource:
    """Texts about one subject. labels: all of them; texts: each with its entities."""

    source: str
    labels: Mapping[str, RehearsedLabel]
    texts: Sequence[tuple[str, Sequence[CharSpan]]]


@dataclass(frozen=True)
class AskedLabel:
    """A label with the words that it is asked by."""

    label: str
    name: str
    definition: str


def write_sources(sources: Iterable[RehearsalSource]) -> str:
    """The content of a file of sources."""
    lines = (json.dumps(asdict(each), ensure_ascii=False) for each in sources)
    return "".join(f"{line}\n" for line in lines)


def read_sources(path: Path = SHIPPED) -> list[RehearsalSource]:
    """The sources of such a file."""
    sources = []
    for line in path.read_text(encoding="utf8").splitlines():
        row = json.loads(line)
        labels = {
            label: RehearsedLabel(tuple(own["names"]), own["definition"])
            for label, own in row["labels"].items()
        }
        texts = [
            (text, [tuple(span) for span in spans]) for text, spans in row["texts"]
        ]
        sources.append(RehearsalSource(row["source"], labels, texts))
    return sources


def folded(name: str) -> str:
    """A name as it is compared: in one case, words apart, and without the s of a plural."""
    return " ".join(word.removesuffix("s") for word in default_name(name).split())


def names_of(labels: LabelSet | None) -> set[str]:
    """What labels are called, folded: by themselves, and in prompts."""
    if labels is None:
        return set()
    return {folded(each) for each in (*labels.labels, *labels.names)}


def without_names(
    sources: Iterable[RehearsalSource], barred: set[str]
) -> list[RehearsalSource]:
    """Sources without the labels that may be called so, and without texts that have one. barred:
    folded names."""
    kept = []
    for each in sources:
        labels = {
            label: own
            for label, own in each.labels.items()
            if barred.isdisjoint(map(folded, (label, *own.names)))
        }
        texts = [
            (text, spans)
            for text, spans in each.texts
            if all(label in labels for _, _, label in spans)
        ]
        if labels:
            kept.append(RehearsalSource(each.source, labels, texts))
    return kept


def asked_labels(source: RehearsalSource, rng: random.Random) -> list[AskedLabel]:
    """The labels of a source as they are asked for, some with what they mean."""
    return [
        AskedLabel(
            label, own.names[0], own.definition if rng.random() < DEFINED else ""
        )
        for label, own in source.labels.items()
    ]


def draw_labels(
    first: Sequence[AskedLabel],
    others: Sequence[AskedLabel],
    count: int,
    rng: random.Random,
) -> dict[str, dict[str, str]]:
    """At most so many labels with their words, in any order; those of `first` before others. No
    two of them are called alike."""
    found: dict[str, dict[str, str]] = {}
    taken: set[str] = set()
    for pool in (first, others):
        for each in rng.sample(pool, len(pool)):
            names = {folded(each.label), folded(each.name)}
            if len(found) < count and taken.isdisjoint(names):
                taken |= names
                found[each.label] = {"name": each.name, "definition": each.definition}
    order = rng.sample(list(found), len(found))
    return {label: found[label] for label in order}


def shipped_docs(
    sources: Iterable[RehearsalSource],
    nlp: Language,
    labels: int,
    texts: int,
    rng: random.Random,
) -> list[Doc]:
    """At most so many texts of sources as annotated Docs, each of which asks for so many labels of
    its source at most: first those that it has. Texts with an entity that does not fall on the
    pipeline's tokens are left out."""
    everything = [(each, *own) for each in sources for own in each.texts]
    docs = []
    for source, text, spans in rng.sample(everything, min(texts, len(everything))):
        doc, problems = make_doc(Row(source.source, text, spans=tuple(spans)), nlp)
        if problems:
            continue
        words = asked_labels(source, rng)
        own = {label for _, _, label in spans}
        present = [each for each in words if each.label in own]
        absent = [each for each in words if each.label not in own]
        docs.append(asking(doc, draw_labels(present, absent, labels, rng)))
    return docs
