"""What the events of a project add up to: plain data, and one function for each kind of
event. Replaying a journal gives the state that was there when it was written. Source: ours.

What stands on a text is made of layers: what a model found, then what somebody decided or
marked, in order. Undoing takes a layer away, whichever it is; what is under it shows again.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...char_spans import CharSpan, ScoredCharSpan

Event = Mapping[str, Any]
Answer = Literal["accept", "reject"]


@dataclass(frozen=True)
class ProjectText:
    """A text. id: from 1 on; source: the file that it came from; name: its id there."""

    id: int
    text: str
    source: str = ""
    name: str = ""


@dataclass(frozen=True)
class ProjectLabel:
    """A label. meaning: its definition, "" for none; colour: as CSS has it."""

    name: str
    meaning: str
    colour: str


@dataclass(frozen=True)
class TextFinding:
    """What a model found in a text.

    asked: the labels that it was asked for, by `asked_of`; spans: all spans that have a
    score; fixed: entities of other components, without a score; error: why nothing could
    be found, "" where it could."""

    asked: str
    spans: tuple[ScoredCharSpan, ...] = ()
    fixed: tuple[CharSpan, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Decision:
    """What somebody said about a text: these are its entities, or it is set aside. model:
    whose findings were shown; changed: whether spans differ from what was shown."""

    seq: int
    answer: Answer
    spans: tuple[CharSpan, ...]
    model: int
    changed: bool


@dataclass(frozen=True)
class Marking:
    """The same words, marked alike in every text, or unmarked where `added` is false."""

    seq: int
    spans: tuple[CharSpan, ...]
    added: bool


@dataclass(frozen=True)
class ModelVersion:
    """A training. losses: of its updates; texts: how many it learned from; counts: right,
    predicted and annotated entities of each label, in texts that were held out, None
    until this is measured; folds: of that."""

    number: int
    texts: int
    labels: tuple[str, ...]
    losses: tuple[float, ...]
    seconds: float
    counts: Mapping[str, tuple[int, int, int]] | None = None
    folds: int = 0


@dataclass
class ProjectState:
    """All of a project, but for the files of its models.

    revision: number of events; asked: the labels, as `TextFinding.asked` has them;
    changed: the revision that changed a text last."""

    revision: int = 0
    pipeline: str = ""
    fingerprint: str = ""
    base_threshold: float = 0.5
    threshold: float | None = None
    texts: dict[int, ProjectText] = field(default_factory=dict)
    labels: dict[str, ProjectLabel] = field(default_factory=dict)
    asked: str = ""
    found: dict[int, dict[int, TextFinding]] = field(default_factory=dict)
    layers: dict[int, tuple[Decision | Marking, ...]] = field(default_factory=dict)
    models: dict[int, ModelVersion] = field(default_factory=dict)
    using: int = 0
    changed: dict[int, int] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Add an event. Raises ValueError for a kind that this version does not know."""
        if event["kind"] not in APPLY:
            raise ValueError(
                f"The project has an event {event['kind']!r}, which this version does not "
                "know. Open it with a newer version."
            )
        self.revision += 1
        APPLY[event["kind"]](self, event)

    @property
    def least(self) -> float:
        """The threshold: the lowest score of what is shown."""
        return self.base_threshold if self.threshold is None else self.threshold

    def meanings(self) -> dict[str, str]:
        """The definition of each label, "" where there is none."""
        return {own.name: own.meaning for own in self.labels.values()}

    def finding(self, text: int, model: int | None = None) -> TextFinding | None:
        """What a model (the present one) found in a text when it was asked for the
        present labels; None where it was not asked."""
        own = self.found.get(self.using if model is None else model, {}).get(text)
        return own if own is not None and own.asked == self.asked else None

    def decision(self, text: int) -> Decision | None:
        """The last decision about a text that stands."""
        own = [each for each in self.layers.get(text, ()) if isinstance(each, Decision)]
        return own[-1] if own else None

    def decided(self, text: int, shown: Sequence[CharSpan]) -> list[CharSpan]:
        """The entities of a text by all of its layers. shown: those that the model found,
        under the lowest of them."""
        spans = list(shown)
        for layer in self.layers.get(text, ()):
            if isinstance(layer, Decision):
                spans = list(layer.spans)
            elif layer.added:
                spans = [s for s in spans if not overlaps(s, layer.spans)]
                spans += layer.spans
            else:
                gone = {span[:2] for span in layer.spans}
                spans = [span for span in spans if span[:2] not in gone]
        return sorted(span for span in spans if span[2] in self.labels)


