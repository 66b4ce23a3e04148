"""The prompts of InstructionNER: their wording, and what is filled in.

Wording: the paper's Figure 2. The order with the text last, and definitions: ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..decoding.answers import Ids, TokenizedWords
from .base import Encoder, Entity
from .labels import LabelSet
from .templates import TemplatePart

MAIN, EXTRACTION, TYPING = "main", "extraction", "typing"

# Source: paper, Figure 2 (its "please typing" included).
TEXT_FIRST = {
    MAIN: (
        "Sentence: {sentence}\n"
        "Instruction: please extract entities and their types from the input "
        "sentence, all entity types are in options\n"
        "Options: {options}"
    ),
    EXTRACTION: (
        "Sentence: {sentence}\n"
        "Instruction: please extract entity words from the input sentence"
    ),
    TYPING: (
        "Sentence: {sentence}\n"
        "Instruction: please typing these entity words according to sentence: "
        "{entities}\n"
        "Options: {options}"
    ),
}
# Source: ours. What does not change stands in front, so that it is read once.
TEXT_LAST = {
    MAIN: (
        "Instruction: please extract entities and their types from the input "
        "sentence, all entity types are in options\n"
        "Options: {options}\n"
        "Sentence: {sentence}\n"
        "Answer:"
    ),
    EXTRACTION: (
        "Instruction: please extract entity words from the input sentence\n"
        "Sentence: {sentence}\n"
        "Answer:"
    ),
    TYPING: (
        "Instruction: please typing these entity words according to sentence\n"
        "Options: {options}\n"
        "Sentence: {sentence}\n"
        "Entity words: {entities}\n"
        "Answer:"
    ),
}
LAYOUTS: dict[str, dict[str, str]] = {"text_first": TEXT_FIRST, "text_last": TEXT_LAST}
FIELDS = {
    MAIN: ("sentence", "options", "definitions"),
    EXTRACTION: ("sentence",),
    TYPING: ("sentence", "options", "definitions", "entities"),
}


@dataclass(frozen=True)
class Prompt:
    """A prompt's constant part, and the rest. text: where the text (its last copy)
    begins among the ids of both; types: where the name of each label does, None where
    the prompt has it not."""

    prefix: Ids
    suffix: Ids
    text: int
    types: tuple[int | None, ...]


@dataclass(frozen=True)
class TypeOptions:
    """The labels of a prompt in some order. names: their words, with commas between
    them; places: where each label's begin among these; definitions: what they mean."""

    names: Ids
    places: tuple[int, ...]
    definitions: Ids


class Prompts:
    """The prompts of all tasks for one tokenizer and one label set.

    templates (Mapping[str, List[TemplatePart]]): each task's prompt, cut at its fields.
    separator (Ids): between the {entities} of a prompt.
    definition (str): how the meaning of a label is worded, with {type} and {definition}.
    definition_separator (str): between the {definitions} of a prompt.
    """

    def __init__(
        self,
        templates: Mapping[str, list[TemplatePart]],
        encoder: Encoder,
        labels: LabelSet,
        separator: Ids,
        definition: str,
        definition_separator: str,
    ) -> None:
        self.start = encoder.start
        self.separator = separator
        # Literals are encoded once, not for every text.
        self.templates: dict[str, list[tuple[str, Ids]]] = {
            name: [(field, encoder.template(literal)) for field, literal in parts]
            for name, parts in templates.items()
        }
        self.names = [encoder.text(" " + name) for name in labels.names]
        self.comma = encoder.text(",")
        self.defines = any(
            field == "definitions" for parts in templates.values() for field, _ in parts
        )
        # What each label means, as the first and as a later one; () where it has no
        # definition, or no prompt needs one.
        between = definition_separator.removesuffix(" ")
        space = definition_separator[len(between) :]
        self.definitions: list[tuple[Ids, Ids]] = [((), ())] * len(labels.names)
        for at, (name, meaning) in enumerate(zip(labels.names, labels.definitions)):
            if meaning and self.defines:
                text = definition.format(type=name, definition=meaning)
                later = encoder.template(between) + encoder.text(space + text)
                self.definitions[at] = encoder.text(" " + text), later
        self.options = self.order(range(len(labels.names)))

    def order(self, labels: Sequence[int]) -> TypeOptions:
        """The labels in this order, by their indices."""
        names: list[int] = []
        definitions: list[int] = []
        places = [0] * len(labels)
        for label in labels:
            names.extend(self.comma if names else ())
            places[label] = len(names)
            names.extend(self.names[label])
            first, later = self.definitions[label]
            definitions.extend(later if definitions else first)
        return TypeOptions(tuple(names), tuple(places), tuple(definitions))

    def after_sentence(self, task: str) -> Ids:
        """The ids between the text and what comes next in a task's prompt."""
        fields = [field for field, _ in self.templates[task]]
        at = fields.index("sentence") + 1
        return self.templates[task][at][1] if fields[at:] and not fields[at] else ()

    def make(
        self,
        task: str,
        words: TokenizedWords,
        entities: Sequence[Entity] = (),
        demonstrations: Ids = (),
        options: TypeOptions | None = None,
    ) -> Prompt:
        """A task's prompt about a window.

        entities: those that the prompt names; demonstrations: what stands in front of it;
        options: the labels in another order than theirs."""
        options = options or self.options
        prefix: list[int] = [*self.start, *demonstrations]
        text = 0
        named: int | None = None
        suffix: list[int] = []
        ids = prefix
        for field, literal in self.templates[task]:
            if field in ("sentence", "entities"):
                ids = suffix
            before = len(prefix) + len(suffix)
            if field == "sentence":
                text = before
                ids.extend(words.text)
            elif field == "entities":
                for at, (start, end, _) in enumerate(entities):
                    ids.extend(self.separator if at else ())
                    span = TokenizedWords(
                        words.first[start:end], words.following[start:end]
                    )
                    ids.extend(span.text)
            elif field == "options":
                named = before
                ids.extend(options.names)
            elif field == "definitions":
                ids.extend(options.definitions)
            else:
                ids.extend(literal)
        types = [None if named is None else named + at for at in options.places]
        return Prompt(tuple(prefix), tuple(suffix), text, tuple(types))
