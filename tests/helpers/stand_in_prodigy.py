"""A small stand-in for Prodigy, which is sold: what its documentation says of the functions
that a recipe calls, and of what a recipe gives back."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# The components of a recipe that Prodigy knows.
COMPONENTS = {
    *("dataset", "view_id", "stream", "update", "db", "progress", "on_load", "on_exit"),
    *("before_db", "validate_answer", "get_session_id", "exclude", "config"),
    *("task_router", "session_factory"),
}


class StandInDatabase:
    """The data sets that answers are saved to."""

    def __init__(self) -> None:
        self.saved: dict[str, list[dict[str, Any]]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.saved

    def get_dataset_examples(self, name: str) -> list[dict[str, Any]]:
        """The answers of a data set."""
        return self.saved[name]


def set_hashes(task: dict[str, Any], overwrite: bool = False) -> dict[str, Any]:
    """Tell tasks apart by their text, and by their text and spans."""
    own = {"_input_hash": task["text"], "_task_hash": [task["text"], task.get("spans")]}
    for key, value in own.items():
        if overwrite or key not in task:
            digest = hashlib.sha256(json.dumps(value).encode()).hexdigest()
            task[key] = int(digest[:7], 16)
    return task


def get_stream(
    source: str, rehash: bool = False, dedup: bool = False, input_key: str | None = None
) -> Iterator[dict[str, Any]]:
    """The tasks of a JSON Lines file."""
    seen = set()
    for line in Path(source).read_text(encoding="utf8").splitlines():
        task = set_hashes(json.loads(line), overwrite=rehash)
        assert input_key is None or input_key in task
        if not dedup or task["_input_hash"] not in seen:
            seen.add(task["_input_hash"])
            yield task


def install_prodigy(
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[dict[str, Callable[..., dict[str, Any]]], StandInDatabase]:
    """Let `import prodigy` find this. RETURNS (tuple): the recipes that register
    themselves, by their names, and the data base."""
    recipes: dict[str, Callable[..., dict[str, Any]]] = {}
    database = StandInDatabase()

    def recipe(name: str, **described: Any) -> Callable[[Any], Any]:
        def register(function: Any) -> Any:
            names = function.__code__.co_varnames[: function.__code__.co_argcount]
            # Every argument is described, as the command line is made of it.
            assert set(described) == set(names)
            recipes[name] = function
            return function

        return register

    parts: dict[str, dict[str, Any]] = {
        "prodigy": {"recipe": recipe, "set_hashes": set_hashes},
        "prodigy.components": {},
        "prodigy.components.db": {"connect": lambda: database},
        "prodigy.components.stream": {"get_stream": get_stream},
    }
    for name, content in parts.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return recipes, database


def session(
    parts: dict[str, Any], answer: Callable[[dict[str, Any]], str], batch: int = 10
) -> list[dict[str, Any]]:
    """Answer every task of a recipe as Prodigy's server does, in batches. answer: tells what
    becomes of a task: "accept", "reject" or "ignore"; it may change the task."""
    assert set(parts) <= COMPONENTS and {"dataset", "view_id", "stream"} <= set(parts)
    answered: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for task in parts["stream"]:
        # They go through JSON.
        own = json.loads(json.dumps(task))
        own["answer"] = answer(own)
        own["_view_id"] = parts["view_id"]
        waiting.append(own)
        if len(waiting) == batch:
            parts["update"](waiting)
            answered += waiting
            waiting = []
    parts["update"](waiting)
    return answered + waiting


def lines_file(path: Path, texts: Iterable[str]) -> str:
    """A JSON Lines file of texts."""
    rows = [json.dumps({"text": text, "meta": {"source": "x"}}) for text in texts]
    path.write_text("\n".join(rows), encoding="utf8")
    return str(path)
