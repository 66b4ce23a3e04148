"""CLLMFS: one prompt a type. The answer names every entity of that type, each between
markers, or says that there is none.

Wording of the layout "text_last": the record of the paper's Appendix A, in a wrapper
like the public code's. The layouts "text_first" and "text_twice", the empty answer,
records for types that do not occur and the default definitions: ours.
"""

import random
import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from ..decoding.allowed_tokens import allowed_tokens_along
from ..decoding.answers import AnswerFormat, Clause, Ids, TokenizedWords
from ..decoding.grammar import Grammar
from ..decoding.request import DecodingRequest
from ..decoding.token_bag import TokenBagGrammar
from ..decoding.trie import Trie
from .base import (
    Demonstration,
    Encoder,
    ExampleReader,
    Gold,
    PromptOrder,
    TrainingRecord,
)
from .labels import LabelSet
from .targets import mentions, target
from .templates import TemplatePart, parse_template, space_to_field

GrammarKind = Literal["spans", "bag"]
Layout = Literal["text_twice", "text_first", "text_last"]

# What an answer is made of, by layout: see `build_cllmfs_v1`.
PIECES: dict[str, dict[str, str]] = {
    # Source: paper; the answer without entities: ours, after what the artefact allows.
    "text_last": {
        "before_entity": "<<<",
        "after_entity": " >>>",
        "separator": "",
        "terminator": " <im_end>",
        "no_entity": " <im_end>",
    },
    # Source: ours. Nothing in it that the model need not decide.
    "text_first": {
        "before_entity": "",
        "after_entity": "",
        "separator": ";",
        "terminator": "",
        "no_entity": " none",
    },
}
PIECES["text_twice"] = PIECES["text_first"]
TEMPLATES: dict[str, str] = {
    # Source: paper, Appendix A (instruction, input, start of the output); what stands
    # between them: ours.
    "text_last": (
        "Below is an instruction with an input. Write the response it asks for.\n\n"
        "### Instruction:\n"
        "Please extract the entity of {type} in the input sentence given below , the "
        "entity of {type} refers to the entity that represents {definition} in the "
        "input sentence.\n\n"
        "### Input:\n"
        "{sentence}\n\n"
        "### Response:\n"
        "<im_start> I can extract entities for you, the extracted entities are"
    ),
    # Source: ours. What does not depend on the type stands in front, and is read once
    # for all of them.
    "text_first": (
        "Please extract the entities of each type from the sentence.\n"
        "Types: {definitions}\n"
        "Sentence: {sentence}\n"
        "{type}:"
    ),
}
# Source: ours. The second time, a causal model reads each word with what follows it.
TEMPLATES["text_twice"] = TEMPLATES["text_first"].replace(
    "Sentence: {sentence}\n", 2 * "Sentence: {sentence}\n"
)
PRESENT, ABSENT = "present", "absent"
# Stands for a text among the ids of a prompt.
TEXT = -1
FIELDS = ("sentence", "type", "definition", "definitions")


def build_cllmfs_v1(
    layout: Layout = "text_twice",
    template: str | None = None,
    before_entity: str | None = None,
    after_entity: str | None = None,
    separator: str | None = None,
    terminator: str | None = None,
    no_entity: str | None = None,
    default_definition: str = "a specific {type}",
    absent: float = 1.0,
    grammar: GrammarKind = "spans",
) -> "CLLMFS":
    """Registered as `spacy-instructner.CLLMFS.v1`.

    layout (str): "text_last" (paper), the text after what is constant for a type;
        "text_first" (ours), the type after the text, so that a causal model reads the
        text once for all types; or "text_twice" (ours), the same with the text given
        twice, so that it also knows what follows.
    template (Optional[str]): a prompt in place of the layout's, up to where the answer
        begins. Fields: {sentence} (at least once), {type}, {definition}, and
        {definitions}, which lists all types with their definitions. It must name the
        {type}.
    before_entity, after_entity (Optional[str]): stand around each entity in the answer.
        A tokenizer that cannot write the paper's (T5's has no <) needs others.
    separator (Optional[str]): between entities.
    terminator (Optional[str]): after the last entity; then comes the model's end token.
    no_entity (Optional[str]): the answer without entities, before the end token. None
        takes the layout's own: of "text_last" the paper's " <<< … >>> <im_end>", and
        " <im_end>" without entities; of the others a plain list, with ";" between
        entities, and " none" without.
    default_definition (str): for a label without one in `label_definitions`. Field:
        {type}.
    absent (float): how many records to learn from types that do not occur, for each of
        one that does (and for each text without entities). Which, is drawn anew every
        time. 0 learns from none, as the public code does.
    grammar (str): "spans" admits contiguous spans of the text, in its order (ours);
        "bag" the tokens of the text in any order, as the public code does.
    RETURNS (CLLMFS): the task. Raises ValueError for a template that lacks a field or
        has an unknown one, and for a negative `absent`.
    """
    return CLLMFS(
        layout=layout,
        template=template,
        before_entity=before_entity,
        after_entity=after_entity,
        separator=separator,
        terminator=terminator,
        no_entity=no_entity,
        default_definition=default_definition,
        absent=absent,
        grammar=grammar,
    )


