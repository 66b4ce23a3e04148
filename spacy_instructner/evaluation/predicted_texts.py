"""What a pipeline predicts for annotated texts, beside their annotation. Source: ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ..char_spans import CharSpan, ScoredCharSpan
from ..corpus.entities import entities_of, scored_entities_of, scored_spans_of
from ..corpus.piped import Failure, annotate_each
from ..data.blank_docs import without_annotation
from ..resolve import Found, choose


@dataclass(frozen=True)
class PredictedTexts:
    """Annotated and predicted entities, text by text.

    gold: the annotated entities of each text; found: the predicted entities with their
    scores, one list for each list of `gold`; spans: the same of all spans that have a
    score, whether they are entities or not; failures: number (from 1) of each text that
    could not be annotated, and the reason. Such a text is left out of the others."""

    gold: list[list[CharSpan]]
    found: list[list[ScoredCharSpan]]
    spans: list[list[ScoredCharSpan]]
    failures: list[tuple[int, str]]

    def entities_above(
        self, threshold: float, thresholds: Mapping[str, float]
    ) -> list[list[ScoredCharSpan]]:
        """What would be entities of each text with these thresholds."""
        return [
            entities_above(found, spans, threshold, thresholds)
            for found, spans in zip(self.found, self.spans)
        ]


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
    result = PredictedTexts([], [], [], [])
    for number, (doc, answer) in enumerate(zip(own, answers), 1):
        if isinstance(answer, Failure):
            result.failures.append((number, answer.why))
        else:
            result.gold.append(entities_of(doc))
            result.found.append(scored_entities_of(answer))
            result.spans.append(scored_spans_of(answer))
    if own and not result.gold:
        _, why = result.failures[0]
        raise ValueError(f"None of the {len(own)} texts could be annotated: {why}.")
    return result


def label_by_label(spans: Sequence[ScoredCharSpan]) -> list[ScoredCharSpan]:
    """The spans that would be entities if each label were asked for alone."""
    labels = dict.fromkeys(span[2] for span in spans)
    return [
        kept
        for label in labels
        for kept in _chosen([span for span in spans if span[2] == label], [], 0.0, {})
    ]


def entities_above(
    found: Sequence[ScoredCharSpan],
    spans: Sequence[ScoredCharSpan],
    threshold: float,
    thresholds: Mapping[str, float],
) -> list[ScoredCharSpan]:
    """The entities of a text with these thresholds.

    found: its entities; those without a score are of others, and stay; spans: all that
    have a score."""
    others = [span for span in found if span[3] is None]
    taken = [(span[0], span[1]) for span in others]
    return others + _chosen(spans, taken, threshold, thresholds)


def _chosen(
    spans: Sequence[ScoredCharSpan],
    taken: Sequence[tuple[int, int]],
    threshold: float,
    thresholds: Mapping[str, float],
) -> list[ScoredCharSpan]:
    """As a component chooses, by characters in the place of tokens."""
    nan = float("nan")
    found = [Found(a, b, label, nan if p is None else p) for a, b, label, p in spans]
    chosen = choose(found, taken, threshold, thresholds)
    return [(each.start, each.end, each.label, each.score) for each in chosen]


def _blank_docs(doc: Doc) -> list[Doc]:
    return [without_annotation(doc)]
