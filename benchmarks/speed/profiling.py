"""Where the time of answering goes: each part's own, what it calls left out."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from spacy_instructner.decoding import beam_search as searching
from spacy_instructner.decoding import speculative
from spacy_instructner.models import packed_attention as attention
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.models.causal import CausalBackbone
from spacy_instructner.models.packed_session import PackedSession

from .decoding import NAME, ready
from .measure import Row
from .models import copies, test_docs, tuned

PRODUCTS = "matrix products"
# What is timed beside the modules of the model: where it is looked up, and its part.
WATCHED = (
    (attention, "attend", "attention"),
    (CausalBackbone, "run", "the rest of the model"),
    (searching, "decide", "grammar and decisions"),
    (speculative, "decide", "grammar and decisions"),
    (searching, "allowed_logprobs", "reachable logits"),
)


class Clock:
    """Seconds by part. A part under way stops while another one inside it runs."""

    def __init__(self) -> None:
        self.seconds: Counter = Counter()
        self._under_way: list[str] = []
        self._since = 0.0

    def begin(self, part: str) -> None:
        self._turn()
        self._under_way.append(part)

    def end(self) -> None:
        self._turn()
        self._under_way.pop()

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._under_way:
            self.seconds[self._under_way[-1]] += now - self._since
        self._since = now

    def around(self, part: str, function: Callable) -> Callable:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.begin(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.end()

        return timed


@contextmanager
def replaced(holder: Any, name: str, clock: Clock, part: str) -> Iterator[None]:
    own = getattr(holder, name)
    setattr(holder, name, clock.around(part, own))
    try:
        yield
    finally:
        setattr(holder, name, own)


def watch(backbone: Backbone, clock: Clock) -> Callable[[], None]:
    """Time the modules of a model. RETURNS: what undoes it."""
    hooks = []
    for module in backbone.hf.modules():
        if isinstance(module, nn.Linear) or type(module).__name__.endswith("Norm"):
            part = PRODUCTS if isinstance(module, nn.Linear) else "norms"
            begin = partial(clock.begin, part)
            hooks.append(module.register_forward_pre_hook(lambda *_, b=begin: b()))
            hooks.append(module.register_forward_hook(lambda *_: clock.end()))

    def undo() -> None:
        for hook in hooks:
            hook.remove()

    return undo


def profile(data: Path, name: str, cache: Path, count: int, times: int) -> list[Row]:
    """Share of the time, by part, of annotating some texts."""
    nlp = tuned(data, name, cache)
    backbone = ready(nlp)
    pipe = nlp.get_pipe(NAME)
    docs = test_docs(nlp, data, name, count)
    list(pipe.pipe(copies(docs), batch_size=1000))
    shares: dict[str, list[float]] = {}
    for _ in range(times):
        clock = Clock()
        undo = watch(backbone, clock)
        try:
            with ExitStack() as stack:
                for holder, function, part in WATCHED:
                    stack.enter_context(replaced(holder, function, clock, part))
                clock.begin("windows, prompts, batches, writing")
                list(pipe.pipe(copies(docs), batch_size=1000))
                clock.end()
        finally:
            undo()
        total = sum(clock.seconds.values())
        for part, seconds in clock.seconds.items():
            shares.setdefault(part, []).append(100 * seconds / total)
    rows = [Row("profile", part, "%", values) for part, values in shares.items()]
    return sorted(rows, key=lambda row: -row.median)


SIZES = (16, 64, 128, 256, 512, 1024, 4096)


def passes(
    data: Path, names: Sequence[str], cache: Path, count: int, times: int
) -> list[Row]:
    """Ids a second by the size of a pass: what small passes cost."""
    rows = []
    for name in names:
        nlp = tuned(data, name, cache)
        ready(nlp)
        pipe = nlp.get_pipe(NAME)
        docs = test_docs(nlp, data, name, count)
        list(pipe.pipe(copies(docs), batch_size=1000))
        rates: dict[int, list[float]] = {}
        for _ in range(times):
            seen: list[tuple[int, float]] = []
            own = PackedSession.forward

            def forward(
                session: PackedSession,
                fed: Sequence[Sequence[int]],
                *more: Any,
                own: Callable = own,
                seen: list = seen,
            ) -> Any:
                begin = time.perf_counter()
                hidden = own(session, fed, *more)
                seen.append((sum(map(len, fed)), time.perf_counter() - begin))
                return hidden

            PackedSession.forward = forward  # type: ignore[method-assign]
            try:
                list(pipe.pipe(copies(docs), batch_size=1000))
            finally:
                PackedSession.forward = own  # type: ignore[method-assign]
            by_size: dict[int, list[tuple[int, float]]] = {}
            for ids, seconds in seen:
                size = next(size for size in SIZES if ids <= size)
                by_size.setdefault(size, []).append((ids, seconds))
            for size, of in by_size.items():
                rate = sum(ids for ids, _ in of) / sum(seconds for _, seconds in of)
                rates.setdefault(size, []).append(rate)
        rows += [
            Row("passes", name, "ids/s", values, x=size)
            for size, values in sorted(rates.items())
        ]
    return rows
