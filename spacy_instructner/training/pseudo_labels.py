"""Pseudo-labels: what a model found in a text, as annotation to learn from.

    score   0 ────── floor ────────── threshold ────── 1
            none       │   unknown        │   target

Nothing is learned from what is unknown. Source: pseudo-labels (Lee 2013), which are the hard targets
of Learning without Forgetting (Li & Hoiem 2016, arXiv:1606.09282), too; that spans between the two
scores are unknown: ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spacy.tokens import Doc, Span

from ..char_spans import CharSpan
from ..formats.docs import LOST_KEY, lost_in, runs
from ..resolve import Found, choose


@dataclass(frozen=True)
class PseudoLabels:
    """What a model found in a text, by characters. sure: entities; unsure: stretches of which it
    is not known whether an entity of this label is there."""

    sure: tuple[CharSpan, ...] = ()
    unsure: tuple[CharSpan, ...] = ()


def pseudo_labels(
    doc: Doc,
    found: Sequence[Found],
    threshold: float,
    thresholds: Mapping[str, float] | None = None,
) -> PseudoLabels:
    """What of the spans that were found is sure.

    doc (Doc): the text that was asked about.
    found (Sequence[Found]): all spans that have a score, which reach the task's floor.
    threshold (float): the lowest score of an entity.
    thresholds (Optional[Mapping]): in its place, by label.
    RETURNS (PseudoLabels): the best spans that reach it and do not overlap, and those that do not
        reach it. A span that reaches it and overlaps a better one is none."""
    least = thresholds or {}
    chosen = choose(found, (), threshold, least)
    kept = {(each.start, each.end, each.label) for each in chosen}
    unsure = [
        each
        for each in found
        if (each.start, each.end, each.label) not in kept
        and not each.score >= least.get(each.label, threshold)
    ]
    return PseudoLabels(
        tuple(_characters(doc, each) for each in chosen),
        tuple(_characters(doc, each) for each in unsure),
    )


def _characters(doc: Doc, found: Found) -> CharSpan:
    span = doc[found.start : found.end]
    return (span.start_char, span.end_char, found.label)


def add_pseudo_labels(doc: Doc, labels: PseudoLabels) -> Doc:
    """A copy of an annotated Doc, with pseudo-labels where nothing is said yet.

    The annotation that is there stays. A sure span that overlaps it, or that does not fall on tokens,
    is unsure. Tokens of unsure spans that are in no entity become unknown for their label, as those
    of an entity that cannot be kept (`LOST_KEY`)."""
    made = doc.copy()
    lost = lost_in(doc)
    outside = {token.i for token in doc if token.ent_iob == 2}
    entities: list[Span] = []
    unsure = list(labels.unsure)
    for start, end, label in labels.sure:
        span = made.char_span(start, end, label=label)
        if span is not None and outside.issuperset(range(span.start, span.end)):
            entities.append(span)
        else:
            unsure.append((start, end, label))
    # What is lost to one label may be lost to others, too.
    open_ = outside.union(at for start, end, _ in lost for at in range(start, end))
    open_.difference_update(token.i for span in entities for token in span)
    unknown: set[int] = set()
    for label in dict.fromkeys(label for _, _, label in unsure):
        own = [(a, b) for a, b, other in unsure if other == label]
        tokens = open_.intersection(
            t.i for t in made for a, b in own if a < t.idx + len(t) and t.idx < b
        )
        lost += [(start, end, label) for start, end in runs(tokens)]
        unknown |= tokens
    made.set_ents(
        entities,
        missing=[made[start:end] for start, end in runs(unknown)],
        default="unmodified",
    )
    if lost:
        made.user_data[LOST_KEY] = [list(each) for each in lost]
    return made
