"""Questions of several askers, answered together."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from spacy_instructner.serving.batching import Batcher, BatchSettings, QueueFull

Made = Callable[..., Batcher[str, str]]


class Answerer:
    """Answers in capitals, batch by batch, and holds each where it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun, self.go = threading.Semaphore(0), threading.Event()
        self.go.set()

    def __call__(self, questions: list[str]) -> list[str]:
        self.batches.append(questions)
        self.begun.release()
        assert self.go.wait(30)
        if "bad" in questions:
            raise ValueError("bad")
        return [each.upper() for each in questions]

    async def busy(self) -> None:
        """Until one more batch is under way."""
        for _ in range(3000):
            if self.begun.acquire(blocking=False):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("No batch began.")


@pytest.fixture
def answerer() -> Answerer:
    return Answerer()


@pytest.fixture
def make(answerer: Answerer) -> Iterator[Made]:
    threads = ThreadPoolExecutor(1)

    def made(**settings: Any) -> Batcher[str, str]:
        own = BatchSettings(**{"wait": 0.0, **settings})
        return Batcher(answerer, threads, own, size=len)

    yield made
    answerer.go.set()
    threads.shutdown()


def run(batcher: Batcher[str, str], work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        batcher.start()
        await work()
        await batcher.close()

    asyncio.run(asyncio.wait_for(whole(), 60))


def later(batcher: Batcher[str, str], *texts: str, seconds: float = 30.0) -> Any:
    """A request, which waits."""
    return asyncio.create_task(batcher.ask(texts, seconds))


async def queued(batcher: Batcher[str, str], count: int) -> None:
    while len(batcher.waiting) != count:
        await asyncio.sleep(0.001)


def test_what_waits_is_answered_together(make: Made, answerer: Answerer) -> None:
    batcher = make(texts=4)

    async def work() -> None:
        answerer.go.clear()
        first = later(batcher, "a")
        await answerer.busy()
        others = [later(batcher, *texts) for texts in (["b", "c"], ["d"], ["e", "f"])]
        await queued(batcher, 5)
        answerer.go.set()
        assert await asyncio.gather(first, *others) == [
            *(["A"], ["B", "C"], ["D"], ["E", "F"])
        ]

    run(batcher, work)
    # In the order of their coming; a request may stand in two batches.
    assert answerer.batches == [["a"], ["b", "c", "d", "e"], ["f"]]


def test_a_batch_has_so_many_characters_or_one_text(
    make: Made, answerer: Answerer
) -> None:
    batcher = make(characters=5)

    async def work() -> None:
        answerer.go.clear()
        first = later(batcher, "x")
        await answerer.busy()
        rest = later(batcher, "aa", "bbb", "c", "a long text", "d")
        await queued(batcher, 5)
        answerer.go.set()
        assert await rest == ["AA", "BBB", "C", "A LONG TEXT", "D"]
        await first

    run(batcher, work)
    assert answerer.batches[1:] == [["aa", "bbb"], ["c"], ["a long text"], ["d"]]


def test_an_idle_server_waits_for_company_for_a_while(
    make: Made, answerer: Answerer
) -> None:
    batcher = make(wait=0.5, texts=3)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        first = later(batcher, "a")
        await asyncio.sleep(0.05)
        assert answerer.batches == []
        assert await batcher.ask(["b"], 30) == ["B"] and await first == ["A"]
        assert loop.time() - begin >= 0.5
        # A full batch goes at once.
        begin = loop.time()
        await batcher.ask(["c", "d", "e"], 30)
        assert loop.time() - begin < 0.4

    run(batcher, work)
    assert answerer.batches == [["a", "b"], ["c", "d", "e"]]


def test_an_error_is_of_its_batch_alone(make: Made, answerer: Answerer) -> None:
    batcher = make(texts=2)

    async def work() -> None:
        answerer.go.clear()
        first = later(batcher, "a")
        await answerer.busy()
        bad, good = later(batcher, "bad", "b"), later(batcher, "c")
        await queued(batcher, 3)
        answerer.go.set()
        with pytest.raises(ValueError, match="bad"):
            await bad
        assert await good == ["C"] and await first == ["A"]
        assert await batcher.ask(["d"], 30) == ["D"]

    run(batcher, work)


def test_fewer_answers_than_questions_are_an_error() -> None:
    def dropped(questions: list[str]) -> Sequence[str]:
        return questions[1:]

    with ThreadPoolExecutor(1) as thread:
        batcher: Batcher[str, str] = Batcher(dropped, thread, BatchSettings(), len)

        async def work() -> None:
            with pytest.raises(RuntimeError, match="2 questions, 1 answers"):
                await batcher.ask(["a", "b"], 30)

        run(batcher, work)


def test_a_full_queue_refuses_all_or_none(make: Made, answerer: Answerer) -> None:
    batcher = make(texts=2, waiting=3)

    async def work() -> None:
        answerer.go.clear()
        first = later(batcher, "a")
        await answerer.busy()
        two = later(batcher, "b", "c")
        await queued(batcher, 2)
        with pytest.raises(QueueFull, match="2 texts are waiting, .* holds 3") as full:
            await batcher.ask(["d", "e"], 30)
        assert full.value.retry_after == 1 and len(batcher.waiting) == 2
        # One more has a place.
        last = later(batcher, "d")
        await queued(batcher, 3)
        answerer.go.set()
        assert await asyncio.gather(first, two, last) == [["A"], ["B", "C"], ["D"]]

    run(batcher, work)


def test_a_queue_is_full_of_characters_before_it_is_full_of_texts(
    make: Made, answerer: Answerer
) -> None:
    batcher = make(texts=9, waiting=9, waiting_characters=10)

    async def work() -> None:
        answerer.go.clear()
        first = later(batcher, "a")
        await answerer.busy()
        # More than the queue holds, but it is empty: it would never have room.
        long = later(batcher, "x" * 8, "y" * 8)
        await queued(batcher, 2)
        with pytest.raises(QueueFull, match="16 characters are waiting, .* holds 10"):
            await batcher.ask(["b"], 30)
        long.cancel()
        await queued(batcher, 0)
        eight = later(batcher, "z" * 8)
        await queued(batcher, 1)
        with pytest.raises(QueueFull, match="8 characters are waiting, .* holds 10"):
            await batcher.ask(["b", "cc"], 30)
        two = later(batcher, "b", "c")
        await queued(batcher, 3)
        answerer.go.set()
        assert await asyncio.gather(first, eight, two) == [["A"], ["Z" * 8], ["B", "C"]]

    run(batcher, work)


def test_a_refused_client_is_told_when_to_come_again(make: Made) -> None:
    batcher = make(waiting=1)

    async def work() -> None:
        for lately, seconds in ((0.0, 1), (2.4, 3), (1000.0, 60)):
            batcher._seconds = lately
            waits = later(batcher, "a")
            await queued(batcher, 1)
            with pytest.raises(QueueFull) as full:
                await batcher.ask(["b"], 30)
            assert full.value.retry_after == seconds
            waits.cancel()
            await queued(batcher, 0)

    # Nobody answers.
    asyncio.run(asyncio.wait_for(work(), 60))


def test_whose_time_is_up_leaves_the_queue(make: Made, answerer: Answerer) -> None:
    batcher = make()

    async def work() -> None:
        answerer.go.clear()
        first = later(batcher, "a", seconds=0.2)
        await answerer.busy()
        second = later(batcher, "b", seconds=0.1)
        third = later(batcher, "c")
        await queued(batcher, 2)
        for late in (second, first):
            with pytest.raises(asyncio.TimeoutError):
                await late
        # The first is under way; the second is never asked.
        assert [ticket.question for ticket in batcher.waiting] == ["c"]
        answerer.go.set()
        assert await third == ["C"]

    run(batcher, work)
    assert answerer.batches == [["a"], ["c"]]


def test_who_is_gone_takes_no_place(make: Made, answerer: Answerer) -> None:
    batcher = make(waiting=2)

    async def work() -> None:
        answerer.go.clear()
        first = later(batcher, "a")
        await answerer.busy()
        gone = later(batcher, "b", "c")
        await queued(batcher, 2)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert not batcher.waiting
        others = later(batcher, "d", "e")
        await queued(batcher, 2)
        answerer.go.set()
        assert await others == ["D", "E"] and await first == ["A"]

    run(batcher, work)
    assert answerer.batches == [["a"], ["d", "e"]]


def test_closing_answers_what_waits_and_refuses_the_rest(
    make: Made, answerer: Answerer
) -> None:
    batcher = make(texts=1, wait=10.0)

    async def work() -> None:
        batcher.start()
        answerer.go.clear()
        asked = [later(batcher, "a"), later(batcher, "b", "c")]
        await answerer.busy()
        closed = asyncio.create_task(batcher.close())
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFull, match="about to stop"):
            await batcher.ask(["d"], 30)
        assert not closed.done()
        answerer.go.set()
        await closed
        assert await asyncio.gather(*asked) == [["A"], ["B", "C"]]

    asyncio.run(asyncio.wait_for(work(), 60))