@dataclass(frozen=True)
class CLLMFS:
    """The method's prompts and answers. See `build_cllmfs_v1`."""

    layout: Layout
    template: str | None
    before_entity: str | None
    after_entity: str | None
    separator: str | None
    terminator: str | None
    no_entity: str | None
    default_definition: str
    absent: float
    grammar: GrammarKind

    # No examples in the prompt: what is constant is to be short.
    examples: ExampleReader | None = None
    # The template must have the field.
    names_types: bool = True

    def __post_init__(self) -> None:
        if self.absent < 0:
            raise ValueError(f"`absent` must not be negative: {self.absent}.")
        if not self.piece("no_entity").strip():
            raise ValueError("`no_entity` must not be empty.")
        if not (self.piece("after_entity") + self.piece("separator")).strip():
            raise ValueError(
                "`after_entity` or `separator` must say where an entity ends."
            )
        if self.grammar == "bag" and not (
            self.piece("before_entity").strip() and self.piece("after_entity").strip()
        ):
            raise ValueError(
                '`grammar = "bag"` tells entities apart by their markers. Give '
                '`before_entity` and `after_entity`, or take the layout "text_last".'
            )
        parse_template("default_definition", self.default_definition, ("type",), ())
        self.parts()

    def piece(self, name: str) -> str:
        """A part of the answer: the setting of this name, or the layout's own."""
        own: str | None = getattr(self, name)
        return PIECES[self.layout][name] if own is None else own

    def parts(self) -> list[TemplatePart]:
        """The prompt, cut at its fields."""
        text = self.template or TEMPLATES[self.layout]
        parts = parse_template("template", text, FIELDS, ())
        for needed in ("sentence", "type"):
            if not any(field == needed for field, _ in parts):
                raise ValueError(f"`template` must have the field {{{needed}}}.")
        return space_to_field(parts, FIELDS)

    def define(self, labels: LabelSet) -> list[str]:
        """What each label means."""
        without = [
            label for label, said in zip(labels.labels, labels.definitions) if not said
        ]
        # Where none is said, names are meant to be enough. One for each label, in the
        # same words every time: Python says it once.
        for label in without if any(labels.definitions) else ():
            warnings.warn(
                f"The label {label!r} has no definition in `label_definitions`; CLLMFS "
                f"makes one from its name, as {self.default_definition!r}.",
                stacklevel=2,
            )
        return [
            said or self.default_definition.format(type=name)
            for name, said in zip(labels.names, labels.definitions)
        ]

    def bind(
        self,
        encoder: Encoder,
        labels: LabelSet,
        end: int,
        max_span: int = 0,
        layout: PromptOrder = "text_last",
        demonstrations: Sequence[Demonstration] = (),
    ) -> "BoundCLLMFS":
        """The task for one tokenizer and label set. See `tasks.base.Task`; the task's
        own layout holds for every model."""
        return BoundCLLMFS(self, encoder, labels, end, max_span)


@dataclass(frozen=True)
class _Asked:
    """What is asked for one label. before: the prompt's ids in front of the text; after:
    those behind it, for each time that the prompt has it; name: where the label's name
    first stands among all these, and how many texts in front of it; format: of the
    answers."""

    before: Ids
    after: tuple[Ids, ...]
    name: tuple[int, int]
    format: AnswerFormat

    def suffix(self, text: Ids) -> Ids:
        return tuple(chain.from_iterable(text + after for after in self.after))

    def text(self, length: int) -> int:
        """Where a text of so many ids last begins in its prompt: there the model has
        read the most before it."""
        prompt = len(self.before) + sum(length + len(after) for after in self.after)
        return prompt - len(self.after[-1]) - length

    def type(self, length: int) -> int:
        """Where the name stands in the prompt of a text of so many ids."""
        at, texts = self.name
        return at + texts * length


