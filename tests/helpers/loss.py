"""Labels of which one begins with another's words."""

from spacy_instructner.decoding.answers import TokenizedWords
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.labels import make_label_set

# One label's words begin another's.
LABELS = make_label_set(
    ["PERSON", "PLACE", "OLD"],
    {"OLD": "place of old"},
    {"PERSON": "a name", "PLACE": "a town", "OLD": "a ruin"},
)


def encoded(encoder: TextEncoder, text: str) -> TokenizedWords:
    parts = text.split()
    return encoder.words(parts, [bool(i) for i in range(len(parts))], 50)
