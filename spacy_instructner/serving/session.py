"""The pipeline behind the page, event by event. Source: ours."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from spacy.language import Language
from spacy.tokens import Doc

from ..annotations import LABELS_KEY
from ..component import InstructionNERPipe
from ..corpus.pipelines import Pipeline
from ..corpus.texts import pieces
from ..evaluation.support_set import scored_of
from ..files import put_folder
from ..formats.docs import make_doc
from ..formats.json_rows import read_json_row
from ..formats.outputs import check_output
from ..formats.text_files import repaired
from ..models.thinc_model import get_inference_backbone
from .finetune import learn

Event = dict[str, Any]
# Texts are answered line by line; longer lines in pieces of so many characters.
PIECE = 2000


class Served:
    """A pipeline that can be asked and trained, one after the other."""

    def __init__(self, pipeline: Pipeline, save_to: Path | None = None) -> None:
        """save_to: a folder for the pipeline as it is after each training. Raises
        ValueError for a pipeline without an instruction_ner component, and for a folder
        with something else in it, or the pipeline that is served; OSError where there is
        no pipeline, or no weights."""
        if save_to is not None and save_to.exists() and not is_pipeline(save_to):
            raise ValueError(
                f"{save_to} is no pipeline, and would be overwritten. Name a folder that "
                "is not there yet, or a pipeline that may go."
            )
        if save_to is not None:
            check_output(save_to, Path(pipeline.name))
        self.pipeline, self.save_to = pipeline, save_to
        self.nlp = pipeline.load()
        ours = [n for n, p in self.nlp.pipeline if isinstance(p, InstructionNERPipe)]
        if not ours:
            raise ValueError(
                f"{pipeline.name} has no instruction_ner component, only: "
                f"{', '.join(self.nlp.pipe_names) or 'nothing'}."
            )
        self.name = ours[0]
        get_inference_backbone(self._pipe.model)

    @property
    def _pipe(self) -> InstructionNERPipe:
        return cast(InstructionNERPipe, self.nlp.get_pipe(self.name))

    def labels(self) -> dict[str, str]:
        """The component's labels, and what they mean, "" where nobody said."""
        pipe = self._pipe
        meanings = pipe.cfg["label_definitions"]
        return {label: meanings.get(label, "") for label in pipe.labels}

    def annotate(
        self, text: str, labels: Mapping[str, str], until: float
    ) -> Iterator[Event]:
        """Annotate a text, piece by piece.

        text (str): whatever somebody typed; halves of characters are replaced.
        labels (Mapping[str, str]): what to look for, and what it means.
        until (float): when to stop, by time.monotonic().
        YIELDS (Event): {"start", "end", "tokens", "spans"} for each piece, places as
            characters of the text; {"error"} in place of what could not be annotated.
        """
        nlp = self.nlp
        for begin, piece in places(repaired(text)[0], min(PIECE, nlp.max_length)):
            if time.monotonic() > until:
                yield {"error": "Time is up. The rest of the text is not annotated."}
                return
            event: Event = {"start": begin, "end": begin + len(piece)}
            try:
                # What strangers type is not remembered.
                with nlp.memory_zone():
                    event |= annotated(nlp, piece, labels, begin)
            except Exception as error:
                # Whatever a component stumbles over: the next piece may do.
                event["error"] = f"{type(error).__name__}: {error}"
            yield event

    def learn(
        self, rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]
    ) -> Iterator[Event]:
        """Train on corrected texts. The pipeline that is there answers until then, and
        stays where anything goes wrong.

        rows (Sequence[Mapping]): {"text", "spans": [{"start", "end", "label"}]}.
        labels (Mapping[str, str]): what to look for, and what it means.
        YIELDS (Event): {"step", "of", "loss"} for each update; at the end {"seconds",
            "saved"}. Raises ValueError for rows that cannot be learned from.
        """
        began = time.monotonic()
        nlp = self.pipeline.load()
        docs = checked(rows, labels, nlp)
        for step, of, loss in learn(nlp, self.name, docs, labels):
            yield {"step": step, "of": of, "loss": round(loss, 4)}
        self.nlp = nlp
        saved = None if self.save_to is None else save(nlp, self.save_to)
        yield {"seconds": round(time.monotonic() - began, 1), "saved": saved}


def annotated(
    nlp: Language, piece: str, labels: Mapping[str, str], begin: int
) -> Event:
    """The tokens and entities of a piece of text that begins there."""
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
            for start, end, label, score in scored_of(doc)
        ],
    }


def places(text: str, longest: int = PIECE) -> Iterator[tuple[int, str]]:
    """The pieces of a text that have something in them, and where they begin."""
    begin = 0
    for line in text.splitlines(keepends=True):
        for piece in pieces(line, longest):
            if piece.strip():
                yield begin, piece.rstrip("\r\n")
            begin += len(piece)


def checked(
    rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str], nlp: Language
) -> list[Doc]:
    """Rows as Docs. Raises ValueError for none with an entity, for labels that are not
    asked for, and for spans that no tokens make up."""
    if not any(row["spans"] for row in rows):
        raise ValueError("There is no entity in the examples to learn from.")
    said = {span["label"] for row in rows for span in row["spans"]}
    if not said <= set(labels):
        others = ", ".join(sorted(said - set(labels)))
        raise ValueError(f"Examples have labels that are not asked for: {others}.")
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
    return (folder / "meta.json").is_file() and (folder / "config.cfg").is_file()


def save(nlp: Language, folder: Path) -> str:
    """Put a pipeline in the place of the one before, which stays until then."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as aside:
        nlp.to_disk(Path(aside) / "new")
        put_folder(Path(aside) / "new", folder)
    return str(folder)
