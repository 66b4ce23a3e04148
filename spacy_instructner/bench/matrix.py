"""What is to be measured: a YAML file with data sets, methods and runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import (
    Any,
    get_args,
)

from ..data.sampling import Protocol
from ..formats.text_files import UTF8, read_yaml
from .weights import Weights

# Draws that come with the data, in files of their own.
GIVEN = "given"
# A draw of labels, and of the texts to learn from and to score.
EPISODES = "episodes"
PROTOCOLS = (*get_args(Protocol), GIVEN, EPISODES)


TITLE = "Few-shot results"


@dataclass(frozen=True)
class DataSet:
    """Annotated files.

    test: what is scored; train: what support sets are drawn from, which may be the same
    file; support: a file name with {k} and {seed} for protocol "given"; definitions:
    what its labels mean; encoding: of the annotated files, as Python calls it.
    """

    name: str
    test: Path
    train: Path | None = None
    support: str | None = None
    definitions: Path | None = None
    encoding: str = UTF8


@dataclass(frozen=True)
class Method:
    """A training config, or a function that learns from a support set (`cells.Fit`).

    function: its module and name, as `module:name`; without: sections of the config
    that are left out, as `components.ner.model`; overrides: of the config's settings,
    or the function's own; weights: settings that get a folder of weights, and where it
    comes from; train: False to ask the config's
    model as it is, with the support set's labels; seen: data sets that it has learned
    the train split of, so that it is not few-shot there.
    """

    name: str
    config: Path | None = None
    function: str = ""
    without: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Weights] = field(default_factory=dict)
    train: bool = True
    seen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One measurement. texts: how many of the test file are scored, 0 for all; ways:
    labels of an episode, 0 for another protocol."""

    data: DataSet
    protocol: str
    k: int
    seed: int
    method: Method
    texts: int
    ways: int = 0

    @property
    def setting(self) -> str:
        """The protocol with its numbers."""
        ways = f"{self.ways}-" if self.ways else ""
        return f"{self.protocol}-{ways}{self.k}"

    @property
    def seen(self) -> bool:
        """Whether the method has learned the data's train split before."""
        return self.data.name in self.method.seen

    @property
    def name(self) -> str:
        return f"{self.data.name}.{self.setting}.{self.seed}.{self.method.name}"


@dataclass(frozen=True)
class Matrix:
    """All cells: of each run the first seed of everything, then the next. published: a
    file with figures of others; title: of the report."""

    cells: tuple[Cell, ...]
    published: Path | None = None
    title: str = TITLE

    def matching(self, patterns: Sequence[str]) -> list[Cell]:
        """The cells whose names one of these shell patterns fits; all without any."""
        return [
            cell
            for cell in self.cells
            if not patterns or any(fnmatch(cell.name, pattern) for pattern in patterns)
        ]


def read_matrix(path: Path, data: Path) -> Matrix:
    """Read a matrix.

    data: the folder that paths of data sets are relative to; other paths are relative
    to the file. Raises ValueError with the place of what is wrong, and OSError for a
    missing file.
    """
    top = Section(read_yaml(path), str(path))
    sets = {
        name: _data_set(name, top.section("data").section(name), data, path.parent)
        for name in top.section("data").raw
    }
    weights = {
        name: path.parent / own if isinstance(own, str) else tuple(own)
        for name, own in top.pop("weights", dict, {}).items()
    }
    methods = {
        name: _method(
            name, top.section("methods").section(name), path.parent, weights, sets
        )
        for name in top.section("methods").raw
    }
    runs = top.pop("runs", list)
    published = top.pop("published", str, "")
    title = top.pop("title", str, TITLE)
    top.done("data", "methods")
    cells: dict[str, Cell] = {}
    for number, run in enumerate(runs, 1):
        for cell in _run(Section(run, f"{path}, run {number}"), sets, methods):
            other = cells.setdefault(cell.name, cell)
            if other != cell:
                raise ValueError(f"{path}: two runs have a cell {cell.name}, unlike.")
    figures = path.parent / published if published else None
    return Matrix(tuple(cells.values()), figures, title)


