"""What a pipeline predicts for annotated texts, beside their annotation. Source: ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ..char_spans import CharSpan, ScoredCharSpan
from ..corpus.entities import entities_of, scored_entities_of
from ..corpus.piped import Failure, annotate_each
from ..data.blank_docs import without_annotation


@dataclass(frozen=True)
class PredictedTexts:
    """Annotated and predicted entities, text by text.

    gold: the annotated entities of each text; found: the predicted entities with their
    scores, one list for each list of `gold`; failures: number (from 1) of each text that
    could not be annotated, and the reason. Such a text is left out of `gold` and
    `found`."""

    gold: list[list[CharSpan]]
    found: list[list[ScoredCharSpan]]
    failures: list[tuple[int, str]]


def predict_texts(nlp: Language, docs: Sequence[Doc]) -> PredictedTexts:
    """Annotate texts that are annotated already, and keep both annotations.

    nlp (Language): the pipeline.
    docs (Sequence[Doc]): annotated texts; the pipeline gets their tokens as they are.
    RETURNS (PredictedTexts): both annotations. Raises ValueError where the pipeline fails
        for every text."""
    own = list(DocBin(docs=docs).get_docs(nlp.vocab))
    answers = annotate_each(
        nlp, [partial(_blank_docs, doc) for doc in own], nlp.batch_size
    )
    result = PredictedTexts([], [], [])
    for number, (doc, answer) in enumerate(zip(own, answers), 1):
        if isinstance(answer, Failure):
            result.failures.append((number, answer.why))
        else:
            result.gold.append(entities_of(doc))
            result.found.append(scored_entities_of(answer))
    if own and not result.gold:
        _, why = result.failures[0]
        raise ValueError(f"None of the {len(own)} texts could be annotated: {why}.")
    return result


def _blank_docs(doc: Doc) -> list[Doc]:
    return [without_annotation(doc)]
