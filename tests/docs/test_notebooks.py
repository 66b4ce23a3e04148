"""The notebooks hold code that runs, and no outputs."""

import json
from pathlib import Path
from typing import Any

import pytest

from helpers import pages
from helpers.pages import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path: Path, kind: str) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def code_of(path: Path) -> str:
    return "\n\n".join("".join(cell["source"]) for cell in cells_of(path, "code"))


def test_what_is_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["few_shot", "zero_shot"]


@each_notebook
def test_a_notebook_has_no_outputs(path: Path) -> None:
    cells = cells_of(path, "code")
    assert len(cells) >= 5 and len(cells_of(path, "markdown")) >= 5
    for cell in cells:
        assert cell["outputs"] == [] and cell["execution_count"] is None
        compile("".join(cell["source"]), path.name, "exec")


@each_notebook
def test_pages_that_a_notebook_names_exist(path: Path) -> None:
    text = "".join("".join(c["source"]) for c in cells_of(path, "markdown"))
    named = [part for part in text.split("`") if part.endswith((".md", ".cfg"))]
    assert named
    for name in named:
        assert (ROOT / name).is_file(), name


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    """Cell after cell, with the real model."""
    (tmp_path / "notebook.py").write_text(code_of(path), encoding="utf8")
    pages.run("python -m spacy instructner fetch", tmp_path)
    out = pages.run("python notebook.py", tmp_path)
    if path.stem == "few_shot":
        assert (tmp_path / "few-shot" / "pipeline" / "config.cfg").is_file()
        assert "'ents_f'" in out
    else:
        assert "Lyon" in out and "derailleur" in out
