"""Many sources with labels of their own, as a base learns from them. Source: ours.

What a source's label is called stands under "source/label" in a file of wording, and so
do the labels that are near it: {"names": […], "definitions": […], "near": […]}.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spacy.language import Language

from ..formats.text_files import read_json
from .base_lists import Catalog
from .span_texts import (
    SpanFolder,
    SpanText,
    is_span_folder,
    read_span_folder,
    span_text_of,
)
from .text_sources import is_templates, make_source, read_rules, read_texts
from .word_cuts import WordCutter, word_cutter
from .wording import LabelWording, make_wording, wording_of

WORDING = "wording.json"


@dataclass(frozen=True)
class BaseFiles:
    """Where the sources of a base are: see `spacy-instructner.LabelVariety.v2`."""

    base: Path | None
    sources: Mapping[str, Path]
    wording: Path | None
    rules: Path | None
    made: int
    longest: int


@dataclass(frozen=True)
class BaseSource:
    """A source, with labels of its own.

    train, dev: its texts; labels: what may be asked for, in alphabetical order; wording:
    of the labels; near: for each label, those whose meaning overlaps; cut: cuts texts
    into words."""

    train: Sequence[SpanText]
    dev: Sequence[SpanText]
    labels: Sequence[str]
    wording: Mapping[str, LabelWording]
    near: Mapping[str, frozenset[str]]
    cut: WordCutter

    def absent(self, text: SpanText) -> set[str]:
        """The labels that a text surely has no mention of: those that were looked for,
        and are neither in it, nor near one that is, nor unsure."""
        found = set(self.labels if text.scope is None else text.scope) - text.unsure
        for label in text.labels:
            found -= self.near.get(label, frozenset())
            found.discard(label)
        return found.intersection(self.labels)

    def may_be_asked(self, texts: Sequence[SpanText]) -> tuple[list[str], list[str]]:
        """What texts that are joined to one may be asked for: labels that they have, in
        the order of the source, and labels that none of them has. A label that one has
        must be absent from each of the others, or marked there, too."""
        absent = [self.absent(text) for text in texts]
        known = [
            own | set(text.labels) for own, text in zip(absent, texts, strict=True)
        ]
        none = set.intersection(*absent)
        open_ = set.intersection(*known)
        present = [label for label in self.labels if label in open_ - none]
        return present, [label for label in self.labels if label in none]


def apart(labels: Sequence[str], texts: Sequence[SpanText]) -> list[str]:
    """Labels in their order, without those that a span has together with one before: a
    mention is answered with one label, so nobody is asked for doctors and persons at
    once where a doctor is."""
    several = [own for text in texts for own in text.types or () if len(own) > 1]
    taken: list[str] = []
    for label in labels:
        if not any(label in own and set(own) & set(taken) for own in several):
            taken.append(label)
    return taken


def read_base_sources(
    files: BaseFiles,
    catalog: Catalog,
    nlp: Language,
    seed: int,
    only: Collection[str] | None = None,
) -> dict[str, BaseSource]:
    """Read sources, by name.

    files (BaseFiles): where they are.
    catalog (Catalog): which labels are never asked for.
    nlp (Language): cuts texts of its language, and those that rules are applied to.
    seed (int): of what is made of templates.
    only (Collection[str] | None): names of the sources to read; None reads all.
    RETURNS (dict[str, BaseSource]): Raises OSError for a missing file or folder, and
        ValueError for a name that is given twice, for a source of unknown labels, and for
        files as `read_span_folder`, `read_texts` and `make_source`."""
    paths = source_paths(files)
    wording = _Wording.read(files)
    ruler = None
    if files.rules is not None:
        ruler, more = read_rules(files.rules, nlp)
        wording = _Wording({**more, **wording.words}, wording.near)
    cutters: dict[str, WordCutter] = {}
    read: dict[str, BaseSource] = {}
    for name, path in paths.items():
        if only is not None and name not in only:
            continue
        words = wording.words
        if path.is_dir():
            folder = read_span_folder(path)
        elif is_templates(path):
            made, words = make_source(path, nlp, files.made, seed)
            folder = SpanFolder(nlp.lang or "xx", list(map(span_text_of, made)), ())
        else:
            texts = read_texts(path, nlp, ruler)
            folder = SpanFolder(nlp.lang or "xx", list(map(span_text_of, texts)), ())
        folder = _with_parents(folder, name, catalog.parents.get(name, {}))
        if folder.language not in cutters:
            cutters[folder.language] = word_cutter(folder.language, nlp)
        labels = sorted(
            {label for text in (*folder.train, *folder.dev) for label in text.labels}
        )
        excluded = catalog.excluded.get(name, frozenset())
        filled = name in catalog.filled
        read[name] = BaseSource(
            _kept(folder.train, files.longest, filled),
            _kept(folder.dev, files.longest, filled),
            [label for label in labels if label not in excluded],
            {label: _Wording.find(words, name, label) for label in labels},
            wording.near_of(name, labels, catalog.parents.get(name, {})),
            cutters[folder.language],
        )
    return read


def _with_parents(
    folder: SpanFolder, source: str, parents: Mapping[str, frozenset[str]]
) -> SpanFolder:
    """Texts in which each mention has the labels that hold its own, too. Raises ValueError
    for a parent that the source has as a label of its own, and for one that holds what is
    neither a label nor a parent before it."""
    if not parents:
        return folder
    texts = (*folder.train, *folder.dev)
    known = {label for text in texts for label in text.labels}
    if own := sorted(known & set(parents)):
        raise ValueError(
            f"The source {source!r} has labels that are called as parents are: {own}. Give "
            "the parents other names."
        )
    for parent, held in parents.items():
        if unknown := sorted(held - known):
            raise ValueError(
                f"In the source {source!r}, {parent!r} holds {unknown}, which are neither "
                "labels of it nor parents that stand before this one."
            )
        known.add(parent)
    return SpanFolder(
        folder.language,
        [with_parents(text, parents) for text in folder.train],
        [with_parents(text, parents) for text in folder.dev],
    )


def with_parents(text: SpanText, parents: Mapping[str, frozenset[str]]) -> SpanText:
    """A text in which each mention has the labels that hold its own, too, behind its own.

    parents: the labels that each parent holds, other parents among them if these stand
    before it."""
    types = []
    for own in text.span_types:
        for parent, held in parents.items():
            if not held.isdisjoint(own):
                own = (*own, parent)
        types.append(own)
    return replace(text, types=tuple(types))


def _kept(texts: Sequence[SpanText], longest: int, filled: bool) -> list[SpanText]:
    """The texts that are not too long, and have an entity if they are to be filled."""
    return [
        text
        for text in texts
        if len(text.text) <= longest and (text.spans or not filled)
    ]


def source_paths(files: BaseFiles) -> dict[str, Path]:
    """The path of each source, by name. Raises OSError for a folder without sources, and
    ValueError for a name that is given twice."""
    found: dict[str, Path] = {}
    if files.base is not None:
        folder = Path(files.base)
        if not folder.is_dir():
            raise OSError(f"There is no folder {folder}.")
        found = {
            each.name: each for each in sorted(folder.iterdir()) if is_span_folder(each)
        }
        if not found:
            raise OSError(f"No folder in {folder} has a file train.jsonl.gz.")
    if twice := sorted(set(found) & set(files.sources)):
        raise ValueError(
            f"`sources` and the folder {files.base} have the same names: {twice}. Give "
            "the sources other names."
        )
    return {**found, **{name: Path(path) for name, path in files.sources.items()}}


@dataclass(frozen=True)
class _Wording:
    """words: the wording of each "source/label" or label; near: names of near labels, by
    "source/label"."""

    words: Mapping[str, LabelWording]
    near: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, files: BaseFiles) -> "_Wording":
        """Of the file that is named, and of the one in the folder of sources."""
        paths = [] if files.wording is None else [Path(files.wording)]
        if files.base is not None:
            paths.append(Path(files.base) / WORDING)
        words: dict[str, LabelWording] = {}
        near: dict[str, Sequence[str]] = {}
        for path in paths:
            content = read_json(path)
            words.update(make_wording(content, path))
            near.update((key, own.get("near", ())) for key, own in content.items())
        return cls(words, near)

    @staticmethod
    def find(
        words: Mapping[str, LabelWording], source: str, label: str
    ) -> LabelWording:
        """The wording of a source's label."""
        return words.get(f"{source}/{label}") or wording_of(label, words)

    def near_of(
        self,
        source: str,
        labels: Sequence[str],
        parents: Mapping[str, frozenset[str]],
    ) -> dict[str, frozenset[str]]:
        """The labels near each label: whichever of the two names the other. What is near a
        label is near each of its parents, too, unless they hold it: where any organization
        may be an airline, an organization may be any airline."""
        found: dict[str, set[str]] = {label: set() for label in (*labels, *parents)}
        for label in labels:
            for other in self.near.get(f"{source}/{label}", ()):
                found[label].add(other)
                found.setdefault(other, set()).add(label)
        # A parent that holds another stands behind it.
        for parent, held in parents.items():
            inherited = set[str]().union(*(found[label] for label in held))
            found[parent] |= inherited - held - {parent}
        for label, own in [(label, frozenset(own)) for label, own in found.items()]:
            for other in own:
                found[other].add(label)
        return {label: frozenset(own) for label, own in found.items() if own}
