"""The corpus reader that draws a few shots of an annotated file. Source: ours."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import (
    Protocol as Interface,
)
from typing import (
    runtime_checkable,
)

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..formats.docs import read_docs
from ..formats.rows import left_out
from ..formats.text_files import UTF8
from .blank_docs import without_annotation
from .sampling import Protocol, draw, too_few

Augmenter = Callable[[Language, Example], Iterator[Example]]


@runtime_checkable
class FromDraw(Interface):
    """An augmenter that looks at all texts of a draw first."""

    def among(self, examples: Iterable[Example]) -> Augmenter:
        """The augmenter for this draw."""


@dataclass(frozen=True)
class FewShotCorpus:
    """Reads Examples of a draw. See `build_few_shot_corpus_v1`."""

    path: Path | None
    protocol: Protocol
    k: int
    seed: int
    exclude: Path | None
    augmenter: Augmenter | None = None
    encoding: str = UTF8
    instead: Path | None = None

    def __call__(self, nlp: Language) -> Iterator[Example]:
        if self.instead is not None:
            whole = replace(self, path=self.instead, protocol="all", instead=None)
            yield from replace(whole, exclude=None)(nlp)
            return
        if self.path is None:
            raise ValueError(
                "The corpus has no path. Name a file with --paths.train, or as `path` in "
                "the config's [corpora]."
            )
        docs, problems = read_docs(Path(self.path), nlp, self.encoding)
        if problems:
            lost = left_out(problems)
            what = f"{lost} of {self.path} are left out, the first" if lost else "Read"
            first = next(
                (each for each in problems if each.kind != "note"), problems[0]
            )
            warnings.warn(
                f"{what}: {first}. `python -m spacy instructner convert` lists all.",
                stacklevel=2,
            )
        barred: list[Doc] = []
        if self.exclude:
            barred, _ = read_docs(Path(self.exclude), nlp, self.encoding)
        drawn = draw(docs, self.protocol, self.k, self.seed, barred)
        by_entities = self.protocol in ("at-least-k", "at-most-k")
        short = too_few(docs, drawn, self.k) if by_entities else []
        if short:
            warnings.warn(
                f"{self.path} has fewer than {self.k} entities of: {', '.join(short)}.",
                stacklevel=2,
            )
        examples = [Example(without_annotation(doc), doc) for doc in drawn]
        augmenter = self.augmenter
        if isinstance(augmenter, FromDraw):
            augmenter = augmenter.among(examples)
        for example in examples:
            yield from [example] if augmenter is None else augmenter(nlp, example)


def build_few_shot_corpus_v1(
    path: Path | None,
    protocol: Protocol = "all",
    k: int = 0,
    seed: int = 0,
    exclude: Path | None = None,
    augmenter: Callable | None = None,
    encoding: str = UTF8,
    instead: Path | None = None,
) -> Callable[[Language], Iterable[Example]]:
    """Registered as `spacy-instructner.FewShotCorpus.v1`.

    path (Path | None): .spacy, JSON Lines, JSON or CoNLL, gzipped or not. A config may
        leave it open; reading then raises ValueError.
    protocol (str): "at-least-k", "at-most-k", "k-sentences", "sentences" or "all".
        See `sampling.draw`.
    k (int): number of shots.
    seed (int): of the draw.
    exclude (Path | None): a file whose sentences are never drawn, such as the test set.
    augmenter (Callable | None): gives one or more Examples for each, as those of
        spacy.Corpus.v1 do, such as `spacy-instructner.MentionSwap.v1`.
    encoding (str): of all files, by Python's name for it.
    instead (Path | None): a file that is read whole in place of a draw from `path`:
        development data, where there are some.
    RETURNS (Callable): reads Examples, whose tokens are the data's own.
    """

    return FewShotCorpus(path, protocol, k, seed, exclude, augmenter, encoding, instead)
