"""The commands, run in the process of the tests."""

from pathlib import Path

import spacy
from spacy.cli._util import app
from spacy.tokens import DocBin
from typer.testing import CliRunner

import spacy_instructner.cli  # noqa: F401
from helpers.places import ROOT

ASSETS = ROOT / "assets" / "workshop"
RUNNER = CliRunner()


def run(*arguments: object) -> str:
    done = RUNNER.invoke(app, ["instructner", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def fail(*arguments: object) -> str:
    done = RUNNER.invoke(app, ["instructner", *map(str, arguments)])
    assert done.exit_code == 1, done.output
    return " ".join(done.output.split())


def docs(path: Path) -> list:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))
