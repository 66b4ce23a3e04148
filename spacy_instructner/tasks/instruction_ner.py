"""InstructionNER: one prompt for each text, and two auxiliary tasks in training.

Wording: the paper's Figure 2 (`prompts.py`). The answer to a text without entities and
the weights of the tasks: ours (the paper's visible parts do not settle them).
"""

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from ..decoding.allowed_tokens import allowed_tokens_along, allowed_tokens_in_pieces
from ..decoding.answers import AnswerFormat, Clause, Ids, TokenizedWords, write_answer
from ..decoding.grammar import Grammar
from ..decoding.request import DecodingRequest
from ..decoding.trie import Trie
from .base import (
    Demonstration,
    Encoder,
    ExampleReader,
    Gold,
    MentionPositions,
    PromptOrder,
    TrainingRecord,
)
from .labels import LabelSet
from .prompts import EXTRACTION, FIELDS, LAYOUTS, MAIN, TYPING, Prompts, TypeOptions
from .targets import mentions, target
from .templates import TemplatePart, parse_template, space_to_field

# Most ids in a word of a demonstration; a longer one is passed over.
LONGEST_WORD = 100


def build_instruction_ner_v1(
    layout: PromptOrder | None = None,
    main_template: str | None = None,
    extraction_template: str | None = None,
    typing_template: str | None = None,
    main_weight: float = 1.0,
    extraction_weight: float = 1.0,
    typing_weight: float = 1.0,
    clause: str = "{entity} is {article} {type}",
    article: str = "a",
    article_before_vowel: str = "an",
    vowels: str = "aeiou",
    separator: str = ", ",
    terminator: str = ".",
    no_entity: str = "none.",
    examples: ExampleReader | None = None,
    example_end: str = "\n\n",
    shuffle_options: bool = False,
    definition: str = "{type}: {definition}",
    definition_separator: str = "; ",
) -> "InstructionNER":
    """Registered as `spacy-instructner.InstructionNER.v1`.

    layout (Optional[str]): "text_first" (paper) or "text_last" (ours); None
        takes the one that suits the model: text last for a causal model.
    main_template, extraction_template, typing_template (Optional[str]): prompts
        in place of the layout's. Fields: {sentence} (at least once), {options},
        {definitions}, and, for typing, {entities}.
    main_weight, extraction_weight, typing_weight (float): weight of each task's
        answers in the loss; 0 leaves a task out.
    clause (str): how one entity is written. Fields: {entity}, {article}, {type}.
    article, article_before_vowel, vowels (str): the article rule.
    separator, terminator (str): between clauses, and after the last.
    no_entity (str): the answer for a text without entities.
    examples (Optional[ExampleReader]): reads examples to show in every prompt of the
        main task, such as `spacy-instructner.FewShotCorpus.v1`. Each is a whole
        prompt with its answer.
    example_end (str): what follows each demonstration.
    shuffle_options (bool): while learning, list the types in another order each time.
    definition (str): how {definitions} says what one label means. Fields: {definition},
        {type}.
    definition_separator (str): between two of them.
    RETURNS (InstructionNER): the task. Raises ValueError for a template that
        lacks a field or has an unknown one, and for a negative weight.
    """
    return InstructionNER(
        layout=layout,
        templates={
            MAIN: main_template,
            EXTRACTION: extraction_template,
            TYPING: typing_template,
        },
        weights={
            MAIN: main_weight,
            EXTRACTION: extraction_weight,
            TYPING: typing_weight,
        },
        clause=clause,
        article=article,
        article_before_vowel=article_before_vowel,
        vowels=vowels,
        separator=separator,
        terminator=terminator,
        no_entity=no_entity,
        examples=examples,
        example_end=example_end,
        shuffle_options=shuffle_options,
        definition=definition,
        definition_separator=definition_separator,
    )


