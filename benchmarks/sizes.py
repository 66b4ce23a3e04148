"""F1 by the number of training sentences: the tables and plots of the study `sizes`.

A size is a draw (a protocol with its k) from one data set. A method whose name ends with
`-long` is the same method, trained for longer: where both were measured, it counts for curves
and comparisons. That is fixed here, so that no result decides it."""

import statistics
from collections.abc import Callable, Sequence

from spacy_instructner.fewshot import report
from spacy_instructner.fewshot.grid import Grid
from spacy_instructner.fewshot.markdown_tables import table
from spacy_instructner.fewshot.report import Groups, Setting
from spacy_instructner.fewshot.study import Record

from .plots import Plot, Series

LONG = "-long"


def sections(
    grid: Grid, groups: Groups, default: str, folder: str
) -> dict[str, Callable[[], str]]:
    """What makes the tables of this study, by name. default: the method that the others
    are compared with; folder: of plots, as seen from the page."""
    return {
        "progress": lambda: progress(grid, groups),
        "by-size": lambda: by_size(groups, f1_of),
        "training": lambda: by_size(groups, report.cpu_to_train),
        "speed": lambda: by_size(groups, report.cpu_speed),
        "level": lambda: level(groups, default),
        "size-plots": lambda: "\n\n".join(
            f"![{plot.alternative}]({folder}/sizes-f1-{data}.svg)"
            for data, plot in size_plots(groups).items()
        ),
    }


def progress(grid: Grid, groups: Groups) -> str:
    """How much of the grid is measured, so that nobody takes a part for the whole."""
    done = sum(map(len, groups.values()))
    return f"{done} of {len(grid.runs)} runs are measured."


def by_size(groups: Groups, entry: Callable[[list[Record]], str]) -> str:
    """An entry by size (down, the small ones first) and method (across)."""
    methods = report.methods_of(groups)
    rows = []
    for setting, sentences in sizes(groups).items():
        of = [groups.get((setting, method), []) for method in methods]
        entries = [entry(own) if own else "" for own in of]
        rows.append([setting[0], drawn(setting), f"{sentences:.0f}", *entries])
    return table(["data", "drawn", "sentences", *methods], rows)


def level(groups: Groups, default: str) -> str:
    """By data set and method: the smallest size from which on its mean F1 is at least that
    of the default, at every size at which both were measured."""
    own = counting(groups)
    rivals = [m for m in dict.fromkeys(m for _, m in own) if m != default]
    head = ["data", "method", "level from", "sentences", "entities of the rarest label"]
    rows = []
    for data in dict.fromkeys(setting[0] for setting in sizes(groups)):
        ordered = [setting for setting in sizes(groups) if setting[0] == data]
        for rival in rivals:
            both = [s for s in ordered if {(s, default), (s, rival)} <= own.keys()]
            if both:
                gaps = [mean_f1(own[s, rival]) - mean_f1(own[s, default]) for s in both]
                rows.append([data, rival, *_level(groups, both, gaps)])
    return table(head, rows)


def _level(
    groups: Groups, measured: Sequence[Setting], gaps: Sequence[float]
) -> list[object]:
    """The first size without a gap below zero from there on. measured: from small to
    large."""
    below = [at for at, gap in enumerate(gaps) if gap < 0]
    first = below[-1] + 1 if below else 0
    size = measured[min(first, len(measured) - 1)]
    sentences = f"{sizes(groups)[size]:.0f}"
    if first == len(measured):
        return [f"not up to {drawn(size)}", sentences, rarest(groups, size)]
    return [drawn(size), sentences, rarest(groups, size)]


def size_plots(groups: Groups) -> dict[str, Plot]:
    """F1 over the number of sentences, by data set. A method with one size is left out."""
    own, found = counting(groups), {}
    names = list(dict.fromkeys(method for _, method in own))
    for data in dict.fromkeys(setting[0] for setting in sizes(groups)):
        series = []
        for number, name in enumerate(names):
            of = {s: n for s, n in sizes(groups).items() if s[0] == data}
            places = [setting for setting in of if (setting, name) in own]
            if len(places) > 1:
                values = [tuple(100 * r["f1"] for r in own[s, name]) for s in places]
                sentences = tuple(of[setting] for setting in places)
                series.append(Series(name, number, sentences, tuple(values)))
        if series:
            found[data] = Plot(data, "F1 (%)", tuple(series), "sentences", True)
    return found


def counting(groups: Groups) -> Groups:
    """The records that count for a method at a size: those of the longer training, where
    there are any; under the method's name without `-long`."""
    found = dict(groups)
    for (setting, method), own in groups.items():
        if method.endswith(LONG):
            del found[setting, method]
            found[setting, method.removesuffix(LONG)] = own
    return found


def sizes(groups: Groups) -> dict[Setting, float]:
    """The mean number of sentences of each size, from small to large; data set by data
    set."""
    by_setting: dict[Setting, list[Record]] = {}
    for (setting, _), own in groups.items():
        by_setting.setdefault(setting, []).extend(own)
    counts = {
        setting: statistics.mean(record["support"]["texts"] for record in own)
        for setting, own in by_setting.items()
    }
    order = list(dict.fromkeys(setting[0] for setting in counts))
    ordered = sorted(counts, key=lambda s: (order.index(s[0]), counts[s]))
    return {setting: counts[setting] for setting in ordered}


def rarest(groups: Groups, size: Setting) -> str:
    """The number of entities of the label that has the fewest, mean of the draws."""
    records = [
        r for (setting, _), own in groups.items() if setting == size for r in own
    ]
    fewest = [min(r["support"]["entities"].values()) for r in records]
    return f"{statistics.mean(fewest):.0f}"


def drawn(size: Setting) -> str:
    protocol, k = size.protocol, size.k
    known = {"at-least-k": f"at least {k} of each label", "all": "all"}
    return known.get(protocol, f"{k} {protocol}")


def f1_of(records: Sequence[Record]) -> str:
    return report.mean_of([record["f1"] for record in records], 100)


def mean_f1(records: Sequence[Record]) -> float:
    return statistics.mean(record["f1"] for record in records)
