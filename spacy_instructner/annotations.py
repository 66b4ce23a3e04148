"""What is written on a Doc, and how the scores of its spans are looked up there.
Source: ours."""

from collections.abc import Iterable, Mapping, Sequence

from spacy.tokens import Doc, Span

from .char_spans import CharSpan
from .resolve import Found, choose
from .span_groups import characters_of, follow, make_group, scores_of

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
    this process write, by default."""
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


def check_writer(doc: Doc, spans_key: str, name: str) -> None:
    """Raises ValueError where another component than this one wrote the span group."""
    writer = getattr(doc.spans.get(spans_key), "written_by", None)
    if writer not in (None, name):
        raise ValueError(
            f"{same_spans_key(spans_key, writer, name)} (To annotate a Doc again with "
            "another pipeline, delete the span group first: "
            f"del doc.spans[{spans_key!r}].)"
        )


def same_spans_key(key: str, first: str, second: str) -> str:
    """What is wrong where two components write to one span group, and what to do."""
    return (
        f"The components {first!r} and {second!r} would both write to doc.spans[{key!r}], "
        "and the second would replace the spans of the first. Give each its own "
        f'`spans_key`: nlp.add_pipe("instruction_ner", name={second!r}, '
        f'config={{"spans_key": {second!r}}}).'
    )


def annotate(
    doc: Doc,
    found: Sequence[Found],
    *,
    spans_key: str,
    threshold: float,
    overwrite: bool,
    thresholds: Mapping[str, float] | None = None,
    written_by: str | None = None,
) -> None:
    """Write spans on a Doc: all of them to its span group, the best that do not
    overlap to its entities.

    Without `overwrite`, earlier entities (and tokens blocked for entities) stay
    as they are, and a span that overlaps one goes to the group only. Tokens that
    nobody annotated become O.

    thresholds: in the place of `threshold`, by label; written_by: the component's name,
    which the group keeps in this process."""
    spans = [Span(doc, f.start, f.end, label=f.label) for f in found]
    group = make_group(doc, spans_key, spans, (f.score for f in found))
    group.written_by = written_by
    doc.spans[spans_key] = group
    earlier = [] if overwrite else list(doc.ents)
    blocked = [] if overwrite else _blocked(doc)
    taken = [(span.start, span.end) for span in (*earlier, *blocked)]
    chosen = choose(found, taken, threshold, thresholds)
    entities = [Span(doc, f.start, f.end, label=f.label) for f in chosen]
    doc.set_ents(entities + earlier, blocked=blocked, default="outside")


def _blocked(doc: Doc) -> list[Span]:
    """Tokens that somebody barred from being entities (B without a type)."""
    return [doc[t.i : t.i + 1] for t in doc if t.ent_iob == 3 and not t.ent_type]
