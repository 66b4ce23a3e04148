"""What is wrong with annotated texts themselves, whatever learns from them. Source: ours."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from spacy.tokens import Doc

from ..char_spans import CharSpan
from ..span_groups import characters_of
from .sampling import label_counts, same_text

# From so many sentences, or so many entities of every label, plain spaCy may be level with the
# component, and is much faster. Source: ours; a provisional guess, until `LARGE_SOURCE` has the
# figures of the study `sizes` ("Where plain spaCy is level").
LARGE_TEXTS = 500
LARGE_PER_LABEL = 50
LARGE_SOURCE = "docs/research/sizes.md"


@dataclass(frozen=True)
class Finding:
    """message: what was found, and what to do about it; fatal: whether training is
    impossible with it."""

    message: str
    fatal: bool = False


def check_size(train: Sequence[Doc]) -> list[Finding]:
    """Look whether the data are so many that another kind of pipeline should be tried.

    train (Sequence[Doc]): annotated texts.
    RETURNS (list[Finding]): one, where there are `LARGE_TEXTS` texts, or `LARGE_PER_LABEL`
        entities of each label; none of it is fatal."""
    counts = label_counts(train)
    fewest = min(counts.values(), default=0)
    if not counts or (len(train) < LARGE_TEXTS and fewest < LARGE_PER_LABEL):
        return []
    message = (
        f"The data has {len(train)} texts, and {fewest} or more entities of each label. From "
        f"about {LARGE_TEXTS} texts, or {LARGE_PER_LABEL} entities of each label, a plain "
        "spaCy `ner` may be level or better, and it is much faster. The figure is "
        f"provisional ({LARGE_SOURCE}). Train one, too (spacy init config --pipeline ner), "
        "and compare both on your test data: spacy instructner compare."
    )
    return [Finding(message)]


def check_texts(train: Sequence[Doc], test: Sequence[Doc]) -> list[Finding]:
    """Look for duplicates, contradictions, leaks, and labels of the test data alone.

    train, test (Sequence[Doc]): annotated texts.
    RETURNS (list[Finding]): what was found; none of it is fatal."""
    found: list[str] = []
    annotations: dict[str, set[frozenset[CharSpan]]] = {}
    copies: Counter[str] = Counter()
    for doc in train:
        text = same_text(doc)
        own = frozenset(characters_of(ent) for ent in doc.ents)
        annotations.setdefault(text, set()).add(own)
        copies[text] += 1
    repeated = [text for text, count in copies.items() if count > 1]
    if repeated:
        found.append(
            f"{len(repeated)} texts occur more than once: {repeated[0][:60]!r}"
        )
    contradicted = [text for text, own in annotations.items() if len(own) > 1]
    if contradicted:
        found.append(
            f"{len(contradicted)} texts are annotated in two ways: "
            f"{contradicted[0][:60]!r}"
        )
    leaks = [doc.text for doc in test if same_text(doc) in annotations]
    if leaks:
        found.append(
            f"{len(leaks)} test texts are in the training data, too: "
            f"{leaks[0][:60]!r}. Exclude them with --paths.exclude."
        )
    unseen = sorted(set(label_counts(test)) - set(label_counts(train)))
    if unseen:
        found.append(f"Only the test data has these labels: {', '.join(unseen)}")
    return [Finding(message) for message in found]
