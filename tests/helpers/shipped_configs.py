"""The shipped configs, and spaCy's commands on them."""

from typing import Any

from spacy.cli import app as spacy_app
from typer.testing import CliRunner

from helpers.places import ROOT

CONFIGS = ROOT / "configs"
ALL = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.cfg"))
NER = [name for name in ALL if name.startswith("baselines/") or name == "distil.cfg"]
BASES = ("base.cfg", "base2.cfg")
OURS = [name for name in ALL if name not in NER]
WORDS = {"names": ["one", "two"], "definitions": ["what it is", "what it means"]}
STEPS = 2


def run(*arguments: object) -> Any:
    """One of spaCy's commands, in this process."""
    return CliRunner().invoke(spacy_app, [str(each) for each in arguments])


def good(*arguments: object) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, f"{arguments}: {done.output}{done.exception!r}"
    return str(done.output)
