"""The models of a project: they annotate its texts, learn from its decisions, and are packed
as folder or wheel. Each of these is a job, a stream of events. Source: ours.
"""

import importlib.util
import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

from spacy.cli._util import setup_gpu
from spacy.cli.package import package
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_model

from ..component import InstructionNERPipe
from ..config_checks import write_threshold
from ..corpus.chunk import pipeline_name
from ..corpus.entities import scored_entities_of, scored_spans_of
from ..corpus.piped import Failure, annotate_each
from ..corpus.pipelines import fingerprint
from ..corpus.texts import pieces
from ..evaluation.metrics import Counts, count
from ..evaluation.predicted_texts import predict_texts
from ..evaluation.support_set import folds
from ..locks import Cache
from ..tasks.labels import LABELS_KEY
from .finetune import finetune
from .project.findings import accepted, current
from .project.project_folder import ProjectFolder
from .project.project_state import ProjectText
from .session import Event, PipelineSession, read_corrected, save_pipeline

MODELS, FILES = "models", "files"
# Texts annotated at a time: small enough that a bar moves, and little is lost.
BATCH = 8
PACKAGES = ("folder", "wheel")
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
VERSION = re.compile(r"\d+(\.\d+){0,3}((a|b|rc|\.post|\.dev)\d+)?")
# The first setuptools that builds wheels by itself.
SETUPTOOLS = 70


def begin_project(project: ProjectFolder, session: PipelineSession) -> None:
    """Say to a project which pipeline is served."""
    component: Any = session.nlp.get_pipe(session.name)
    project.set_base(
        pipeline_name(session.nlp),
        fingerprint(session.nlp),
        component.cfg["threshold"] or 0.0,
        session.labels(),
    )


