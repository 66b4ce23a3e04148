"""What pipelines of the tests have in common; the fixture `make_nlp` makes them."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest
from spacy.language import Language

MakeNLP = Callable[..., Language]
KINDS = ("causal", "t5", "bart")
DEFINITIONS = {"PERSON": "somebody's name", "PLACE": "a town", "CITY": "a big town"}
LORA = {"@misc": "spacy-instructner.LoRA.v1", "r": 4, "alpha": 8}
SPACY_TRANSFORMERS = find_spec("spacy_transformers") is not None

on_every_kind = pytest.mark.parametrize(
    "make_nlp",
    [f"{kind}{method}" for method in ("", " cllmfs") for kind in KINDS],
    indirect=True,
)
