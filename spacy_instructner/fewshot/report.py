"""What the runs of a grid say, as Markdown: a table a function, and a report of all of
them. Every entry says how many draws it is of. Source: ours."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..evaluation.bootstrap import RESAMPLES, Interval
from ..evaluation.metrics import ERRORS, Counts, total
from .comparisons import WITHOUT_COUNTS, compare, own_interval
from .grid import Grid
from .markdown_tables import escaped, table
from .study import Record, hash_of


class Setting(NamedTuple):
    """What runs share that differ in the method and the seed alone. protocol: with the
    ways of an episode; note: of the data set."""

    data: str
    protocol: str
    k: int
    note: str = ""


# Runs that differ in the seed alone.
Groups = dict[tuple[Setting, str], list[Record]]
# Beside what a method says of data whose train split it has learned.
SEEN = "†"
# What the protocols of the draws mean.
PROTOCOLS = {
    "at-least-k": "at least k entities of each label, drawn greedily",
    "at-most-k": "at most k entities of each label",
    "k-sentences": "k sentences for each label",
    "sentences": "k sentences in all",
    "all": "the whole train file",
    "given": "draws that came with the data",
    "episodes": "N labels, k to 2k entities of each to learn from and to score",
}
ABOUT = {
    "f1": "Strict micro F1 in percent over all labels, mean ± standard deviation over "
    "draws (number of draws). A seed is the same draw for all methods. Draws are {}.",
    "interval": " The range after it holds the mean in 95 % of "
    f"{RESAMPLES:,} resamples of draws and sentences; of one draw, of its sentences alone.",
    "known": "Each text is asked only for its own labels: compare with nothing else.",
    "beside": "The difference in F1, draw by draw, and the number of draws on which it is "
    "above zero.",
    "compared": "F1 of {0} minus F1 of the other, with its 95 % interval: both are "
    f"resampled alike, draws and sentences, {RESAMPLES:,} times. Where the interval does not "
    "hold 0, {0} is better (above 0) or worse (below) by more than chance in draws and "
    "sentences explains. Draws: those that are paired.",
    "errors": "The kind of a wrong prediction depends on the annotated entity that it "
    "overlaps most; it is spurious if it overlaps none. An annotated entity that no "
    "prediction overlaps is missed. Predicted: entities, mean of the draws.",
    "calibration": "Expected calibration error of the scores of predicted entities, in "
    "ten bins: 0 is best, 1 is worst.",
    "costs": "Medians of the draws; numbers of texts and entities are means.",
    "cpu": "Medians of the draws, all threads together; what a GPU does is not in them. "
    "Without the runs that kept seconds by the clock alone.",
    "labels": "All draws together (their number).",
    "seen": f" {SEEN} is not few-shot: the method had learned the train split before.",
}
MIXED = (
    "Not everything was measured alike. What differs: {}. Seconds do not compare across "
    "these columns, and F1 may differ a little."
)


def markdown(grid: Grid, records: Sequence[Record], reference: str = "") -> str:
    """The report of a grid.

    reference: the method that others are compared with, over the draws that both have;
    the grid's first without one. Raises ValueError for one that has no run."""
    groups = group(grid, records)
    if not groups:
        return f"# {escaped(grid.title)}\n\nNothing is measured yet.\n"
    methods = methods_of(groups)
    reference = reference or methods[0]
    if reference not in methods:
        there = ", ".join(methods)
        raise ValueError(f"There is no run of {reference!r}. There are: {there}.")
    everything = [record for own in groups.values() for record in own]
    parts = {"F1": [about(groups), f1(groups), *notes(groups)]}
    if _known(everything, "f1_known"):
        parts["F1, labels of each text known"] = [ABOUT["known"], f1_known(groups)]
    if len(methods) > 1:
        title = f"F1 beside {reference}, on the same draws"
        parts[title] = [ABOUT["beside"], beside(groups, reference)]
        title = f"F1 of {reference} minus each other method"
        said = ABOUT["compared"].format(escaped(reference))
        parts[title] = [said, compared(groups, reference)]
    parts["Errors, in percent of all"] = [ABOUT["errors"], error_shares(groups)]
    if _known(everything, "calibration_error"):
        parts["Calibration error"] = [ABOUT["calibration"], calibration(groups)]
    parts["Seconds"] = [ABOUT["costs"], costs(groups)]
    if _known(everything, "cpu_seconds"):
        parts["CPU seconds"] = [ABOUT["cpu"], cpu_costs(groups)]
    for setting in dict.fromkeys(setting for setting, _ in groups):
        title = f"F1 by label: {called(setting)}"
        parts[title] = [ABOUT["labels"], by_label(groups, setting)]
    parts["Machines and versions"] = [machines(everything)]
    blocks = [f"# {escaped(grid.title)}"]
    for title, own in parts.items():
        blocks += [f"## {escaped(title)}", *own]
    return "\n\n".join(blocks) + "\n"


