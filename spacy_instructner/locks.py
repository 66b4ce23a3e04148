"""What threads share, and how: locks that a fork does not leave locked, and a cache.

What a lock guards is built aside and put in place by one assignment. So it is whole at
every moment, for a thread that looks without the lock, for one that is interrupted while
it holds it, and for a process that is forked meanwhile. Source: ours.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Held while weights are read or written: transformers switches settings of the whole
# process for that, such as how torch initialises layers.
LOADING = threading.RLock()
_LOCKS: "WeakSet[Any]" = WeakSet()


class Lock(type(threading.RLock())):  # type: ignore[misc]
    """A lock that one thread may take several times, that nobody holds in a forked
    process, and that is a fresh one where it is copied. Take it by `with`, which an
    interrupt cannot leave locked."""

    def __init__(self) -> None:
        _LOCKS.add(self)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Lock, ()


def _free_all() -> None:
    for lock in _LOCKS:
        lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    # A fork waits for a loading to end, as half of one is of no use to anybody; of other
    # locks the child's are free.
    os.register_at_fork(
        before=LOADING.acquire,
        after_in_parent=LOADING.release,
        after_in_child=LOADING.release,
    )
    os.register_at_fork(after_in_child=_free_all)


class Cache(Generic[K, V]):
    """What was made last, by its key; any thread may ask.

    most: how many to keep; the one that was not used for longest goes first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key; `make` makes it where it is not kept, while other threads
        wait for it."""
        with self._lock:
            if key not in self._kept:
                value = make()
                while len(self._kept) >= self.most:
                    self._kept.popitem(last=False)
                self._kept[key] = value
            self._kept.move_to_end(key)
            return self._kept[key]

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
