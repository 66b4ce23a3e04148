"""Long jobs: one at a time, watched from the beginning, stopped after a step; and which tab
shows which text."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spacy_instructner.serving.jobs import JobRunner, JobUnderWay, watch
from spacy_instructner.serving.tabs import Tabs


def steps(may_go: threading.Event, closed: list[int]) -> Iterator[dict[str, Any]]:
    try:
        yield {"step": 1}
        assert may_go.wait(30)
        yield {"step": 2}
        yield {"step": 3}
    finally:
        closed.append(1)


def watched(runner: JobRunner, gone: Callable[[], bool] = lambda: False) -> list[Any]:
    async def is_gone() -> bool:
        return gone()

    async def all_of_it() -> list[Any]:
        assert runner.job is not None
        return [json.loads(line) async for line in watch(runner.job, is_gone)]

    return asyncio.run(all_of_it())


def test_who_comes_late_sees_all_of_it() -> None:
    runner, may_go, closed = JobRunner(), threading.Event(), list[int]()
    first = runner.start("training", lambda: steps(may_go, closed))
    with pytest.raises(JobUnderWay, match="Training is under way"):
        runner.start("annotation", lambda: iter(()))
    # Who goes away ends nothing.
    assert watched(runner, lambda: bool(first.events)) == [{"step": 1}]
    may_go.set()
    whole = [{"step": 1}, {"step": 2}, {"step": 3}]
    assert watched(runner) == watched(runner) == whole
    assert closed == [1] and first.view()["done"]
    second = runner.start("annotation", lambda: iter([{"done": 1}]))
    assert second.number > first.number and watched(runner) == [{"done": 1}]


def test_a_job_is_stopped_after_its_step() -> None:
    runner, may_go, closed = JobRunner(), threading.Event(), list[int]()
    runner.start("training", lambda: steps(may_go, closed))
    while not runner.job.events:  # type: ignore[union-attr]
        pass
    runner.stop()
    may_go.set()
    said = watched(runner)
    assert said[-1] == {"stopped": True} and {"step": 3} not in said
    assert closed == [1]


def test_who_waits_for_a_job_waits_to_its_end() -> None:
    runner, may_go, closed = JobRunner(), threading.Event(), list[int]()
    runner.join()  # There is none.
    runner.start("training", lambda: steps(may_go, closed))
    runner.stop()
    timer = threading.Timer(0.3, may_go.set)
    timer.start()
    runner.join()
    assert closed == [1] and runner.job is not None and runner.job.done


def test_an_error_ends_a_job_and_is_told() -> None:
    def fails() -> Iterator[dict[str, Any]]:
        yield {"step": 1}
        raise OSError("the disk is full")

    runner = JobRunner()
    runner.start("training", fails)
    assert watched(runner) == [{"step": 1}, {"error": "OSError: the disk is full"}]
    runner.start("training", lambda: iter(()))
    assert watched(runner) == []


def test_tabs_show_different_texts() -> None:
    tabs, waiting = Tabs(), [5, 3, 9]
    assert [tabs.choose(name, waiting) for name in "abcab"] == [5, 3, 9, 5, 3]
    # More tabs than texts: better the same text than none.
    assert tabs.choose("d", waiting) == 5
    assert tabs.choose("a", []) is None
    # What somebody skipped comes back after all others.
    alone = Tabs()
    assert alone.choose("a", waiting) == 5
    assert [alone.choose("a", waiting, skip) for skip in (5, 3, 9)] == [3, 9, 5]
    assert alone.choose("a", [5], 5) == 5


def test_tabs_that_were_closed_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    tabs = Tabs()
    assert [tabs.choose("a", [1, 2]), tabs.choose("b", [1, 2])] == [1, 2]
    now[0] = 601.0
    assert tabs.choose("b", [1, 2]) == 1
