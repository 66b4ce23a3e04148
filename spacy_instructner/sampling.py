"""Few-shot draws. A draw depends on the data, the protocol, k and the seed."""

import random
from collections import Counter
from typing import Dict, Iterable, List, Literal, Sequence, get_args

from spacy.tokens import Doc

Protocol = Literal["at-least-k", "sentences", "all"]


def label_counts(docs: Iterable[Doc]) -> Dict[str, int]:
    """Entities of each label, by label."""
    counts = Counter(span.label_ for doc in docs for span in doc.ents)
    return dict(sorted(counts.items()))


def draw(
    docs: Iterable[Doc],
    protocol: Protocol,
    k: int = 0,
    seed: int = 0,
    exclude: Iterable[Doc] = (),
) -> List[Doc]:
    """A support set.

    protocol: "at-least-k" shuffles and keeps a sentence while some label in it
        has fewer than k entities, until all have k (greedy, as StructShot and
        CONTaiNER draw); "sentences" takes the first k after the shuffle; "all"
        takes every sentence, in order.
    exclude: a sentence whose text stands here (the test set) is never drawn.
    RETURNS: the sentences, in the order they were drawn.
    Raises ValueError for an unknown protocol, and a k under 1 where it matters.
    """
    if protocol not in get_args(Protocol):
        raise ValueError(
            f"There is no protocol {protocol!r}. There are: "
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
    return allowed[:k] if protocol == "sentences" else _at_least_k(allowed, k)


def too_few(docs: Iterable[Doc], drawn: Iterable[Doc], k: int) -> List[str]:
    """The labels of the data that have fewer than k entities in a draw."""
    counts = label_counts(drawn)
    return [label for label in label_counts(docs) if counts.get(label, 0) < k]


def same_text(doc: Doc) -> str:
    """A text by its words: formats differ in spacing."""
    return " ".join(doc.text.split())


def _at_least_k(docs: Sequence[Doc], k: int) -> List[Doc]:
    wanted = label_counts(docs)
    have: Counter = Counter()
    drawn: List[Doc] = []
    for doc in docs:
        if all(have[label] >= k for label in wanted):
            break
        labels = [span.label_ for span in doc.ents]
        if any(have[label] < k for label in labels):
            drawn.append(doc)
            have.update(labels)
    return drawn
