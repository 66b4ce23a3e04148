"""A trained pipeline to serve."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy

from helpers.browser import browser_at, needs_a_browser, server_of
from spacy_instructner.serving import finetune


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
    """A random model of two layers takes more than the default one."""
    text = finetune.SETTINGS.read_text(encoding="utf8")
    assert text.count("= 0.001\n") == 1 and text.count("max_steps = 80\n") == 1
    text = text.replace("= 0.001\n", "= 0.005\n")
    own = tmp_path_factory.mktemp("settings") / "training.cfg"
    own.write_text(text.replace("max_steps = 80\n", "max_steps = 150\n"))
    monkeypatch.setattr(finetune, "SETTINGS", own)


@pytest.fixture
def address(folder: Path, tmp_path: Path) -> Iterator[str]:
    needs_a_browser()
    with server_of(folder, tmp_path / "project") as address:
        yield address


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    with browser_at(address) as page:
        yield page