class ProjectModels:
    """The pipeline that is served (model 0) and those that were trained in a project."""

    def __init__(
        self,
        session: PipelineSession,
        project: ProjectFolder,
        thread: ThreadPoolExecutor,
    ) -> None:
        """session: the pipeline; it answers with the project's present model. thread:
        where all that annotates takes its turn.
        Where the folder of the project's present model is gone, model 0 is used, and
        `missing` is its number. Raises OSError where it cannot be loaded."""
        self.session, self.project, self.thread = session, project, thread
        self.missing = 0
        # Two, so that they can be compared.
        self._loaded: Cache[int, Language] = Cache(2)
        self._loaded.get(0, lambda: session.nlp)
        using = project.state.using
        if using and not self.folder(using).is_dir():
            self.missing = using
            project.use(0)
        elif using:
            session.nlp = self.get(using)

    def folder(self, model: int) -> Path:
        return self.project.folder / MODELS / str(model)

    def fresh(self, model: int) -> Language:
        """A copy of a model that nobody else has. Raises OSError where it is not there."""
        pipeline = self.session.pipeline
        if model and not self.folder(model).is_dir():
            raise OSError(f"The folder of model {model} is gone: {self.folder(model)}.")
        # spaCy chooses the GPU for each thread.
        setup_gpu(pipeline.gpu, silent=True)
        return load_model(self.folder(model)) if model else pipeline.load()

    def get(self, model: int) -> Language:
        """A model to annotate with. Raises OSError where it is not there."""
        return self._loaded.get(model, partial(self.fresh, model))

    def use(self, model: int) -> None:
        """Answer with a model from now on. Raises KeyError for an unknown one, and
        OSError for one whose folder is gone."""
        if model and model not in self.project.state.models:
            raise KeyError(f"There is no model {model}.")
        nlp = self.get(model)
        with self.project.lock:
            self.project.use(model)
            self.session.nlp = nlp

    # Annotating.

    def annotate(self, model: int | None = None) -> Iterator[Event]:
        """Annotate the texts that a model (the present one) was not asked about with the
        present labels. Stopped, or killed, it continues where it was.

        YIELDS (Event): {"phase": "annotate", "done", "of", "failed"}."""
        project = self.project
        with project.lock:
            state = project.state
            number = state.using if model is None else model
            asked, meanings = state.asked, state.meanings()
            todo = [t for t in state.texts.values() if not state.finding(t.id, number)]
            done = len(state.texts) - len(todo)
        if not meanings:
            raise ValueError("Name a label first: there is nothing to look for.")
        of, failed = done + len(todo), 0
        yield {"phase": "annotate", "done": done, "of": of, "failed": 0}
        nlp = self.get(number)
        for begin in range(0, len(todo), BATCH):
            own = todo[begin : begin + BATCH]
            rows = self.thread.submit(find_in, nlp, own, meanings).result()
            project.add_found(number, asked, rows)
            done += len(own)
            failed += sum(bool(row["error"]) for row in rows)
            yield {"phase": "annotate", "done": done, "of": of, "failed": failed}

    # Training.

    def train(self, parts: int = 0) -> Generator[Event, None, None]:
        """Train a fresh copy of the served pipeline on the texts that were accepted, use
        it, annotate all texts with it; then measure its kind by cross-fitting.

        parts (int): how many times to train for the measure; 0 for none.
        YIELDS (Event): {"phase": "train", "step", "of", "loss"}, {"trained": number},
            those of `annotate`, {"phase": "measure", "part", "parts", "step", "of",
            "loss"}, {"measured": {"f1", ...}}. Raises ValueError for texts that cannot
            be learned from, and JobUnderWay while another training is under way."""
        with self.session.training():
            yield from self._train(parts)

    def _train(self, parts: int) -> Iterator[Event]:
        project, began = self.project, time.monotonic()
        with project.lock:
            state = project.state
            meanings = state.meanings()
            rows = [
                {"text": state.texts[t].text, "spans": _spans(current(state, t))}
                for t in accepted(state)
            ]
            number = max(state.models, default=0) + 1
            least = state.least
        if parts > len(rows):
            raise ValueError(
                f"{len(rows)} texts cannot be held out in {parts} parts. Accept more."
            )
        losses: list[float] = []
        steps = self.session.learn(rows, meanings)
        nlp = yield from _heard(steps, losses)
        save_pipeline(nlp, self.folder(number))
        seconds = round(time.monotonic() - began, 1)
        # Nobody is answered by a model that the project does not know.
        with project.lock:
            project.add_training(number, len(rows), list(meanings), losses, seconds)
            self.session.nlp = nlp
        self._loaded.get(number, lambda: nlp)
        if self.session.save_to is not None:
            save_pipeline(nlp, self.session.save_to)
        yield {"trained": number, "seconds": seconds}
        yield from self.annotate(number)
        if parts:
            yield from self._measure(number, rows, meanings, parts, least)

    def _measure(
        self,
        number: int,
        rows: Sequence[Mapping[str, Any]],
        meanings: Mapping[str, str],
        parts: int,
        least: float,
    ) -> Iterator[Event]:
        session, counts = self.session, dict[str, Counts]()
        docs = read_corrected(rows, meanings, self.fresh(0))
        for part, (rest, held_out) in enumerate(folds(docs, parts, 0), 1):
            nlp = self.fresh(0)
            for step, of, loss in finetune(nlp, session.name, _of(nlp, rest), meanings):
                place = {"part": part, "parts": parts, "step": step, "of": of}
                yield {"phase": "measure", **place, "loss": round(loss, 4)}
            component = cast(InstructionNERPipe, nlp.get_pipe(session.name))
            component.cfg.update(threshold=0.0, thresholds={})
            found = self.thread.submit(predict_texts, nlp, held_out).result()
            for label, more in count(
                found.gold, found.entities_above(least, {})
            ).items():
                counts[label] = counts.get(label, Counts(0, 0, 0)) + more
        given = {k: (c.right, c.predicted, c.annotated) for k, c in counts.items()}
        self.project.add_measure(number, given, parts)
        yield {"measured": number}

    # Packing.

    def pack(self, model: int, kind: str, name: str, version: str) -> Iterator[Event]:
        """Write a model into the project's files, with its labels and threshold.

        kind (str): "folder" for a zip of it, "wheel" for a package.
        name, version (str): of the pipeline.
        YIELDS (Event): {"phase": "pack"}, at the end {"file": its name}. Raises
            ValueError for a name or version that no package can have, RuntimeError where
            a wheel cannot be built."""
        check_package(kind, name, version)
        yield {"phase": "pack"}
        nlp = self.fresh(model)
        component = cast(InstructionNERPipe, nlp.get_pipe(self.session.name))
        with self.project.lock:
            state = self.project.state
            meanings, least = state.meanings(), state.least
        if not model and not meanings:
            raise ValueError("Name a label first: there is nothing to look for.")
        if not model:
            given = {label: own for label, own in meanings.items() if own}
            component.set_labels(list(meanings), definitions=given)
        write_threshold(nlp, self.session.name, least, {})
        nlp.meta["name"], nlp.meta["version"] = name, version
        files = self.project.folder / FILES
        files.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=files, prefix=".packing-") as aside:
            made = _pack(nlp, Path(aside), kind)
            made.replace(files / made.name)
        yield {"file": made.name}

    def files(self) -> list[str]:
        """The names of what was packed."""
        folder = self.project.folder / FILES
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(each.name for each in found if each.is_file())


