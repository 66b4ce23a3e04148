"""What a task is: what it gives to decoding and to training, as plain data, and what it
needs of a tokenizer."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from spacy.language import Language
from spacy.training import Example

from ..decoding.answers import Ids, TokenizedWords
from ..decoding.request import DecodingRequest
from ..scoring.scoring_request import ScoringRequest, SpanHeadConfig
from .labels import LabelSet

PromptOrder = Literal["text_first", "text_last"]
# A gold entity: (start word, end word exclusive, label).
Entity = tuple[int, int, str]


@dataclass(frozen=True)
class MentionPositions:
    """Where an entity of a record stands among the record's ids (prefix, suffix, answer).

    begin, end: the ids of it in the text; opening: the id before it in the answer, None
    where none is written; type: the id that stands for its type in the prompt, such as
    the first of its name, None where the prompt does not name it."""

    begin: int
    end: int
    opening: int | None
    type: int | None


@dataclass(frozen=True)
class SpanTargets:
    """What a record teaches the head that scores spans (`models.span_head`).

    words, labels: places among the record's ids, see `ScoringRequest`; entities: start,
    end (exclusive) and label as indices of these; unknown: (word, label) pairs, as
    indices, of which nothing is known: none that is of an entity."""

    words: tuple[int, ...]
    labels: tuple[int, ...]
    entities: tuple[tuple[int, int, int], ...]
    unknown: frozenset[tuple[int, int]] = frozenset()

    @property
    def weight(self) -> float:
        """How much of it counts: its words of which anything is known."""
        unknown = Counter(word for word, _ in self.unknown).values()
        return float(len(self.words) - sum(n == len(self.labels) for n in unknown))


@dataclass(frozen=True)
class TrainingRecord:
    """One thing to learn. The model reads prefix and suffix and should write
    the answer; weights: how much each id of the answer counts (0: not at all);
    task: which of the method's tasks it belongs to.

    text: where the text's ids begin and end among the record's ids; mentions: the
    entities that the answer says. What the objectives look at; a task that leaves
    them out offers them nothing.

    shared: how many ids the suffixes of one window's records begin with alike; a causal
    model reads them once for those that follow each other.

    allowed: for each id of the answer, those that its grammar allowed there, that id
    among them; None: the whole vocabulary. Over these an id's probability is
    normalised.

    spans: what the words' states are scored for, in place of an answer or besides;
    both_ways: whether the ids of the suffix see those behind them, too."""

    prefix: Ids
    suffix: Ids
    answer: Ids
    weights: tuple[float, ...]
    task: str
    text: tuple[int, int] = (0, 0)
    mentions: tuple[MentionPositions, ...] = ()
    shared: int = 0
    allowed: tuple[Ids, ...] | None = None
    spans: SpanTargets | None = None
    both_ways: bool = False

    @property
    def weight(self) -> float:
        """What the record's losses are a sum of: ids of the answer, words."""
        return sum(self.weights) + (self.spans.weight if self.spans else 0.0)

    @property
    def trunk(self) -> Ids:
        """What of the suffix is shared."""
        return self.suffix[: self.shared]

    def __len__(self) -> int:
        """Ids that the model reads; the answer's last is only written."""
        return len(self.prefix) + len(self.suffix) + len(self.answer[:-1])


@dataclass(frozen=True)
class Gold:
    """What is known about a window.

    entities: in text order; missing: words of which it is not known whether they are in
    an entity; lost: stretches that may hold an entity of this label, but none of another
    (one that does not fall on words, for example). Nothing is learned from what is not
    known."""

    entities: tuple[Entity, ...]
    missing: frozenset[int] = frozenset()
    lost: tuple[Entity, ...] = ()

    @property
    def unknown(self) -> frozenset[int]:
        """The words of which something is not known."""
        own = (word for start, end, _ in self.lost for word in range(start, end))
        return self.missing.union(own)

    def unknown_of(self, label: str) -> frozenset[int]:
        """The words of which it is not known whether they are in an entity of a label."""
        own = tuple(each for each in self.lost if each[2] == label)
        return Gold((), self.missing, own).unknown


@dataclass(frozen=True)
class Demonstration:
    """An example that is shown in the prompt: its words, whether whitespace stands before
    each, and its entities."""

    words: tuple[str, ...]
    spaces: tuple[bool, ...]
    entities: tuple[Entity, ...]


# What is asked about a window: to write an answer, or to score spans.
Request = DecodingRequest | ScoringRequest
# Reads examples to show, as a corpus reader does.
ExampleReader = Callable[[Language], Iterable[Example]]


class BoundTask(Protocol):
    """A task for one tokenizer and one label set."""

    def constant(self) -> int:
        """Ids of the longest prompt without its text."""

    def requests(self, words: TokenizedWords) -> Sequence[Request]:
        """What to ask about a window."""

    def records(
        self, words: TokenizedWords, gold: Gold, choices: bool = False
    ) -> list[TrainingRecord]:
        """What to learn from a window. choices: with what the grammar allowed, for a loss
        that is normalised over it (`TrainingRecord.allowed`); records without are learned
        over the whole vocabulary."""


class Task(Protocol):
    """A method's prompts and answers, before tokenizer and labels are known.

    examples: reads those to show in the prompt, or None."""

    @property
    def examples(self) -> ExampleReader | None: ...

    @property
    def names_types(self) -> bool:
        """Whether prompts name the types that are asked for, so that `MentionPositions`
        have a `type`."""

    def bind(
        self,
        encoder: "Encoder",
        labels: LabelSet,
        end: int,
        max_span: int,
        layout: "PromptOrder",
        demonstrations: Sequence[Demonstration],
    ) -> BoundTask:
        """The task for one tokenizer and label set.

        end: the id that ends an answer; max_span: most words in a span, 0 for no limit;
        layout: the order that suits the model, where the task leaves it open;
        demonstrations: examples to show in every prompt."""


@runtime_checkable
class ScoringTask(Protocol):
    """What a task that scores spans has besides.

    head: what the model needs for it, None for nothing; threshold: the lowest score that
    reaches doc.ents, where the component's settings leave it open; writes: whether it
    writes answers, too, for which a model needs all of its layers."""

    @property
    def head(self) -> SpanHeadConfig | None: ...

    @property
    def threshold(self) -> float: ...

    @property
    def writes(self) -> bool: ...


class Encoder(Protocol):
    """See `models.tokenization.TextEncoder`."""

    start: Ids

    def template(self, text: str) -> Ids: ...

    def text(self, text: str) -> Ids: ...

    def written(self, text: str) -> Ids: ...

    def words(
        self, words: Sequence[str], spaces: Sequence[bool], longest: int
    ) -> TokenizedWords: ...