class BoundCLLMFS:
    """CLLMFS for one tokenizer and one label set."""

    def __init__(
        self,
        task: CLLMFS,
        encoder: Encoder,
        labels: LabelSet,
        end: int,
        max_span: int,
    ) -> None:
        self.task = task
        self.max_span = max_span
        before = task.piece("before_entity")
        first = encoder.template(f" {before}" if before else "")
        later = encoder.template(task.piece("separator")) + first
        tail = encoder.template(task.piece("after_entity"))
        closing = encoder.template(task.piece("terminator")) + (end,)
        empty = encoder.template(task.piece("no_entity")) + (end,)
        parts = [(field, encoder.template(text)) for field, text in task.parts()]
        used = {field for field, _ in parts}
        # What the template does not say needs no words.
        definitions = [""] * len(labels.labels)
        if used & {"definition", "definitions"}:
            definitions = task.define(labels)
        every: list[int] = []
        for at, (name, said) in enumerate(zip(labels.names, definitions)):
            if "definitions" in used:
                every.extend(encoder.written(".") if at else ())
                every.extend(encoder.written(f" {name}: {said}"))
        self.asked: dict[str, _Asked] = {}
        for label, name, said in zip(labels.labels, labels.names, definitions):
            fields = {
                "type": encoder.written(" " + name),
                "definition": encoder.written(" " + said),
                "definitions": tuple(every),
            }
            pieces: list[list[int]] = [list(encoder.start)]
            place: tuple[int, int] | None = None
            for field, literal in parts:
                if field == "sentence":
                    pieces.append([])
                    continue
                if field == "type" and place is None:
                    place = sum(map(len, pieces)), len(pieces) - 1
                pieces[-1].extend(fields[field] if field else literal)
            assert place is not None  # `CLLMFS.parts` saw to it.
            front, *after = map(tuple, pieces)
            format = AnswerFormat(first, later, ((label, tail),), closing, empty)
            self.asked[label] = _Asked(front, tuple(after), place, format)
        self.trie = Trie((("", tail),))
        # What all labels have behind the text is read with it, unless the labels part
        # before the text.
        every_asked = self.asked.values()
        self.joint: Ids = ()
        if len({asked.before for asked in every_asked}) == 1:
            self.joint = _common([asked.suffix((TEXT,)) for asked in every_asked])

    def constant(self) -> int:
        return max(
            len(asked.before + asked.suffix(())) for asked in self.asked.values()
        )

    def requests(self, words: TokenizedWords) -> list[DecodingRequest]:
        grammar = self._grammar(words)
        text = words.text
        cut = self._shared(text)
        requests: list[DecodingRequest] = []
        for asked in self.asked.values():
            own = _of_label(grammar, asked)
            suffix = asked.suffix(text)
            shared, suffix = suffix[:cut], suffix[cut:]
            requests.append(DecodingRequest(asked.before, suffix, own, shared))
        return requests

    def _grammar(self, words: TokenizedWords) -> Any:
        """The grammar of the answers, for some label; see `_of_label`."""
        if self.task.grammar == "bag":
            return TokenBagGrammar(words, self._any_format, self.max_span)
        return Grammar(words, self._any_format, self.max_span, self.trie)

    def _shared(self, text: Ids) -> int:
        """How many ids behind the prefix are the same for all labels."""
        texts = self.joint.count(TEXT)
        return len(self.joint) + texts * (len(text) - 1)

    @property
    def _any_format(self) -> AnswerFormat:
        return next(iter(self.asked.values())).format

    def records(
        self, words: TokenizedWords, gold: Gold, choices: bool = False
    ) -> list[TrainingRecord]:
        grammar = self._grammar(words) if choices else None
        said: dict[str, list[Clause]] = {}
        for start, end, label in gold.entities:
            said.setdefault(label, []).append((start, end, 0))
        records = [
            self._record(words, gold, label, said[label], grammar) for label in said
        ]
        # Where annotation is missing, or lost, nobody knows what does not occur.
        if not gold.missing:
            lost = {label for _, _, label in gold.lost}
            absent = [label for label in self.asked if label not in {*said, *lost}]
            wanted = self.task.absent * max(1, len(said))
            count = int(wanted) + (random.random() < wanted % 1)
            for label in random.sample(absent, min(count, len(absent))):
                records.append(self._record(words, gold, label, [], grammar))
        return [record for record in records if any(record.weights)]

    def _record(
        self,
        words: TokenizedWords,
        gold: Gold,
        label: str,
        clauses: Sequence[Clause],
        grammar: Any,
    ) -> TrainingRecord:
        asked = self.asked[label]
        text = words.text
        suffix = asked.suffix(text)
        answer, weights = target(
            words, asked.format, clauses, unknown=gold.unknown_of(label)
        )
        begin = asked.text(len(text))
        return TrainingRecord(
            asked.before,
            suffix,
            answer,
            weights,
            PRESENT if clauses else ABSENT,
            text=(begin, begin + len(text)),
            mentions=mentions(
                words,
                asked.format,
                clauses,
                begin,
                len(asked.before) + len(suffix),
                [asked.type(len(text))],
            ),
            shared=self._shared(text),
            allowed=self._allowed(grammar, asked, answer) if grammar else None,
        )

    def _allowed(
        self, grammar: Any, asked: _Asked, answer: Ids
    ) -> tuple[Ids, ...] | None:
        """What each id of an answer could have been; None where a bag does not admit
        the answer: it is too long, or a name in it reads like the terminator."""
        try:
            return allowed_tokens_along(_of_label(grammar, asked), answer)
        except ValueError:
            if self.task.grammar == "spans":
                raise
            return None


def _of_label(grammar: Any, asked: _Asked) -> Any:
    """The grammar of one label; what it knows of the window holds for all."""
    own = copy(grammar)
    own.format = asked.format
    return own


def _common(rows: Sequence[Ids]) -> Ids:
    """What all rows begin with, leaving each one id at least."""
    count = 0
    shortest = min(map(len, rows))
    while count < shortest - 1 and len({row[count] for row in rows}) == 1:
        count += 1
    return rows[0][:count]
