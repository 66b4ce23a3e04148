"""The layers of the package, which docs/architecture.md shows."""

from pathlib import Path

import spacy_instructner

PACKAGE = Path(spacy_instructner.__file__).parent
# From the ground up. A module or folder may import those of the layers before its own, and
# itself. Those of one layer do not know each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("char_spans", "files", "locks", "callbacks", "config_checks", "span_getters"),
    ("span_groups", "formats", "weights", "decoding"),
    ("scoring",),
    ("tasks",),
    ("models",),
    ("windows", "calibration"),
    ("resolve", "data"),
    ("training", "annotations", "binding", "predictions", "claims"),
    ("architectures", "settings", "state"),
    ("saving",),
    ("component",),
    ("factory",),
    ("corpus",),
    ("evaluation",),
    ("pretraining", "serving", "fewshot", "adaptation"),
    ("cli",),
)
