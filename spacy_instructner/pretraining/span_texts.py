"""Annotated texts by characters, and folders of them: one source in each. Source: ours.

source/train.jsonl.gz   {"text": …, "spans": [{"start", "end", "label"}]} in each line,
                        "scope", "types" and "unsure" where a source has them
source/dev.jsonl.gz     texts that are not learned from
source/dataset.json     {"language": "en", …}
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from ..char_spans import CharSpan
from ..formats.text_files import numbered, read_json, read_text
from .variations import Text

TRAIN, DEV, DATASET = "train.jsonl.gz", "dev.jsonl.gz", "dataset.json"
UNLIKE = re.compile(r"[\W_]+")
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SpanText:
    """An annotated text that is not cut into words yet.

    text: the text; spans: its entities by characters, in text order; types: all labels
    that each of them has, the most special first (None: each has its own label alone);
    scope: the labels that were looked for (None: all labels of the source); unsure: labels
    of which the text may have mentions besides those that are marked."""

    text: str
    spans: tuple[CharSpan, ...]
    types: tuple[tuple[str, ...], ...] | None = None
    scope: frozenset[str] | None = None
    unsure: frozenset[str] = NONE

    @property
    def span_types(self) -> Sequence[tuple[str, ...]]:
        """All labels of each span."""
        if self.types is not None:
            return self.types
        return [(label,) for _, _, label in self.spans]

    @property
    def labels(self) -> list[str]:
        """All labels of its spans, each once, in text order."""
        return list(dict.fromkeys(t for types in self.span_types for t in types))

    @property
    def key(self) -> str:
        """The same for texts that differ in case, spaces and punctuation alone."""
        return UNLIKE.sub("", self.text.lower())


@dataclass(frozen=True)
class SpanFolder:
    """The texts of a folder.

    language: its code; train, dev: the texts to learn from, and the others."""

    language: str
    train: Sequence[SpanText]
    dev: Sequence[SpanText]


def is_span_folder(path: Path) -> bool:
    """Does a folder hold annotated texts as this module reads them?"""
    return (path / TRAIN).is_file()


def read_span_folder(folder: Path) -> SpanFolder:
    """Read a folder of annotated texts. Raises OSError for a missing file, and ValueError,
    with the line, for one that is damaged or of another shape."""
    about = read_json(folder / DATASET)
    if not isinstance(about, dict) or not isinstance(about.get("language"), str):
        raise ValueError(
            f'{folder / DATASET} must name the language of the texts: "language".'
        )
    kinds = about.get("unsure", {})
    return SpanFolder(
        about["language"],
        _read_rows(folder / TRAIN, kinds),
        _read_rows(folder / DEV, kinds) if (folder / DEV).exists() else [],
    )


def _read_rows(path: Path, kinds: Mapping[str, Iterable[str]]) -> list[SpanText]:
    """The texts of a file. kinds: what each kind in "unsure" stands for."""
    texts = []
    # Many texts have the same scope: one set serves them all.
    sets: dict[tuple[str, ...], frozenset[str]] = {}
    for number, line in numbered(read_text(path)):
        if not line.strip():
            continue
        try:
            texts.append(_make_text(json.loads(line), kinds, sets))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}, line {number}: not a text with spans as it should be: {error!r}"
            ) from error
    return texts


def _make_text(
    row: Mapping[str, Any],
    kinds: Mapping[str, Iterable[str]],
    sets: dict[tuple[str, ...], frozenset[str]],
) -> SpanText:
    """A line as a text. Raises ValueError for spans that cannot be."""

    def shared(labels: Iterable[str]) -> frozenset[str]:
        names = tuple(labels)
        return sets.setdefault(names, frozenset(names))

    text = row["text"]
    spans = tuple((each["start"], each["end"], each["label"]) for each in row["spans"])
    done = 0
    for start, end, label in spans:
        if not done <= start < end <= len(text):
            raise ValueError(f"{label} at {start}-{end} is out of order or of the text")
        if text[start].isspace() or text[end - 1].isspace():
            raise ValueError(f"{label} at {start}-{end} begins or ends with a space")
        done = end
    types = None
    if "types" in row:
        types = tuple(map(tuple, row["types"]))
        if len(types) != len(spans) or any(
            label not in own for (_, _, label), own in zip(spans, types)
        ):
            raise ValueError('"types" must have the label of each span, and more')
    scope = shared(row["scope"]) if "scope" in row else None
    unsure = shared(label for kind in row.get("unsure", ()) for label in kinds[kind])
    return SpanText(text, spans, types, scope, unsure)


def span_text_of(text: Text) -> SpanText:
    """A text that is cut into words, by characters."""
    pieces = [w + " " * s for w, s in zip(text.words, text.spaces)]
    starts = [0, *accumulate(map(len, pieces))]
    spans = tuple(
        (starts[a], starts[b - 1] + len(text.words[b - 1]), label)
        for a, b, label in text.entities
    )
    return SpanText("".join(pieces), spans)
