"""A recipe for Prodigy: correct what a pipeline finds, the least certain texts first, while
it learns from what was corrected.

One file, as Prodigy takes it: `prodigy instructner.correct … -F instructner_recipe.py`.
Source: ours, after Prodigy's documentation of recipes.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import prodigy
from prodigy.components.db import connect
from prodigy.components.stream import get_stream
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

from spacy_instructner.component import InstructionNERPipe
from spacy_instructner.corpus.chunk import span_row, task_to_correct
from spacy_instructner.corpus.entities import scored_entities_of
from spacy_instructner.corpus.piped import Failure, annotate_each
from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.files import put_folder
from spacy_instructner.formats.docs import make_doc
from spacy_instructner.formats.json_rows import read_row_values
from spacy_instructner.serving.finetune import finetune
from spacy_instructner.tasks.labels import LABELS_KEY, read_words_v1

Task = dict[str, Any]


class Corrector:
    """A pipeline that offers texts for correction, and is trained on the corrections.

    A training takes a fresh copy of the pipeline through all corrections so far, by the
    settings of `serve`, on a thread of its own. Ten texts at a time, as Prodigy sends them,
    would pull a trained adapter to and fro; so few texts are learned best from the start."""

    def __init__(
        self,
        pipeline: Pipeline,
        labels: Mapping[str, str],
        train_every: int = 0,
        save_to: Path | None = None,
    ) -> None:
        """Load the pipeline.

        pipeline (Pipeline): the pipeline.
        labels (Mapping[str, str]): what each label means, "" where nobody says; none for
            the pipeline's own.
        train_every (int): train after so many new corrections; 0 for never.
        save_to (Path | None): a folder for the pipeline after each training.
        Raises ValueError for a pipeline without an instruction_ner component, or without
        labels."""
        self.pipeline, self.train_every, self.save_to = pipeline, train_every, save_to
        self.nlp = pipeline.load()
        ours = [n for n, p in self.nlp.pipeline if isinstance(p, InstructionNERPipe)]
        if not ours:
            raise ValueError(f"{pipeline.name} has no instruction_ner component.")
        self.component = ours[0]
        pipe: Any = self.nlp.get_pipe(self.component)
        own = {
            label: pipe.cfg["label_definitions"].get(label, "") for label in pipe.labels
        }
        self.labels = dict(labels) or own
        if not self.labels:
            raise ValueError(f"{pipeline.name} has no labels. Name some with --label.")
        self.corrected: dict[Any, Task] = {}
        self.training: Future[None] | None = None
        self._learned, self._lock = 0, Lock()
        self._thread = ThreadPoolExecutor(1, "training")

    # What is offered.

    def offered(self, tasks: Iterable[Task], among: int) -> Iterator[Task]:
        """Every task with what the present pipeline finds in its text. Of each `among`
        tasks, the one with the lowest score of an entity comes first; none is left out.
        Those in which nothing is found come last, and of those that cannot be annotated
        `meta` says why."""
        tasks = iter(tasks)
        while batch := list(islice(tasks, among)):
            nlp = self.nlp
            made = [partial(self._asked, nlp, task["text"]) for task in batch]
            docs = annotate_each(nlp, made, among)
            found = [
                offered_task(task, nlp.make_doc(task["text"]), doc.why)
                if isinstance(doc, Failure)
                else offered_task(task, doc)
                for task, doc in zip(batch, docs, strict=True)
            ]
            found.sort(key=lambda each: each["meta"]["score"])
            yield from (prodigy.set_hashes(each, overwrite=True) for each in found)

    def _asked(self, nlp: Language, text: str) -> list[Doc]:
        doc = nlp.make_doc(text)
        doc.user_data[LABELS_KEY] = self.labels
        return [doc]

    # What is learned.

    def update(self, answers: Iterable[Task]) -> None:
        """Take what Prodigy sends. Texts that were rejected or ignored teach nothing; of a
        text that comes twice, the last counts."""
        with self._lock:
            for answer in answers:
                key = answer.get("_input_hash", answer["text"])
                self.corrected.pop(key, None)
                if answer.get("answer") == "accept":
                    self.corrected[key] = answer
            due = self.train_every and len(self.corrected) >= (
                self._learned + self.train_every
            )
            if due and (self.training is None or self.training.done()):
                self._learned = len(self.corrected)
                given = list(self.corrected.values())
                self.training = self._thread.submit(self._train, given)

    def _train(self, answers: list[Task]) -> None:
        try:
            rows, _ = read_row_values(enumerate(answers, 1), "corrections")
            nlp = self.pipeline.load()
            docs = [make_doc(row, nlp)[0] for row in rows]
            if not any(doc.ents for doc in docs):
                msg.warn(
                    f"No training: {len(docs)} texts have no entity to learn from."
                )
                return
            for _ in finetune(nlp, self.component, docs, self.labels):
                pass
            if self.save_to is not None:
                save_whole(nlp, self.save_to)
        except Exception as error:
            # It would be seen by nobody, as nobody waits for this thread.
            msg.fail("No training; the pipeline of before goes on", str(error))
            raise
        self.nlp = nlp
        msg.good(f"Trained on {len(docs)} texts. Texts from now on are found by it.")

    def close(self) -> None:
        """Wait for a training that is under way."""
        self._thread.shutdown()


def offered_task(task: Task, doc: Doc, error: str = "") -> Task:
    """A task with the tokens and entities of its Doc, and with the lowest score of an
    entity (1.0 without one) as a part of `meta`, which Prodigy shows. error: why there are
    no entities."""
    spans = [span_row(span) for span in scored_entities_of(doc)]
    score = min((s["score"] for s in spans if s["score"] is not None), default=1.0)
    found = task_to_correct("", doc, spans, score)
    meta = {**task.get("meta", {}), "score": found["meta"]["score"]}
    meta |= {"error": error} if error else {}
    return {**task, **found, "meta": meta}


def save_whole(nlp: Language, folder: Path) -> None:
    """Replace the pipeline in a folder when the new one is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as aside:
        nlp.to_disk(Path(aside) / "new")
        put_folder(Path(aside) / "new", folder)