def about(groups: Groups) -> str:
    """What the figures of F1 are."""
    drawn = dict.fromkeys(setting.protocol.split()[-1] for setting, _ in groups)
    said = "; ".join(f"{name}: {PROTOCOLS[name]}" for name in drawn)
    ranges = ABOUT["interval"] if any(map(own_interval, groups.values())) else ""
    seen = ABOUT["seen"] if any(map(is_seen, groups.values())) else ""
    return ABOUT["f1"].format(said) + ranges + seen


def notes(groups: Groups) -> list[str]:
    """What a reader of F1 must know of the draws: which methods have others than the rest,
    which have runs with other settings than their first one, and which runs no interval
    can be made of."""
    found = []
    settings = dict.fromkeys(setting for setting, _ in groups)
    of = {
        s: [own for (other, _), own in groups.items() if other == s] for s in settings
    }
    uneven = [
        f"{called(setting)} ({' or '.join(map(str, numbers))})"
        for setting, rows in of.items()
        if len(numbers := sorted({len(own) for own in rows})) > 1
    ]
    if uneven:
        said = "Methods do not all have the same draws. Compare them only on draws that"
        found.append(f"{said} both have. Numbers of draws: {'; '.join(uneven)}.")
    mixed = [
        f"{method} ({called(setting)})"
        for (setting, method), own in groups.items()
        if len({record.get("config") for record in own}) > 1
    ]
    if mixed:
        said = (
            "Not all draws were measured with the same settings, as a default may have"
        )
        found.append(f"{said} changed in between: {', '.join(mixed)}.")
    bare = [
        f"{method} ({called(setting)})"
        for (setting, method), own in groups.items()
        if any(record.get("by_text") is None for record in own)
    ]
    if bare:
        said = f"No interval, as rows are {WITHOUT_COUNTS}"
        found.append(f"{said}: {', '.join(bare)}.")
    return list(map(escaped, found))


def group(grid: Grid, records: Iterable[Record]) -> Groups:
    """The grid's records by setting and method: setting by setting, in its order."""
    by_name = {record["name"]: record for record in records}
    found: dict[Setting, Groups] = {}
    for run in grid.runs:
        drawn = _drawn(run.protocol, run.ways)
        setting = Setting(run.data.name, drawn, run.k, run.data.note)
        own = found.setdefault(setting, {}).setdefault((setting, run.method.name), [])
        own += [by_name[run.name]] if run.name in by_name else []
    return {key: own for of in found.values() for key, own in of.items() if own}


def _drawn(protocol: str, ways: int) -> str:
    return f"{ways}-way {protocol}" if ways else protocol


def methods_of(groups: Groups) -> list[str]:
    return list(dict.fromkeys(method for _, method in groups))


def called(setting: Setting) -> str:
    name = named(setting)
    # Of all sentences there is no number to draw.
    if setting.protocol == "all":
        return f"{name}, {setting.protocol}"
    return f"{name}, {setting.protocol} {setting.k}"


def named(setting: Setting) -> str:
    """The data set, with its note."""
    return f"{setting.data} ({setting.note})" if setting.note else setting.data


def is_seen(records: Sequence[Record]) -> bool:
    """Whether the method had learned the data's train split before."""
    return any(record.get("seen", False) for record in records)


def mean_of(values: Sequence[float], factor: float = 1.0) -> str:
    """Mean, standard deviation, and the number of values; "" where there is none."""
    scaled = [factor * value for value in values]
    if len(scaled) < 2:
        return "".join(f"{value:.1f} (1)" for value in scaled)
    mean, spread = statistics.mean(scaled), statistics.stdev(scaled)
    return f"{mean:.1f} ± {spread:.1f} ({len(scaled)})"


