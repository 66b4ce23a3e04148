"""Commands that only read and write annotated texts wait for no model: neither
transformers nor peft is imported, nor a module of ours that needs them. (spaCy imports
torch by itself, where it is there.)"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "transformers",
    "peft",
    "spacy_instructner.models",
    "spacy_instructner.weights",
    "spacy_instructner.training",
    "spacy_instructner.component",
)
ROWS = [
    {"text": "My fork creaks.", "spans": [{"start": 3, "end": 7, "label": "PART"}]},
    {"text": "So does my stem.", "spans": [{"start": 11, "end": 15, "label": "PART"}]},
]
CODE = """
import sys
from spacy_instructner.cli import app
if sys.argv[1:]:
    app(sys.argv[1:], standalone_mode=False)
print("loaded:", *sys.modules)
"""


def heavy(loaded: set[str]) -> set[str]:
    """Of what is loaded, what is ours to load late. Where spacy-transformers is
    installed, spaCy imports it for every pipeline, and transformers with it."""
    others = {"transformers"} if "spacy_transformers" in loaded else set()
    return loaded & set(HEAVY) - others


def loaded_by(*arguments: object) -> set[str]:
    """The modules that a process has once a command has run in it; once the commands are
    imported, where there is no argument."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (line,) = (x for x in done.stdout.splitlines() if x.startswith("loaded: "))
    return set(line.split()[1:])


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_importing_the_commands_is_light() -> None:
    loaded = loaded_by()
    assert "spacy_instructner.cli.convert" in loaded
    assert not heavy(loaded)


@pytest.mark.long
@pytest.mark.parametrize("command", ["convert", "sample"])
def test_commands_on_annotated_texts_are_light(
    command: str, rows: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.spacy"
    more = ["--k", 1] if command == "sample" else []
    loaded = loaded_by(command, rows, output, *more)
    assert output.is_file()
    assert not heavy(loaded)


@pytest.mark.long
def test_debug_data_loads_the_component_only_for_a_config_that_has_it(
    rows: Path, tmp_path: Path
) -> None:
    """(So that the other tests can fail.)"""
    root = Path(__file__).parents[1]
    config = root / "configs" / "fewshot.cfg"
    loaded = loaded_by("debug-data", config, rows, "--paths.train", rows)
    assert "spacy_instructner.component" in loaded
