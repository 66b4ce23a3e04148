"""From annotated windows to training records, and warnings about what cannot be learned.
Source: ours."""

import random
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from spacy.tokens import Span
from spacy.training import Example

from ..data.gold import read_example, within, writable
from ..decoding.answers import TokenizedWords
from ..tasks.base import BoundTask, Gold, TrainingRecord
from ..tasks.labels import unknown_labels
from ..windows import BoundWindow, Window


@dataclass(frozen=True)
class GoldWindow:
    """A window, its words as ids, what is known of it that answers can say, and the task
    for the labels that are asked for there."""

    window: Window
    words: TokenizedWords
    gold: Gold
    task: BoundTask


@dataclass(frozen=True)
class Learnable:
    """entities: those that an answer to some window can say; cut: how many texts
    are cut into several windows."""

    entities: int
    cut: int


def make_gold_windows(
    examples: Sequence[Example], windows: Sequence[BoundWindow], max_span: int
) -> list[GoldWindow]:
    """What is known of each window that answers can say.

    windows: of all Examples' predicted Docs; max_span: most words in a span, 0 for no
    limit."""
    golds = [read_example(example).gold for example in examples]
    found: list[GoldWindow] = []
    for each in windows:
        known = within(golds[each.window.doc], each.window)
        gold = writable(known, each.words, each.labels.labels, max_span)
        found.append(GoldWindow(each.window, each.words, gold, each.task))
    return found


def make_records(
    windows: Sequence[GoldWindow], positions: int, choices: bool = False
) -> list[TrainingRecord]:
    """What is learned from windows. Records that a model with so many positions cannot
    read are left out, with a warning.

    choices: only decisions are learned: ids where the grammar allowed another."""
    records = [
        record
        for each in windows
        # Where nothing is annotated, nothing is learned.
        if len(each.gold.missing) < len(each.words)
        for record in each.task.records(each.words, each.gold, choices)
    ]
    if choices:
        records = [each for each in map(decisions, records) if each.weight]
    fitting = [record for record in records if len(record) <= positions]
    if len(fitting) < len(records):
        warnings.warn(
            f"{len(records) - len(fitting)} training records are longer than the "
            f"model's {positions} positions and are left out. Lower `max_window`.",
            stacklevel=2,
        )
    return fitting


def decisions(record: TrainingRecord) -> TrainingRecord:
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


@dataclass(frozen=True)
class AnswerIds:
    """Ids of answers, and words that are scored. learnt: those that carry loss; lost: those
    that would, if no annotation were missing."""

    learnt: int
    lost: int


def count_ids(
    windows: Sequence[GoldWindow], positions: int, choices: bool = False
) -> AnswerIds:
    """What missing annotation costs. Windows without any annotation do not count.
    Python's `random`, from which tasks draw, is as it was afterwards."""
    some = [each for each in windows if len(each.gold.missing) < len(each.words)]
    whole = [replace(each, gold=Gold(each.gold.entities)) for each in some]
    state = random.getstate()
    counts: list[int] = []
    for own in (some, whole):
        random.seed(0)
        records = make_records(own, positions, choices)
        answers = sum(bool(w) for record in records for w in record.weights)
        counts.append(
            answers + round(sum(each.spans.weight for each in records if each.spans))
        )
    random.setstate(state)
    return AnswerIds(counts[0], max(0, counts[1] - counts[0]))


def warn_of_lost(
    misaligned: Sequence[Span], unlabelled: Sequence[Span], ids: AnswerIds
) -> None:
    """Warn of annotation that is missing.

    misaligned: entities that do not fall on the pipeline's tokens; unlabelled:
    stretches of tokens without annotation; ids: of the answers for their texts."""
    sentences: list[str] = []
    if misaligned:
        sentences.append(
            f"{len(misaligned)} training entities do not fall on token borders and are "
            f"not learned: {_quoted(misaligned)}. Tokenize the data as the pipeline "
            "does, or correct their offsets."
        )
    if unlabelled:
        sentences.append(
            f"{len(unlabelled)} stretches of tokens have no annotation, for example "
            f"because spaCy could not align an entity: {_quoted(unlabelled)}."
        )
    sentences.append(
        f"In these texts, {ids.lost} of {ids.learnt + ids.lost} answer ids are not "
        "learned because of it."
    )
    warnings.warn(" ".join(sentences), stacklevel=3)


def _quoted(spans: Sequence[Span]) -> str:
    return "; ".join(
        f"{span.text[:40]!r}{f' ({span.label_})' if span.label_ else ''} in "
        f"{span.doc.text[:60]!r}"
        for span in spans[:3]
    )


def warn_of_labels(labels: Sequence[str], counts: Mapping[str, int]) -> None:
    """Warn of labels that will not be learned. counts: entities in the data by label."""
    absent = unknown_labels(labels, counts)
    if counts and absent:
        warnings.warn(
            f"The training data has no example of {', '.join(absent)}.", stacklevel=3
        )
    extra = unknown_labels(sorted(counts), labels)
    if extra:
        warnings.warn(
            "The training data has labels that are not in `labels`: "
            f"{', '.join(extra)}. Their entities count as no entities.",
            stacklevel=3,
        )
