"""Documents and requests as INCEpTION sends them, made with cassis."""

from collections.abc import Sequence
from typing import Any

from cassis import Cas, TypeSystem

from spacy_instructner.char_spans import CharSpan

LAYER = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"
SEGMENTATION = "de.tudarmstadt.ukp.dkpro.core.api.segmentation.type"
PREDICTED = "inception_internal_predicted"


def make_types(more: bool = True, label: str = "uima.cas.String") -> TypeSystem:
    """The types of a project with a layer of entities. more: with the features that are
    there for predictions; label: the type of the feature that is predicted."""
    types = TypeSystem()
    layer = types.create_type(LAYER, supertypeName="uima.tcas.Annotation")
    types.create_feature(layer, "value", label)
    types.create_feature(layer, "identifier", "uima.cas.String")
    if more:
        types.create_feature(layer, PREDICTED, "uima.cas.Boolean")
        types.create_feature(layer, "value_score", "uima.cas.Double")
        types.create_feature(layer, "value_score_explanation", "uima.cas.String")
    for name in ("Token", "Sentence"):
        types.create_type(f"{SEGMENTATION}.{name}", "uima.tcas.Annotation")
    return types


def make_cas(
    types: TypeSystem,
    sentences: Sequence[str],
    spans: Sequence[CharSpan] = (),
    tokens: bool = True,
) -> Cas:
    """A document of sentences, a line each, whose tokens have spaces between them."""
    cas = Cas(types)
    cas.sofa_string, cas.sofa_mime = "\n".join(sentences), "text/plain"
    at = 0
    for sentence in sentences:
        make: Any = types.get_type(f"{SEGMENTATION}.Sentence")
        cas.add(make(begin=at, end=at + len(sentence)))
        make = types.get_type(f"{SEGMENTATION}.Token")
        begin = at
        for word in sentence.split(" ") if tokens else ():
            cas.add(make(begin=begin, end=begin + len(word)))
            begin += len(word) + 1
        at += len(sentence) + 1
    layer: Any = types.get_type(LAYER)
    for start, end, label in spans:
        cas.add(layer(begin=start, end=end, value=label))
    return cas


def request_of(types: TypeSystem, *cases: Cas, train: bool = False) -> dict[str, Any]:
    """The body of a request about one document, or about several."""
    documents = [
        {"xmi": cas.to_xmi(), "documentId": at, "userId": "ann"}
        for at, cas in enumerate(cases)
    ]
    return {
        "metadata": {
            "layer": LAYER,
            "feature": "value",
            "projectId": 1337,
            "anchoringMode": "tokens",
            "crossSentence": False,
            "range": {"begin": 0, "end": 10},
        },
        "typeSystem": types.to_xml(),
        **({"documents": documents} if train else {"document": documents[0]}),
    }
