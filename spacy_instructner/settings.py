"""The settings of a component, as its factory reads them, and what must hold between them.
Source: ours."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .claims import ClaimDecider
from .decoding.config import DecodingConfig
from .models.thinc_model import ModelConfig
from .scoring.scoring_request import SpanHeadConfig
from .span_getters import SpanGetter
from .tasks.base import ScoringTask, Task
from .training.objective import Objective


@dataclass(frozen=True)
class Settings:
    """See `factory.make_instruction_ner` for what each of them means."""

    task: Task
    loss: str
    objectives: dict[str, Any]
    labels: list[str]
    label_names: dict[str, str]
    label_definitions: dict[str, str]
    known_labels: bool
    decoder: DecodingConfig
    windows: SpanGetter
    max_window: int
    window_overlap: int
    threshold: float | None
    thresholds: dict[str, float]
    spans_key: str
    score_extension: str
    overwrite: bool
    typing: bool
    bundle: str
    save_io: bool
    device: str
    scorer: Callable | None

    def check(self, config: ModelConfig) -> None:
        """Raises ValueError for settings that contradict each other or the model."""
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"`threshold` must be in [0, 1], not {self.threshold}.")
        for label, threshold in self.thresholds.items():
            if not 0.0 <= threshold <= 1.0:
                raise ValueError(
                    f"`thresholds.{label}` must be in [0, 1], not {threshold}."
                )
        if self.max_window < 1 or not 0 <= self.window_overlap < self.max_window:
            raise ValueError(
                f"`window_overlap` ({self.window_overlap}) must be at least 0 and less "
                f"than `max_window` ({self.max_window})."
            )
        if self.bundle == "adapter" and config.adapter is None:
            raise ValueError(
                '`bundle = "adapter"` saves the adapter alone, but the model has none: '
                "all its weights are trained. Give it an `adapter`, or save "
                '`bundle = "full"`.'
            )
        if self.typing and not self.writes:
            raise ValueError(
                "`typing` asks the model which of several labels a span has, and it writes "
                "the answer; labels of the task compete already, and nothing is written. "
                "Leave `typing` out, or take the task spacy-instructner.CLLMFS.v1."
            )
        if isinstance(config.layers, int) and self.writes:
            warnings.warn(
                f"`layers = {config.layers}` leaves out the model's last layers, with which "
                "it writes, and the task needs what it writes. Set `layers = null`, or take "
                "the task spacy-instructner.JustPassTwice.v1, which scores words.",
                stacklevel=2,
            )
        for key, objective in self.objectives.items():
            if not isinstance(objective, Objective):
                raise ValueError(
                    f"`objectives.{key}` must be an objective, such as "
                    f"spacy-instructner.InfoNCE.v1, not {objective!r}."
                )
            objective.check(config.kind, self.task)

    @property
    def lowest_score(self) -> float:
        """That reaches doc.ents: the task's own, where the config leaves it open."""
        if self.threshold is not None:
            return self.threshold
        # In an answer that is written, every span is meant.
        return self.task.threshold if isinstance(self.task, ScoringTask) else 0.0

    @property
    def head(self) -> SpanHeadConfig | None:
        """What the task scores spans with."""
        return self.task.head if isinstance(self.task, ScoringTask) else None

    @property
    def writes(self) -> bool:
        """Whether the model writes answers, for which it needs all of its layers."""
        return not isinstance(self.task, ScoringTask) or self.task.writes

    def claims(self) -> ClaimDecider | None:
        """What decides spans that several labels claim, beside their scores."""
        return ClaimDecider(self.decoder.batch_tokens) if self.typing else None

    def kept(self) -> dict[str, Any]:
        """Those that are saved beside the config, since they may change afterwards."""
        return {
            "threshold": self.lowest_score,
            "thresholds": dict(self.thresholds),
            "labels": list(self.labels),
            "label_names": dict(self.label_names),
            "label_definitions": dict(self.label_definitions),
            "known_labels": self.known_labels,
        }
