"""The layers of the package: an import never runs up."""

import ast
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from helpers.layers import LAYERS, PACKAGE

HEIGHTS = {name: at for at, layer in enumerate(LAYERS) for name in layer}
# Imports that run up and are still to be removed: (module, what it imports).
STILL_UP: set[tuple[str, str]] = set()


def modules() -> dict[str, Path]:
    """The modules of the package by their names, without the package's own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def imported(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """What a module of this package imports of us, anywhere in its code: also inside of
    functions, and for types alone.

    package: the parts of the package's name that relative imports are counted from."""
    own = PACKAGE.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == own or alias.name.startswith(f"{own}."):
                    yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *filter(None, [node.module])])
            if name == own or name.startswith(f"{own}."):
                yield from (f"{name}.{alias.name}" for alias in node.names)


def units_of(source: str, module: str, is_package: bool = False) -> set[str]:
    """The units (modules or folders of the package) that a module imports."""
    parts = [PACKAGE.name, *module.split(".")]
    names = imported(ast.parse(source), parts if is_package else parts[:-1])
    return {name.split(".")[1] for name in names if "." in name}


def edges() -> Iterator[tuple[str, str]]:
    """Each module, with each other unit that it imports."""
    for name, path in modules().items():
        source = path.read_text(encoding="utf8")
        for unit in sorted(units_of(source, name, path.name == "__init__.py")):
            if unit != name.split(".")[0] and not unit.startswith("__"):
                yield name, unit


def test_every_module_has_a_layer() -> None:
    units = {name.split(".")[0] for name in modules()}
    assert units == set(HEIGHTS)
    assert len(HEIGHTS) == sum(map(len, LAYERS))


def test_no_import_runs_up() -> None:
    up = {
        (module, unit)
        for module, unit in edges()
        if HEIGHTS[unit] >= HEIGHTS[module.split(".")[0]]
    }
    assert up == STILL_UP


@pytest.mark.parametrize(
    "source,units",
    [
        ("from .cli import app", {"cli"}),
        ("from . import files, locks", {"files", "locks"}),
        ("def load():\n    from ..models.causal import build", {"models"}),
        ("if TYPE_CHECKING:\n    from ..component import Pipe", {"component"}),
        ("import spacy_instructner.tasks.base as base", {"tasks"}),
        ("from spacy_instructner.files import to_json", {"files"}),
        ("from spacy_instructner import weights", {"weights"}),
        ("import spacy, torch\nfrom spacy.tokens import Doc", set()),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, units: set[str]) -> None:
    """(So that the test of the layers can fail.)"""
    module = "models.lora" if ".." in source else "annotations"
    assert units_of(source, module) == units


def files_of(source: str, name: str, known: Collection[str]) -> set[str]:
    """The modules among the known ones that a module imports."""
    parts = [PACKAGE.name, *name.split(".")[:-1]]
    found = set()
    for each in imported(ast.parse(source), parts):
        full = each.split(".")[1:]
        # What is imported is a module, or a name in one.
        found |= {".".join(full[:n]) for n in (len(full), len(full) - 1)} & set(known)
    return found - {name}


def test_no_files_import_each_other_in_a_circle() -> None:
    known = {n: path for n, path in modules().items() if path.name != "__init__.py"}
    graph = {
        name: files_of(path.read_text(encoding="utf8"), name, known)
        for name, path in known.items()
    }
    assert sum(map(len, graph.values())) > 300
    # Raises CycleError, which names the circle.
    assert set(TopologicalSorter(graph).static_order()) == set(known)


def test_a_circle_is_found() -> None:
    known = ("models.causal", "models.packed_session")
    sources = {
        "models.causal": "from .packed_session import PackedSession",
        "models.packed_session": "def f():\n    from .causal import CausalBackbone",
    }
    graph = {name: files_of(source, name, known) for name, source in sources.items()}
    with pytest.raises(CycleError):
        tuple(TopologicalSorter(graph).static_order())


def test_commands_share_nothing_but_helpers() -> None:
    """A command imports no other command: only the app, and modules of `cli` whose names
    begin with _."""
    commands = {name for name in modules() if name.startswith("cli.")}
    shared = set()
    for name in commands:
        tree = ast.parse(modules()[name].read_text(encoding="utf8"))
        own = [n for n in imported(tree, [PACKAGE.name, "cli"]) if ".cli." in n]
        shared |= {n.split(".")[2] for n in own}
    assert {"app", "_printing", "_reading"} <= shared
    assert all(name == "app" or name.startswith("_") for name in shared)
