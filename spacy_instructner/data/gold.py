"""From an Example to gold entities: on the tokens of its predicted Doc, within one
window, and of those, what an answer can say. Source: ours."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spacy.tokens import Span, Token
from spacy.training import Example

from ..decoding.answers import TokenizedWords
from ..formats.docs import lost_in, runs
from ..tasks.base import Entity, Gold
from ..tasks.labels import labels_of
from ..windows import Window


@dataclass(frozen=True)
class AlignedGold:
    """An Example's entities on the tokens of its predicted Doc.

    misaligned: gold entities that no run of those tokens covers exactly, and those that
    were left out when a file was read; unlabelled: stretches of tokens without
    annotation, in a text that has some. (spaCy makes such stretches of entities that
    it cannot align; their labels are lost.)"""

    gold: Gold
    misaligned: tuple[Span, ...] = ()
    unlabelled: tuple[Span, ...] = ()


def read_example(example: Example) -> AlignedGold:
    """The gold entities, aligned to the predicted tokens. Tokens without annotation are
    missing; those of an entity that cannot be aligned are lost to its label alone."""
    reference = example.reference
    tokens = len(example.predicted)
    # Where all is lost to some labels, others are annotated.
    if not reference.has_annotation("ENT_IOB") and not lost_in(reference):
        return AlignedGold(Gold((), frozenset(range(tokens))))
    entities: list[Entity] = []
    misaligned = [Span(reference, *each) for each in lost_in(reference)]
    labelled = {token.i for span in misaligned for token in span}
    for entity in reference.ents:
        aligned = example.get_aligned_spans_y2x([entity], allow_overlap=False)
        if len(aligned) == 1 and aligned[0].text == entity.text:
            span = aligned[0]
            entities.append((span.start, span.end, entity.label_))
        else:
            misaligned.append(entity)
    unannotated = [t.i for t in reference if t.ent_iob == 0 and t.i not in labelled]
    covered = {token for start, end, _ in entities for token in range(start, end)}
    touched = [_predicted(example, span) - covered for span in misaligned]
    of_label = set[int]().union(*touched)
    # What spaCy finds no tag for, but for those that are lost to one label alone.
    untagged = {i for i, tag in enumerate(example.get_aligned_ner()) if tag is None}
    unknown = _predicted(example, unannotated) | (untagged - of_label)
    lost = tuple(
        (start, end, span.label_)
        for span, own in zip(misaligned, touched)
        for start, end in runs(own)
    )
    return AlignedGold(
        Gold(tuple(entities), frozenset(unknown - covered), lost),
        tuple(sorted(misaligned)),
        tuple(reference[start:end] for start, end in runs(unannotated)),
    )


def _predicted(example: Example, tokens: Iterable[Token | int]) -> set[int]:
    """The predicted tokens that share text with some of the reference's."""
    aligned = example.alignment.y2x
    own = (token if isinstance(token, int) else token.i for token in tokens)
    return {int(each) for token in own for each in aligned[token]}


def writable(
    gold: Gold, words: TokenizedWords, labels: Sequence[str], max_span: int
) -> Gold:
    """The entities that an answer can say: with one of these labels, between words
    that can be written, no longer than `max_span` (0: any length).

    An entity with another label counts as none, as its label is not asked for. One that
    cannot be said is not learned at all: its tokens are lost to its label."""
    entities: list[Entity] = []
    lost = [each for each in gold.lost if each[2] in labels]
    for start, end, label in gold.entities:
        if label not in labels:
            continue
        borders = words.writable(start) and words.writable(end - 1)
        if borders and (not max_span or end - start <= max_span):
            entities.append((start, end, label))
        else:
            lost.append((start, end, label))
    return Gold(tuple(entities), gold.missing, tuple(lost))


def within(gold: Gold, window: Window) -> Gold:
    """What is known of a window, counted from its start. An entity that the window cuts
    is not learned there, nor are its tokens learned as being no entity of its label."""
    entities: list[Entity] = []
    lost: list[Entity] = []
    for known, to in ((gold.entities, entities), (gold.lost, lost)):
        for start, end, label in known:
            if window.start <= start and end <= window.end:
                to.append((start, end, label))
            elif start < window.end and window.start < end:
                lost.append((max(start, window.start), min(end, window.end), label))
    shift = window.start
    return Gold(
        tuple((start - shift, end - shift, label) for start, end, label in entities),
        frozenset(i - shift for i in gold.missing if window.start <= i < window.end),
        tuple((start - shift, end - shift, label) for start, end, label in lost),
    )


@dataclass(frozen=True)
class Survey:
    """What a sample of training data holds, before any of it is learned.

    counts: entities by label, in the texts that ask for the component's labels;
    asks: whether there is such a text (others bring labels of their own); misaligned,
    unlabelled: see `AlignedGold`; incomplete: the Examples in which some of these are."""

    counts: Counter[str]
    asks: bool
    misaligned: tuple[Span, ...]
    unlabelled: tuple[Span, ...]
    incomplete: tuple[Example, ...]


def survey(examples: Iterable[Example]) -> Survey:
    """Look through Examples once. Raises ValueError for labels of a Doc's own that are
    no labels."""
    counts: Counter[str] = Counter()
    misaligned: list[Span] = []
    unlabelled: list[Span] = []
    incomplete: list[Example] = []
    asks = False
    for example in examples:
        aligned = read_example(example)
        misaligned.extend(aligned.misaligned)
        unlabelled.extend(aligned.unlabelled)
        if aligned.misaligned or aligned.unlabelled:
            incomplete.append(example)
        if labels_of(example.predicted) is None:
            asks = True
            counts.update(span.label_ for span in example.reference.ents)
    return Survey(counts, asks, tuple(misaligned), tuple(unlabelled), tuple(incomplete))
