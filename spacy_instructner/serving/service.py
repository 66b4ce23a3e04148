"""The pipeline behind the API from start to stop: it is loaded while the server already
tells its health, and what is under way is answered before the server ends. Source: ours."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from spacy.cli._util import setup_gpu

from ..corpus.piped import Failure
from .annotator import BatchAnnotator, TextAnswer, TextQuestion
from .api_metrics import ApiMetrics
from .batching import Batcher, BatchSettings


class NotReady(Exception):
    """The pipeline is not loaded yet."""


class Service:
    """A pipeline, its thread and its queue. One event loop calls it."""

    def __init__(
        self, load: Callable[[], BatchAnnotator], settings: BatchSettings, gpu: int = -1
    ) -> None:
        """load: called once, in the thread that annotates; gpu: its number, -1 for the
        CPU."""
        self.load, self.settings = load, settings
        # spaCy chooses the GPU for each thread.
        self.thread = ThreadPoolExecutor(1, initializer=partial(setup_gpu, gpu, True))
        self.annotator: BatchAnnotator | None = None
        self.batcher: Batcher[TextQuestion, TextAnswer] | None = None
        self.error: Exception | None = None
        # Called where the pipeline cannot be loaded.
        self.on_error: Callable[[], None] = lambda: None
        self.metrics = ApiMetrics(self.waiting, lambda: self.ready)

    @property
    def ready(self) -> bool:
        """Is the pipeline loaded, and the server not about to stop?"""
        return self.batcher is not None and not self.batcher.closing

    def waiting(self) -> int:
        """The number of texts in the queue."""
        return 0 if self.batcher is None else len(self.batcher.waiting)

    def known(self) -> BatchAnnotator:
        """The pipeline. Raises NotReady until it is loaded."""
        if self.annotator is None:
            raise NotReady("The pipeline is being loaded. Try again later.")
        return self.annotator

    async def ask(
        self, questions: Sequence[TextQuestion], seconds: float
    ) -> list[TextAnswer]:
        """Raises as `Batcher.ask`, and NotReady."""
        self.known()
        assert self.batcher is not None
        return await self.batcher.ask(questions, seconds)

    @asynccontextmanager
    async def running(self, app: object) -> AsyncIterator[None]:
        """The life of the server. app: as the framework passes it."""
        loading = asyncio.create_task(self._load())
        try:
            yield
        finally:
            # A pipeline that is being loaded cannot be stopped half-way.
            await loading
            if self.batcher is not None:
                await self.batcher.close()
            self.thread.shutdown()

    async def _load(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self.annotator = await loop.run_in_executor(self.thread, self.load)
        except Exception as error:
            # Whoever started the server says it; see `error`.
            self.error = error
            self.on_error()
            return
        self.batcher = Batcher(
            self._answer,
            self.thread,
            self.settings,
            size=lambda question: len(question.text),
            on_batch=self.metrics.batch,
        )
        self.batcher.start()

    def _answer(self, questions: list[TextQuestion]) -> list[TextAnswer]:
        """In the thread of the pipeline."""
        found = self.known().annotate(questions)
        metrics = self.metrics
        metrics.unread.labels("tokens").inc(found.unread)
        metrics.unread.labels("answers").inc(found.unfinished)
        metrics.characters.inc(sum(len(each.text) for each in questions))
        for answer in found.answers:
            if isinstance(answer, list):
                metrics.texts.labels("annotated").inc()
                metrics.entities.inc(len(answer))
            else:
                failed = isinstance(answer, Failure)
                metrics.texts.labels("failed" if failed else "refused").inc()
        return found.answers
