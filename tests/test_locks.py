"""Locks and caches: a fork, a copy, and what is asked for at once."""

import copy
import pickle

import pytest

from helpers.threads import together
from spacy_instructner import locks
from spacy_instructner.locks import Cache, Lock


def test_a_cache_makes_once_what_is_asked_for_at_once() -> None:
    made: list[int] = []
    cache: Cache[int, str] = Cache(2)

    def make(key: int) -> str:
        made.append(key)
        return str(key)

    assert together(8, lambda _: cache.get(1, lambda: make(1))) == ["1"] * 8
    assert made == [1]
    cache.get(2, lambda: make(2))
    cache.get(1, lambda: make(1))
    cache.get(3, lambda: make(3))  # 2 was not used for longest
    assert len(cache) == 2
    cache.get(1, lambda: make(1))
    cache.get(2, lambda: make(2))
    assert made == [1, 2, 3, 2]

    def fail() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get(9, fail)
    assert together(1, lambda _: cache.get(9, lambda: "nine")) == ["nine"]


def test_a_copy_of_a_lock_is_free() -> None:
    lock = Lock()
    with lock:
        copies = copy.deepcopy(lock), pickle.loads(pickle.dumps(lock))
    for other in copies:
        assert type(other) is Lock and other is not lock
        assert together(1, lambda _, other=other: other.acquire(timeout=1)) == [True]


def test_locks_are_forgotten_with_what_they_guard() -> None:
    before = len(locks._LOCKS)
    cache: Cache[int, int] = Cache(1)
    assert len(locks._LOCKS) == before + 1
    del cache
    assert len(locks._LOCKS) == before
