"""Between UIMA CAS, as INCEpTION sends documents, and texts with entities.

cassis turns the UTF-16 offsets of XMI into Python's, and back. Source: ours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cassis import Cas, TypeSystem, load_cas_from_xmi, load_typesystem

from spacy_instructner.char_spans import CharSpan, ScoredCharSpan
from spacy_instructner.formats.rows import Row

SEGMENTATION = "de.tudarmstadt.ukp.dkpro.core.api.segmentation.type"
TOKEN, SENTENCE = f"{SEGMENTATION}.Token", f"{SEGMENTATION}.Sentence"
# Tells predictions from annotations; of the layer, for the time of a request.
PREDICTED = "inception_internal_predicted"
STRING = "uima.cas.String"


@dataclass(frozen=True)
class AnnotationLayer:
    """What is predicted. name: of the layer, a type of the CAS; feature: of the layer, that
    holds the label."""

    name: str
    feature: str


def check_xml(xml: str) -> None:
    """Raises ValueError for XML that could make a reader expand entities without end, or
    read files. UIMA writes none of it; in texts, `<` is escaped."""
    if "<!" in xml:
        raise ValueError("XML with a document type or comments is not read.")


def read_type_system(xml: str, layer: AnnotationLayer) -> TypeSystem:
    """A type system. Raises ValueError for what is none, and for one without the layer or
    its feature, or in which the feature is no text."""
    check_xml(xml)
    try:
        types = load_typesystem(xml)
    except Exception as error:
        # lxml and cassis each have their own.
        raise ValueError(f"The type system cannot be read: {error}") from error
    if not types.contains_type(layer.name):
        raise ValueError(f"The type system has no layer {layer.name}.")
    feature = types.get_type(layer.name).get_feature(layer.feature)
    if feature is None or feature.rangeType.name != STRING:
        raise ValueError(
            f"The layer {layer.name} has no feature {layer.feature!r} that holds a text. "
            "Labels are texts."
        )
    return types


def read_cas(xmi: str, types: TypeSystem) -> Cas:
    """A document. Raises ValueError for what is none, and for one without a text."""
    check_xml(xmi)
    try:
        cas = load_cas_from_xmi(xmi, typesystem=types)
    except Exception as error:
        raise ValueError(f"The document cannot be read: {error}") from error
    if not isinstance(cas.sofa_string, str):
        raise ValueError("The document has no text.")
    return cas


def sentences_of(cas: Cas, where: str) -> list[tuple[int, Row]]:
    """The sentences of a document with their tokens, and where each begins; the whole
    document where it has no sentences."""
    return [(begin, _part(cas, where, begin, end, ())) for begin, end in _borders(cas)]


def annotated_sentences(cas: Cas, layer: AnnotationLayer, where: str) -> list[Row]:
    """The sentences in which somebody annotated something, as nobody says of the others
    whether they were looked at. A document without sentences is one. A sentence that has
    only a part of an annotation is left out."""
    spans = sorted(_annotations(cas, layer))
    rows = []
    for begin, end in _borders(cas):
        touched = [span for span in spans if span[0] < end and begin < span[1]]
        inside = [span for span in touched if begin <= span[0] and span[1] <= end]
        if inside and inside == touched:
            rows.append(_part(cas, where, begin, end, inside))
    return rows


def add_predictions(
    cas: Cas, layer: AnnotationLayer, found: Iterable[ScoredCharSpan]
) -> None:
    """Add entities to a document as annotations of a layer that are marked as predicted.
    The features that INCEpTION adds for this are set where they are there."""
    type_ = cas.typesystem.get_type(layer.name)
    score_feature = f"{layer.feature}_score"
    for start, end, label, score in found:
        values: dict[str, Any] = {"begin": start, "end": end, layer.feature: label}
        if type_.get_feature(PREDICTED) is not None:
            values[PREDICTED] = True
        if score is not None and type_.get_feature(score_feature) is not None:
            values[score_feature] = score
        cas.add(type_(**values))


def _annotations(cas: Cas, layer: AnnotationLayer) -> list[CharSpan]:
    """Those that have a label and are no predictions."""
    return [
        (each.begin, each.end, label)
        for each in cas.select(layer.name)
        if (label := each.get(layer.feature)) and not each.get(PREDICTED)
    ]


def _select(cas: Cas, name: str) -> list[Any]:
    """The annotations of a type, none where there is no such type."""
    return list(cas.select(name)) if cas.typesystem.contains_type(name) else []


def _borders(cas: Cas) -> list[tuple[int, int]]:
    found = [(each.begin, each.end) for each in _select(cas, SENTENCE)]
    return found or [(0, len(cas.sofa_string))]


def _part(cas: Cas, where: str, begin: int, end: int, spans: Iterable[CharSpan]) -> Row:
    """A part of a document as a text of its own, with the tokens in it where these are all
    of its words."""
    text = cas.sofa_string[begin:end]
    places = [(each.begin, each.end) for each in _select(cas, TOKEN)]
    words = [cas.sofa_string[a:b] for a, b in places if begin <= a < b <= end]
    whole = "".join(words) == "".join(text.split())
    own = tuple((a - begin, b - begin, label) for a, b, label in spans)
    return Row(where, text, tuple(words) if words and whole else None, own)
