"""Annotated texts to learn from, and training by hand."""

import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from helpers.pipelines import LORA, MakeNLP
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
