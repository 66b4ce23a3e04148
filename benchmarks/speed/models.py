"""What is measured on: real texts, and a model tuned on a few of them."""

import random
from pathlib import Path
from typing import Any

import spacy
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import require_cpu

from spacy_instructner.data.corpora import read_docs, without_annotation

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"


def definitions(name: str) -> str:
    """The file that says what a data set's labels mean."""
    return str(ROOT / "assets" / "definitions" / f"{name}.json")


def tuned(
    data: Path,
    name: str,
    cache: Path,
    config: str = "instructionner",
    settings: dict[str, Any] | None = None,
    variant: str = "",
) -> Language:
    """A pipeline trained on ten shots of a data set, kept in the cache folder. A model
    that knows when to stop is what all rivals must be measured on.

    config: its name; settings: of it, to override; variant: what to call it then."""
    folder = cache / f"{name}{variant}"
    if not (folder / "model-last").exists():
        require_cpu()
        overrides = {
            "paths.train": str(data / name / "train.jsonl.gz"),
            "paths.exclude": str(data / name / "test.jsonl.gz"),
            "training.logger.progress_bar": None,
            **(settings or {}),
        }
        train(CONFIGS / f"{config}.cfg", folder, overrides=overrides)
    return spacy.load(folder / "model-last")


def test_docs(nlp: Language, data: Path, name: str, count: int) -> list[Doc]:
    """Texts of a test set without their entities, drawn once and for all."""
    docs, _ = read_docs(data / name / "test.jsonl.gz", nlp)
    random.Random(0).shuffle(docs)
    return [without_annotation(doc) for doc in docs[:count]]


def copies(docs: list[Doc]) -> list[Doc]:
    """Fresh Docs, as a component finds them."""
    return [without_annotation(doc) for doc in docs]
