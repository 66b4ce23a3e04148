"""What commands share that print results. Light to import."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc
from wasabi import msg

from ..data.sampling import label_counts

if TYPE_CHECKING:
    from ..evaluation.predicted_texts import PredictedTexts


def print_label_counts(docs: Sequence[Doc], path: Path) -> None:
    """Print how many sentences and entities a file has, by label."""
    counts = label_counts(docs)
    msg.good(f"{path}: {len(docs)} sentences, {sum(counts.values())} entities")
    msg.table(counts.items(), header=("Label", "Entities"), aligns=("l", "r"))


def print_failures(predictions: "PredictedTexts") -> None:
    """Print which texts could not be annotated, and why."""
    for number, why in predictions.failures:
        msg.warn(f"Text {number} does not count: {why}")


@contextmanager
def warnings_shown_once() -> Iterator[None]:
    """Within this context, each warning is shown once. (Python forgets what it has shown
    at each `catch_warnings`, which some of spaCy's components use.)"""
    shown: set[tuple[str, type[Warning], str, int]] = set()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_once(
            message: Any, category: type[Warning], name: str, line: int, *more: Any
        ) -> None:
            if (own := (str(message), category, name, line)) not in shown:
                shown.add(own)
                show(message, category, name, line, *more)

        warnings.showwarning = show_once  # type: ignore[assignment]
        yield
