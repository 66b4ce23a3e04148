"""A pipeline for each project of an annotation tool. One thread answers, another trains,
and a trained pipeline takes its place when it is whole on disk. Source: ours."""

import logging
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import srsly
from filelock import FileLock, Timeout
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.tokens import Doc

from spacy_instructner.char_spans import ScoredCharSpan
from spacy_instructner.component import InstructionNERPipe
from spacy_instructner.corpus.chunk import pipeline_name
from spacy_instructner.corpus.entities import scored_entities_of
from spacy_instructner.corpus.piped import Failure, annotate_each
from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.formats.docs import make_doc
from spacy_instructner.formats.rows import Row
from spacy_instructner.models.thinc_model import get_inference_backbone
from spacy_instructner.serving.finetune import finetune
from spacy_instructner.tasks.labels import LABELS_KEY, Labels

LOG = logging.getLogger(__name__)
# Trained pipelines of a project that stay on disk, the present one included.
KEPT = 2
ASIDE = ".saving-"


class TrainingUnderWay(RuntimeError):
    """A project is asked to be trained while its training runs."""


@dataclass(frozen=True)
class AskedText:
    """A text with what is looked for in it.

    row: the text, with its tokens if it has some, and its entities if somebody annotated
    them; labels: the labels, with what they mean; None for the pipeline's own."""

    row: Row
    labels: Labels | None = None


@dataclass(frozen=True)
class FoundSpans:
    """The entities of a text. spans: in text order, by characters; error: why the text
    could not be annotated, "" where it was."""

    spans: tuple[ScoredCharSpan, ...] = ()
    error: str = ""

    @property
    def certainty(self) -> float:
        """The lowest score of an entity; 1.0 where nothing was found."""
        return min((s for *_, s in self.spans if s is not None), default=1.0)


@dataclass(frozen=True)
class ProjectTraining:
    """How the last training of a project goes. state: "none", "training", "trained" or
    "failed"; texts: it learns from; left_out: entities that do not fall on tokens; step,
    of: updates so far, and in all; error: why it failed."""

    state: str = "none"
    texts: int = 0
    left_out: int = 0
    step: int = 0
    of: int = 0
    error: str = ""


