"""The pipeline behind the page, whose answers are streams of events. Source: ours."""

import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from spacy.language import Language
from spacy.tokens import Doc

from ..component import InstructionNERPipe
from ..corpus.entities import scored_entities_of
from ..corpus.pipelines import Pipeline
from ..corpus.texts import pieces
from ..files import put_folder
from ..formats.docs import make_doc
from ..formats.json_rows import read_json_row
from ..formats.outputs import check_output
from ..formats.text_files import repaired
from ..models.thinc_model import get_inference_backbone
from ..tasks.labels import LABELS_KEY
from .finetune import finetune
from .jobs import JobUnderWay

Event = dict[str, Any]
# Largest number of characters in a piece. Texts are annotated line by line, and longer
# lines in pieces.
PIECE = 2000
TRAINING = "A training is under way. Wait until it has ended."


class PipelineSession:
    """A pipeline that is asked and trained, one call at a time."""

    def __init__(self, pipeline: Pipeline, save_to: Path | None = None) -> None:
        """Load a pipeline and its weights.

        pipeline (Pipeline): the pipeline.
        save_to (Path | None): a folder for the pipeline after each training.
        Raises ValueError for a pipeline without an instruction_ner component, and for a
        folder that holds something else, or the pipeline that is served. Raises OSError
        where there is no pipeline, or no weights."""
        if save_to is not None and save_to.exists() and not is_pipeline(save_to):
            raise ValueError(
                f"{save_to} is not a pipeline, and would be overwritten. Name a folder "
                "that does not exist yet, or a pipeline that may be overwritten."
            )
        if save_to is not None:
            check_output(save_to, Path(pipeline.name))
        self.pipeline, self.save_to = pipeline, save_to
        # A plain one: whoever closes a training may be another thread.
        self._training = threading.Lock()
        self.nlp = pipeline.load()
        ours = [n for n, p in self.nlp.pipeline if isinstance(p, InstructionNERPipe)]
        if not ours:
            raise ValueError(
                f"{pipeline.name} has no instruction_ner component. Its components are: "
                f"{', '.join(self.nlp.pipe_names) or 'none'}."
            )
        self.name = ours[0]
        get_inference_backbone(self._component.model)

    @property
    def _component(self) -> InstructionNERPipe:
        return cast(InstructionNERPipe, self.nlp.get_pipe(self.name))

    def labels(self) -> dict[str, str]:
        """The component's labels and their definitions, "" where there is none."""
        component = self._component
        definitions = component.cfg["label_definitions"]
        return {label: definitions.get(label, "") for label in component.labels}

    def annotate(
        self, text: str, labels: Mapping[str, str], until: float
    ) -> Iterator[Event]:
        """Annotate a text, piece by piece.

        text (str): any text; surrogates are replaced.
        labels (Mapping[str, str]): the definition of each label to look for, "" where
            there is none.
        until (float): when to stop, in seconds of time.monotonic().
        YIELDS (Event): {"start", "end", "tokens", "spans"} for each piece, counted in
            characters of the text; {"error"} in place of tokens and spans of a piece
            that could not be annotated, and when time is up.
        """
        nlp = self.nlp
        for begin, piece in line_pieces(repaired(text)[0], min(PIECE, nlp.max_length)):
            if time.monotonic() > until:
                yield {"error": "Time is up. The rest of the text is not annotated."}
                return
            event: Event = {"start": begin, "end": begin + len(piece)}
            try:
                # The strings of the text are forgotten afterwards.
                with nlp.memory_zone():
                    event |= annotate_piece(nlp, piece, labels, begin)
            except Exception as error:
                # Whatever a component fails at, the next piece may work.
                event["error"] = f"{type(error).__name__}: {error}"
            yield event

    @contextmanager
    def training(self) -> Iterator[None]:
        """While one trains, no other does. Raises JobUnderWay where one does."""
        if not self._training.acquire(blocking=False):
            raise JobUnderWay(TRAINING)
        try:
            yield
        finally:
            self._training.release()

    def check_free(self) -> None:
        """Raises JobUnderWay while a training is under way."""
        if self._training.locked():
            raise JobUnderWay(TRAINING)

    def finetune(
        self, rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]
    ) -> Iterator[Event]:
        """Train a fresh copy of the pipeline on corrected texts. The present pipeline
        answers until training is done, and stays where anything goes wrong.

        rows (Sequence[Mapping]): {"text", "spans": [{"start", "end", "label"}]}.
        labels (Mapping[str, str]): the definition of each label, "" where there is none.
        YIELDS (Event): {"step", "of", "loss"} for each update; at the end {"seconds",
            "saved"}. Raises ValueError for rows that cannot be learned from, and
            JobUnderWay while another training is under way.
        """
        began = time.monotonic()
        with self.training():
            self.nlp = nlp = yield from self.learn(rows, labels)
            saved = None if self.save_to is None else save_pipeline(nlp, self.save_to)
        yield {"seconds": round(time.monotonic() - began, 1), "saved": saved}

    def learn(
        self, rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]
    ) -> Generator[Event, None, Language]:
        """Train a fresh copy of the pipeline, as `finetune`, and answer with the present one
        all the same. Hold `training` meanwhile.

        YIELDS (Event): {"step", "of", "loss"} for each update. RETURNS (Language): the
            copy. Raises ValueError for rows that cannot be learned from."""
        nlp = self.pipeline.load()
        docs = read_corrected(rows, labels, nlp)
        for step, of, loss in finetune(nlp, self.name, docs, labels):
            yield {"step": step, "of": of, "loss": round(loss, 4)}
        return nlp


