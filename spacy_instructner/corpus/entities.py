"""The entities of a Doc by characters, with their scores. Source: ours."""

from spacy.tokens import Doc

from ..annotations import scores_on
from ..char_spans import CharSpan, ScoredCharSpan
from ..span_groups import characters_of


def entities_of(doc: Doc) -> list[CharSpan]:
    """The entities of a Doc, in text order."""
    return [characters_of(ent) for ent in doc.ents]


def scored_entities_of(doc: Doc) -> list[ScoredCharSpan]:
    """The entities of a Doc with their scores, in text order. The score is None where
    no component of this process wrote one."""
    scores = scores_on(doc)
    return [(*entity, scores.get(entity)) for entity in entities_of(doc)]


def scored_spans_of(doc: Doc) -> list[ScoredCharSpan]:
    """All spans of a Doc that components of this process gave a score, in text order."""
    return [(*span, score) for span, score in sorted(scores_on(doc).items())]
