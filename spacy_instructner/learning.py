"""From annotated windows to what is learnt, and what is said of the rest."""

import warnings
from collections import Counter
from dataclasses import dataclass, replace
from typing import List, Mapping, Sequence

from spacy.tokens import Span

from .decoding.answers import Words
from .tasks.base import BoundTask, Gold, Record
from .tasks.labels import unknown_labels
from .windows import Window


@dataclass(frozen=True)
class GoldWindow:
    """A window, its words as ids, what is known of it that answers can say, and the task
    for the labels that are asked for there."""

    window: Window
    words: Words
    gold: Gold
    task: BoundTask


@dataclass(frozen=True)
class Learnable:
    """entities: those that an answer to some window can say; cut: how many texts
    are cut into several windows."""

    entities: int
    cut: int


def make_records(
    windows: Sequence[GoldWindow], positions: int, choices: bool = False
) -> List[Record]:
    """What is learnt from windows. Records that a model with so many positions cannot
    read are left out, with a warning.

    choices: only decisions are learnt, ids where the grammar allowed another."""
    records = [
        record
        for each in windows
        # Where nothing is annotated, nothing is learnt.
        if len(each.gold.missing) < len(each.words)
        for record in each.task.records(each.words, each.gold, choices)
    ]
    if choices:
        records = [each for each in map(decisions, records) if any(each.weights)]
    fitting = [record for record in records if len(record) <= positions]
    if len(fitting) < len(records):
        warnings.warn(
            f"{len(records) - len(fitting)} training records are longer than the "
            f"model's {positions} positions and are left out. Lower `max_window`.",
            stacklevel=2,
        )
    return fitting


def decisions(record: Record) -> Record:
    """A record in which ids that the grammar left no choice carry no loss: they are
    certain, and neither their logits nor their count are needed."""
    if record.allowed is None:
        return record
    weights = (
        weight if len(allowed) > 1 else 0.0
        for weight, allowed in zip(record.weights, record.allowed)
    )
    return replace(record, weights=tuple(weights))


def count_learnable(windows: Sequence[GoldWindow]) -> Learnable:
    """How much annotation windows hold; an entity in two of them counts once."""
    entities = {
        (each.window.doc, each.window.start + start, each.window.start + end, label)
        for each in windows
        for start, end, label in each.gold.entities
    }
    texts = Counter(each.window.doc for each in windows)
    return Learnable(len(entities), sum(count > 1 for count in texts.values()))


def report(
    labels: Sequence[str], counts: Mapping[str, int], misaligned: Sequence[Span]
) -> None:
    """Warn of what will not be learnt.

    counts: entities in the data by label; misaligned: those among them that do not
    fall on the pipeline's tokens."""
    if misaligned:
        shown = "; ".join(
            f"{span.text[:40]!r} ({span.label_}) in {span.doc.text[:60]!r}"
            for span in misaligned[:3]
        )
        warnings.warn(
            f"{len(misaligned)} training entities do not fall on token borders and are "
            f"not learnt: {shown}. Tokenize the data as the pipeline does, or correct "
            "their offsets.",
            stacklevel=3,
        )
    absent = unknown_labels(labels, counts)
    if counts and absent:
        warnings.warn(
            f"The training data has no example of {', '.join(absent)}.", stacklevel=3
        )
    extra = unknown_labels(sorted(counts), labels)
    if extra:
        warnings.warn(
            "The training data has labels that are not in `labels`: "
            f"{', '.join(extra)}. Their entities are learnt as none.",
            stacklevel=3,
        )
