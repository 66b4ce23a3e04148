"""Windows: which stretch of a Doc is asked about at once.

A span getter proposes windows; any that holds more model tokens than there is room for is
cut at the Doc's token borders, with overlap. Nothing is left out silently. Source: ours.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from spacy.errors import Errors
from spacy.tokens import Doc

from .decoding.answers import TokenizedWords
from .span_getters import SpanGetter
from .tasks.base import BoundTask, Encoder, Request
from .tasks.labels import LabelSet


class UnreadWarning(UserWarning):
    """A part of the texts was not read, or an answer about them was not finished.

    what: "tokens" or "answers"; count: how many."""

    def __init__(self, message: str, what: str, count: int) -> None:
        super().__init__(message)
        self.what, self.count = what, count


# Where this thread collects such warnings instead of showing them, if it does.
_counting: "ContextVar[list[UnreadWarning] | None]" = ContextVar("unread", default=None)


@contextmanager
def counted() -> Iterator[list[UnreadWarning]]:
    """Within it, this thread collects its `UnreadWarning`s instead of showing them."""
    found: list[UnreadWarning] = []
    before = _counting.get()
    try:
        _counting.set(found)
        yield found
    finally:
        _counting.set(before)


def tell_unread(message: str, what: str, count: int) -> None:
    """Warn of a part that is not read, or collect the warning: see `counted`."""
    warning, found = UnreadWarning(message, what, count), _counting.get()
    if found is None:
        warnings.warn(warning, stacklevel=3)
    else:
        found.append(warning)


@dataclass(frozen=True)
class Window:
    """Tokens [start, end) of the Doc with this index in the batch."""

    doc: int
    start: int
    end: int


@dataclass(frozen=True)
class BoundWindow:
    """A window of a Doc, its words as ids, and the labels that are asked for there with
    the task that asks."""

    window: Window
    words: TokenizedWords
    labels: LabelSet
    task: BoundTask

    def requests(self) -> Sequence[Request]:
        return self.task.requests(self.words)


def propose(getter: SpanGetter, docs: list[Doc]) -> list[list[tuple[int, int]]]:
    """The getter's windows as token borders, for each Doc.

    Raises ValueError where it needs sentence boundaries that nobody set."""
    try:
        spans = getter(docs)
    except ValueError as error:
        if str(error) != Errors.E030:
            raise
        raise ValueError(
            "The windows are sentences, but nothing set sentence boundaries. Add a "
            "component that sets them in front of this one, such as "
            'nlp.add_pipe("sentencizer", first=True), and, for training, name it in '
            '`[training] annotating_components = ["sentencizer"]`.'
        ) from error
    proposed = [
        [(span.start, span.end) for span in of_doc if span.end > span.start]
        for of_doc in spans
    ]
    for doc, borders in zip(docs, proposed):
        if borders == [(0, len(doc))]:
            continue
        seen = {token for start, end in borders for token in range(start, end)}
        lost = [t for t in doc if t.i not in seen and not t.is_space]
        if lost:
            message = (
                f"The windows leave out {len(lost)} of {len(doc)} tokens, the first "
                f"of them {lost[0].text[:50]!r}. No entity can be found there."
            )
            tell_unread(message, "tokens", len(lost))
    return proposed


def cut(
    lengths: Sequence[int], start: int, end: int, budget: int, overlap: int
) -> list[tuple[int, int]]:
    """Cut tokens [start, end) into windows of at most `budget` model tokens.

    lengths: model tokens of each token of the Doc; overlap: model tokens that
    neighbours share, at most. A token over the budget stands alone.
    """
    windows: list[tuple[int, int]] = []
    begin = start
    while begin < end:
        stop, size = begin, 0
        while stop < end and (stop == begin or size + lengths[stop] <= budget):
            size += lengths[stop]
            stop += 1
        windows.append((begin, stop))
        if stop == end:
            break
        # The next window must reach past this one.
        most = min(overlap, budget - lengths[stop])
        back, shared = stop, 0
        while back - 1 > begin and shared + lengths[back - 1] <= most:
            back -= 1
            shared += lengths[back]
        begin = back
    return windows


def encode_windows(
    encoder: Encoder,
    getter: SpanGetter,
    docs: list[Doc],
    room: Sequence[tuple[int, int]],
) -> tuple[list[Window], list[TokenizedWords]]:
    """All windows of Docs, and their words as ids.

    room: for each Doc, most model tokens in a window, and how many of them cut windows
    share. Tokens that cannot be read are passed over, with a warning."""
    windows: list[Window] = []
    words: list[TokenizedWords] = []
    unreadable: list[str] = []
    for at, (doc, borders) in enumerate(zip(docs, propose(getter, docs))):
        budget, overlap = room[at]
        if not borders:
            continue
        texts = [token.text for token in doc]
        encoded = encoder.words(texts, spaces_before(doc), budget)
        lengths = [len(ids) for ids in encoded.following]
        unreadable.extend(
            text[:40]
            for text, ids in zip(texts, encoded.first)
            if not ids and not text.isspace()
        )
        for start, end in borders:
            for begin, stop in cut(lengths, start, end, budget, overlap):
                windows.append(Window(at, begin, stop))
                words.append(
                    TokenizedWords(
                        encoded.first[begin:stop], encoded.following[begin:stop]
                    )
                )
    if unreadable:
        message = (
            f"{len(unreadable)} tokens cannot be written by the model's tokenizer, or are "
            f"longer than a window of {min(room)[0]} model tokens. They are passed over; "
            f"the first of them is {unreadable[0]!r}."
        )
        tell_unread(message, "tokens", len(unreadable))
    return windows, words


def spaces_before(doc: Doc) -> list[bool]:
    """Whether each token has whitespace before it, be it a token of its own."""
    before = [bool(token.whitespace_ or token.is_space) for token in doc]
    return [False, *before[:-1]]
