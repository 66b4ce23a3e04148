"""The pages beside the integrations name what there is, and their code runs."""

import os
import re
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from helpers import pages
from helpers.places import ROOT
from helpers.stand_in_prodigy import install_prodigy

FOLDER = ROOT / "integrations"
READMES = sorted(FOLDER.rglob("README.md"))
OWN_PAGE = ROOT / "docs" / "how-to" / "annotation-tools.md"
# Of other programs, in their own commands.
OF_OTHERS = {"slow"}


def options_of(command: Any) -> set[str]:
    """The options of a program that is a function."""
    app = typer.Typer()
    app.command()(command)
    own: click.Command = typer.main.get_command(app)
    return {name.lstrip("-") for parameter in own.params for name in parameter.opts}


def named_options(page: Path) -> set[str]:
    """The options that a page names, in text and commands."""
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", pages.text_of(page)))


def test_every_part_has_a_page() -> None:
    folders = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert folders == {"label_studio", "inception", "prodigy", "huggingface"}
    assert {page.parent.name for page in READMES} == {*folders, "integrations"}
    front = pages.text_of(FOLDER / "README.md")
    assert all(f"{name}/README.md" in front for name in folders)
    assert all((FOLDER / name).is_file() for name in re.findall(r"`(\w+\.py)`", front))


@pytest.mark.parametrize("page", READMES, ids=pages.name_of)
def test_links_of_readmes_lead_somewhere(page: Path) -> None:
    for target, anchor in pages.links(page):
        found = page.parent / target
        assert found.exists(), target
        assert not anchor or anchor in pages.anchors(found), (target, anchor)


def test_options_that_pages_name_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    pytest.importorskip("cassis")
    from integrations.inception.__main__ import serve_inception
    from integrations.label_studio.__main__ import serve_label_studio

    for name, command in (
        ("label_studio", serve_label_studio),
        ("inception", serve_inception),
    ):
        known, named = options_of(command), named_options(FOLDER / name / "README.md")
        assert {"host", "models", "port"} <= known and "host" in named
        assert named <= {*known, *OF_OTHERS}
    recipes, _ = install_prodigy(monkeypatch)
    code = (FOLDER / "prodigy" / "instructner_recipe.py").read_text(encoding="utf8")
    exec(compile(code, "instructner_recipe.py", "exec"), {"__name__": "recipe"})
    arguments = recipes["instructner.correct"].__code__.co_varnames
    named = named_options(FOLDER / "prodigy" / "README.md") | {"label", "among"}
    assert {name.replace("-", "_") for name in named} <= set(arguments)


@pytest.mark.parametrize("page", [FOLDER / "huggingface" / "README.md", OWN_PAGE])
def test_code_of_pages_runs(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (code,) = pages.blocks(page, "python")
    (tmp_path / "code.py").write_text(code, encoding="utf8")
    found = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    said = pages.run("python code.py", tmp_path, PYTHONPATH=os.pathsep.join(found))
    if page == OWN_PAGE:
        assert said.splitlines() == [
            "[('chain', 'PART')]",
            "[{'start': 4, 'end': 9, 'label': 'PART'}]",
        ]
