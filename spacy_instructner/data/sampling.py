"""Few-shot draws. A draw depends on the data, the protocol, k and the seed alone."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

from spacy.tokens import Doc

Protocol = Literal["at-least-k", "at-most-k", "k-sentences", "sentences", "all"]


def label_counts(docs: Iterable[Doc]) -> dict[str, int]:
    """Entities of each label, by label."""
    counts = Counter(span.label_ for doc in docs for span in doc.ents)
    return dict(sorted(counts.items()))


def draw(
    docs: Iterable[Doc],
    protocol: Protocol,
    k: int = 0,
    seed: int = 0,
    exclude: Iterable[Doc] = (),
) -> list[Doc]:
    """Draw a support set.

    docs: annotated sentences.
    protocol: "at-least-k" shuffles and keeps a sentence while some label in it
        has fewer than k entities, until all have k (greedy, as StructShot and
        CONTaiNER draw); "at-most-k" shuffles and keeps a sentence with entities
        unless a label in it would then have more than k (as EntLM draws, but
        for its least length of a sentence); "k-sentences" shuffles and takes k
        sentences for each label, rare labels first, none twice (as FFF-NER's
        sets); "sentences" takes the first k after the shuffle; "all" takes every
        sentence, in order.
    k: number of shots.
    seed: of the draw.
    exclude: a sentence whose text is among these (the test set) is never drawn.
    RETURNS: the sentences, in the order they were drawn. Raises ValueError for an unknown
        protocol, and for a k under 1 where it matters.
    """
    if protocol not in get_args(Protocol):
        raise ValueError(
            f"There is no protocol {protocol!r}. The protocols are: "
            f"{', '.join(get_args(Protocol))}."
        )
    barred = {same_text(doc) for doc in exclude}
    shuffled = list(docs)
    if protocol == "all":
        return [doc for doc in shuffled if same_text(doc) not in barred]
    if k < 1:
        raise ValueError(f"`k` must be at least 1 to draw {protocol!r}, not {k}.")
    # Shuffled before anything is barred, so that one more test sentence does not
    # change the whole draw.
    random.Random(seed).shuffle(shuffled)
    allowed = [doc for doc in shuffled if same_text(doc) not in barred]
    if protocol == "sentences":
        return allowed[:k]
    by_protocol = {
        "at-least-k": _at_least_k,
        "at-most-k": _at_most_k,
        "k-sentences": _k_sentences,
    }
    return by_protocol[protocol](allowed, k)


@dataclass(frozen=True)
class Episode:
    """A support set and a query set of a few labels. See `episode`."""

    labels: tuple[str, ...]
    support: list[Doc]
    query: list[Doc]


def episode(docs: Iterable[Doc], ways: int, k: int, seed: int = 0) -> Episode:
    """An N-way K~2K episode, as Few-NERD samples them.

    `ways` labels are drawn. Only sentences with entities, none of another label, come
    into it. In the support set, and again in the query set, a sentence is kept if some
    label has fewer than k entities and none would have more than 2k.
    Raises ValueError for a number under 1, and where the data have too few labels or
    entities for it.
    """
    if min(ways, k) < 1:
        raise ValueError(f"`ways` and `k` must be at least 1, not {ways} and {k}.")
    shuffled = list(docs)
    rng = random.Random(seed)
    labels = list(label_counts(shuffled))
    if len(labels) < ways:
        raise ValueError(f"{ways} labels are asked for; the data have {len(labels)}.")
    chosen = tuple(sorted(rng.sample(labels, ways)))
    rng.shuffle(shuffled)
    pool = [doc for doc in shuffled if _only(doc, chosen)]
    sets: list[list[Doc]] = []
    for _ in range(2):
        have: Counter = Counter()
        kept: list[Doc] = []
        rest: list[Doc] = []
        for doc in pool:
            own = Counter(span.label_ for span in doc.ents)
            wanted = any(have[label] < k for label in own)
            if wanted and all(have[label] + own[label] <= 2 * k for label in own):
                kept.append(doc)
                have.update(own)
            else:
                rest.append(doc)
        if short := [label for label in chosen if have[label] < k]:
            raise ValueError(
                f"The data have too few entities of {', '.join(short)} beside no other "
                f"label for an episode of {ways} labels with {k} to {2 * k} entities."
            )
        sets.append(kept)
        pool = rest
    return Episode(chosen, *sets)


def _only(doc: Doc, labels: Sequence[str]) -> bool:
    return bool(doc.ents) and all(span.label_ in labels for span in doc.ents)


def too_few(docs: Iterable[Doc], drawn: Iterable[Doc], k: int) -> list[str]:
    """The labels of the data that have fewer than k entities in a draw."""
    counts = label_counts(drawn)
    return [label for label in label_counts(docs) if counts.get(label, 0) < k]


def same_text(doc: Doc) -> str:
    """A text by its words: formats differ in spacing."""
    return " ".join(doc.text.split())


def _at_least_k(docs: Sequence[Doc], k: int) -> list[Doc]:
    wanted = label_counts(docs)
    have: Counter = Counter()
    drawn: list[Doc] = []
    for doc in docs:
        if all(have[label] >= k for label in wanted):
            break
        labels = [span.label_ for span in doc.ents]
        if any(have[label] < k for label in labels):
            drawn.append(doc)
            have.update(labels)
    return drawn


def _at_most_k(docs: Sequence[Doc], k: int) -> list[Doc]:
    have: Counter = Counter()
    drawn: list[Doc] = []
    for doc in docs:
        own = Counter(span.label_ for span in doc.ents)
        if own and all(have[label] + own[label] <= k for label in own):
            drawn.append(doc)
            have.update(own)
    return drawn


def _k_sentences(docs: Sequence[Doc], k: int) -> list[Doc]:
    counts = label_counts(docs)
    taken: set[int] = set()
    drawn: list[Doc] = []
    for label in sorted(counts, key=lambda label: (counts[label], label)):
        having = (
            at
            for at, doc in enumerate(docs)
            if at not in taken and any(span.label_ == label for span in doc.ents)
        )
        chosen = list(islice(having, k))
        taken.update(chosen)
        drawn += [docs[at] for at in chosen]
    return drawn