def _heard(
    steps: Generator[Event, None, Language], losses: list[float]
) -> Generator[Event, None, Language]:
    """The steps of a training as events, their losses written down. RETURNS (Language): what
    it trained."""
    while True:
        try:
            event = next(steps)
        except StopIteration as done:
            return cast(Language, done.value)
        losses.append(event["loss"])
        yield {"phase": "train", **event}


def find_in(
    nlp: Language, texts: Sequence[ProjectText], meanings: Mapping[str, str]
) -> list[Event]:
    """What a pipeline finds in texts, as `ProjectFolder.add_found` takes it."""
    with nlp.memory_zone():
        make = [partial(_docs, nlp, own.text, meanings) for own in texts]
        answers = annotate_each(nlp, make, BATCH)
        return [_row(own.id, answer) for own, answer in zip(texts, answers)]


def _docs(nlp: Language, text: str, meanings: Mapping[str, str]) -> list[Doc]:
    docs = [nlp.make_doc(piece) for piece in pieces(text, nlp.max_length)]
    for doc in docs:
        doc.user_data[LABELS_KEY] = dict(meanings)
    return docs


def _row(number: int, answer: Doc | Failure) -> Event:
    if isinstance(answer, Failure):
        return {"id": number, "spans": [], "fixed": [], "error": answer.why}
    spans = [s for s in scored_spans_of(answer) if s[3] is not None]
    known = [s for s in spans if math.isfinite(cast(float, s[3]))]
    scored = {span[:3] for span in known}
    fixed = [s[:3] for s in scored_entities_of(answer) if s[:3] not in scored]
    rounded = [[a, b, label, round(cast(float, p), 4)] for a, b, label, p in known]
    return {"id": number, "spans": rounded, "fixed": fixed, "error": ""}


def _spans(spans: Sequence[tuple[int, int, str]]) -> list[Event]:
    return [{"start": a, "end": b, "label": label} for a, b, label in spans]


def _of(nlp: Language, docs: Sequence[Doc]) -> list[Doc]:
    """Docs with the vocabulary of a pipeline."""
    return [Doc(nlp.vocab).from_bytes(doc.to_bytes()) for doc in docs]


def check_package(kind: str, name: str, version: str) -> None:
    """Raises ValueError for what no package can be."""
    if kind not in PACKAGES:
        raise ValueError(f"Pack a pipeline as one of {', '.join(PACKAGES)}.")
    if not NAME.fullmatch(name):
        raise ValueError(
            "The name of a pipeline has small letters, digits and _, and begins with a "
            f"letter: {name!r} is none."
        )
    if not VERSION.fullmatch(version):
        raise ValueError(f"A version looks like 0.1.0: {version!r} does not.")


def _pack(nlp: Language, aside: Path, kind: str) -> Path:
    title = f"{nlp.meta['lang']}_{nlp.meta['name']}-{nlp.meta['version']}"
    nlp.to_disk(aside / title)
    if kind == "folder":
        # In the archive, the folder has its name.
        return Path(shutil.make_archive(str(aside / title), "zip", aside, title))
    if not importlib.util.find_spec("build"):
        raise RuntimeError(
            "Wheels need `build`: pip install 'spacy-instructner[wheels]'"
        )
    (aside / "package").mkdir()
    try:
        package(
            aside / title, aside / "package", create_sdist=False, create_wheel=False
        )
    except SystemExit as error:  # As the command ends.
        raise RuntimeError("spaCy cannot make a package of the pipeline.") from error
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(aside)]
    if _builds_wheels():
        command.append("--no-isolation")  # Which needs no network.
    done = subprocess.run(
        [*command, str(aside / "package" / title)], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"The wheel cannot be built: {done.stderr[-2000:]}")
    (made,) = aside.glob("*.whl")
    return made


def _builds_wheels() -> bool:
    """Is there a setuptools that can build a wheel as it is?"""
    if not importlib.util.find_spec("setuptools"):
        return False
    from importlib.metadata import version

    return int(version("setuptools").split(".")[0]) > SETUPTOOLS
