"""Few-shot and zero-shot named-entity recognition for spaCy with
instruction-following language models."""

from importlib.metadata import version

__version__ = version("spacy-instructner")
