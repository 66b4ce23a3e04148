"""The adapters that come with the package."""

import json
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from safetensors.torch import load_file
from spacy.training import Example

from helpers.places import ROOT, SHARED
from spacy_instructner.data.corpora import read_docs
from spacy_instructner.files import sha256_of
from spacy_instructner.models import storage
from spacy_instructner.models.lora import LoRA
from spacy_instructner.models.pretrained_adapters import SHIPPED
from spacy_instructner.scoring.scoring_request import SpanHeadConfig
from spacy_instructner.tasks.just_pass_twice import build_just_pass_twice_v1
from spacy_instructner.weights.sources import (
    DEFAULT_MODEL,
    KNOWN_SHA256,
    fetch,
)

ASSETS = ROOT / "assets" / "workshop"


def shipped() -> list[Path]:
    return sorted(path.parent for path in SHIPPED.glob("*/info.json"))


def test_the_default_weights_have_one_that_writes_and_one_that_scores() -> None:
    infos = [json.loads((folder / storage.INFO).read_text()) for folder in shipped()]
    for info in infos:
        assert info["identity"]["source"] == DEFAULT_MODEL
        assert info["identity"]["sha256"] == KNOWN_SHA256[DEFAULT_MODEL]
        # The shape that configs ask for unless they say otherwise.
        assert LoRA(**info["adapter"]) == LoRA()
    writes, scores = infos
    assert writes.get("head") is None and writes.get("layers") is None
    assert SpanHeadConfig(**scores["head"]) == build_just_pass_twice_v1().head
    assert scores["layers"] == 24


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
    for source in catalog_of(info):
        assert source in card, source
    # Nothing of where it was made.
    assert not Path(info["identity"]["source"]).is_absolute()
    files = {path.name for path in folder.iterdir()}
    files -= {"LICENSE-WordNet"}
    assert files == {"README.md", "LICENSE", storage.INFO, storage.ADAPTER_FILE}


def catalog_of(info: dict[str, Any]) -> list[str]:
    """The sources that an adapter with a head has learned from, where they are here."""
    data, base = SHARED / "base", ROOT / "assets" / "base"
    if not info.get("head") or not data.is_dir():
        return []
    held_out = json.loads((base / "held_out.json").read_text("utf8"))["sources"]
    folders = {path.parent.name for path in data.glob("*/dataset.json")}
    assert len(folders) > 40 and set(held_out) & folders
    return sorted(
        "recognizers" if name.startswith("recognizers") else name
        for name in folders - set(held_out)
    )


@pytest.mark.long
@pytest.mark.parametrize("task", ["CLLMFS", "InstructionNER"])
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
                **own,
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


@pytest.mark.long
def test_labels_alone_are_enough_by_default() -> None:
    """The same, better than by written answers; without the adapter there is no head."""
    fetch()
    nlp = spacy.blank("en")
    docs, _ = read_docs(ASSETS / "test.jsonl", nlp)
    docs = docs[:30]
    labels = sorted({ent.label_ for doc in docs for ent in doc.ents})
    found = []
    for own in ({}, {"task": {"@misc": "spacy-instructner.CLLMFS.v1"}}):
        nlp = spacy.blank("en")
        nlp.add_pipe("instruction_ner", config={"labels": labels, **own})
        examples = [Example(nlp.make_doc(d.text), d) for d in docs]
        found.append(nlp.evaluate(examples)["ents_f"])
    default, written = found
    assert default > max(0.4, written)
    nlp = spacy.blank("en")
    config = {"labels": labels, "model": {"start": None}}
    nlp.add_pipe("instruction_ner", config=config)
    with pytest.raises(ValueError, match="no head to score spans with"):
        nlp(docs[0].text)
