"""The few-shot studies: what they are of, and their tables beyond those of a user's
report (`spacy_instructner.fewshot.report`)."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from spacy_instructner.fewshot import report
from spacy_instructner.fewshot.grid import Grid, read_grid
from spacy_instructner.fewshot.markdown_tables import escaped, table
from spacy_instructner.fewshot.report import Groups, Setting
from spacy_instructner.fewshot.study import Record, Study

from . import plots as plotting
from . import sizes
from .plots import Plot, Series
from .published import published, read_published

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CONFIGS = ROOT / "configs"


@dataclass(frozen=True)
class Sources:
    """config: a study's grid; reference: the method that others are compared with;
    default: the package's default method, which is compared with each other one; under_way:
    whether runs of it are still to be measured."""

    config: str
    reference: str = ""
    default: str = ""
    under_way: bool = False


STUDIES = {
    "headline": Sources("benchmark.yml", "from-scratch", "one-pass", under_way=True),
    "tuning": Sources("tuning.yml"),
    "ablations": Sources("ablations.yml", "cllmfs-plain"),
    "objectives": Sources("objectives.yml"),
    "parallel": Sources("parallel.yml"),
    "sizes": Sources("sizes.yml", "one-pass", under_way=True),
}


@cache
def read(study: str) -> tuple[Grid, Groups]:
    """A study's grid, and what is measured of it."""
    grid = read_grid(CONFIGS / STUDIES[study].config, Path())
    return grid, report.group(grid, Study(RESULTS / f"{study}.jsonl").records())


def section(name: str, folder: str) -> str:
    """The table of a marker, `STUDY TABLE`. Raises KeyError where there is none."""
    study, _, own = name.partition(" ")
    grid, groups = read(study)
    reference = STUDIES[study].reference
    makers: dict[str, Callable[[], str]] = {
        "f1": lambda: report.f1(groups),
        "f1-plots": lambda: "\n\n".join(
            f"![{plot.alternative}]({folder}/{study}-f1-{data}.svg)"
            for data, plot in f1_plots(groups).items()
        ),
        "notes": lambda: "\n\n".join([*missing(grid, groups), *report.notes(groups)]),
        "beside": lambda: report.beside(groups, reference),
        "against-default": lambda: report.compared(groups, STUDIES[study].default),
        "means": lambda: report.f1(averaged(groups)),
        "means-beside": lambda: report.beside(averaged(groups), reference),
        "errors": lambda: report.error_shares(groups),
        "calibration": lambda: report.calibration(groups),
        "thresholds": lambda: best_thresholds(groups),
        "costs": lambda: report.costs(groups),
        "labels": lambda: by_label(groups),
        "methods": lambda: methods(grid, groups),
        "machines": lambda: report.machines(r for own in groups.values() for r in own),
        "published": lambda: published(read_published(CONFIGS / "published.yml")),
        "known": lambda: known(groups, sweep=False),
        "known-sweep": lambda: known(groups, sweep=True),
        **sizes.sections(grid, groups, reference, folder),
    }
    return makers[own]()


def plots() -> dict[str, Callable[[], str]]:
    """What draws the plots, by name of the file."""
    found = {
        **{f"headline-f1-{d}": own for d, own in f1_plots(read("headline")[1]).items()},
        **{
            f"sizes-f1-{d}": own
            for d, own in sizes.size_plots(read("sizes")[1]).items()
        },
    }
    return {f"{name}.svg": partial(plotting.draw, own) for name, own in found.items()}


def f1_plots(groups: Groups) -> dict[str, Plot]:
    """F1 over k, by data set that has several k. What is not few-shot is left out, and
    what has one k only."""
    found: dict[str, Plot] = {}
    by_data: dict[tuple[str, str], list[Setting]] = {}
    for setting in dict.fromkeys(setting for setting, _ in groups):
        by_data.setdefault((setting.data, setting.protocol), []).append(setting)
    for (data, protocol), settings in by_data.items():
        series = []
        for number, method in enumerate(report.methods_of(groups)):
            own = sorted((s for s in settings if (s, method) in groups), key=_k)
            if len(own) < 2 or report.is_seen(groups[own[0], method]):
                continue
            values = [[100 * r["f1"] for r in groups[s, method]] for s in own]
            ks = tuple(map(_k, own))
            series.append(Series(method, number, ks, tuple(map(tuple, values))))
        if series:
            title = f"{data}, {protocol}"
            found[data] = Plot(title, "F1 (%)", tuple(series), "k")
    return found


