"""What to measure: a YAML file with data sets, methods and runs. Source: ours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, get_args

from ..data.sampling import Protocol
from ..formats.text_files import UTF8, read_yaml

GIVEN = "given"  # Draws that come with the data, in files of their own.
EPISODES = "episodes"  # A draw of labels, and of the texts to learn from and to score.
PROTOCOLS = (*get_args(Protocol), GIVEN, EPISODES)


@dataclass(frozen=True)
class DataSet:
    """Annotated files.

    test: what is scored; train: what support sets are drawn from, which may be the same
    file; support: a file name with {k} and {seed} for protocol "given"; definitions:
    what its labels mean; encoding: of the annotated files, as Python calls it; note: what
    a reader of its figures must know, beside its name in every table.
    """

    name: str
    test: Path
    train: Path | None = None
    support: str | None = None
    definitions: Path | None = None
    encoding: str = UTF8
    note: str = ""


@dataclass(frozen=True)
class Method:
    """A training config, or a function that learns from a support set (`runs.Fit`).

    function: its module and name, as `module:name`; without: sections of the config
    that are left out, as `components.ner.model`; overrides: of the config's settings,
    or the function's arguments; weights: those of them that are folders of weights;
    train: False to ask the config's model as it is, with the labels of the support set;
    seen: data sets whose train split it has learned: its figures are not few-shot there.
    """

    name: str
    config: Path | None = None
    function: str = ""
    without: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Path] = field(default_factory=dict)
    train: bool = True
    seen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One measurement. texts: how many of the test file are scored, 0 for all; ways:
    labels of an episode, 0 for another protocol; known: ask each text a second time,
    only for the labels that it has."""

    data: DataSet
    protocol: str
    k: int
    seed: int
    method: Method
    texts: int
    ways: int = 0
    known: bool = False

    @property
    def seen(self) -> bool:
        """Whether the method has learned the data's train split before."""
        return self.data.name in self.method.seen

    @property
    def name(self) -> str:
        ways = f"{self.ways}-" if self.ways else ""
        drawn = f"{self.protocol}-{ways}{self.k}"
        return f"{self.data.name}.{drawn}.{self.seed}.{self.method.name}"


@dataclass(frozen=True)
class Grid:
    """All runs, of each block the first seed first. title: of the report."""

    runs: tuple[Run, ...]
    title: str = "Few-shot results"

    def matching(self, patterns: Sequence[str]) -> list[Run]:
        """The runs whose names one of these shell patterns fits; all without any."""
        wanted = patterns or ["*"]
        return [r for r in self.runs if any(fnmatch(r.name, own) for own in wanted)]


def read_grid(path: Path, data: Path) -> Grid:
    """Read a grid. data: the folder that paths of data sets are relative to; other paths
    are relative to the file. Raises ValueError with the place of what is wrong, and
    OSError for a missing file."""
    top = Block(read_yaml(path), str(path))
    sets = {
        name: _data_set(name, top.block("data").block(name), data, path.parent)
        for name in top.block("data").raw
    }
    methods = {
        name: _method(name, top.block("methods").block(name), path.parent, sets)
        for name in top.block("methods").raw
    }
    blocks = top.pop("runs", list)
    title = top.pop("title", str, Grid.title)
    top.done("data", "methods")
    runs: dict[str, Run] = {}
    for number, block in enumerate(blocks, 1):
        for run in _runs(Block(block, f"{path}, run {number}"), sets, methods):
            if runs.setdefault(run.name, run) != run:
                raise ValueError(f"{path}: two blocks have a run {run.name}, unlike.")
    return Grid(tuple(runs.values()), title)


