"""What the records say, as tables. Every entry says how many runs it is of where that
is not the same for all."""

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..char_spans import CharSpan, ScoredCharSpan
from ..evaluation.metrics import ERRORS, Counts, best_threshold, total
from .cells import Record
from .matrix import Matrix
from .page import Table

# A row of records that differ in the seed alone: data, protocol (with the ways of an
# episode), k; and the method.
Setting = tuple[str, str, int]
Groups = dict[tuple[Setting, str], list[Record]]
# Beside what a method says of data whose train split it has learned.
SEEN = "†"


def group(matrix: Matrix, records: Iterable[Record]) -> Groups:
    """The matrix's records by setting and method: setting by setting, in its order."""
    by_name = {record["name"]: record for record in records}
    found: dict[Setting, dict[str, list[Record]]] = {}
    for cell in matrix.cells:
        own = found.setdefault(
            (cell.data.name, _drawn(cell.protocol, cell.ways), cell.k), {}
        )
        own.setdefault(cell.method.name, [])
        if cell.name in by_name:
            own[cell.method.name].append(by_name[cell.name])
    return {
        (setting, method): own
        for setting, methods in found.items()
        for method, own in methods.items()
        if own
    }


def _drawn(protocol: str, ways: int) -> str:
    return f"{ways}-way {protocol}" if ways else protocol


def settings_of(groups: Groups) -> list[Setting]:
    return list(dict.fromkeys(setting for setting, _ in groups))


def methods_of(groups: Groups) -> list[str]:
    return list(dict.fromkeys(method for _, method in groups))


def called(setting: Setting) -> str:
    name, protocol, k = setting
    return f"{name}, {protocol} {k}"


def mean_of(values: Sequence[float], factor: float = 1.0) -> str:
    """Mean, standard deviation, and the number of values."""
    scaled = [factor * value for value in values]
    mean = f"{statistics.mean(scaled):.1f}"
    if len(scaled) == 1:
        return f"{mean} (1)"
    return f"{mean} ± {statistics.stdev(scaled):.1f} ({len(scaled)})"


def f1(groups: Groups) -> Table:
    return _wide(groups, lambda own: mean_of([r["f1"] for r in own], 100))


def beside(groups: Groups, reference: str) -> Table:
    """The difference to a method, over the draws that both have."""

    def entry(own: list[Record]) -> str | None:
        one = own[0]
        if seen(own):
            return None
        setting = (one["data"], _drawn(one["protocol"], one["ways"]), one["k"])
        theirs = {r["seed"]: r["f1"] for r in groups.get((setting, reference), ())}
        gaps = [r["f1"] - theirs[r["seed"]] for r in own if r["seed"] in theirs]
        if own[0]["method"] == reference or not gaps:
            return None
        won = sum(gap > 0 for gap in gaps)
        return f"{mean_of(gaps, 100)}, better on {won}"

    return _wide(groups, entry)


def averaged(groups: Groups) -> Groups:
    """Means over data sets, draw by draw, for `f1` and `beside`: of each protocol and k
    that several have, of the methods that all of them have and the seeds that all of a
    method's have."""
    found: Groups = {}
    alike: dict[tuple[str, int], list[Setting]] = {}
    for setting in settings_of(groups):
        alike.setdefault(setting[1:], []).append(setting)
    for (protocol, k), settings in alike.items():
        name = f"mean of {' and '.join(data for data, _, _ in settings)}"
        for method in methods_of(groups):
            parts = [groups.get((setting, method), []) for setting in settings]
            if len(parts) < 2 or not all(parts) or any(map(seen, parts)):
                continue
            scores = [{r["seed"]: r["f1"] for r in part} for part in parts]
            own = [
                {
                    **parts[0][0],
                    "data": name,
                    "seed": seed,
                    "f1": statistics.mean(score[seed] for score in scores),
                }
                for seed in scores[0]
                if all(seed in score for score in scores)
            ]
            if own:
                found[(name, protocol, k), method] = own
    return found


def error_shares(groups: Groups) -> Table:
    def entries(own: list[Record]) -> list[str]:
        wrong = sum(sum(r["errors"].values()) for r in own)
        predicted = sum(total(counts_of(r).values()).predicted for r in own)
        shares = (sum(r["errors"][e] for r in own) / max(wrong, 1) for e in ERRORS)
        mean = f"{predicted / len(own):.0f}"
        return [mean, *(f"{100 * share:.0f}" for share in shares)]

    return _long(groups, ("predicted", *ERRORS), entries)


