"""Pages lead somewhere, are all there, and name what exists."""

import importlib.util
import re
import shlex
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import click
import pytest
import srsly
import typer
from spacy.cli._util import app as spacy_app
from spacy.schemas import ConfigSchemaTraining
from spacy.util import registry

import spacy_instructner.cli
from helpers import pages
from helpers.pages import COMMANDS, DOCS, HOW_TO, PACKAGE, PAGES, README, ROOT
from spacy_instructner.factory import DEFAULT_CONFIG

every_page = pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
# Readers of these want to do something, or to understand it.
FREE_OF_RESULTS = [
    *HOW_TO,
    *(DOCS / "concepts").glob("*.md"),
    *(DOCS / "reference").glob("*.md"),
    *(DOCS / name for name in ("index.md", "install.md", "tutorial.md")),
]


def find(page: Path, target: str) -> Path:
    if not target:
        return page
    # The package is where it is installed.
    inside = target.partition("spacy_instructner/")[2]
    return PACKAGE / inside if inside else page.parent / target


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in pages.links(page):
        found = find(page, target)
        assert found.exists(), target
        if anchor:
            assert anchor in pages.anchors(found), (target, anchor)


@every_page
def test_links_of_the_site_stay_in_it(page: Path) -> None:
    """The site is made of docs/ alone."""
    for target, _ in pages.links(page):
        if page != README:
            assert (page.parent / target).resolve().is_relative_to(DOCS), target


@every_page
def test_sections_have_titles_of_their_own(page: Path) -> None:
    """GitHub and MkDocs number equal titles in different ways."""
    found = [] if "research" in page.parts else pages.anchors(page)
    assert len(found) == len(set(found))


def nav_of(node: object) -> list[str]:
    if isinstance(node, str):
        return [node]
    assert isinstance(node, (list, dict))
    parts = node.values() if isinstance(node, dict) else node
    return [path for part in parts for path in nav_of(part)]


def test_every_page_is_in_the_navigation() -> None:
    named = nav_of(srsly.read_yaml(ROOT / "mkdocs.yml")["nav"])
    assert len(named) == len(set(named))
    assert set(named) == {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    if not importlib.util.find_spec("mkdocs"):
        pytest.skip("needs mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    made = ["--config-file", str(ROOT / "mkdocs.yml"), "--site-dir", str(tmp_path)]
    done = subprocess.run([*command, *made], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert (tmp_path / "tutorial" / "index.html").is_file()


@pytest.mark.parametrize("page", FREE_OF_RESULTS, ids=pages.name_of)
def test_no_results_where_readers_do_something(page: Path) -> None:
    found = [table for table in pages.tables(page) if pages.is_of_results(table)]
    assert found == []


def test_tables_of_results_are_told_from_others() -> None:
    """The readme has one, and the research pages have them."""
    count = sum(map(pages.is_of_results, pages.tables(README)))
    assert count == 1
    research = DOCS / "research" / "methods-ablations.md"
    assert all(map(pages.is_of_results, pages.tables(research)))


def test_the_readme_is_short_and_shows_the_page() -> None:
    text = pages.text_of(README)
    assert len(text.splitlines()) <= 120
    (picture,) = re.findall(r"!\[.+?\]\((.+?)\)", text)
    assert (ROOT / picture).stat().st_size <= 160_000


def test_the_projects_page_is_up_to_date(tmp_path: Path) -> None:
    line = f"python -m spacy project document . --no-emoji --output {tmp_path}/p.md"
    pages.run(line, ROOT)
    assert (tmp_path / "p.md").read_text() == (ROOT / "PROJECT.md").read_text()


# Commands.


def test_every_command_is_in_the_reference() -> None:
    text = pages.text_of(COMMANDS)
    names = [c.name for c in spacy_instructner.cli.app.registered_commands]
    assert len(names) >= 5
    for name in names:
        assert f"| `python -m spacy instructner {name}" in text, name


def find_command(arguments: list[str]) -> tuple[click.Command, list[str]]:
    """The command that a line calls, and what it is given."""
    command: click.Command = typer.main.get_command(spacy_app)
    rest = list(arguments)
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        commands = command.commands  # type: ignore[union-attr]
        assert rest and rest[0] in commands, " ".join(arguments)
        command = commands[rest.pop(0)]
    return command, rest


@every_page
def test_commands_have_the_options_that_they_are_given(page: Path) -> None:
    for line in pages.commands(page):
        if line.startswith("mkdir"):
            continue
        command, rest = find_command(shlex.split(line)[3:])
        # Settings are read by the command itself.
        lenient = command.context_settings.get("ignore_unknown_options")
        known = {option for p in command.params for option in p.opts}
        for given in rest:
            name = given.partition("=")[0]
            if re.match(r"--?[a-z]", name):
                setting = lenient and "." in name
                assert setting or name in known, f"{name} in {line}"


# Settings that are named in running text or in blocks of a config.


def known_settings() -> set[str]:
    functions = [registry.get(*each) for each in pages.registered()]
    known = {name for each in functions for name in signature(each).parameters}
    # Of spaCy's own sections and blocks.
    # Older versions of pydantic have their fields elsewhere.
    schema: Any = ConfigSchemaTraining
    known |= set(getattr(schema, "model_fields", None) or schema.__fields__)
    known |= {"factory", "source"}
    return known | set(DEFAULT_CONFIG) | {"use_averages", "total_steps", "batch_size"}


@every_page
def test_settings_that_are_named_exist(page: Path) -> None:
    text = pages.without_blocks(pages.text_of(page))
    known = known_settings()
    named = re.findall(r"`(?:\[[\w.]+\] )?([a-z_0-9.]+) = [^`]+`", text)
    for name in named:
        assert name.rpartition(".")[2] in known, name


@every_page
def test_blocks_of_configs_name_settings_that_exist(page: Path) -> None:
    """Each block with a registered function has settings of that function."""
    for block in pages.blocks(page, "ini"):
        for part in re.split(r"^(?=\[)", block, flags=re.M):
            called = re.search(r'^@(\w+) = "(spacy-instructner\.[\w.]+)"', part, re.M)
            if not called:
                continue
            parameters = signature(registry.get(*called.groups())).parameters
            for name in re.findall(r"^(\w+) = ", part, re.M):
                assert name in parameters, (called.group(2), name)