def _known(records: Sequence[Record], name: str) -> list[float]:
    return [r[name] for r in records if r.get(name) is not None]


def f1(groups: Groups) -> str:
    def entry(own: list[Record]) -> str:
        return mean_of([r["f1"] for r in own], 100) + ends(own_interval(own), ", ")

    return wide(groups, entry)


def ends(interval: Interval | None, before: str = "") -> str:
    """From where to where it goes, in percent, behind something; "" where there is none."""
    if interval is None:
        return ""
    return f"{before}{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def f1_known(groups: Groups) -> str:
    return wide(groups, lambda own: mean_of(_known(own, "f1_known"), 100))


def beside(groups: Groups, reference: str) -> str:
    """The difference to a method, over the draws that both have. Where either had learned
    the train split, there is none."""
    references = {
        s[:3]: own for (s, method), own in groups.items() if method == reference
    }

    def entry(own: list[Record]) -> str:
        one = own[0]
        setting = (one["data"], _drawn(one["protocol"], one["ways"]), one["k"])
        others = references.get(setting, [])
        if is_seen(own) or is_seen(others) or one["method"] == reference:
            return ""
        theirs = {r["seed"]: r["f1"] for r in others}
        gaps = [r["f1"] - theirs[r["seed"]] for r in own if r["seed"] in theirs]
        won = sum(gap > 0 for gap in gaps)
        return f"{mean_of(gaps, 100)}, better on {won}" if gaps else ""

    return wide(groups, entry)


def compared(groups: Groups, reference: str) -> str:
    """What a method has more than each other one, draw by draw, with the interval; and
    below what is not compared."""
    rows: list[list[Any]] = []
    seen: dict[str, list[str]] = {}
    for (setting, method), own in groups.items():
        theirs = groups.get((setting, reference), [])
        if method == reference or not theirs:
            continue
        if is_seen(own) or is_seen(theirs):
            seen.setdefault(called(setting), []).append(method)
            continue
        found = compare(theirs, own)
        draws = {0: "none", 1: "1 (its sentences alone)"}
        entries = ["", "", "", ""]
        if found.seeds:
            means = [f"{100 * f1:.1f}" for f1 in found.f1]
            gap = 100 * (found.f1[0] - found.f1[1])
            entries = [*means, f"{gap:.1f}", ends(found.interval)]
        paired = draws.get(len(found.seeds), len(found.seeds))
        left_out = "; ".join(found.left_out)
        rows.append([called(setting), method, *entries, paired, left_out])
    header = ["data", "method", f"F1 of {reference}", "F1 of the method", "difference"]
    made = [table([*header, "95 % interval", "draws", "left out"], rows)]
    settings = dict.fromkeys(setting for setting, _ in groups)
    absent = [called(s) for s in settings if (s, reference) not in groups]
    if absent:
        made.append(
            escaped(f"Not compared, as {reference} has no run: {'; '.join(absent)}.")
        )
    for where, methods in seen.items():
        why = f"as {reference} or the other had learned the train split before"
        made.append(escaped(f"Not compared, {why}: {where}: {', '.join(methods)}."))
    return "\n\n".join(made)


def error_shares(groups: Groups) -> str:
    def entries(own: list[Record]) -> list[str]:
        wrong = sum(sum(r["errors"].values()) for r in own)
        predicted = sum(total(counts_of(r).values()).predicted for r in own)
        shares = (sum(r["errors"][e] for r in own) / max(wrong, 1) for e in ERRORS)
        mean = f"{predicted / len(own):.0f}"
        return [mean, *(f"{100 * share:.0f}" for share in shares)]

    return _long(groups, ("predicted", *ERRORS), entries)


def calibration(groups: Groups) -> str:
    def entry(own: list[Record]) -> str:
        values = _known(own, "calibration_error")
        return f"{statistics.mean(values):.3f} ({len(values)})" if values else ""

    return wide(groups, entry)