@dataclass(frozen=True)
class InstructionNER:
    """The method's prompts and answers. See `build_instruction_ner_v1`."""

    layout: PromptOrder | None
    templates: dict[str, str | None]
    weights: dict[str, float]
    clause: str
    article: str
    article_before_vowel: str
    vowels: str
    separator: str
    terminator: str
    no_entity: str
    examples: ExampleReader | None
    example_end: str
    shuffle_options: bool
    definition: str
    definition_separator: str

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if weight < 0:
                raise ValueError(f"`{name}_weight` must not be negative: {weight}.")
        if not self.weights[MAIN]:
            raise ValueError(
                "`main_weight` must not be 0: the main task is the one that is asked when "
                "annotating."
            )
        fields = [field for field, _ in self._clause_parts() if field]
        if fields.index("entity") > fields.index("type"):
            raise ValueError("`clause` must name the {entity} before its {type}.")
        for setting in ("terminator", "no_entity"):
            if not getattr(self, setting).strip():
                raise ValueError(f"`{setting}` must not be empty.")
        parse_template(
            "definition", self.definition, ("type", "definition"), ("definition",)
        )
        for layout in LAYOUTS if self.layout is None else (self.layout,):
            for name in FIELDS:
                self.template(name, layout)

    def template(self, name: str, layout: str) -> list[TemplatePart]:
        """The prompt of the main task or an auxiliary one, cut at its fields."""
        own = self.templates[name]
        needed = ("entities",) if name == TYPING else ()
        parts = parse_template(
            f"{name}_template", own or LAYOUTS[layout][name], FIELDS[name], needed
        )
        if not any(field == "sentence" for field, _ in parts):
            raise ValueError(f"`{name}_template` must have the field {{sentence}}.")
        return space_to_field(parts, ("sentence", "options", "definitions", "entities"))

    @property
    def names_types(self) -> bool:
        """See `tasks.base.Task`."""
        return all(
            any(field == "options" for field, _ in self.template(MAIN, layout))
            for layout in (LAYOUTS if self.layout is None else (self.layout,))
        )

    def say(self, name: str) -> tuple[str, str]:
        """What stands before and after an entity of the type with this name."""
        article = (
            self.article_before_vowel
            if name[:1].lower() and name[:1].lower() in self.vowels
            else self.article
        )
        filled = {"article": article, "type": name, "entity": "\0"}
        text = "".join(
            filled[field] if field else text for field, text in self._clause_parts()
        )
        before, _, after = text.partition("\0")
        return before, after

    def _clause_parts(self) -> list[TemplatePart]:
        return parse_template(
            "clause", self.clause, ("entity", "article", "type"), ("entity", "type")
        )

    def bind(
        self,
        encoder: Encoder,
        labels: LabelSet,
        end: int,
        max_span: int = 0,
        layout: PromptOrder = "text_last",
        demonstrations: Sequence[Demonstration] = (),
    ) -> "BoundInstructionNER":
        """See `tasks.base.Task`. The demonstrations are shown in prompts of the main task."""
        return BoundInstructionNER(
            self, encoder, labels, end, max_span, self.layout or layout, demonstrations
        )


