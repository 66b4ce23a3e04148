"""The code keeps the shape that a reader can live in."""

import ast
from collections import Counter
from pathlib import Path

import pytest

import spacy_instructner

PACKAGE = Path(spacy_instructner.__file__).parent
ROOT = Path(__file__).parents[2]
MODULE, FUNCTION = 400, 60
MODULES = sorted(PACKAGE.rglob("*.py"))
INTEGRATIONS = sorted((ROOT / "integrations").rglob("*.py"))
OWN = [
    *MODULES,
    *INTEGRATIONS,
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    *sorted((ROOT / "tests").rglob("*.py")),
]


def name_of(path: Path) -> str:
    root = PACKAGE.parent if path.is_relative_to(PACKAGE) else ROOT
    return path.relative_to(root).as_posix()


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its signature."""
    return (function.end_lineno or 0) - function.body[0].lineno + 1


def long_functions(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf8"))
    return [
        f"{name_of(path)}:{node.lineno} {node.name} has {body_lines(node)} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and body_lines(node) > FUNCTION
    ]


def test_modules_are_short() -> None:
    lengths = {
        name_of(path): len(path.read_text(encoding="utf8").splitlines()) for path in OWN
    }
    assert {name: n for name, n in lengths.items() if n > MODULE} == {}


def test_functions_are_short() -> None:
    assert [line for path in OWN for line in long_functions(path)] == []


def test_a_long_function_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.name_of", lambda path: path.name)
    path = tmp_path / "long.py"
    path.write_text("def f(\n    x,\n):\n" + "    x = x\n" * FUNCTION)
    assert long_functions(path) == []
    path.write_text("def f(\n    x,\n):\n" + "    x = x\n" * (FUNCTION + 1))
    assert long_functions(path) == ["long.py:1 f has 61 lines"]


def test_frozen_things_stay_frozen() -> None:
    found = [
        name_of(path)
        for path in [*MODULES, *INTEGRATIONS]
        if "object.__setattr__" in path.read_text(encoding="utf8")
    ]
    assert found == []


def test_every_module_says_what_it_is_for() -> None:
    found = [
        name_of(path)
        for path in [*MODULES, *INTEGRATIONS]
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf8")))
    ]
    assert found == []


def test_a_file_name_stands_for_one_thing() -> None:
    # Each part of integrations is started by its __main__.py.
    shared = ("__init__.py", "__main__.py")
    paths = [*MODULES, *INTEGRATIONS]
    names = Counter(path.name for path in paths if path.name not in shared)
    assert [name for name, count in names.items() if count > 1] == []


def test_a_class_name_stands_for_one_thing() -> None:
    classes: dict[str, list[str]] = {}
    for path in [*MODULES, *INTEGRATIONS]:
        for node in ast.parse(path.read_text(encoding="utf8")).body:
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(name_of(path))
    assert {name: at for name, at in classes.items() if len(at) > 1} == {}