def test_an_idle_queue_closes_at_once(make: Made) -> None:
    async def work() -> None:
        pass

    run(make(wait=1000.0), work)


def test_batches_are_counted(answerer: Answerer) -> None:
    seen: list[tuple[int, float]] = []
    with ThreadPoolExecutor(1) as thread:
        batcher: Batcher[str, str] = Batcher(
            answerer, thread, BatchSettings(), len, lambda *each: seen.append(each)
        )

        async def work() -> None:
            await batcher.ask(["a", "b"], 30)
            await batcher.ask(["c"], 30)

        run(batcher, work)
    assert [texts for texts, _ in seen] == [2, 1]
    assert all(0 <= seconds < 30 for _, seconds in seen)


@pytest.mark.parametrize(
    "name,value", [("texts", 0), ("characters", 0), ("wait", -0.1), ("waiting", 0)]
)
def test_settings_that_could_answer_nothing(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        BatchSettings(**{name: value})
    with pytest.raises(ValueError, match="`wait` must be 0 or more, not nan"):
        BatchSettings(wait=float("nan"))


def test_every_answer_goes_to_who_asked(make: Made, answerer: Answerer) -> None:
    """Many ask, some give up at any moment; nothing is mixed up or left behind."""
    batcher = make(texts=3, wait=0.001, waiting=50)

    async def client(number: int) -> int:
        answered = 0
        for turn in range(12):
            texts = [f"x{number}.{turn}.{at}" for at in range(1 + (number + turn) % 4)]
            hurry = (number * turn) % 5 == 1
            try:
                answers = await batcher.ask(texts, 0.0005 if hurry else 30)
            except (asyncio.TimeoutError, QueueFull):
                continue
            assert answers == [each.upper() for each in texts]
            answered += 1
        return answered

    async def work() -> None:
        answered = await asyncio.gather(*map(client, range(12)))
        assert sum(answered) > 60 and not batcher.waiting

    run(batcher, work)
    assert max(map(len, answerer.batches)) == 3