class BoundInstructionNER:
    """InstructionNER for one tokenizer and one label set."""

    def __init__(
        self,
        task: InstructionNER,
        encoder: Encoder,
        labels: LabelSet,
        end: int,
        max_span: int,
        layout: PromptOrder,
        demonstrations: Sequence[Demonstration],
    ) -> None:
        self.task = task
        self.encoder = encoder
        self.labels = labels
        self.max_span = max_span
        # An entity brings the space before it.
        before = task.say("x")[0]
        separator = encoder.template(_space_dropped(task.separator))
        self.prompts = Prompts(
            {name: task.template(name, layout) for name in FIELDS},
            encoder,
            labels,
            separator,
            task.definition,
            task.definition_separator,
        )
        self._warn_of_undefined()
        closing = encoder.template(task.terminator) + (end,)
        empty = encoder.template(" " + task.no_entity) + (end,)
        self.format = AnswerFormat(
            first_lead=encoder.template(_space_dropped(before)),
            next_lead=encoder.template(_space_dropped(task.separator + before)),
            tails=tuple(
                (label, encoder.written(task.say(name)[1]))
                for label, name in zip(labels.labels, labels.names)
            ),
            closing=closing,
            empty=empty,
        )
        self.extraction = AnswerFormat((), separator, (("", ()),), closing, empty)
        self.trie = Trie(self.format.tails)
        self.index = {label: at for at, label in enumerate(labels.labels)}
        # The words of each, and the ids that show it.
        self.demonstrations = [self._encode(each) for each in demonstrations]
        # Annotating shows all of them: put together once, not for every text.
        self.all_demonstrations = tuple(
            token for _, ids in self.demonstrations for token in ids
        )

    def _warn_of_undefined(self) -> None:
        for label, meaning in zip(self.labels.labels, self.labels.definitions):
            if self.prompts.defines and not meaning:
                warnings.warn(
                    f"The label {label!r} has no definition in `label_definitions`; the "
                    "prompt's {definitions} leave it out.",
                    stacklevel=2,
                )

    def _encode(self, example: Demonstration) -> tuple[tuple[Ids, ...], Ids]:
        """A demonstration's words, and its whole prompt with its answer."""
        words = self.encoder.words(example.words, example.spaces, LONGEST_WORD)
        clauses = [
            (start, end, self.index[label])
            for start, end, label in example.entities
            if label in self.index and words.writable(start) and words.writable(end - 1)
        ]
        answer = [i for p in write_answer(words, self.format, clauses) for i in p.ids][
            :-1
        ]
        prompt = self.prompts.make(MAIN, words)
        own = (prompt.prefix + prompt.suffix)[len(self.encoder.start) :]
        end = self.encoder.template(self.task.example_end)
        return _spelled(words), own + tuple(answer) + end

    def constant(self) -> int:
        nothing = TokenizedWords((), ())
        prompts = [
            self.prompts.make(
                name,
                nothing,
                demonstrations=self.all_demonstrations if name == MAIN else (),
            )
            for name in FIELDS
        ]
        return max(len(prompt.prefix) + len(prompt.suffix) for prompt in prompts)

    def requests(self, words: TokenizedWords) -> list[DecodingRequest]:
        grammar = Grammar(words, self.format, self.max_span, self.trie)
        prompt = self.prompts.make(MAIN, words, demonstrations=self.all_demonstrations)
        return [DecodingRequest(prompt.prefix, prompt.suffix, grammar)]

    def records(
        self, words: TokenizedWords, gold: Gold, choices: bool = False
    ) -> list[TrainingRecord]:
        options: TypeOptions | None = None
        if self.task.shuffle_options:
            order = range(len(self.index))
            options = self.prompts.order(random.sample(order, len(order)))
        records = [
            self._record(name, words, gold, options, choices)
            for name, weight in self.task.weights.items()
            if weight and (name != TYPING or gold.entities)
        ]
        return [record for record in records if record is not None]

    def _record(
        self,
        name: str,
        words: TokenizedWords,
        gold: Gold,
        options: TypeOptions | None,
        choices: bool,
    ) -> TrainingRecord | None:
        """What is learned of the main task or an auxiliary one; None where nothing is.
        options: the order in which the types are listed."""
        typed = name != EXTRACTION
        format = self.format if typed else self.extraction
        clauses = [
            (start, end, self.index[label] if typed else 0)
            for start, end, label in gold.entities
        ]
        # An answer of typing says nothing of the words that its prompt does not name.
        unknown = frozenset[int]() if name == TYPING else gold.unknown
        answer, weights = target(
            words, format, clauses, self.task.weights[name], unknown
        )
        if not any(weights):
            return None
        demonstrations = self._demonstrations_for(words) if name == MAIN else ()
        prompt = self.prompts.make(name, words, gold.entities, demonstrations, options)
        positions: tuple[MentionPositions, ...] = ()
        if name == MAIN:
            answer_at = len(prompt.prefix) + len(prompt.suffix)
            positions = mentions(
                words, format, clauses, prompt.text, answer_at, prompt.types
            )
        return TrainingRecord(
            prompt.prefix,
            prompt.suffix,
            answer,
            weights,
            name,
            text=(prompt.text, prompt.text + words.places[-1]),
            mentions=positions,
            allowed=self._allowed(name, words, clauses, answer) if choices else None,
        )

    def _allowed(
        self, name: str, words: TokenizedWords, clauses: Sequence[Clause], answer: Ids
    ) -> tuple[Ids, ...]:
        """What each id of an answer could have been. When typing, the entities are
        given: only their types are chosen."""
        if name == TYPING:
            pieces = (
                self.trie if piece.role == "tail" else Trie([("", piece.ids)])
                for piece in write_answer(words, self.format, clauses)
            )
            return allowed_tokens_in_pieces(tuple(pieces), answer)
        if name == EXTRACTION:
            return allowed_tokens_along(
                Grammar(words, self.extraction, self.max_span), answer
            )
        return allowed_tokens_along(
            Grammar(words, self.format, self.max_span, self.trie), answer
        )

    def _demonstrations_for(self, words: TokenizedWords) -> Ids:
        """The demonstrations that stand in front of the main task's prompt when these
        words are learned. One that holds them is left out: the answer could be copied
        from it."""
        own = _spelled(words)
        return tuple(
            token
            for text, ids in self.demonstrations
            if not _holds(text, own)
            for token in ids
        )


def _spelled(words: TokenizedWords) -> tuple[Ids, ...]:
    """A text word by word, whatever stands between its words."""
    return tuple(ids for ids in words.first if ids)


def _holds(text: Sequence[Ids], part: Sequence[Ids]) -> bool:
    """Does the text hold these words one after the other? (A window is a part of its
    text.)"""
    last = len(text) - len(part)
    return any(text[at : at + len(part)] == part for at in range(last + 1))


def _space_dropped(text: str) -> str:
    return text[:-1] if text.endswith(" ") else text
