"""Which tab shows which text, so that two people do not correct the same one. Source: ours."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

# After so many seconds without a word, a tab shows nothing any more; tabs to remember.
FORGOTTEN, MOST_TABS = 600.0, 200


@dataclass
class Tab:
    """shows: a text; skipped: those to come back to later; heard: when it asked last."""

    shows: int = 0
    skipped: set[int] = field(default_factory=set)
    heard: float = 0.0


class Tabs:
    """The tabs that asked lately. Nothing of it is saved."""

    def __init__(self) -> None:
        self._tabs: dict[str, Tab] = {}
        self._lock = threading.Lock()

    def choose(self, name: str, waiting: Sequence[int], skip: int = 0) -> int | None:
        """The first text for a tab, among those that wait; None where none does.

        name (str): of the tab.
        skip (int): a text to come back to after all others; 0 for none."""
        now = time.monotonic()
        with self._lock:
            own = self._tabs.setdefault(name, Tab())
            own.heard = now
            for other in [
                n for n, t in self._tabs.items() if now - t.heard > FORGOTTEN
            ]:
                del self._tabs[other]
            while len(self._tabs) > MOST_TABS:
                del self._tabs[min(self._tabs, key=lambda n: self._tabs[n].heard)]
            if skip:
                own.skipped.add(skip)
            elsewhere = {t.shows for n, t in self._tabs.items() if n != name}
            free = [text for text in waiting if text not in elsewhere] or list(waiting)
            chosen = next((text for text in free if text not in own.skipped), None)
            if chosen is None and free:
                # All were skipped: from the beginning, but not with the same again.
                own.skipped = {skip} if len(free) > 1 and skip else set()
                chosen = next(text for text in free if text not in own.skipped)
            own.shows = chosen or 0
            return chosen
