"""The prompts of CLLMFS: their wording, by layout, and what is filled in.

"text_last" is the record of the paper's Appendix A, in a wrapper like the public code's.
"text_first" and "text_twice", and the answer without entities: ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from ..decoding.answers import AnswerFormat, Ids
from .base import Encoder
from .labels import LabelSet
from .templates import TemplatePart

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
FIELDS = ("sentence", "type", "definition", "definitions")
# Stands for the window's text among the ids of a prompt.
TEXT = -1


@dataclass(frozen=True)
class LabelPrompt:
    """The prompt for one label, cut at the places of the text, and the format of its
    answers.

    before: the ids in front of the first text; after: those behind each text; name: where
    the label's name first stands among all of these, and how many texts stand in front of
    it."""

    before: Ids
    after: tuple[Ids, ...]
    name: tuple[int, int]
    format: AnswerFormat

    def suffix(self, text: Ids) -> Ids:
        """The ids behind `before`, for this text."""
        return tuple(chain.from_iterable(text + after for after in self.after))

    def text_place(self, length: int) -> int:
        """Where the last copy of a text of so many ids begins in its prompt: there the
        model has read the most before it."""
        prompt = len(self.before) + sum(length + len(after) for after in self.after)
        return prompt - len(self.after[-1]) - length

    def name_place(self, length: int) -> int:
        """Where the name stands in the prompt of a text of so many ids."""
        at, texts = self.name
        return at + texts * length


def make_prompts(
    parts: Sequence[TemplatePart],
    labels: LabelSet,
    definitions: Sequence[str],
    formats: Mapping[str, AnswerFormat],
    encoder: Encoder,
) -> dict[str, LabelPrompt]:
    """The prompt for each label.

    parts: the template, cut at its fields; definitions: of each label; formats: of the
    answers, by label."""
    encoded = [(field, encoder.template(literal)) for field, literal in parts]
    every: list[int] = []
    if any(field == "definitions" for field, _ in parts):
        for at, (name, meaning) in enumerate(zip(labels.names, definitions)):
            every.extend(encoder.written(".") if at else ())
            every.extend(encoder.written(f" {name}: {meaning}"))
    prompts: dict[str, LabelPrompt] = {}
    for label, name, meaning in zip(labels.labels, labels.names, definitions):
        filled = {
            "type": encoder.written(" " + name),
            "definition": encoder.written(" " + meaning),
            "definitions": tuple(every),
        }
        prompts[label] = _fill(encoded, filled, encoder.start, formats[label])
    return prompts


def _fill(
    parts: Sequence[tuple[str, Ids]],
    filled: Mapping[str, Ids],
    start: Ids,
    format: AnswerFormat,
) -> LabelPrompt:
    """One label's prompt. parts: of the template, as ids; filled: the ids of its fields;
    start: what the tokenizer puts in front of every input."""
    pieces: list[list[int]] = [list(start)]
    name: tuple[int, int] | None = None
    for field, literal in parts:
        if field == "sentence":
            pieces.append([])
            continue
        if field == "type" and name is None:
            name = sum(map(len, pieces)), len(pieces) - 1
        pieces[-1].extend(filled[field] if field else literal)
    assert name is not None  # `CLLMFS.parts` saw to it.
    before, *after = map(tuple, pieces)
    return LabelPrompt(before, tuple(after), name, format)


def common_ids(prompts: Sequence[LabelPrompt]) -> Ids:
    """What all prompts have behind `before`, with `TEXT` for the text. It is read together
    with the text, once for all labels. () where they part before the text."""
    if len({prompt.before for prompt in prompts}) > 1:
        return ()
    return _common([prompt.suffix((TEXT,)) for prompt in prompts])


def _common(suffixes: Sequence[Ids]) -> Ids:
    """What all of them begin with, leaving each one id at least."""
    count = 0
    shortest = min(map(len, suffixes))
    while count < shortest - 1 and len({row[count] for row in suffixes}) == 1:
        count += 1
    return suffixes[0][:count]
