"""What the records say, as plots: what is plotted, not how."""

import statistics

from ..evaluation.metrics import ERRORS
from .page import Plot, Series
from .tables import (
    Groups,
    Setting,
    called,
    f1_by_label,
    methods_of,
    seen,
    settings_of,
)

F1 = "F1 (%)"


def f1(groups: Groups) -> list[Plot]:
    """One for each data set and protocol: over k where there are several, else by
    method. What is not few-shot is left out."""
    numbers = {method: number for number, method in enumerate(methods_of(groups))}
    groups = {of: records for of, records in groups.items() if not seen(records)}
    panels: dict[tuple, list[Setting]] = {}
    for setting in settings_of(groups):
        panels.setdefault(setting[:2], []).append(setting)
    plots = []
    for at, ((data, protocol), settings) in enumerate(panels.items()):
        several = len(settings) > 1
        series = []
        for method, number in numbers.items():
            own = sorted((s for s in settings if (s, method) in groups), key=_k)
            values = [[100 * r["f1"] for r in groups[s, method]] for s in own]
            if own:
                places = tuple(map(_k, own)) if several else (method,)
                series.append(Series(method, number, places, tuple(map(tuple, values))))
        plots.append(
            Plot(
                kind="curves" if several else "points",
                name=f"f1-{at}",
                title=f"{data}, {protocol}" if several else called(settings[0]),
                quantity=F1,
                series=tuple(series),
                places="k" if several else "",
            )
        )
    return plots


def by_label(groups: Groups, setting: Setting) -> Plot:
    numbers = {method: number for number, method in enumerate(methods_of(groups))}
    series = [
        Series(
            method,
            numbers[method],
            tuple(own),
            tuple((100 * share,) for share in own.values()),
        )
        for method, own in f1_by_label(groups, setting).items()
    ]
    at = settings_of(groups).index(setting)
    return Plot("bars", f"labels-{at}", called(setting), F1, tuple(series))


def errors(groups: Groups) -> list[Plot]:
    """One for each setting."""
    plots = []
    for at, setting in enumerate(settings_of(groups)):
        own = {method: rs for (s, method), rs in groups.items() if s == setting}
        series = [
            Series(
                kind,
                number,
                tuple(own),
                tuple(
                    (statistics.mean(r["errors"][kind] for r in records),)
                    for records in own.values()
                ),
            )
            for number, kind in enumerate(ERRORS)
        ]
        quantity = "errors (mean of the draws)"
        name = f"errors-{at}"
        plots.append(Plot("stacked", name, called(setting), quantity, tuple(series)))
    return plots


def _k(setting: Setting) -> int:
    return setting[2]
