"""What is asked about a window that is scored: plain data, no torch."""

from dataclasses import asdict, dataclass
from typing import Any

from ..decoding.answers import Ids


@dataclass(frozen=True)
class SpanHeadConfig:
    """Settings of the head that compares words with labels: see `models.span_head`.

    size: width of the vectors that are compared; hidden: width of the layer before."""

    size: int = 128
    hidden: int = 576

    def __post_init__(self) -> None:
        for name, value in self.to_dict().items():
            if value < 1:
                raise ValueError(f"`head_{name}` must be at least 1, not {value}.")

    def __str__(self) -> str:
        """By the names of a task's settings."""
        return f"head_size = {self.size} and head_hidden = {self.hidden}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ScoringRequest:
    """One prompt, and where its words and labels stand in it.

    prefix: the ids that stay the same from text to text (kept in the prefix cache);
    suffix: the ids behind it; labels: those that are scored; label_places: the id of the
    prompt whose state stands for each; words: the words of the window that can begin, end
    or be within a span; word_places: the id whose state stands for each; floor: what the
    start, the end and each word of a span must reach; max_span: most words in a span, 0 for no limit; both_ways:
    whether the ids of the suffix see those behind them, too."""

    prefix: Ids
    suffix: Ids
    labels: tuple[str, ...]
    label_places: tuple[int, ...]
    words: tuple[int, ...]
    word_places: tuple[int, ...]
    floor: float
    max_span: int = 0
    both_ways: bool = False

    @property
    def own(self) -> Ids:
        """All but the prefix."""
        return self.suffix
