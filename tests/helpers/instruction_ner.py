"""Labels, a text and records of InstructionNER."""

from collections.abc import Sequence

from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold, TrainingRecord
from spacy_instructner.tasks.instruction_ner import InstructionNER
from spacy_instructner.tasks.labels import make_label_set

LABELS = make_label_set(
    ["TITLE", "genre", "Actor", "RATINGS-AVERAGE"],
    {},
    {"TITLE": "the name of a film"},
)
TEXT = "are there any slow burn movies with ada quill".split()
GOLD = Gold(((3, 5, "genre"), (7, 9, "Actor")))


def records(
    encoder: TextEncoder,
    task: InstructionNER,
    gold: Gold = GOLD,
    layout: str = "text_last",
    text: Sequence[str] = TEXT,
) -> dict[str, TrainingRecord]:
    end = encoder.tokenizer.eos_token_id
    bound = task.bind(encoder, LABELS, end, layout=layout)  # type: ignore[arg-type]
    words = encoder.words(text, [bool(i) for i in range(len(text))], 50)
    made = bound.records(words, gold)
    assert len({record.task for record in made}) == len(made)
    return {record.task: record for record in made}


def prompt(encoder: TextEncoder, record: TrainingRecord) -> str:
    return encoder.tokenizer.decode(record.prefix + record.suffix)


def answer(encoder: TextEncoder, record: TrainingRecord) -> str:
    return encoder.tokenizer.decode(record.answer)