def calibration(groups: Groups) -> Table:
    def entry(own: list[Record]) -> str | None:
        known = [r["calibration_error"] for r in own]
        values = [value for value in known if value is not None]
        return f"{statistics.mean(values):.3f} ({len(values)})" if values else None

    return _wide(groups, entry)


def best_thresholds(groups: Groups) -> Table:
    def entry(own: list[Record]) -> str | None:
        found = [(r, best_threshold(*_entities(r))) for r in own]
        gains = [best[1] - r["f1"] for r, best in found if best is not None]
        return mean_of(gains, 100) if gains else None

    return _wide(groups, entry)


def _entities(
    record: Record,
) -> tuple[list[list[CharSpan]], list[list[ScoredCharSpan]]]:
    """Annotated and predicted ones, by text, as they were before JSON."""
    gold = [[(e[0], e[1], e[2]) for e in text] for text in record["gold"]]
    predicted = [[(*e[:3], e[3]) for e in text] for text in record["predicted"]]
    return gold, predicted


def methods(matrix: Matrix, groups: Groups) -> Table:
    """What the names of methods stand for."""
    rows = []
    for method in {c.method.name: c.method for c in matrix.cells}.values():
        if method.name in methods_of(groups):
            changed = [f"without {section}" for section in method.without]
            changed += [
                f"{name} = {json.dumps(value, ensure_ascii=False)}"
                for name, value in method.overrides.items()
            ]
            changed += [
                f"{name} = {own.name if isinstance(own, Path) else own[0]}"
                for name, own in method.weights.items()
            ]
            changed += [] if method.train else ["not trained"]
            made = method.config.name if method.config else method.function
            rows.append([method.name, made, "; ".join(changed)])
    return Table(["method", "config or function", "changed"], rows)


def costs(groups: Groups) -> Table:
    def entries(own: list[Record]) -> list[str]:
        train = statistics.median(r["seconds"]["train"] for r in own)
        speed = statistics.median(r["texts"] / r["seconds"]["annotate"] for r in own)
        texts = statistics.mean(r["support"]["texts"] for r in own)
        entities = statistics.mean(sum(r["support"]["entities"].values()) for r in own)
        scored = statistics.mean(r["texts"] for r in own)
        rounded = [f"{value:.0f}" for value in (texts, entities, scored)]
        return [f"{train:.0f}", f"{speed:.3g}", *rounded]

    header = (
        "seconds to train",
        "texts a second",
        "texts to learn",
        "entities to learn",
        "texts scored",
    )
    return _long(groups, header, entries)


def by_label(groups: Groups, setting: Setting) -> Table:
    """F1 by label and method (number of draws). All draws together: of a rare label one
    draw has too few to tell."""
    shares = f1_by_label(groups, setting)
    records = [groups[setting, method] for method in shares]
    methods = [
        marked(f"{method} ({len(own)})", own) for method, own in zip(shares, records)
    ]
    rows = [
        [label, *(f"{100 * own[label]:.1f}" for own in shares.values())]
        for label in next(iter(shares.values()))
    ]
    return Table(["label", *methods], rows)


def f1_by_label(groups: Groups, setting: Setting) -> dict[str, dict[str, float]]:
    """By method, then by label: the same labels for all."""
    records = {m: own for (s, m), own in groups.items() if s == setting}
    labels = sorted({x for own in records.values() for r in own for x in r["counts"]})
    none = Counts(0, 0, 0)
    return {
        method: {
            label: total(counts_of(r).get(label, none) for r in own).f1
            for label in labels
        }
        for method, own in records.items()
    }


def seen(records: Sequence[Record]) -> bool:
    """Whether the method had learned the data's train split before."""
    return any(record.get("seen", False) for record in records)


def marked(text: str, records: Sequence[Record]) -> str:
    return f"{text} {SEEN}" if text and seen(records) else text


def counts_of(record: Record) -> dict[str, Counts]:
    return {label: Counts(**own) for label, own in record["counts"].items()}


def _wide(groups: Groups, entry: Callable[[list[Record]], str | None]) -> Table:
    """One entry by method (down) and setting (across)."""
    settings = settings_of(groups)
    rows = [
        [
            method,
            *(
                marked(entry(groups[s, method]) or "", groups[s, method])
                if (s, method) in groups
                else ""
                for s in settings
            ),
        ]
        for method in methods_of(groups)
    ]
    return Table(["method", *map(called, settings)], rows)


def _long(
    groups: Groups, columns: Sequence[str], entries: Callable[[list[Record]], list[Any]]
) -> Table:
    """Several entries by setting and method."""
    rows = [
        [called(setting), marked(method, records), len(records), *entries(records)]
        for (setting, method), records in groups.items()
    ]
    return Table(["data", "method", "draws", *columns], rows)