def read_meanings(label: str | None, definitions: str | None) -> dict[str, str]:
    """Labels, separated by commas, with their meanings from a JSON file, label to words.
    Without labels, those of the file."""
    words = read_words_v1(Path(definitions)) if definitions else None
    named = [each.strip() for each in (label or "").split(",") if each.strip()]
    return {each: (words or {}).get(each, "") for each in named or words or ()}


@prodigy.recipe(
    "instructner.correct",
    dataset=("Dataset to save answers to", "positional", None, str),
    model=("A pipeline: a folder or the name of a package", "positional", None, str),
    source=("Texts to annotate, as Prodigy loads them", "positional", None, str),
    label=(
        "Labels, separated by commas; the pipeline's own if none",
        "option",
        "l",
        str,
    ),
    definitions=("A JSON file: label to what it means", "option", "d", str),
    among=("Texts of which the least certain comes first", "option", "a", int),
    train_every=("Train after so many corrections; 0: never", "option", "t", int),
    save_to=("A folder for the pipeline after each training", "option", "s", str),
)
def correct(
    dataset: str,
    model: str,
    source: str,
    label: str | None = None,
    definitions: str | None = None,
    among: int = 64,
    train_every: int = 0,
    save_to: str | None = None,
) -> dict[str, Any]:
    """Correct what a pipeline finds, the least certain texts first."""
    corrector = Corrector(
        Pipeline(model),
        read_meanings(label, definitions),
        train_every,
        Path(save_to) if save_to else None,
    )
    database = connect()
    if dataset in database:
        # What was corrected before is learned, too; nothing is asked twice.
        corrector.update(database.get_dataset_examples(dataset))
    stream = get_stream(source, rehash=True, dedup=True, input_key="text")
    on_exit: Callable[[Any], None] = lambda _: corrector.close()  # noqa: E731
    return {
        "dataset": dataset,
        "view_id": "ner_manual",
        "stream": corrector.offered(stream, among),
        "update": corrector.update,
        "on_exit": on_exit,
        "exclude": [dataset],
        "config": {"labels": list(corrector.labels), "exclude_by": "input"},
    }
