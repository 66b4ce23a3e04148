"""The tests stand where they are looked for, and none leans on another."""

import ast
import os
import re
from collections import Counter
from pathlib import Path

import pytest

import spacy_instructner
from helpers.places import ROOT

TESTS = ROOT / "tests"
PACKAGE = Path(spacy_instructner.__file__).parent
FILES = sorted(TESTS.rglob("*.py"))
PAGES = [
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    *sorted((ROOT / "integrations").rglob("*.md")),
]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> set[str]:
    """The first parts of the modules that a file imports, in whatever place."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.Import):
            found |= {each.name.split(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            # Without a package there is nothing to be relative to.
            assert node.level == 0 and node.module, f"{path}: {ast.unparse(node)}"
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_test_is_imported(path: Path) -> None:
    own = {each.stem for each in FILES if each.name.startswith("test_")}
    assert imported(path).isdisjoint({*own, "conftest"})


def test_files_are_short_and_have_names_of_their_own() -> None:
    """Without packages, a name is a module's, wherever the file lies."""
    lengths = {name_of(p): len(p.read_text("utf8").splitlines()) for p in FILES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
    names = Counter(path.stem for path in FILES if path.stem != "conftest")
    assert [name for name, count in names.items() if count > 1] == []
    packages = {path.parent.name for path in FILES if path.name == "__init__.py"}
    assert packages == {"helpers"}


def test_folders_are_those_of_the_package() -> None:
    """Or those of the project that are no part of the package."""
    folders = {path.parent.relative_to(TESTS).as_posix() for path in FILES}
    for folder in folders - {".", "whole", "helpers"}:
        assert (PACKAGE / folder).is_dir() or (ROOT / folder).is_dir(), folder


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_name_tests_that_there_are(page: Path) -> None:
    mention = r"(?:tests/)?((?:\w+/)*test_\w+\.py)(?:::(\w+))?"
    for path, function in re.findall(mention, page.read_text("utf8")):
        assert (TESTS / path).is_file(), path
        if function:
            text = (TESTS / path).read_text("utf8")
            assert f"\ndef {function}(" in text, f"{path}::{function}"


@pytest.mark.xdist_group("of one test")
def test_groups_of_tests_are_known(request: pytest.FixtureRequest) -> None:
    """Or what `trained` makes would be made by each process that shares the tests."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@of one test")
