"""Lists about the sources of a base: what is never learned, and how often each is drawn.
Source: ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..formats.text_files import read_json


@dataclass(frozen=True)
class HeldOutLabels:
    """What a base never learns.

    sources: names of whole sources; labels: labels by source, to score by; twins: labels
    by source that mean the same as one of these: they are neither learned nor scored."""

    sources: Sequence[str] = ()
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    twins: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of(self, source: str) -> frozenset[str]:
        """The labels of a source that are not learned."""
        return frozenset((*self.labels.get(source, ()), *self.twins.get(source, ())))

    def names(self) -> set[str]:
        """The sources that it speaks of."""
        return {*self.sources, *self.labels, *self.twins}

    def check(self, known: Mapping[str, Sequence[str]]) -> None:
        """Raises ValueError for a label that its source does not have.

        known (Mapping[str, Sequence[str]]): the labels of the sources that are read;
            what it says of others does not matter."""
        for name, labels in known.items():
            if unknown := sorted(self.of(name) - set(labels)):
                raise ValueError(
                    f"The source {name!r} does not have the held-out labels {unknown}. "
                    f"It has these labels: {sorted(labels)}."
                )


@dataclass(frozen=True)
class Catalog:
    """What is known of sources beside their texts.

    factors: how often each is drawn, compared with others of its size (1.0 where it is
    missing); excluded: labels that are never asked for, by source; filled: sources of which
    texts without entities are left out, as these have mentions that nobody marked; parents:
    by source, labels that hold others, as persons hold actors, and those that each holds."""

    factors: Mapping[str, float] = field(default_factory=dict)
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    filled: frozenset[str] = frozenset()
    parents: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)


def read_held_out(path: Path | None) -> HeldOutLabels:
    """Read what is held out; None holds out nothing. Raises OSError for a missing file,
    and ValueError for a file of another shape."""
    if path is None:
        return HeldOutLabels()
    content = read_json(Path(path))
    try:
        return HeldOutLabels(
            tuple(content.get("sources", {})),
            _by_source(content.get("labels", {})),
            _by_source(content.get("twins", {})),
        )
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f'{path} must hold {{"sources": {{source: reason}}, "labels": {{source: '
            f'[label]}}, "twins": {{source: [label]}}}}: {error!r}'
        ) from error


def read_catalog(path: Path | None) -> Catalog:
    """Read what is known of sources; None knows nothing. Raises OSError for a missing
    file, and ValueError for a file of another shape."""
    if path is None:
        return Catalog()
    content = read_json(Path(path))
    try:
        groups = {name: float(value) for name, value in content["groups"].items()}
        sources = content["sources"].items()
        return Catalog(
            {name: groups[own["group"]] for name, own in sources},
            {name: frozenset(_labels(own.get("exclude", []))) for name, own in sources},
            frozenset(name for name, own in sources if own.get("filled")),
            {name: _parents(own.get("parents", {})) for name, own in sources},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} must hold {{"groups": {{group: factor}}, "sources": {{source: '
            f'{{"group": group, "exclude": [label], "filled": true or false, "parents": '
            f"{{parent: [label]}}}}}}}}: "
            f"{error!r}"
        ) from error


def _parents(content: Any) -> dict[str, frozenset[str]]:
    return {parent: frozenset(_labels(own)) for parent, own in content.items()}


def _by_source(content: Any) -> dict[str, tuple[str, ...]]:
    return {source: _labels(labels) for source, labels in content.items()}


def _labels(labels: Any) -> tuple[str, ...]:
    """Raises TypeError for anything but a list of texts."""
    if not isinstance(labels, list) or not all(isinstance(own, str) for own in labels):
        raise TypeError(f"{labels!r} is not a list of labels")
    return tuple(labels)
