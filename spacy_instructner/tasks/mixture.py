"""Several tasks learned by one model, so that one adapter serves them all. Source:
ours."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..decoding.answers import TokenizedWords
from ..scoring.scoring_request import SpanHeadConfig
from .base import (
    BoundTask,
    Demonstration,
    Encoder,
    ExampleReader,
    Gold,
    PromptOrder,
    Request,
    ScoringTask,
    Task,
    TrainingRecord,
)
from .labels import LabelSet


def build_mixture_v1(
    # What the config reader knows of them beforehand is not their type yet.
    tasks: dict[str, Any],
    shares: dict[str, float],
    asks: str,
) -> "Mixture":
    """Registered as `spacy-instructner.Mixture.v1`.

    tasks (Dict[str, Task]): by names of your own.
    shares (Dict[str, float]): how often a text is learned by each, in any unit.
    asks (str): the task that is asked about texts to annotate.
    RETURNS (Mixture): the task. Raises ValueError for names that do not agree, shares
        that are negative or all 0, and tasks that show examples.
    """
    return Mixture(tasks, shares, asks)


@dataclass(frozen=True)
class Mixture:
    """See `build_mixture_v1`."""

    tasks: Mapping[str, Task]
    shares: Mapping[str, float]
    asks: str

    # Each text would have to be kept from its own prompt in every task.
    examples: ExampleReader | None = None

    def __post_init__(self) -> None:
        if set(self.tasks) != set(self.shares) or self.asks not in self.tasks:
            raise ValueError(
                f"`shares` ({sorted(self.shares)}) must name all `tasks` "
                f"({sorted(self.tasks)}), and `asks` ({self.asks!r}) one of them."
            )
        if min(self.shares.values()) < 0 or not sum(self.shares.values()):
            raise ValueError("`shares` must not be negative, and not all of them 0.")
        if len(self.heads) > 1:
            raise ValueError(
                "The tasks of a mixture share one head. Give all of them the same, not "
                f"{'; '.join(map(str, self.heads))}."
            )
        showing = [name for name, task in self.tasks.items() if task.examples]
        if showing:
            raise ValueError(
                f"Tasks of a mixture show no examples; take them out of {showing}."
            )

    @property
    def heads(self) -> list[SpanHeadConfig]:
        """Those of its tasks, each once."""
        own = (t.head for t in self.tasks.values() if isinstance(t, ScoringTask))
        return list(dict.fromkeys(head for head in own if head))

    @property
    def head(self) -> SpanHeadConfig | None:
        """See `tasks.base.ScoringTask`."""
        return self.heads[0] if self.heads else None

    @property
    def threshold(self) -> float:
        """See `tasks.base.ScoringTask`."""
        asked = self.tasks[self.asks]
        return asked.threshold if isinstance(asked, ScoringTask) else 0.0

    @property
    def writes(self) -> bool:
        """See `tasks.base.ScoringTask`."""
        return any(
            not isinstance(each, ScoringTask) or each.writes
            for each in self.tasks.values()
        )

    @property
    def names_types(self) -> bool:
        return all(task.names_types for task in self.tasks.values())

    def bind(
        self,
        encoder: Encoder,
        labels: LabelSet,
        end: int,
        max_span: int = 0,
        layout: PromptOrder = "text_last",
        demonstrations: Sequence[Demonstration] = (),
    ) -> "BoundMixture":
        """See `tasks.base.Task`."""
        bound = {
            name: task.bind(encoder, labels, end, max_span, layout, ())
            for name, task in self.tasks.items()
        }
        return BoundMixture(self, bound)


class BoundMixture:
    """A mixture for one tokenizer and one label set."""

    def __init__(self, task: Mixture, bound: Mapping[str, BoundTask]) -> None:
        self.task = task
        self.bound = bound

    def constant(self) -> int:
        return max(bound.constant() for bound in self.bound.values())

    def requests(self, words: TokenizedWords) -> Sequence[Request]:
        return self.bound[self.task.asks].requests(words)

    def records(
        self, words: TokenizedWords, gold: Gold, choices: bool = False
    ) -> list[TrainingRecord]:
        """Of one task, drawn from Python's `random`, which spaCy seeds."""
        names = list(self.bound)
        shares = [self.task.shares[name] for name in names]
        (name,) = random.choices(names, shares)
        return self.bound[name].records(words, gold, choices)