def _k(setting: Setting) -> int:
    return setting.k


def averaged(groups: Groups) -> Groups:
    """Means over data sets, draw by draw: of each protocol and k that several have, of
    the methods that all of them have and the seeds that all of a method's have."""
    found: Groups = {}
    alike: dict[tuple[str, int], list[Setting]] = {}
    for setting in dict.fromkeys(setting for setting, _ in groups):
        alike.setdefault((setting.protocol, setting.k), []).append(setting)
    for (protocol, k), settings in alike.items():
        name = f"mean of {' and '.join(map(report.named, settings))}"
        for method in report.methods_of(groups):
            parts = [groups.get((setting, method), []) for setting in settings]
            if len(parts) < 2 or not all(parts) or any(map(report.is_seen, parts)):
                continue
            scores = [{r["seed"]: r["f1"] for r in part} for part in parts]
            own = [
                {
                    **parts[0][0],
                    "data": name,
                    "seed": seed,
                    "f1": statistics.mean(score[seed] for score in scores),
                    # Those of one data set are not of their mean.
                    "by_text": None,
                }
                for seed in scores[0]
                if all(seed in score for score in scores)
            ]
            if own:
                found[Setting(name, protocol, k), method] = own
    return found


def missing(grid: Grid, groups: Groups) -> list[str]:
    """How many runs of the grid are not measured, and of which draws; [] where none is."""
    there = {record["name"] for own in groups.values() for record in own}
    left = [run for run in grid.runs if run.name not in there]
    if not left:
        return []
    draws = ", ".join(map(str, sorted({run.seed for run in left})))
    data = ", ".join(dict.fromkeys(run.data.name for run in left))
    of = f"{len(left)} of {len(grid.runs)} runs of the grid"
    return [escaped(f"{of} are still to be measured: draws {draws} of {data}.")]


def best_thresholds(groups: Groups) -> str:
    def entry(own: list[Record]) -> str:
        scored = [r for r in own if r["threshold_f1"] is not None]
        gains = [r["threshold_f1"] - r["f1"] for r in scored]
        return report.mean_of(gains, 100) if gains else ""

    return report.wide(groups, entry)


def by_label(groups: Groups) -> str:
    """A table for each setting, below a heading."""
    settings = dict.fromkeys(setting for setting, _ in groups)
    return "\n\n".join(
        f"### {escaped(report.called(setting))}\n\n{report.by_label(groups, setting)}"
        for setting in settings
    )


def methods(grid: Grid, groups: Groups) -> str:
    """What the names of methods stand for."""
    rows = []
    for method in {run.method.name: run.method for run in grid.runs}.values():
        if method.name in report.methods_of(groups):
            changed = [f"without {section}" for section in method.without]
            changed += [
                f"{name} = {json.dumps(value, ensure_ascii=False)}"
                for name, value in method.overrides.items()
            ]
            changed += [f"{name} = {own.name}" for name, own in method.weights.items()]
            changed += [] if method.train else ["not trained"]
            source = method.config.name if method.config else method.function
            rows.append([method.name, source, "; ".join(changed)])
    return table(["method", "config or function", "changed"], rows)


def known(groups: Groups, sweep: bool) -> str:
    """F1 of all types, and where the types are known. sweep: of MIT Movie trivia, on
    which single objectives were tried, else of the other sets."""
    rows = []
    for (setting, method), own in groups.items():
        if (setting.data == "mit_movie_trivia") == sweep:
            shares = [spread([r[of] for r in own]) for of in ("f1", "f1_known")]
            data = f"{report.named(setting)}, {setting.k} shots"
            rows.append([data, method, *shares, len(own)])
    return table(["data", "method", "F1, all types", "F1, types known", "draws"], rows)


def spread(values: Sequence[float]) -> str:
    """Mean in percent, and the standard deviation where there are several."""
    scaled = [100 * value for value in values]
    mean = f"{statistics.mean(scaled):.1f}"
    return f"{mean} ± {statistics.stdev(scaled):.1f}" if len(scaled) > 1 else mean