def annotate_piece(
    nlp: Language, piece: str, labels: Mapping[str, str], begin: int
) -> Event:
    """The tokens and the entities of a piece of text that begins at this character."""
    doc = nlp.make_doc(piece)
    doc.user_data[LABELS_KEY] = dict(labels)
    doc = nlp(doc)
    tokens = [token for token in doc if not token.is_space]
    return {
        "tokens": [[begin + t.idx, begin + t.idx + len(t)] for t in tokens],
        "spans": [
            {
                "start": begin + start,
                "end": begin + end,
                "label": label,
                "score": None if score is None else round(score, 4),
            }
            for start, end, label, score in scored_entities_of(doc)
        ],
    }


def line_pieces(text: str, longest: int = PIECE) -> Iterator[tuple[int, str]]:
    """The lines of a text that are not blank, longer ones in pieces of at most `longest`
    characters, and the character that each begins at."""
    begin = 0
    for line in text.splitlines(keepends=True):
        for piece in pieces(line, longest):
            if piece.strip():
                yield begin, piece.rstrip("\r\n")
            begin += len(piece)


def read_corrected(
    rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str], nlp: Language
) -> list[Doc]:
    """Corrected texts as Docs. Raises ValueError where none has an entity, for labels
    that are not asked for, and for spans that do not fall on tokens."""
    if not any(row["spans"] for row in rows):
        raise ValueError("The examples have no entity to learn from.")
    used = {span["label"] for row in rows for span in row["spans"]}
    if not used <= set(labels):
        others = ", ".join(sorted(used - set(labels)))
        raise ValueError(f"The examples have labels that are not asked for: {others}.")
    docs = []
    for number, row in enumerate(rows, 1):
        doc, problems = make_doc(read_json_row(row, f"Example {number}"), nlp)
        for problem in problems:
            if problem.kind == "span":
                begin = row["text"][:40]
                raise ValueError(f"Example {number} ({begin!r} …): {problem.why}.")
        docs.append(doc)
    return docs


def is_pipeline(folder: Path) -> bool:
    """Does a folder hold a pipeline, by the names of its files?"""
    return (folder / "meta.json").is_file() and (folder / "config.cfg").is_file()


def save_pipeline(nlp: Language, folder: Path) -> str:
    """Replace the pipeline in a folder, and return the folder's path. The one before
    stays until the new one is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as aside:
        nlp.to_disk(Path(aside) / "new")
        put_folder(Path(aside) / "new", folder)
    return str(folder)
