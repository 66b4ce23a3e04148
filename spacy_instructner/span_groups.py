"""Spans with scores that stay on their characters when tokens change. Source: ours.

spaCy's retokenizer moves `doc.ents` and leaves span groups where they were: after
`merge_entities`, their spans would be other words. The text of a Doc never changes, so
characters identify a span for good.
"""

import math
import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy
import srsly
from spacy.tokens import Doc, Span, SpanGroup

from .char_spans import CharSpan

# In a group's `attrs`: a score for each span, and the characters of each span.
SCORES = "scores"
CHARACTERS = "characters"
DROPPED = (
    "{count} spans of doc.spans[{name!r}] no longer begin and end at tokens, as the Doc "
    "was tokenized anew (by a component such as merge_entities, or by Doc.retokenize): "
    "{shown}. They are left out of the group. Put what changes tokens before the "
    "component, or read the group first."
)


class ScoredSpanGroup(SpanGroup):
    """A span group whose spans and scores follow when its Doc is tokenized anew.

    `attrs["scores"]` has a score for each span, in order. A span that no longer begins and
    ends at tokens is left out with its score, with a warning. spaCy reads a plain group
    back from bytes, which `follow` turns into one that follows again.

    written_by: the name of the component that wrote the group in this process; it is not
    saved."""

    written_by: str | None = None

    def __init__(
        self,
        doc: Doc,
        *,
        name: str = "",
        attrs: Mapping[str, Any] | None = None,
        spans: Iterable[Span] = (),
    ) -> None:
        super().__init__(doc, name=name, attrs=dict(attrs or {}), spans=list(spans))
        self._tokens: int | None = _tokens_of(doc)

    @property
    def attrs(self) -> dict[str, Any]:
        """What else is known of the group, such as its scores."""
        self._follow()
        return SpanGroup.attrs.__get__(self)  # type: ignore[attr-defined]

    @attrs.setter
    def attrs(self, attrs: dict[str, Any]) -> None:
        SpanGroup.attrs.__set__(self, attrs)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        self._follow()
        return super().__len__()

    def __iter__(self) -> Iterator[Span]:
        # Whether tokens changed is checked once, not for each span.
        for at in range(len(self)):
            yield super().__getitem__(at)

    def __getitem__(self, i: int) -> Span:
        self._follow()
        return super().__getitem__(i)

    def __setitem__(self, i: int, span: Span) -> None:
        self._follow()
        super().__setitem__(i, span)  # type: ignore[misc]

    def __delitem__(self, i: int) -> None:
        self._follow()
        super().__delitem__(i)  # type: ignore[misc]

    def append(self, span: Span) -> None:
        """Add a span."""
        self._follow()
        super().append(span)

    def extend(self, spans: Iterable[Span]) -> None:
        """Add spans."""
        self._follow()
        super().extend(spans)

    def __iadd__(self, other: Iterable[Span]) -> SpanGroup:
        self._follow()
        return super().__iadd__(other)  # type: ignore[misc]

    def to_bytes(self) -> bytes:
        """The group as spaCy writes it."""
        self._follow()
        return super().to_bytes()

    def copy(self, doc: Doc | None = None) -> SpanGroup:
        """The same group, for another Doc of the same text if one is given."""
        self._follow()
        plain = super().copy(doc)
        attrs: dict[str, Any] = plain.attrs
        return ScoredSpanGroup(plain.doc, name=plain.name, attrs=attrs, spans=plain)

    def _follow(self) -> None:
        """Move the spans to the tokens that have their characters now."""
        doc = self._doc_ref()  # type: ignore[attr-defined]
        # After its Doc is gone, the group's attrs can still be read.
        if doc is None or (tokens := _tokens_of(doc)) == self._tokens:
            return
        self._tokens = tokens
        stored = _stored(self)
        moved = {
            at: span
            for at, own in enumerate(stored)
            if (span := _moved(doc, own)) is not None
        }
        lost = [own for at, own in enumerate(stored) if at not in moved]
        if lost:
            shown = "; ".join(
                f"{doc.text[own.start : own.end][:40]!r} ({doc.vocab.strings[own.label]})"
                for own in lost[:3]
            )
            warnings.warn(
                DROPPED.format(count=len(lost), name=self.name, shown=shown),
                stacklevel=3,
            )
        attrs = dict(SpanGroup.attrs.__get__(self))  # type: ignore[attr-defined]
        for key in (SCORES, CHARACTERS):
            if len(attrs.get(key, ())) == len(stored):
                left = [attrs[key][at] for at in moved]
                attrs[key] = _as_scores(left) if key == SCORES else left
        plain = SpanGroup(doc, name=self.name, attrs=attrs, spans=list(moved.values()))
        # The only way to replace the spans of an existing group.
        super().from_bytes(plain.to_bytes())


