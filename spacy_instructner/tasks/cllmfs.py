"""CLLMFS: one prompt for each type. The answer names every entity of that type, or says
that there is none.

Its prompts, and their wording, are in `cllmfs_prompts.py`. Records for types that do not occur,
and the default definitions: ours.
"""

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..decoding.allowed_tokens import allowed_tokens_along
from ..decoding.answers import AnswerFormat, Clause, Ids, TokenizedWords
from ..decoding.grammar import Grammar, SpanBorders
from ..decoding.request import AnswerGrammar, DecodingRequest
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
from .cllmfs_prompts import (
    FIELDS,
    PIECES,
    TEMPLATES,
    TEXT,
    Layout,
    common_ids,
    make_prompts,
)
from .labels import LabelSet
from .targets import mentions, target
from .templates import TemplatePart, parse_template, space_to_field

GrammarKind = Literal["spans", "bag"]

PRESENT, ABSENT = "present", "absent"


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
            label
            for label, meaning in zip(labels.labels, labels.definitions)
            if not meaning
        ]
        # Where nobody gave one, names are meant to be enough. A sentence for each label,
        # in the same words every time: Python warns once of each.
        for label in without if labels.defined else ():
            warnings.warn(
                f"The label {label!r} has no definition in `label_definitions`; CLLMFS "
                f"makes one from its name, as {self.default_definition!r}.",
                stacklevel=2,
            )
        return [
            meaning or self.default_definition.format(type=name)
            for name, meaning in zip(labels.names, labels.definitions)
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
        """See `tasks.base.Task`. The task's own layout holds for every model, and no
        demonstrations are shown."""
        return BoundCLLMFS(self, encoder, labels, end, max_span)


class WindowGrammars:
    """The grammars of the answers about one window: each is built for the format of a
    label; where spans may begin and end is found once for all."""

    def __init__(
        self, kind: GrammarKind, words: TokenizedWords, max_span: int, trie: Trie
    ) -> None:
        self.kind = kind
        self.words = words
        self.max_span = max_span
        self.trie = trie
        self.borders: SpanBorders | None = None

    def of(self, format: AnswerFormat) -> AnswerGrammar:
        if self.kind == "bag":
            return TokenBagGrammar(self.words, format, self.max_span)
        grammar = Grammar(self.words, format, self.max_span, self.trie, self.borders)
        self.borders = grammar.borders
        return grammar

    def allowed(self, format: AnswerFormat, answer: Ids) -> tuple[Ids, ...] | None:
        """What each id of an answer could have been; None where a bag does not admit
        the answer: it is too long, or a name in it reads like the terminator."""
        try:
            return allowed_tokens_along(self.of(format), answer)
        except ValueError:
            if self.kind == "spans":
                raise
            return None


class BoundCLLMFS:
    """CLLMFS for one tokenizer and one label set.

    prompts: by label; trie: of what follows an entity, the same for every label; common:
    what the prompts of all labels have in common; see `common_ids`."""

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
        formats = _formats(task, encoder, labels, end)
        parts = task.parts()
        # A template without them needs no definitions.
        definitions = [""] * len(labels.labels)
        if {"definition", "definitions"} & {field for field, _ in parts}:
            definitions = task.define(labels)
        self.prompts = make_prompts(parts, labels, definitions, formats, encoder)
        self.trie = Trie(formats[labels.labels[0]].tails)
        self.common = common_ids(list(self.prompts.values()))

    def constant(self) -> int:
        return max(
            len(prompt.before + prompt.suffix(())) for prompt in self.prompts.values()
        )

    def requests(self, words: TokenizedWords) -> list[DecodingRequest]:
        grammars = self._grammars(words)
        text = words.text
        cut = self._shared(text)
        requests: list[DecodingRequest] = []
        for prompt in self.prompts.values():
            suffix = prompt.suffix(text)
            requests.append(
                DecodingRequest(
                    prompt.before,
                    suffix[cut:],
                    grammars.of(prompt.format),
                    shared=suffix[:cut],
                )
            )
        return requests

    def _grammars(self, words: TokenizedWords) -> WindowGrammars:
        return WindowGrammars(self.task.grammar, words, self.max_span, self.trie)

    def _shared(self, text: Ids) -> int:
        """How many ids behind the prefix are the same for all labels."""
        texts = self.common.count(TEXT)
        return len(self.common) + texts * (len(text) - 1)

    def records(
        self, words: TokenizedWords, gold: Gold, choices: bool = False
    ) -> list[TrainingRecord]:
        grammars = self._grammars(words) if choices else None
        clauses: dict[str, list[Clause]] = {}
        for start, end, label in gold.entities:
            clauses.setdefault(label, []).append((start, end, 0))
        records = [
            self._record(words, gold, label, clauses[label], grammars)
            for label in clauses
        ]
        # Where annotation is missing, or lost, nobody knows what does not occur.
        if not gold.missing:
            lost = {label for _, _, label in gold.lost}
            known = {*clauses, *lost}
            absent = [label for label in self.prompts if label not in known]
            wanted = self.task.absent * max(1, len(clauses))
            count = int(wanted) + (random.random() < wanted % 1)
            for label in random.sample(absent, min(count, len(absent))):
                records.append(self._record(words, gold, label, [], grammars))
        return [record for record in records if any(record.weights)]

    def _record(
        self,
        words: TokenizedWords,
        gold: Gold,
        label: str,
        clauses: Sequence[Clause],
        grammars: WindowGrammars | None,
    ) -> TrainingRecord:
        """What is learned of one label. grammars: where what they allow is learned."""
        prompt = self.prompts[label]
        text = words.text
        suffix = prompt.suffix(text)
        format = prompt.format
        answer, weights = target(words, format, clauses, unknown=gold.unknown_of(label))
        begin = prompt.text_place(len(text))
        answer_at = len(prompt.before) + len(suffix)
        types = [prompt.name_place(len(text))]
        return TrainingRecord(
            prompt.before,
            suffix,
            answer,
            weights,
            PRESENT if clauses else ABSENT,
            text=(begin, begin + len(text)),
            mentions=mentions(words, format, clauses, begin, answer_at, types),
            shared=self._shared(text),
            allowed=grammars.allowed(format, answer) if grammars else None,
        )


def _formats(
    task: CLLMFS, encoder: Encoder, labels: LabelSet, end: int
) -> dict[str, AnswerFormat]:
    """The format of the answers for each label. end: the id that ends an answer."""
    before = task.piece("before_entity")
    first = encoder.template(f" {before}" if before else "")
    later = encoder.template(task.piece("separator")) + first
    tail = encoder.template(task.piece("after_entity"))
    closing = encoder.template(task.piece("terminator")) + (end,)
    empty = encoder.template(task.piece("no_entity")) + (end,)
    return {
        label: AnswerFormat(first, later, ((label, tail),), closing, empty)
        for label in labels.labels
    }
