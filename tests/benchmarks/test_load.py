"""How many requests a second the endpoint answers: what is measured, and its table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from spacy.language import Language

from benchmarks.speed import load
from benchmarks.speed.load import ALONE, P50, P99, RATE, TOGETHER, percentile
from benchmarks.speed.measure import Results, Row
from benchmarks.speed.tables import NOT_MEASURED, path_of, table_of


def test_percentiles() -> None:
    values = [float(each) for each in range(101)]
    assert percentile(values, 99) == 99.0 and percentile(values, 50) == 50.0
    assert percentile([3.0], 99) == 3.0


def test_its_table() -> None:
    rows = [
        Row(group, way, load.UNITS[group], values, x=clients)
        for clients in (1, 32)
        for way, factor in ((TOGETHER, 1.0), (ALONE, 0.5))
        for group, values in (
            (RATE, [clients * factor, 3 * clients * factor]),
            (P50, [100.0]),
            (P99, [250.0]),
        )
    ]
    assert table_of(Results({}, rows), "load", "plots").splitlines() == [
        "| clients | texts are answered | rate (requests/s) | p50 (ms) | p99 (ms) | spread of the rate (requests/s) |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 1 | together | 2.00 | 100 | 250 | 1.00 to 3.00 |",
        "| 1 | one by one | 1.00 | 100 | 250 | 0.500 to 1.50 |",
        "| 32 | together | 64.0 | 100 | 250 | 32.0 to 96.0 |",
        "| 32 | one by one | 32.0 | 100 | 250 | 16.0 to 48.0 |",
    ]
    assert table_of(Results(), "load", "plots") == NOT_MEASURED
    assert path_of("load").name == path_of(RATE).name == "load.json"


@pytest.mark.long
def test_both_ways_are_measured_by_turns(
    make_nlp: Callable[..., Language], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("prometheus_client")
    make_nlp().to_disk(tmp_path / "tiny")
    asked: list[tuple[int, int]] = []
    ports: dict[tuple[str, ...], int] = {}
    served, measure = load.served, load.measure

    @contextmanager
    def serving(folder: Path, options: tuple[str, ...]) -> Iterator[int]:
        with served(folder, options) as port:
            ports[options] = port
            yield port

    def measuring(port: int, texts: list[str], clients: int, seconds: float) -> object:
        asked.append((port, clients))
        return measure(port, texts, clients, seconds)

    monkeypatch.setattr(load, "make_pipeline", lambda folder: tmp_path / "tiny")
    monkeypatch.setattr(load, "served", serving)
    monkeypatch.setattr(load, "measure", measuring)
    rows = load.compare(0.5, times=2, clients=(1, 3))
    together, alone = ports[()], ports["--batch", "1"]
    turns = [(port, clients) for clients in (1, 3) for port in (together, alone)]
    assert asked == [(together, 3), (alone, 3), *turns, *turns]
    assert {(row.group, row.name, row.x) for row in rows} == {
        (group, way, x)
        for group in (RATE, P50, P99)
        for way in (TOGETHER, ALONE)
        for x in (1, 3)
    }
    assert all(len(row.values) == 2 and min(row.values) > 0 for row in rows)
    by = {(row.group, row.name, row.x): row.median for row in rows}
    for way, clients in {(way, clients) for _, way, clients in by}:
        assert by[P50, way, clients] <= by[P99, way, clients]


def test_a_request_that_is_not_answered_is_an_error() -> None:
    # Nobody listens at a port that is none.
    with pytest.raises(RuntimeError, match="not answered"):
        load.measure(1, ["text"], clients=2, seconds=5)
