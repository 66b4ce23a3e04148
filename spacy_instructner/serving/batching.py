"""Questions that wait are answered together: a queue, and one thread that takes batches from
it.

    ask ──► waiting ──► a batch: what came first, up to a size ──► one call ──► answers

A question leaves the queue when nobody waits for it any more: its time is up, or who asked
is gone. What is under way is answered to the end, whoever still waits. Source: ours.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Generic, NoReturn, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
# Seconds after which a refused client is asked to come again, at most.
LONGEST_RETRY = 60
# How much the last batch says about how long the next one takes.
RECENT = 0.2


class QueueFull(Exception):
    """There is no place. retry_after: seconds until there should be one, whole."""

    def __init__(self, why: str, retry_after: int) -> None:
        super().__init__(why)
        self.retry_after = retry_after


@dataclass(frozen=True)
class BatchSettings:
    """What is answered together.

    texts, characters: most of a batch, one text at least; wait: seconds that a text waits
    for others, at most, while the thread is idle; waiting, waiting_characters: texts in the
    queue, and their characters, at most. A queue that is empty takes any questions that come
    together, so that none is refused for good."""

    texts: int = 32
    characters: int = 20_000
    wait: float = 0.005
    waiting: int = 256
    # About what is answered in the two minutes that a request may wait by default.
    waiting_characters: int = 2_000_000

    def __post_init__(self) -> None:
        for name in asdict(self):
            value, own = 0 if name == "wait" else 1, getattr(self, name)
            if not value <= own < math.inf:
                raise ValueError(f"`{name}` must be {value} or more, not {own}.")


@dataclass(frozen=True, eq=False)
class Ticket(Generic[Q, A]):
    """A question in the queue. size: its characters; came: when, by the loop's clock;
    future: its answer."""

    question: Q
    size: int
    came: float
    future: "asyncio.Future[A]"


class Batcher(Generic[Q, A]):
    """The queue. It belongs to one event loop, in which all of its methods are called."""

    def __init__(
        self,
        answer: Callable[[list[Q]], Sequence[A]],
        thread: Executor,
        settings: BatchSettings,
        size: Callable[[Q], int],
        on_batch: Callable[[int, float], None] = lambda texts, seconds: None,
    ) -> None:
        """answer: answers to a batch, in its order; it is called in `thread`, one call at a
        time. An error of it fails the whole batch.
        size: characters of a question.
        on_batch: is told of each batch the number of its questions, and its seconds."""
        self.answer, self.thread, self.settings = answer, thread, settings
        self.size, self.on_batch = size, on_batch
        self.waiting: deque[Ticket[Q, A]] = deque()
        self.closing = False
        self._changed = asyncio.Event()
        self._seconds = 0.0  # Of a question, lately.
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Refuse new questions, and return when those that wait are answered."""
        self.closing = True
        self._changed.set()
        if self._task is not None:
            await self._task

    async def ask(self, questions: Sequence[Q], seconds: float) -> list[A]:
        """The answers to some questions, in their order. They are queued all or none.

        seconds: until an answer is of no use any more.
        Raises QueueFull where there is no place for all of them, asyncio.TimeoutError when
        time is up, and whatever `answer` raises. Where it ends early, cancelled included,
        the questions leave the queue."""
        if not questions:
            return []
        sizes = [self.size(each) for each in questions]
        self._check_room(sizes)
        loop = asyncio.get_running_loop()
        came = loop.time()
        tickets: list[Ticket[Q, A]] = [
            Ticket(each, size, came, loop.create_future())
            for each, size in zip(questions, sizes)
        ]
        self.waiting.extend(tickets)
        self._changed.set()
        futures = [ticket.future for ticket in tickets]
        try:
            done, late = await asyncio.wait(
                futures, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION
            )
            if failed := [error for each in done if (error := each.exception())]:
                raise failed[0]
            if late:
                raise asyncio.TimeoutError
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
            self.waiting = deque(t for t in self.waiting if not t.future.done())

    def _check_room(self, sizes: Sequence[int]) -> None:
        if self.closing:
            raise QueueFull("The server is about to stop. Ask another one.", 1)
        settings, texts = self.settings, len(self.waiting)
        characters = sum(ticket.size for ticket in self.waiting)
        if texts + len(sizes) > settings.waiting:
            self._refuse(f"{texts} texts", settings.waiting)
        if texts and characters + sum(sizes) > settings.waiting_characters:
            self._refuse(f"{characters} characters", settings.waiting_characters)

    def _refuse(self, waiting: str, most: int) -> NoReturn:
        left = math.ceil(len(self.waiting) * self._seconds)
        raise QueueFull(
            f"{waiting} are waiting, and the queue holds {most}. Try again later.",
            max(1, min(left, LONGEST_RETRY)),
        )

    async def _run(self) -> None:
        while True:
            await self._company()
            if batch := self._take():
                await self._answer(batch)
            elif self.closing:
                return

    async def _company(self) -> None:
        """Wait for a question; then until a batch is full, or the first question has waited
        for long enough."""
        loop = asyncio.get_running_loop()
        while not self.closing:
            self._changed.clear()
            left = None
            if self.waiting:
                left = self.waiting[0].came + self.settings.wait - loop.time()
                if left <= 0 or self._is_full():
                    return
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                return

    def _is_full(self) -> bool:
        settings = self.settings
        return (
            len(self.waiting) >= settings.texts
            or sum(ticket.size for ticket in self.waiting) >= settings.characters
        )

    def _take(self) -> list[Ticket[Q, A]]:
        """The next batch, out of the queue."""
        batch: list[Ticket[Q, A]] = []
        room = self.settings.characters
        while self.waiting and len(batch) < self.settings.texts:
            if batch and self.waiting[0].size > room:
                break
            ticket = self.waiting.popleft()
            if not ticket.future.done():
                batch.append(ticket)
                room -= ticket.size
        return batch

    async def _answer(self, batch: list[Ticket[Q, A]]) -> None:
        questions = [ticket.question for ticket in batch]
        begin = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self.thread, self.answer, questions)
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} questions, {len(answers)} answers.")
        except Exception as error:
            # Told to everyone who waits; the next batch may do better.
            for ticket in batch:
                if not ticket.future.done():
                    ticket.future.set_exception(error)
        else:
            for ticket, answer in zip(batch, answers):
                if not ticket.future.done():
                    ticket.future.set_result(answer)
        seconds = time.perf_counter() - begin
        own = seconds / len(batch)
        self._seconds += (RECENT if self._seconds else 1.0) * (own - self._seconds)
        self.on_batch(len(batch), seconds)