class Block:
    """A mapping of the file, with its place for errors."""

    def __init__(self, raw: Any, where: str) -> None:
        if not isinstance(raw, dict):
            raise ValueError(f"{where}: there must be names with values, not {raw!r}.")
        self.raw = dict(raw)
        self.where = where

    def block(self, name: str) -> "Block":
        if name not in self.raw:
            raise ValueError(f"{self.where}: `{name}` is missing.")
        return Block(self.raw[name], f"{self.where}, {name}")

    def pop(self, name: str, kind: type, default: Any = None) -> Any:
        """A value; a missing one must have a default."""
        value = self.raw.pop(name, default)
        if value is None:
            raise ValueError(f"{self.where}: `{name}` is missing.")
        # A bool is an int to Python.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            wanted = f"must be of type {kind.__name__}, not {value!r}."
            raise ValueError(f"{self.where}: `{name}` {wanted}")
        return value

    def done(self, *left: str) -> None:
        """Raise ValueError for what nobody asked for."""
        if unknown := sorted(set(self.raw) - set(left)):
            raise ValueError(f"{self.where}: unknown: {', '.join(unknown)}.")


def _data_set(name: str, raw: Block, data: Path, beside: Path) -> DataSet:
    train, support = raw.pop("train", str, ""), raw.pop("support", str, "")
    definitions = raw.pop("definitions", str, "")
    found = DataSet(
        name,
        test=data / raw.pop("test", str),
        train=data / train if train else None,
        support=str(data / support) if support else None,
        definitions=beside / definitions if definitions else None,
        encoding=raw.pop("encoding", str, UTF8),
        note=raw.pop("note", str, ""),
    )
    raw.done()
    return found


def _method(name: str, raw: Block, beside: Path, sets: Mapping[str, DataSet]) -> Method:
    config, function = raw.pop("config", str, ""), raw.pop("function", str, "")
    if bool(config) == bool(function):
        raise ValueError(f"{raw.where}: name a `config` or a `function`.")
    weights = raw.pop("weights", dict, {})
    seen = raw.pop("seen", list, [])
    if unknown := [data for data in seen if data not in sets]:
        raise ValueError(f"{raw.where}: seen: unknown: {', '.join(unknown)}.")
    found = Method(
        name,
        config=beside / config if config else None,
        function=function,
        overrides=raw.pop("overrides", dict, {}),
        weights={name: beside / str(own) for name, own in weights.items()},
        # What a function has no use for stays, and is refused.
        without=tuple(raw.pop("without", list, [])) if config else (),
        train=raw.pop("train", bool, True) if config else True,
        seen=tuple(seen),
    )
    raw.done()
    return found


def _runs(
    raw: Block, sets: Mapping[str, DataSet], methods: Mapping[str, Method]
) -> Iterator[Run]:
    protocol = raw.pop("protocol", str)
    if protocol not in PROTOCOLS:
        there = f"There are: {', '.join(PROTOCOLS)}."
        raise ValueError(f"{raw.where}: there is no protocol {protocol!r}. {there}")
    names = {"data": raw.pop("data", list), "methods": raw.pop("methods", list)}
    for kind, own in (("data", sets), ("methods", methods)):
        if unknown := [name for name in names[kind] if name not in own]:
            raise ValueError(f"{raw.where}: {kind}: unknown: {', '.join(unknown)}.")
    ks, seeds = raw.pop("k", list), raw.pop("seeds", list)
    texts, known = raw.pop("texts", int, 500), raw.pop("known", bool, False)
    ways = raw.pop("ways", int) if protocol == EPISODES else 0
    raw.done()
    functions = [name for name in names["methods"] if methods[name].function]
    if known and functions:
        needed = f"`known` needs pipelines, but {', '.join(functions)}: a function."
        raise ValueError(f"{raw.where}: {needed}")
    for seed in seeds:
        for name in names["data"]:
            missing = "support" if protocol == GIVEN else "train"
            if getattr(sets[name], missing) is None:
                needed = f"protocol {protocol!r} needs `{missing}` of {name}."
                raise ValueError(f"{raw.where}: {needed}")
            for k in ks:
                for method in names["methods"]:
                    of = (sets[name], protocol, k, seed, methods[method])
                    yield Run(*of, texts, ways, known)
