"""A trained pipeline to serve."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy

from helpers.browser import browser_at, needs_a_browser, server_of
from helpers.serving import train_longer


@pytest.fixture(scope="session")
def folder(tiny_causal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    nlp = spacy.blank("en")
    config = {
        "labels": ["PERSON", "PLACE"],
        "label_definitions": {"PERSON": "somebody's name"},
        "model": {"name": str(tiny_causal), "precision": "float32"},
        # Of the two, the one that so small a model learns in a few seconds.
        "task": {"@misc": "spacy-instructner.InstructionNER.v1"},
    }
    nlp.add_pipe("instruction_ner", config=config)
    path = tmp_path_factory.mktemp("served") / "pipeline"
    nlp.to_disk(path)
    return path


@pytest.fixture
def tiny_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> None:
    train_longer(tmp_path_factory.mktemp("settings"), monkeypatch)


@pytest.fixture
def address(folder: Path, tmp_path: Path) -> Iterator[str]:
    needs_a_browser()
    with server_of(folder, tmp_path / "project") as address:
        yield address


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    with browser_at(address) as page:
        yield page
