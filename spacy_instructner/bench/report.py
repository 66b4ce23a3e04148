"""Tables of what the records hold, as Markdown. Every entry says how many runs it is of
where that is not the same for all."""

import statistics
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Tuple,
)

from .cells import Record
from .matrix import Matrix
from .scores import ERRORS, Counts, total

# A row of records that differ in the seed alone: data, protocol, k; and the method.
Setting = Tuple[str, str, int]
Groups = Dict[Tuple[Setting, str], List[Record]]


def group(matrix: Matrix, records: Iterable[Record]) -> Groups:
    """The matrix's records by setting and method, in its order."""
    by_name = {record["name"]: record for record in records}
    groups: Groups = {}
    for cell in matrix.cells:
        if cell.name in by_name:
            setting = (cell.data.name, cell.protocol, cell.k)
            own = groups.setdefault((setting, cell.method.name), [])
            own.append(by_name[cell.name])
    return groups


def report(matrix: Matrix, records: Sequence[Record], reference: str = "") -> str:
    """All tables. reference: the method that others are compared with, over the draws
    that both have; the matrix's first without one.

    Raises ValueError for a reference that has no record."""
    groups = group(matrix, records)
    if not groups:
        return "Nothing is measured yet.\n"
    names = _unique(method for _, method in groups)
    reference = reference or names[0]
    if reference not in names:
        raise ValueError(
            f"There is no record of {reference!r}. There are: {', '.join(names)}."
        )
    parts = {
        "F1": _wide(groups, lambda own: mean_of([r["f1"] for r in own], 100)),
        f"F1 beside {reference}, on the same draws": _wide(
            groups, _against(groups, reference)
        ),
        "Errors, in percent of all": _long(groups, ("predicted", *ERRORS), _errors),
        "Calibration error": _wide(groups, _calibration),
        "Seconds": _long(
            groups, ("to train", "texts a second", "texts", "entities to learn"), _cost
        ),
    }
    parts.update(by_label(groups))
    return "\n\n".join(f"## {title}\n\n{own}" for title, own in parts.items()) + "\n"


def mean_of(values: Sequence[float], factor: float = 1.0) -> str:
    """Mean, standard deviation, and the number of values."""
    scaled = [factor * value for value in values]
    mean = f"{statistics.mean(scaled):.1f}"
    if len(scaled) == 1:
        return f"{mean} (1)"
    return f"{mean} ± {statistics.stdev(scaled):.1f} ({len(scaled)})"


def by_label(groups: Groups) -> Dict[str, str]:
    """A table of F1 by label for each setting."""
    tables = {}
    for setting in _unique(setting for setting, _ in groups):
        own = {m: records for (s, m), records in groups.items() if s == setting}
        labels = sorted({x for rs in own.values() for r in rs for x in r["counts"]})
        rows = []
        for label in labels:
            cells = [label]
            for records in own.values():
                # All draws together: of a rare label one draw has too few to tell.
                counts = [_counts(r).get(label, Counts(0, 0, 0)) for r in records]
                cells.append(f"{100 * total(counts).f1:.1f}")
            rows.append(cells)
        tables[f"F1 by label: {_called(setting)}"] = table(["label", *own], rows)
    return tables


def _counts(record: Record) -> Dict[str, Counts]:
    return {label: Counts(**own) for label, own in record["counts"].items()}


def _against(groups: Groups, reference: str) -> Callable[[List[Record]], Optional[str]]:
    def entry(own: List[Record]) -> Optional[str]:
        setting = (own[0]["data"], own[0]["protocol"], own[0]["k"])
        theirs = {r["seed"]: r["f1"] for r in groups.get((setting, reference), ())}
        gaps = [r["f1"] - theirs[r["seed"]] for r in own if r["seed"] in theirs]
        if own[0]["method"] == reference or not gaps:
            return None
        won = sum(gap > 0 for gap in gaps)
        return f"{mean_of(gaps, 100)}, better on {won}"

    return entry


def _calibration(own: List[Record]) -> Optional[str]:
    values = [r["calibration_error"] for r in own if r["calibration_error"] is not None]
    return f"{statistics.mean(values):.3f} ({len(values)})" if values else None


def _errors(own: List[Record]) -> List[str]:
    wrong = [sum(r["errors"].values()) for r in own]
    predicted = sum(total(_counts(r).values()).predicted for r in own) / len(own)
    shares = [
        sum(r["errors"][kind] for r in own) / max(sum(wrong), 1) for kind in ERRORS
    ]
    return [f"{predicted:.0f}", *(f"{100 * share:.0f}" for share in shares)]


def _cost(own: List[Record]) -> List[str]:
    train = statistics.median(r["seconds"]["train"] for r in own)
    speed = statistics.median(r["texts"] / r["seconds"]["annotate"] for r in own)
    texts = statistics.mean(r["support"]["texts"] for r in own)
    entities = statistics.mean(sum(r["support"]["entities"].values()) for r in own)
    return [f"{train:.0f}", f"{speed:.3g}", f"{texts:.0f}", f"{entities:.0f}"]


def _wide(groups: Groups, entry: Callable[[List[Record]], Optional[str]]) -> str:
    """A table of one entry by method (down) and setting (across)."""
    settings = _unique(setting for setting, _ in groups)
    rows = [
        [
            method,
            *(
                (entry(groups[s, method]) or "") if (s, method) in groups else ""
                for s in settings
            ),
        ]
        for method in _unique(method for _, method in groups)
    ]
    return table(["method", *map(_called, settings)], rows)


def _long(
    groups: Groups, columns: Sequence[str], entries: Callable[[List[Record]], List[str]]
) -> str:
    """A table of several entries by setting and method."""
    rows = [
        [_called(setting), method, *entries(records)]
        for (setting, method), records in groups.items()
    ]
    return table(["data", "method", *columns], rows)


def _called(setting: Setting) -> str:
    name, protocol, k = setting
    return f"{name}, {protocol} {k}"


def _unique(values: Iterable[Any]) -> List[Any]:
    return list(dict.fromkeys(values))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """In Markdown. Nothing in a cell can end the cell, the row or the section."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(value: object) -> str:
    text = " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<!--", "&lt;!--")


def left(matrix: Matrix, records: Sequence[Record]) -> Tuple[int, Optional[float]]:
    """How many cells are not measured, and about how many seconds they take: as the
    measured ones of the same method and data, else of the method, else all. None where
    nothing is measured."""
    done = {record["name"] for record in records}
    cells = [cell for cell in matrix.cells if cell.name not in done]
    if not records:
        return len(cells), None
    known: Dict[Any, List[float]] = {}
    for record in records:
        seconds = sum(record["seconds"].values())
        for key in ((record["method"], record["data"]), record["method"], None):
            known.setdefault(key, []).append(seconds)
    needed = 0.0
    for cell in cells:
        keys = ((cell.method.name, cell.data.name), cell.method.name, None)
        needed += next(statistics.mean(known[key]) for key in keys if key in known)
    return len(cells), needed
