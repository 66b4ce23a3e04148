"""Annotated texts to learn from, and training by hand."""

from pathlib import Path

import spacy
import torch
from confection import Config
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from helpers.pipelines import LORA, MakeNLP
from helpers.places import ROOT
from spacy_instructner.models.lora import adapter_state
from spacy_instructner.models.thinc_model import get_backbone

TRAIN = [
    ("Anna met Bert in Paris.", [(0, 1, "PERSON"), (2, 3, "PERSON"), (4, 5, "PLACE")]),
    ("Paris Brown lives in Rome.", [(0, 2, "PERSON"), (4, 5, "PLACE")]),
    ("It is an old place.", []),
    ("Rome, Paris and Anna", [(0, 1, "PLACE"), (2, 3, "PLACE"), (4, 5, "PERSON")]),
]


def gold_docs(nlp: Language) -> list[Doc]:
    docs = []
    for text, entities in TRAIN:
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, *entity) for entity in entities], default="outside")
        docs.append(doc)
    return docs


def examples(nlp: Language) -> list[Example]:
    return [Example(nlp.make_doc(doc.text), doc) for doc in gold_docs(nlp)]


def train_by_hand(nlp: Language, steps: int, sgd: Adam) -> list[float]:
    losses = []
    for _ in range(steps):
        losses.append(nlp.update(examples(nlp), sgd=sgd)["instruction_ner"])
    return losses


def initialized(make_nlp: MakeNLP, **config: object) -> Language:
    fix_random_seed(0)
    nlp = make_nlp(
        labels=[], model={"adapter": LORA, **config.pop("model", {})}, **config
    )
    nlp.initialize(lambda: examples(nlp))
    return nlp


def adapter(nlp: Language) -> dict[str, torch.Tensor]:
    hf = get_backbone(nlp.get_pipe("instruction_ner").model).hf
    return {name: tensor.clone() for name, tensor in adapter_state(hf).items()}


def tiny_fewshot(tiny_causal: Path, folder: Path, steps: int) -> Config:
    """`configs/fewshot.cfg` on a tiny model, from nothing, for all gold texts, which are
    written into a folder."""
    path = folder / "support.spacy"
    DocBin(docs=gold_docs(spacy.blank("en"))).to_disk(path)
    config = Config().from_disk(ROOT / "configs" / "fewshot.cfg", interpolate=False)
    config["paths"]["train"] = str(path)
    config["corpora"]["train"]["protocol"] = "all"
    config["training"].update(max_steps=steps, eval_frequency=steps)
    model = config["components"]["instruction_ner"]["model"]
    model.update(name=str(tiny_causal), precision="float32", start=None, layers=None)
    return config
