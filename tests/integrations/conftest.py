"""A pipeline that annotation tools are served with, and what it learns in a few seconds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy

from helpers.serving import train_longer
from spacy_instructner.corpus.pipelines import Pipeline


@pytest.fixture(scope="session")
def base(tiny_causal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of a random model, saved."""
    nlp = spacy.blank("en")
    config = {
        "labels": ["PERSON", "PLACE"],
        "model": {"name": str(tiny_causal), "precision": "float32"},
        # Of the methods, the one that so small a model learns in a few seconds.
        "task": {"@misc": "spacy-instructner.InstructionNER.v1"},
    }
    nlp.add_pipe("instruction_ner", config=config)
    nlp.meta["name"] = "tiny"
    path = tmp_path_factory.mktemp("served") / "pipeline"
    nlp.to_disk(path)
    return path


@pytest.fixture
def quick_settings(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_longer(tmp_path_factory.mktemp("settings"), monkeypatch)


@pytest.fixture
def open_pipelines(base: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Pipelines of projects, that are closed in the end."""
    from integrations.project_pipelines import ProjectPipelines

    opened: list[ProjectPipelines] = []

    def make(folder: Path | None = None) -> ProjectPipelines:
        own = ProjectPipelines(Pipeline(str(base)), folder or tmp_path / "models")
        opened.append(own)
        return own

    yield make
    for each in opened:
        each.close()