class Section:
    """A mapping of the file, with its place for errors."""

    def __init__(self, raw: Any, where: str) -> None:
        if not isinstance(raw, dict):
            raise ValueError(f"{where}: there must be names with values, not {raw!r}.")
        self.raw = dict(raw)
        self.where = where

    def section(self, name: str) -> "Section":
        if name not in self.raw:
            raise ValueError(f"{self.where}: `{name}` is missing.")
        return Section(self.raw[name], f"{self.where}, {name}")

    def pop(self, name: str, kind: type, default: Any = None) -> Any:
        """A value; a missing one must have a default."""
        value = self.raw.pop(name, default)
        if value is None:
            raise ValueError(f"{self.where}: `{name}` is missing.")
        # A bool is an int to Python.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(
                f"{self.where}: `{name}` must be of type {kind.__name__}, not {value!r}."
            )
        return value

    def done(self, *left: str) -> None:
        """Raise ValueError for what nobody asked for."""
        if unknown := sorted(set(self.raw) - set(left)):
            raise ValueError(f"{self.where}: unknown: {', '.join(unknown)}.")


def _data_set(name: str, raw: Section, data: Path, beside: Path) -> DataSet:
    train, support = raw.pop("train", str, ""), raw.pop("support", str, "")
    definitions = raw.pop("definitions", str, "")
    found = DataSet(
        name,
        test=data / raw.pop("test", str),
        train=data / train if train else None,
        support=str(data / support) if support else None,
        definitions=beside / definitions if definitions else None,
        encoding=raw.pop("encoding", str, UTF8),
    )
    raw.done()
    return found


def _method(
    name: str,
    raw: Section,
    beside: Path,
    weights: Mapping[str, Weights],
    sets: Mapping[str, DataSet],
) -> Method:
    config, function = raw.pop("config", str, ""), raw.pop("function", str, "")
    if bool(config) == bool(function):
        raise ValueError(f"{raw.where}: name a `config` or a `function`.")
    named = raw.pop("weights", dict, {})
    if unknown := sorted(set(named.values()) - set(weights)):
        raise ValueError(f"{raw.where}: weights: unknown: {', '.join(unknown)}.")
    seen = raw.pop("seen", list, [])
    if unknown := [data for data in seen if data not in sets]:
        raise ValueError(f"{raw.where}: seen: unknown: {', '.join(unknown)}.")
    found = Method(
        name,
        config=beside / config if config else None,
        function=function,
        overrides=raw.pop("overrides", dict, {}),
        weights={setting: weights[of] for setting, of in named.items()},
        # What a function has no use for stays, and is refused.
        without=tuple(raw.pop("without", list, [])) if config else (),
        train=raw.pop("train", bool, True) if config else True,
        seen=tuple(seen),
    )
    raw.done()
    return found


def _run(
    raw: Section, sets: Mapping[str, DataSet], methods: Mapping[str, Method]
) -> Iterator[Cell]:
    protocol = raw.pop("protocol", str)
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"{raw.where}: there is no protocol {protocol!r}. There are: "
            f"{', '.join(PROTOCOLS)}."
        )
    names = {"data": raw.pop("data", list), "methods": raw.pop("methods", list)}
    for kind, known in (("data", sets), ("methods", methods)):
        if unknown := [name for name in names[kind] if name not in known]:
            raise ValueError(f"{raw.where}: {kind}: unknown: {', '.join(unknown)}.")
    ks, seeds = raw.pop("k", list), raw.pop("seeds", list)
    texts = raw.pop("texts", int, 500)
    ways = raw.pop("ways", int) if protocol == EPISODES else 0
    raw.done()
    for seed in seeds:
        for name in names["data"]:
            missing = "support" if protocol == GIVEN else "train"
            if getattr(sets[name], missing) is None:
                raise ValueError(
                    f"{raw.where}: protocol {protocol!r} needs `{missing}` of {name}."
                )
            for k in ks:
                for own in names["methods"]:
                    yield Cell(sets[name], protocol, k, seed, methods[own], texts, ways)