def costs(groups: Groups) -> str:
    def entries(own: list[Record]) -> list[str]:
        train = statistics.median(r["seconds"]["train"] for r in own)
        speed = statistics.median(r["texts"] / r["seconds"]["annotate"] for r in own)
        texts = [r["support"]["texts"] for r in own]
        entities = [sum(r["support"]["entities"].values()) for r in own]
        means = map(statistics.mean, (texts, entities, [r["texts"] for r in own]))
        return [f"{train:.0f}", f"{speed:.3g}", *(f"{mean:.0f}" for mean in means)]

    columns = ("seconds to train", "texts a second", "texts to learn")
    return _long(groups, (*columns, "entities to learn", "texts scored"), entries)


def cpu_costs(groups: Groups) -> str:
    """CPU seconds of the runs that kept them."""
    kept = {key: own for key, of in groups.items() if (own := with_cpu_seconds(of))}
    columns = ("CPU seconds to train", "texts a CPU second")
    return _long(kept, columns, lambda own: [cpu_to_train(own), cpu_speed(own)])


def with_cpu_seconds(records: Sequence[Record]) -> list[Record]:
    return [r for r in records if "cpu_seconds" in r]


def cpu_to_train(records: Sequence[Record]) -> str:
    """The median of the draws, in CPU seconds."""
    return f"{statistics.median(r['cpu_seconds']['train'] for r in records):.0f}"


def cpu_speed(records: Sequence[Record]) -> str:
    """The median of the draws, in texts a CPU second."""
    speeds = [r["texts"] / r["cpu_seconds"]["annotate"] for r in records]
    return f"{statistics.median(speeds):.3g}"


def by_label(groups: Groups, setting: Setting) -> str:
    """F1 by label and method (number of draws). All draws together: of a rare label one
    draw has too few to tell."""
    records = {m: own for (s, m), own in groups.items() if s == setting}
    labels = sorted({x for own in records.values() for r in own for x in r["counts"]})
    none = Counts(0, 0, 0)
    rows = []
    for label in labels:
        counts = [
            [counts_of(r).get(label, none) for r in of] for of in records.values()
        ]
        rows.append([label, *(f"{100 * total(own).f1:.1f}" for own in counts)])
    methods = [marked(f"{m} ({len(own)})", own) for m, own in records.items()]
    return table(["label", *methods], rows)


def machines(records: Iterable[Record]) -> str:
    """A column for each machine with its versions, and what was measured there; a
    warning where there are several."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(hash_of(record["machine"]), []).append(record)
    own = [of[0]["machine"] for of in found.values()]
    names = list(dict.fromkeys(name for machine in own for name in machine))
    methods = [dict.fromkeys(r["method"] for r in of) for of in found.values()]
    rows = [[name, *(machine.get(name, "") for machine in own)] for name in names]
    rows.append(["runs", *map(len, found.values())])
    rows.append(["methods", *map(", ".join, methods)])
    made = table(["what", *(f"machine {at}" for at in range(1, len(own) + 1))], rows)
    differ = [n for n in names if len({str(m.get(n)) for m in own}) > 1]
    return made if not differ else f"{MIXED.format(', '.join(differ))}\n\n{made}"


def counts_of(record: Record) -> dict[str, Counts]:
    """By label, from true positives, false positives and false negatives."""
    return {
        label: Counts(tp, tp + fp, tp + fn)
        for label, (tp, fp, fn) in record["counts"].items()
    }


def marked(text: str, records: Sequence[Record]) -> str:
    return f"{text} {SEEN}" if text and is_seen(records) else text


def wide(groups: Groups, entry: Callable[[list[Record]], str]) -> str:
    """One entry by method (down) and setting (across), without methods that have none."""
    settings = list(dict.fromkeys(setting for setting, _ in groups))
    rows = []
    for method in methods_of(groups):
        of = [groups.get((setting, method), []) for setting in settings]
        entries = [marked(entry(own), own) if own else "" for own in of]
        rows += [[method, *entries]] if any(entries) else []
    return table(["method", *map(called, settings)], rows)


def _long(
    groups: Groups, columns: Sequence[str], entries: Callable[[list[Record]], list[Any]]
) -> str:
    """Several entries by setting and method."""
    rows = [
        [called(setting), marked(method, records), len(records), *entries(records)]
        for (setting, method), records in groups.items()
    ]
    return table(["data", "method", "draws", *columns], rows)
