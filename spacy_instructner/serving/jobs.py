"""One long job at a time, in the background, that any number of browsers may watch from its
beginning. Source: ours."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..files import to_json

Event = dict[str, Any]
# How long a watcher waits before it looks again, in seconds.
PAUSE = 0.05


class JobUnderWay(RuntimeError):
    """Another job is under way."""


@dataclass
class BackgroundJob:
    """A job. kind: what it does; events: what it said so far; done: whether it has ended;
    stopping: set to end it after the step that is under way."""

    kind: str
    number: int
    events: list[Event] = field(default_factory=list)
    done: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)

    def view(self) -> Event:
        """What it is, and where it stands."""
        last = self.events[-1] if self.events else {}
        own = {"kind": self.kind, "number": self.number, "done": self.done}
        return {**own, "last": last}


class JobRunner:
    """Runs jobs, each in a thread of its own."""

    def __init__(self) -> None:
        self.job: BackgroundJob | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, kind: str, events: Callable[[], Iterator[Event]]) -> BackgroundJob:
        """Start a job. Raises JobUnderWay where one is under way."""
        with self._lock:
            if self.job is not None and not self.job.done:
                raise JobUnderWay(
                    f"{self.job.kind.capitalize()} is under way. Wait, or stop it."
                )
            # Another one than those of earlier servers, which a page may remember.
            last = self.job.number if self.job else 0
            self.job = BackgroundJob(kind, max(last + 1, int(time.time())))
            self._thread = threading.Thread(
                target=_run, args=(self.job, events), daemon=True
            )
            self._thread.start()
            return self.job

    def stop(self, wait: float = 0.0) -> None:
        """End the job after the step that is under way. wait: at most so many seconds."""
        if self.job is not None:
            self.job.stopping.set()
        if wait and self._thread is not None:
            self._thread.join(wait)

    def join(self) -> None:
        """Wait until no job is under way."""
        if self._thread is not None:
            self._thread.join()


def _run(job: BackgroundJob, make: Callable[[], Iterator[Event]]) -> None:
    try:
        events = make()
        for event in events:
            job.events.append(event)
            if job.stopping.is_set():
                events.close()  # type: ignore[attr-defined]
                job.events.append({"stopped": True})
                break
    except Exception as error:
        # Whatever it is, who watches must know.
        job.events.append({"error": f"{type(error).__name__}: {error}"})
    finally:
        job.done = True


async def watch(job: BackgroundJob, gone: Callable[[], Any]) -> AsyncIterator[bytes]:
    """The events of a job as JSON Lines, from the first one, until it ends or `gone`
    (awaited) says that nobody reads them."""
    at = 0
    while True:
        # In this order: what was said before the end is not missed.
        done = job.done
        while at < len(job.events):
            yield to_json(job.events[at], indent=None)
            at += 1
        if done or await gone():
            return
        await asyncio.sleep(PAUSE)
