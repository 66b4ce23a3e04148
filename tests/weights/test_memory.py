"""Settings of torch's memory are made when weights are loaded, and give way to the user's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from spacy.language import Language

from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.weights.memory import SETTINGS, bound_memory


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        # So that it is as it was afterwards, whatever is set meanwhile.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_what_the_environment_sets_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    bound_memory()
    expected = {**SETTINGS, "LRU_CACHE_CAPACITY": "7"}
    assert {name: os.environ[name] for name in SETTINGS} == expected


def test_loading_weights_sets_them(make_nlp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    nlp: Language = make_nlp()
    assert not set(SETTINGS) & set(os.environ)
    get_backbone(nlp.get_pipe("instruction_ner").model)
    assert {name: os.environ[name] for name in SETTINGS} == SETTINGS


@pytest.mark.long
def test_importing_changes_no_environment() -> None:
    code = (
        "import os\n"
        "import spacy_instructner.architectures, spacy_instructner.component\n"
        f"print(sorted(set({list(SETTINGS)!r}) & set(os.environ)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
