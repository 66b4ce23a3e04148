"""Strict scores of a pipeline under two protocols. Source: ours; precision, recall and
F1 are those of spaCy's scorer."""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from spacy.language import Language
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..corpus.pipelines import find_component
from ..data.blank_docs import without_annotation
from ..models.thinc_model import get_inference_backbone

# The texts of a protocol, by the labels that are asked of them.
TextsByLabels = Mapping[tuple[str, ...], Sequence[Doc]]
# Precision, recall and F1 as spaCy's scorer has them (None where there is nothing to
# count), and "texts", "entities" and "seconds".
Scores = dict[str, Any]


def evaluate(nlp: Language, docs: Sequence[Doc]) -> dict[str, Scores]:
    """Score a pipeline with one instruction_ner component on annotated texts.

    nlp (Language): the pipeline.
    docs (Sequence[Doc]): annotated texts; the pipeline gets their tokens as they are.
    RETURNS (dict[str, Scores]): the scores of each protocol. "all_types" asks every
        text for every label of the component. "types_known" asks a text for the labels
        that occur in it and leaves texts without entities out. Seconds are of
        annotation alone. Raises ValueError as `find_component` does, and OSError where
        the weights are missing."""
    name, pipe = find_component(nlp)
    # Weights are loaded before the clock runs.
    get_inference_backbone(pipe.model)
    known: dict[tuple[str, ...], list[Doc]] = {}
    for doc in docs:
        if has := {ent.label_ for ent in doc.ents}:
            asked = tuple(label for label in pipe.labels if label in has)
            known.setdefault(asked, []).append(doc)
    protocols: dict[str, TextsByLabels] = {
        "all_types": {pipe.labels: docs},
        "types_known": known,
    }
    return {protocol: _score(nlp, name, of) for protocol, of in protocols.items()}


def _score(nlp: Language, name: str, texts: TextsByLabels) -> Scores:
    examples: list[Example] = []
    seconds = 0.0
    for labels, docs in texts.items():
        begin = perf_counter()
        cfg = {name: {"labels": labels}}
        # The component cannot be asked for nothing.
        skipped = [] if labels else [name]
        found = list(
            nlp.pipe(map(without_annotation, docs), component_cfg=cfg, disable=skipped)
        )
        seconds += perf_counter() - begin
        for doc, predicted in zip(docs, found, strict=True):
            gold = without_annotation(doc)
            entities = [Span(gold, ent.start, ent.end, ent.label) for ent in doc.ents]
            gold.set_ents(entities, default="outside")
            examples.append(Example(predicted, gold))
    count = sum(len(example.reference.ents) for example in examples)
    counts = {"texts": len(examples), "entities": count, "seconds": seconds}
    return {**get_ner_prf(examples), **counts}
