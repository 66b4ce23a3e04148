"""What is written on a Doc, and what is read off an Example. Source: ours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spacy.tokens import Doc, Span, Token
from spacy.training import Example

from .char_spans import CharSpan
from .decoding.answers import TokenizedWords
from .formats.docs import lost_in, runs
from .resolve import Found, choose
from .span_groups import characters_of, follow, make_group, scores_of
from .tasks.base import Entity, Gold
from .tasks.labels import LABELS_KEY, Labels
from .windows import Window


def labels_of(doc: Doc) -> Labels | None:
    """The labels that a Doc brings with it, if it does. Raises ValueError for what is
    neither a list of labels nor a mapping, and for none."""
    own = doc.user_data.get(LABELS_KEY)
    if own is not None and (not isinstance(own, (list, tuple, dict)) or not own):
        raise ValueError(
            f"Doc.user_data[{LABELS_KEY!r}] must be a list of labels, or a dict of what "
            f"they mean, with one label at least, not {own!r}."
        )
    return own


# The span groups that components of this process write.
KEYS: set[str] = set()


class ScoreLookup:
    """Getter of a span's score: by its characters and label, in the span groups of the
    components that asked for it; None where no score is known."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def __call__(self, span: Span) -> float | None:
        return scores_on(span.doc, self.keys).get(characters_of(span))


def scores_on(doc: Doc, keys: Iterable[str] | None = None) -> dict[CharSpan, float]:
    """The scores of a Doc's spans, by start, end (characters) and label.

    keys: span groups, the first of which has the last word; those that components of
    this process write, where nothing is said."""
    found: dict[CharSpan, float] = {}
    for key in sorted(KEYS if keys is None else keys, reverse=True):
        if key in doc.spans:
            found.update(scores_of(follow(doc, key)))
    return found


def register_score(extension: str, spans_key: str) -> None:
    """Make `Span._.<extension>` look scores up in this span group too.

    Raises ValueError where the extension exists and is somebody else's."""
    if not Span.has_extension(extension):
        Span.set_extension(extension, getter=ScoreLookup())
    lookup = Span.get_extension(extension)[2]
    if not isinstance(lookup, ScoreLookup):
        raise ValueError(
            f"The extension Span._.{extension} exists already and is not ours. Give "
            "`score_extension` another name."
        )
    lookup.keys.add(spans_key)
    KEYS.add(spans_key)


def annotate(
    doc: Doc,
    found: Sequence[Found],
    *,
    spans_key: str,
    threshold: float,
    overwrite: bool,
    written_by: str | None = None,
) -> None:
    """Write spans on a Doc: all of them to its span group, the best that do not
    overlap to its entities.

    Without `overwrite`, earlier entities (and tokens blocked for entities) stay
    as they are, and a span that overlaps one goes to the group only. Tokens that
    nobody annotated become O.

    written_by: the component's name, which the group keeps in this process."""
    spans = [Span(doc, f.start, f.end, label=f.label) for f in found]
    group = make_group(doc, spans_key, spans, (f.score for f in found))
    group.written_by = written_by
    doc.spans[spans_key] = group
    earlier = [] if overwrite else list(doc.ents)
    blocked = [] if overwrite else _blocked(doc)
    taken = [(span.start, span.end) for span in (*earlier, *blocked)]
    chosen = choose(found, taken, threshold)
    entities = [Span(doc, f.start, f.end, label=f.label) for f in chosen]
    doc.set_ents(entities + earlier, blocked=blocked, default="outside")


def _blocked(doc: Doc) -> list[Span]:
    """Tokens that somebody barred from being entities (B without a type)."""
    return [doc[t.i : t.i + 1] for t in doc if t.ent_iob == 3 and not t.ent_type]


@dataclass(frozen=True)
class Annotated:
    """An Example's entities on the tokens of its predicted Doc.

    misaligned: gold entities that no run of those tokens covers exactly, and those that
    were left out when a file was read; unlabelled: stretches of tokens without
    annotation, in a text that has some. (spaCy makes such of an entity that it cannot
    align, without a word of its label.)"""

    gold: Gold
    misaligned: tuple[Span, ...] = ()
    unlabelled: tuple[Span, ...] = ()


def read_example(example: Example) -> Annotated:
    """The gold entities, aligned to the predicted tokens. Tokens without annotation are
    missing; those of an entity that cannot be aligned are lost to its label alone."""
    reference = example.reference
    tokens = len(example.predicted)
    if not reference.has_annotation("ENT_IOB"):
        return Annotated(Gold((), frozenset(range(tokens))))
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
    return Annotated(
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

    One with another label is learnt as none, as its label is not asked for; one
    that cannot be said is not learnt at all: its tokens are lost to its label."""
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
    """What is known of a window, counted from its start. An entity that the
    window cuts is not learnt there, nor are its tokens learnt as none of its label."""
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
