"""The adapters that come with the package."""

import json
from pathlib import Path

import pytest
import spacy
import torch
from safetensors.torch import load_file
from spacy.training import Example

from helpers.places import ROOT
from spacy_instructner.data.corpora import read_docs
from spacy_instructner.files import sha256_of
from spacy_instructner.models import storage
from spacy_instructner.models.lora import LoRA
from spacy_instructner.models.pretrained_adapters import SHIPPED
from spacy_instructner.weights.sources import (
    DEFAULT_MODEL,
    KNOWN_SHA256,
    fetch,
)

ASSETS = ROOT / "assets" / "workshop"


def shipped() -> list[Path]:
    return sorted(path.parent for path in SHIPPED.glob("*/info.json"))


def test_the_default_weights_have_one() -> None:
    infos = [json.loads((folder / storage.INFO).read_text()) for folder in shipped()]
    assert [info["identity"]["source"] for info in infos] == [DEFAULT_MODEL]
    assert infos[0]["identity"]["sha256"] == KNOWN_SHA256[DEFAULT_MODEL]
    # The shape that configs ask for unless they say otherwise.
    assert LoRA(**infos[0]["adapter"]) == LoRA()


@pytest.mark.parametrize("folder", shipped(), ids=lambda folder: folder.name)
def test_it_is_whole_small_and_says_what_it_is(folder: Path) -> None:
    path = folder / storage.ADAPTER_FILE
    info = json.loads((folder / storage.INFO).read_text())
    assert info["files"] == {path.name: sha256_of([path])}
    assert path.stat().st_size <= 12e6
    assert {own.dtype for own in load_file(str(path)).values()} == {torch.bfloat16}
    card = (folder / "README.md").read_text(encoding="utf8")
    for needed in ("CC BY-SA 4.0", "Few-NERD", "WNUT-17", info["files"][path.name]):
        assert needed in card
    # Nothing of where it was made.
    assert not Path(info["identity"]["source"]).is_absolute()
    files = {path.name for path in folder.iterdir()}
    assert files == {"README.md", "LICENSE", storage.INFO, storage.ADAPTER_FILE}


@pytest.mark.long
@pytest.mark.parametrize("task", ["by default", "InstructionNER"])
def test_labels_alone_are_enough(task: str) -> None:
    """Zero-shot on texts of a subject that it has never seen; the raw model finds
    next to nothing."""

    fetch()
    own = {"task": {"@misc": f"spacy-instructner.{task}.v1"}}

    def f1(start: str) -> float:
        nlp = spacy.blank("en")
        docs, _ = read_docs(ASSETS / "test.jsonl", nlp)
        docs = docs[:30]
        pipe = nlp.add_pipe(
            "instruction_ner",
            config={
                "labels": sorted({ent.label_ for doc in docs for ent in doc.ents}),
                **({} if task == "by default" else own),
                "model": {
                    "@architectures": "spacy-instructner.CausalLM.v1",
                    "start": start or None,
                },
            },
        )
        assert pipe is not None
        nlp.initialize()
        return nlp.evaluate([Example(nlp.make_doc(d.text), d) for d in docs])["ents_f"]

    raw, base = f1(""), f1("auto")
    assert base > raw + 0.1
