"""Which of several labels a span has: the question in which they compete.

    Options: person, band, genre             every label that is asked for
    Sentence: Abba sang it .                 read once for all spans and labels
    Entity words: Abba
    Answer: Abba is a │ band.                a branch for each label that claims the span
                      │ person.

The wording is that of InstructionNER's typing task, which the adapter of the package has
learned; what can be said in the place of a label is a label that claims the span. Source:
InstructionNER (entity typing); to ask it about what another method found: ours.
"""

from collections.abc import Sequence

from ..decoding.allowed_tokens import allowed_tokens_in_pieces
from ..decoding.answers import TokenizedWords, write_answer
from ..decoding.trie import Trie
from .base import Encoder, PromptOrder, TrainingRecord
from .instruction_ner import build_instruction_ner_v1
from .labels import LabelSet
from .prompts import TYPING


class TypingQuestions:
    """The question for one tokenizer and one label set. end: the id that ends an answer;
    layout: the order that suits the model."""

    def __init__(
        self, encoder: Encoder, labels: LabelSet, end: int, layout: PromptOrder
    ) -> None:
        task = build_instruction_ner_v1()
        self.bound = task.bind(encoder, labels, end, layout=layout)

    def records(
        self, words: TokenizedWords, start: int, end: int, labels: Sequence[str]
    ) -> list[TrainingRecord]:
        """For each of these labels the answer that a span [start, end) has it. The
        likelihoods of their weighted ids, each among the ids allowed in its place, are a
        distribution over the labels."""
        bound = self.bound
        prompt = bound.prompts.make(TYPING, words, [(start, end, "")])
        alike = words.text + bound.prompts.after_sentence(TYPING)
        shared = alike == prompt.suffix[: len(alike)]
        # What follows a label's words tells it from one that goes on.
        stop = bound.format.closing[:1]
        choices = Trie([bound.format.tails[bound.index[label]] for label in labels])
        records: list[TrainingRecord] = []
        for label in labels:
            lead, span, tail, *_ = write_answer(
                words, bound.format, [(start, end, bound.index[label])]
            )
            given = lead.ids + span.ids
            answer = given + tail.ids + stop
            pieces = (Trie([("", given)]), choices, Trie([("", stop)]))
            records.append(
                TrainingRecord(
                    prompt.prefix,
                    prompt.suffix,
                    answer,
                    (0.0,) * len(given) + (1.0,) * (len(answer) - len(given)),
                    TYPING,
                    shared=len(alike) if shared else 0,
                    allowed=allowed_tokens_in_pieces(pieces, answer),
                )
            )
        return records
