"""Just Pass Twice: words are scored against all labels at once. No answer is written.

    both_ways (the default; ours): one copy, and all ids see each other
        Please extract the entities of each type from the sentence.
        Sentence: Anna takes aspirin.              the state of each word's last id for it
        Types: person; drug: a medicine;           the state of each ";" stands for a label

    as published: two copies, and the words of the second have seen the whole text
        Please extract the entities of each type from the sentence.
        Types: person; drug: a medicine;
        Sentence: Anna takes aspirin.
        Sentence: Anna takes aspirin.

Source: Just Pass Twice (Ewais et al. 2026, arXiv:2604.05158): two copies; labels by the
states of their descriptions. The wording (near that of CLLMFS's layout "text_twice"), where
the states are read, what is scored (`models.span_head`), and how spans are read off the
scores (`scoring.span_scores`): ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ..decoding.answers import Ids, TokenizedWords
from ..scoring.scoring_request import ScoringRequest, SpanHeadConfig
from .base import (
    Demonstration,
    Encoder,
    ExampleReader,
    Gold,
    MentionPositions,
    PromptOrder,
    SpanTargets,
    TrainingRecord,
)
from .labels import LabelSet
from .templates import TemplatePart, parse_template, space_to_field

# That of the adapter that comes with the package.
TEMPLATE = (
    "Please extract the entities of each type from the sentence.\n"
    "Sentence: {sentence}\n"
    "Types: {types}\n"
)
FIELDS = ("types", "sentence")
SCORED = "scored"
# A text may take a third of what is left of the model's positions.
MOST_COPIES = 3


def build_just_pass_twice_v1(
    template: str = TEMPLATE,
    definition: str = "{type}: {definition}",
    separator: str = ";",
    floor: float = 0.1,
    threshold: float = 0.4,
    head_size: int = 128,
    head_hidden: int = 576,
    both_ways: bool = True,
) -> "JustPassTwice":
    """Registered as `spacy-instructner.JustPassTwice.v1`.

    template (str): the prompt. Fields, each at least once: {types}, all labels with what
        they mean, and {sentence}. Words are scored in the last {sentence}; labels are
        what their entries in the last {types} say. What stands before the first
        {sentence} is read once for all texts.
    definition (str): the entry of a label that has a definition. Fields: {type},
        {definition}. Others are called by their name alone.
    separator (str): ends each entry; the state of its last id stands for the label.
    floor (float): what the start, the end and each word of a span must reach; others are
        not kept in `doc.spans`.
    threshold (float): the lowest score of a span in `doc.ents`, where the component's
        own `threshold` is null.
    head_size (int): width of the vectors in which words and labels are compared.
    head_hidden (int): width of the layer before.
    both_ways (bool): whether all that stands behind the constant start, words and labels,
        sees what is behind it, too (ours). Without, the template should have the text
        twice, as published.
    RETURNS (JustPassTwice): the task. Raises ValueError for a template that lacks a field
        or has an unknown one, an empty separator, and values out of range.
    """
    head = SpanHeadConfig(head_size, head_hidden)
    return JustPassTwice(
        template, definition, separator, floor, threshold, head, both_ways
    )


@dataclass(frozen=True)
class JustPassTwice:
    """The method's prompt and what is scored. See `build_just_pass_twice_v1`."""

    template: str
    definition: str
    separator: str
    floor: float
    threshold: float
    head: SpanHeadConfig
    both_ways: bool

    # No examples in the prompt: what is constant is to be short.
    examples: ExampleReader | None = None
    # The template must have the field.
    names_types: bool = True
    writes: bool = False

    def __post_init__(self) -> None:
        for name in ("floor", "threshold"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(
                    f"`{name}` must be between 0 and 1, not {getattr(self, name)}."
                )
        if not self.separator.strip():
            raise ValueError("`separator` must not be empty.")
        parse_template(
            "definition", self.definition, ("type", "definition"), ("definition",)
        )
        copies = sum(field == "sentence" for field, _ in self.parts())
        if copies > MOST_COPIES:
            raise ValueError(
                f"`template` has the field {{sentence}} {copies} times, and there is room "
                f"for {MOST_COPIES} at most."
            )

    def parts(self) -> list[TemplatePart]:
        """The prompt, cut at its fields."""
        parts = parse_template("template", self.template, FIELDS, ())
        for needed in FIELDS:
            if not any(field == needed for field, _ in parts):
                raise ValueError(f"`template` must have the field {{{needed}}}.")
        return space_to_field(parts, FIELDS)

    def entry(self, name: str, definition: str) -> str:
        """What stands for a label in the prompt, without the separator."""
        if not definition:
            return name
        return self.definition.format(type=name, definition=definition)

    def bind(
        self,
        encoder: Encoder,
        labels: LabelSet,
        end: int,
        max_span: int = 0,
        layout: PromptOrder = "text_last",
        demonstrations: Sequence[Demonstration] = (),
    ) -> "BoundJustPassTwice":
        """See `tasks.base.Task`. The template holds for every model; no demonstrations
        are shown."""
        return BoundJustPassTwice(self, encoder, labels, max_span)


@dataclass(frozen=True)
class ScoringPrompt:
    """A prompt with a text. prefix, suffix: as in `ScoringRequest`; text, types: where
    the last copies of the text and of the labels' entries begin."""

    prefix: Ids
    suffix: Ids
    text: int
    types: int


class BoundJustPassTwice:
    """Just Pass Twice for one tokenizer and one label set.

    types: the ids of all entries; ends: where the last id of each stands among them."""

    def __init__(
        self, task: JustPassTwice, encoder: Encoder, labels: LabelSet, max_span: int
    ) -> None:
        self.task = task
        self.labels = labels.labels
        self.max_span = max_span
        self.index = {label: at for at, label in enumerate(labels.labels)}
        self.start = encoder.start
        self.parts = [(field, encoder.template(text)) for field, text in task.parts()]
        separator = encoder.template(task.separator)
        entries = [
            encoder.written(" " + task.entry(name, definition)) + separator
            for name, definition in zip(labels.names, labels.definitions)
        ]
        self.types: Ids = tuple(token for entry in entries for token in entry)
        self.ends = [end - 1 for end in accumulate(map(len, entries))]

    def constant(self) -> int:
        prompt = self._prompt(())
        return len(prompt.prefix) + len(prompt.suffix)

    def requests(self, words: TokenizedWords) -> list[ScoringRequest]:
        prompt = self._prompt(words.text)
        readable, places = self._words(words, prompt)
        return [
            ScoringRequest(
                prompt.prefix,
                prompt.suffix,
                self.labels,
                self._labels(prompt),
                readable,
                places,
                self.task.floor,
                self.max_span,
                self.task.both_ways,
            )
        ]

    def records(
        self, words: TokenizedWords, gold: Gold, choices: bool = False
    ) -> list[TrainingRecord]:
        """One: all labels are learned at once. A score has no grammar to choose from."""
        prompt = self._prompt(words.text)
        readable, places = self._words(words, prompt)
        if not readable:
            return []
        # Where each word stands among those that are scored.
        row = {word: at for at, word in enumerate(readable)}
        entities = tuple(
            (row[start], row[end - 1] + 1, self.index[label])
            for start, end, label in gold.entities
        )
        unknown = {
            (row[word], at)
            for at, label in enumerate(self.labels)
            for word in gold.unknown_of(label)
            if word in row
        }
        # What is in an entity of a label is known of that label.
        known = {(at, label) for a, b, label in entities for at in range(a, b)}
        targets = SpanTargets(
            places, self._labels(prompt), entities, frozenset(unknown - known)
        )
        length = len(words.text)
        record = TrainingRecord(
            prompt.prefix,
            prompt.suffix,
            (),
            (),
            SCORED,
            text=(prompt.text, prompt.text + length),
            mentions=self._mentions(words, gold, prompt),
            spans=targets,
            both_ways=self.task.both_ways,
        )
        return [record] if record.weight else []

    def _prompt(self, text: Ids) -> ScoringPrompt:
        """The prompt about a text of these ids."""
        ids: list[int] = [*self.start]
        places = dict.fromkeys(FIELDS, 0)
        constant: int | None = None
        for field, literal in self.parts:
            if field == "sentence" and constant is None:
                constant = len(ids)
            if field:
                places[field] = len(ids)
            ids.extend({"sentence": text, "types": self.types}.get(field, literal))
        return ScoringPrompt(
            tuple(ids[:constant]),
            tuple(ids[constant:]),
            places["sentence"],
            places["types"],
        )

    def _labels(self, prompt: ScoringPrompt) -> tuple[int, ...]:
        return tuple(prompt.types + end for end in self.ends)

    def _words(
        self, words: TokenizedWords, prompt: ScoringPrompt
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The words that can be scored, and where the last id of each stands."""
        readable = tuple(at for at in range(len(words)) if words.writable(at))
        ends = words.places[1:]
        return readable, tuple(prompt.text + ends[at] - 1 for at in readable)

    def _mentions(
        self, words: TokenizedWords, gold: Gold, prompt: ScoringPrompt
    ) -> tuple[MentionPositions, ...]:
        places = words.places
        labels = self._labels(prompt)
        return tuple(
            MentionPositions(
                prompt.text + places[start],
                prompt.text + places[end],
                None,
                labels[self.index[label]],
            )
            for start, end, label in gold.entities
        )
