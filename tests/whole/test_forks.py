"""Processes after threads, and tasks of asyncio."""

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from spacy.language import Language

from helpers.pipelines import MakeNLP
from helpers.threads import TEXTS, Found, ask, eager_switches, found, together
from spacy_instructner.locks import LOADING, Lock


def forked(nlp: Language, texts: list[str]) -> list[Found]:
    return [found(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_after_threads_and_among_them(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    expected = [ask(nlp, text) for text in TEXTS]
    together(4, lambda at: ask(nlp, TEXTS[at]))
    assert forked(nlp, TEXTS) == expected
    # Processes begin while other threads of this one hold whatever they hold.
    done = threading.Event()

    def work(number: int) -> list[list[Found]]:
        out = []
        while not done.is_set():
            out.append([ask(nlp, text) for text in TEXTS])
        return out

    with eager_switches(), ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(work, number) for number in range(2)]
        try:
            processes = [forked(nlp, TEXTS) for _ in range(3)]
        finally:
            done.set()
    assert processes == [expected] * 3
    for thread in threads:
        assert thread.result() and all(own == expected for own in thread.result())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_for_loading_and_finds_other_locks_free() -> None:
    lock, inside, leave = Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock, LOADING:
            inside.set()
            leave.wait(0.5)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_take, args=(lock,))
    child.start()
    # The parent went on only when the other thread had let go.
    assert LOADING.acquire(blocking=False)
    LOADING.release()
    child.join(20)
    leave.set()
    holder.join()
    assert child.exitcode == 0


def _take(lock: Any) -> None:
    taken = lock.acquire(timeout=5) and LOADING.acquire(timeout=5)
    os._exit(0 if taken else 1)


def test_tasks_of_asyncio(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()

    async def all_of_them() -> list[Found]:
        asked = [asyncio.to_thread(ask, nlp, text) for text in TEXTS * 4]
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(all_of_them())
    assert answers == [ask(make_nlp(), text) for text in TEXTS] * 4


def test_what_is_kept_as_io_is_of_the_text(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(save_io=True)
    kept = [nlp(text).user_data["instruction_ner_io"] for text in TEXTS]
    nlp = make_nlp(save_io=True)

    def io(number: int) -> Any:
        return nlp(TEXTS[number % 6]).user_data["instruction_ner_io"]

    assert together(12, io) == kept * 2