def overlaps(span: CharSpan | ScoredCharSpan, others: Sequence[CharSpan]) -> bool:
    """Does a span share a character with one of the others?"""
    return any(span[0] < end and start < span[1] for start, end, _ in others)


def asked_of(meanings: Mapping[str, str]) -> str:
    """A short name for a set of labels and their definitions."""
    own = json.dumps(sorted(meanings.items()), ensure_ascii=True)
    return hashlib.sha256(own.encode()).hexdigest()[:16]


def _base(state: ProjectState, event: Event) -> None:
    if event["fingerprint"] != state.fingerprint:
        # What another pipeline found is not what this one would.
        state.found.pop(0, None)
    state.pipeline, state.fingerprint = event["pipeline"], event["fingerprint"]
    state.base_threshold = event["threshold"]


def _texts(state: ProjectState, event: Event) -> None:
    for row in event["texts"]:
        text = ProjectText(row["id"], row["text"], event["source"], row["name"])
        state.texts[text.id] = text
        state.changed[text.id] = state.revision


def _labels(state: ProjectState, event: Event) -> None:
    renamed: dict[str, str] = event["renamed"]
    state.labels = {own["name"]: ProjectLabel(**own) for own in event["labels"]}
    state.asked = asked_of(state.meanings())
    if not renamed:
        return
    for text, layers in state.layers.items():
        state.layers[text] = tuple(_renamed(layer, renamed) for layer in layers)
        state.changed[text] = state.revision


def _renamed(layer: Decision | Marking, names: Mapping[str, str]) -> Decision | Marking:
    spans = tuple((a, b, names.get(label, label)) for a, b, label in layer.spans)
    return replace(layer, spans=spans)


def _found(state: ProjectState, event: Event) -> None:
    own = state.found.setdefault(event["model"], {})
    for row in event["texts"]:
        own[row["id"]] = TextFinding(
            event["asked"],
            tuple((a, b, label, score) for a, b, label, score in row["spans"]),
            _spans(row["fixed"]),
            row["error"],
        )


def _decision(state: ProjectState, event: Event) -> None:
    own = Decision(
        state.revision,
        event["answer"],
        _spans(event["spans"]),
        event["model"],
        event["changed"],
    )
    _add_layer(state, event["text"], own)


def _decided(state: ProjectState, event: Event) -> None:
    """Texts that come with decisions, and the labels of these."""
    if event["labels"]:
        _labels(state, {**event, "renamed": {}})
    _texts(state, event)
    for row in event["decisions"]:
        own = {"answer": "accept", "changed": False, "model": event["model"]}
        _decision(state, {**own, **row})


def _marking(state: ProjectState, event: Event) -> None:
    for row in event["texts"]:
        own = Marking(state.revision, _spans(row["spans"]), event["added"])
        _add_layer(state, row["id"], own)


def _add_layer(state: ProjectState, text: int, layer: Decision | Marking) -> None:
    state.layers[text] = (*state.layers.get(text, ()), layer)
    state.changed[text] = state.revision


def _undo(state: ProjectState, event: Event) -> None:
    for text, layers in list(state.layers.items()):
        left = tuple(layer for layer in layers if layer.seq != event["of"])
        if len(left) < len(layers):
            state.changed[text] = state.revision
            state.layers[text] = left
            if not left:
                del state.layers[text]


def _threshold(state: ProjectState, event: Event) -> None:
    state.threshold = event["value"]


def _trained(state: ProjectState, event: Event) -> None:
    number = event["model"]
    state.models[number] = ModelVersion(
        number,
        event["texts"],
        tuple(event["labels"]),
        tuple(event["losses"]),
        event["seconds"],
    )
    state.using = number


def _measured(state: ProjectState, event: Event) -> None:
    counts = {label: (a, b, c) for label, (a, b, c) in event["counts"].items()}
    number = event["model"]
    state.models[number] = replace(
        state.models[number], counts=counts, folds=event["folds"]
    )


def _use(state: ProjectState, event: Event) -> None:
    state.using = event["model"]


def _spans(rows: Sequence[Sequence[Any]]) -> tuple[CharSpan, ...]:
    return tuple((start, end, label) for start, end, label in rows)


APPLY: dict[str, Callable[[ProjectState, Event], None]] = {
    "base": _base,
    "texts": _texts,
    "labels": _labels,
    "found": _found,
    "decision": _decision,
    "decided": _decided,
    "marking": _marking,
    "undo": _undo,
    "threshold": _threshold,
    "trained": _trained,
    "measured": _measured,
    "use": _use,
}