def follow(doc: Doc, key: str) -> SpanGroup:
    """A Doc's span group as a `ScoredSpanGroup`, as spaCy reads plain groups back from
    bytes. A group that this package did not write stays as it is."""
    group: SpanGroup = doc.spans[key]
    if type(group) is not SpanGroup or CHARACTERS not in group.attrs:
        return group
    ours = ScoredSpanGroup(doc)
    ours.from_bytes(group.to_bytes())
    # The Doc may already have other tokens than the group.
    ours._tokens = None
    doc.spans[key] = ours
    return ours


def make_group(
    doc: Doc, name: str, spans: Sequence[Span], scores: Iterable[float]
) -> ScoredSpanGroup:
    """A span group with scores, NaN if a score is not known."""
    attrs = {
        SCORES: _as_scores(scores),
        CHARACTERS: [list(characters_of(span)) for span in spans],
    }
    return ScoredSpanGroup(doc, name=name, attrs=attrs, spans=spans)


def scores_of(group: SpanGroup) -> Iterator[tuple[CharSpan, float]]:
    """The spans of a group that have a score, and the score.

    A group without the characters of its spans was not written by this package. Its
    scores belong to its spans in order, if there are as many of both."""
    scores = group.attrs.get(SCORES, ())
    characters_of_spans = group.attrs.get(CHARACTERS)
    strings = group.doc.vocab.strings
    spans: list[Any] = (
        [(own.start, own.end, strings[own.label]) for own in _stored(group)]
        if characters_of_spans is None
        else list(map(tuple, characters_of_spans))
    )
    if len(spans) != len(scores):
        return
    for characters, score in zip(spans, scores):
        if not math.isnan(score):
            yield characters, float(score)


def join_scores(whole: Doc, docs: Sequence[Doc]) -> None:
    """Give scores to the span groups of a Doc that was joined of others without
    whitespace between them. `Doc.from_docs` leaves scores out.

    whole (Doc): the joined Doc; it is changed.
    docs (Sequence[Doc]): the Docs that it was joined of."""
    for key, group in whole.spans.items():
        known: dict[CharSpan, float] = {}
        begin = 0
        for doc in docs:
            if key in doc.spans:
                for (start, end, label), score in scores_of(follow(doc, key)):
                    known[begin + start, begin + end, label] = score
            begin += len(doc.text)
        if known:
            spans = list(group)
            scores = [known.get(characters_of(span), math.nan) for span in spans]
            whole.spans[key] = make_group(whole, group.name, spans, scores)


def characters_of(span: Span) -> CharSpan:
    """Start, end and label of a span, by characters of its Doc."""
    return span.start_char, span.end_char, span.label_


class _Stored(NamedTuple):
    """A span as a group stores it. start, end: in characters."""

    id: int
    kb_id: int
    label: int
    start_token: int
    end_token: int
    start: int
    end: int


def _stored(group: SpanGroup) -> list[_Stored]:
    """The spans of a group as spaCy writes them, even outside of the Doc's tokens, where
    spaCy can make no Span."""
    rows = srsly.msgpack_loads(SpanGroup.to_bytes(group))["spans"]
    return [_Stored(*struct.unpack(">QQQllll", row)) for row in rows]


def _moved(doc: Doc, own: _Stored) -> Span | None:
    """The span of the same characters; None if it does not begin and end at tokens."""
    return doc.char_span(
        own.start, own.end, label=own.label, kb_id=own.kb_id, span_id=own.id
    )


def _as_scores(scores: Iterable[float]) -> numpy.ndarray:
    return numpy.asarray(list(scores), dtype="float32")


def _tokens_of(doc: Doc) -> int:
    """A hash of the lengths of tokens, which changes if a Doc is tokenized anew."""
    return hash(doc.to_array("LENGTH").tobytes())
