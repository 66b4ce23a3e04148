"""Texts of which a component says what it finds, before it learns from them. Source: ours."""

from collections.abc import Iterable, Mapping, Sequence

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import get_lang_class

from ..component import InstructionNERPipe
from ..data.blank_docs import without_annotation
from ..evaluation.support_set import training_seed
from ..tasks.labels import LABELS_KEY
from ..training.pseudo_labels import PseudoLabels, add_pseudo_labels, pseudo_labels


def cutter(nlp: Language | None, pipe: InstructionNERPipe) -> Language:
    """What cuts texts into words: the pipeline, or its language where it is not known."""
    vocab = pipe.vocab
    return nlp or get_lang_class(vocab.lang or "xx")(vocab=vocab)


def seed_of(nlp: Language | None) -> int:
    """The seed of the pipeline's config; 0 where there is none."""
    return training_seed(nlp.config) if nlp else 0


def own_texts(examples: Iterable[Example]) -> list[Doc]:
    """The texts of Examples, each once, without annotation and without labels of their own."""
    docs: dict[str, Doc] = {}
    for example in examples:
        if example.predicted.text.strip() and example.predicted.text not in docs:
            docs[example.predicted.text] = bare(example.predicted)
    return list(docs.values())


def bare(doc: Doc) -> Doc:
    """The words of a text, without annotation and without labels of its own."""
    own = without_annotation(doc)
    own.user_data.pop(LABELS_KEY, None)
    return own


def prepare(
    nlp: Language | None, pipe: InstructionNERPipe, docs: Sequence[Doc]
) -> list[Doc]:
    """Docs with what the components say of them that annotate in front of this one during
    training (`[training] annotating_components`), such as where sentences begin. Entities stay, and
    all else is outside of them."""
    first = []
    if nlp is not None:
        named = nlp.config.interpolate()["training"]["annotating_components"]
        for name, each in nlp.components:
            if each is pipe:
                break
            first += [each] if name in named else []
    made = []
    for doc in docs:
        entities = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        for each in first:
            doc = each(doc)
        own = [Span(doc, *entity) for entity in entities]
        doc.set_ents(own, default="outside")
        made.append(doc)
    return made


def found_in(
    pipe: InstructionNERPipe,
    docs: Sequence[Doc],
    labels: Mapping[str, Mapping[str, str]] | None = None,
    bound: float | None = None,
) -> list[PseudoLabels]:
    """What a component finds in texts now.

    labels (Optional[Mapping]): what all are asked for, in place of the labels that they bring or
        those of the component: "name" and "definition" of each.
    bound (Optional[float]): the lowest score of what is sure, in place of the component's
        thresholds.
    RETURNS (list[PseudoLabels]): of each text."""
    threshold, thresholds = pipe.cfg["threshold"], pipe.cfg["thresholds"]
    if bound is not None:
        threshold, thresholds = bound, {}
    return [
        pseudo_labels(doc, prediction.found, threshold, thresholds)
        for doc, prediction in zip(docs, pipe.predict(docs, labels=labels))
    ]


def self_annotated(
    docs: Sequence[Doc], found: Sequence[PseudoLabels]
) -> tuple[Doc, ...]:
    """Docs with what was found in them."""
    return tuple(add_pseudo_labels(doc, own) for doc, own in zip(docs, found))