class ProjectPipelines:
    """The base pipeline for every project, until it is trained on its own annotations."""

    def __init__(self, base: Pipeline, folder: Path) -> None:
        """Load the base and its weights.

        base (Pipeline): what every training of every project begins with.
        folder (Path): where trained pipelines are kept, `folder/PROJECT/NUMBER.TIME`.
        Raises ValueError for a pipeline without one instruction_ner component, and for a
        folder that another process uses. Raises OSError where there is no pipeline, or no
        weights."""
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(
                f"Another process keeps its pipelines in {folder}. Stop it, or name "
                "another folder."
            ) from error
        self.base, self.folder = base, folder
        # spaCy chooses the GPU for each thread.
        on_gpu = partial(setup_gpu, base.gpu, True)
        self._answering = ThreadPoolExecutor(1, "answering", on_gpu)
        self._training = ThreadPoolExecutor(1, "training", on_gpu)
        self._starting = Lock()
        self._loaded: dict[str, Language] = {}
        self._states: dict[str, ProjectTraining] = {}
        try:
            self._base_nlp = base.load()
            self.component = component_of(self._base_nlp, base.name)
            pipe: Any = self._base_nlp.get_pipe(self.component)
            get_inference_backbone(pipe.model)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Wait for what is under way, and leave the folder to others."""
        self._training.shutdown()
        self._answering.shutdown()
        self._lock.release()

    def version(self, project: str) -> str:
        """The name and version of a project's pipeline. It is told at once, whatever is
        annotated meanwhile."""
        nlp = self._loaded.get(project)
        saved = [] if nlp else saved_pipelines(self.folder / project)
        if not saved:
            return pipeline_name(nlp or self._base_nlp)
        meta = srsly.read_json(saved[-1] / "meta.json")
        return f"{meta['lang']}_{meta['name']}-{meta['version']}"

    def state(self, project: str) -> ProjectTraining:
        """How the last training of a project in this process goes."""
        return self._states.get(project, ProjectTraining())

    def annotate(
        self, project: str, texts: Sequence[AskedText]
    ) -> tuple[str, list[FoundSpans]]:
        """The version of a project's pipeline, and what it finds in each text. A text that
        fails stops no other text."""
        return self._answering.submit(self._annotate, project, texts).result()

    def train(self, project: str, texts: Sequence[AskedText]) -> "Future[None]":
        """Train the base on annotated texts, while the project's present pipeline answers.

        texts (Sequence[AskedText]): annotated texts, each with the labels that it was
            annotated with.
        RETURNS (Future[None]): done when the new pipeline answers, with the error if there
            was one. Raises TrainingUnderWay, and ValueError where there is no entity to
            learn from."""
        with self._starting:
            if self.state(project).state == "training":
                raise TrainingUnderWay("A training of this project is under way.")
            check = self._answering.submit(check_texts, self._base_nlp, texts)
            state = ProjectTraining("training", len(texts), check.result())
            self._states[project] = state
        return self._training.submit(self._train, project, texts, state)

    # On the thread that answers.

    def _pipeline(self, project: str) -> Language:
        """The present pipeline of a project; its saved one is loaded at first use."""
        if project not in self._loaded:
            saved = saved_pipelines(self.folder / project)
            own = replace(self.base, name=str(saved[-1]), labels=()) if saved else None
            self._loaded[project] = own.load() if own else self._base_nlp
        return self._loaded[project]

    def _annotate(
        self, project: str, texts: Sequence[AskedText]
    ) -> tuple[str, list[FoundSpans]]:
        nlp = self._pipeline(project)

        def make(text: AskedText) -> list[Doc]:
            return [asked_doc(nlp, replace(text, row=replace(text.row, spans=())))]

        # The strings of the texts are forgotten afterwards.
        with nlp.memory_zone():
            answers = annotate_each(nlp, [partial(make, text) for text in texts], 64)
            found = [
                FoundSpans(error=each.why)
                if isinstance(each, Failure)
                else FoundSpans(tuple(scored_entities_of(each)))
                for each in answers
            ]
        return pipeline_name(nlp), found

    # On the thread that trains.

    def _train(
        self, project: str, texts: Sequence[AskedText], state: ProjectTraining
    ) -> None:
        try:
            nlp = self.base.load()
            docs = [asked_doc(nlp, text) for text in texts]
            labels = label_words(texts)
            names = {label: each["name"] for label, each in labels.items()}
            pipe: Any = nlp.get_pipe(self.component)
            pipe.set_labels(
                list(labels), {k: name for k, name in names.items() if name}
            )
            meanings = {label: each["definition"] for label, each in labels.items()}
            for step, of, _ in finetune(nlp, self.component, docs, meanings):
                self._states[project] = replace(state, step=step, of=of)
            get_inference_backbone(pipe.model)
            save_beside(nlp, self.folder / project)
            # One assignment, on the thread that reads it.
            self._answering.submit(self._loaded.__setitem__, project, nlp).result()
            state = replace(self._states[project], state="trained")
        except BaseException as error:
            why = f"{type(error).__name__}: {error}"
            state = replace(self._states[project], state="failed", error=why)
            LOG.error("Project %s was not trained: %s", project, why)
            raise
        finally:
            self._states[project] = state

    def report(self) -> dict[str, dict[str, Any]]:
        """The state of every project that was trained in this process."""
        return {project: asdict(state) for project, state in self._states.items()}


def component_of(nlp: Language, name: str) -> str:
    """The name of the one instruction_ner component of a pipeline called `name`. Raises
    ValueError where there is none, or more than one."""
    ours = [n for n, p in nlp.pipeline if isinstance(p, InstructionNERPipe)]
    if len(ours) != 1:
        raise ValueError(
            f"{name} must have one instruction_ner component. It has "
            f"{', '.join(ours) or 'none'}; its components are "
            f"{', '.join(nlp.pipe_names) or 'none'}."
        )
    return ours[0]


def asked_doc(nlp: Language, text: AskedText) -> Doc:
    """A text as a Doc that brings its labels. Raises ValueError for tokens that are not
    the words of the text."""
    doc, _ = make_doc(text.row, nlp)
    if text.labels is not None:
        doc.user_data[LABELS_KEY] = text.labels
    return doc


def check_texts(nlp: Language, texts: Sequence[AskedText]) -> int:
    """How many entities cannot be kept, as they do not fall on tokens. Raises ValueError
    where none can."""
    found, lost = 0, 0
    for text in texts:
        doc, problems = make_doc(text.row, nlp)
        found += len(doc.ents)
        lost += sum(problem.kind == "span" for problem in problems)
    if not found:
        why = f" {lost} do not fall on tokens." if lost else ""
        raise ValueError(
            f"There is no entity to learn from.{why} Annotate some texts first."
        )
    return lost


def label_words(texts: Sequence[AskedText]) -> dict[str, dict[str, str]]:
    """The labels of all texts, each with its "name" and "definition", "" where there is
    none. Where texts differ, the first counts. (Each text is still asked by its own.)"""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        own = text.labels
        if own is None:
            own = sorted({label for _, _, label in text.row.spans})
        for label in own:
            words = own[label] if isinstance(own, dict) else {}
            given = words if isinstance(words, dict) else {"definition": words}
            found.setdefault(label, {"name": "", "definition": "", **given})
    return found


def saved_pipelines(folder: Path) -> list[Path]:
    """The pipelines of a project, the newest last. Each is whole: it got its name when it
    was."""
    found = [path for path in folder.glob("*.*") if path.name.split(".")[0].isdigit()]
    return sorted(found, key=lambda path: int(path.name.split(".")[0]))


def save_beside(nlp: Language, folder: Path) -> Path:
    """Save a pipeline as the newest of a project, and give its version a part of its own.
    A process that is killed meanwhile leaves the older ones as they were."""
    folder.mkdir(exist_ok=True)
    before = saved_pipelines(folder)
    for left in folder.glob(f"{ASIDE}*"):
        shutil.rmtree(left)
    number = int(before[-1].name.split(".")[0]) + 1 if before else 1
    name = f"{number}.{datetime.now(timezone.utc):%Y%m%d%H%M%S}"
    nlp.meta["version"] = f"{nlp.meta['version'].split('+')[0]}+{name}"
    with tempfile.TemporaryDirectory(dir=folder, prefix=ASIDE) as aside:
        nlp.to_disk(Path(aside) / "new")
        (Path(aside) / "new").rename(folder / name)
    for old in before[: max(0, len(before) + 1 - KEPT)]:
        shutil.rmtree(old)
    return folder / name
