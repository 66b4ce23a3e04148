"""The tables and plots of `benchmarks.simulated`."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import mean

from spacy_instructner.fewshot.markdown_tables import table
from spacy_instructner.fewshot.study import Record, Study

from .plots import Plot, Series, draw
from .simulated import BATCH, COMPARED, MOST, RESULTS, chosen_runs, rows_of
from .simulated_texts import SETS
from .text_orders import ORDERS

COUNTS = range(0, MOST + 1, BATCH)


def section(name: str, folder: str) -> str:
    """The tables of the marker `simulated`, and of `simulated plots`."""
    records = Study(RESULTS).records()
    makers: dict[str, Callable[[], str]] = {
        "simulated": lambda: results_table(records),
        "simulated plots": lambda: "\n\n".join(
            f"![{plot.alternative}]({folder}/simulated-{data}.svg)"
            for data, plot in curves(records).items()
        ),
    }
    return makers[name]()


def plots() -> dict[str, Callable[[], str]]:
    """What draws the plots, by name of the file."""
    return {
        f"simulated-{data}.svg": partial(draw, plot)
        for data, plot in curves(Study(RESULTS).records()).items()
    }


def groups(
    records: Sequence[Record],
) -> Iterator[tuple[str, str, dict[int, dict[int, Record]]]]:
    """By data set and order: the rows of each seed, by how many texts are corrected."""
    for data in SETS:
        for order in ORDERS:
            seeds: dict[int, dict[int, Record]] = {}
            for row in records:
                if (row["data"], row["order"]) == (data, order):
                    seeds.setdefault(row["seed"], {})[row["texts"]] = row
            if seeds:
                yield data, order, dict(sorted(seeds.items()))


def results_table(records: Sequence[Record]) -> str:
    """F1 in percent by how many texts are corrected, seed by seed, and the mean where each
    seed has been measured. What was corrected in all stands behind."""
    rows: list[list[object]] = []
    for data, order, seeds in groups(records):
        for seed, own in seeds.items():
            last = own[max(own)]
            f1 = [f"{100 * own[n]['f1']:.1f}" if n in own else "" for n in COUNTS]
            rows.append([data, order, seed, *f1, last["entities"], last["words"]])
        if len(seeds) > 1:
            rows.append([data, order, "mean", *map(partial(mean_at, seeds), COUNTS), "", ""])  # fmt: skip
    head = ["Data", "Order", "Seed", *map(str, COUNTS), "Entities", "Words"]
    return f"{measured_of(records)}\n\n{table(head, rows)}"


def measured_of(records: Sequence[Record]) -> str:
    """How much of what is compared by default the table has."""
    runs = chosen_runs(COMPARED, [])
    there = sum(len(rows_of(run, records)) for run in runs)
    return f"{there} of {len(runs) * len(COUNTS)} measurements of {' and '.join(COMPARED)} are there."


def mean_at(seeds: dict[int, dict[int, Record]], texts: int) -> str:
    """Mean F1 in percent; "" where a seed has none."""
    if any(texts not in own for own in seeds.values()):
        return ""
    return f"{100 * mean(own[texts]['f1'] for own in seeds.values()):.1f}"


def curves(records: Sequence[Record]) -> dict[str, Plot]:
    """F1 over corrected texts, by data set: a curve for each order."""
    found: dict[str, list[Series]] = {}
    for data, order, seeds in groups(records):
        counts = [n for n in COUNTS if any(n in own for own in seeds.values())]
        values = tuple(
            tuple(100 * own[n]["f1"] for own in seeds.values() if n in own)
            for n in counts
        )
        if len(counts) > 1:
            number = list(ORDERS).index(order)
            found.setdefault(data, []).append(
                Series(order, number, tuple(counts), values)
            )
    return {
        data: Plot(data, "F1 (%)", tuple(series), "corrected texts")
        for data, series in found.items()
    }
