"""A project, its models, its jobs and its tabs: what the endpoints share. Source: ours."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from fastapi import HTTPException

from ..char_spans import CharSpan
from ..formats.docs import JSONL
from ..formats.text_files import suffix_of
from .jobs import JobRunner, JobUnderWay
from .project.annotated_imports import DecidedText, has_annotation, read_decided
from .project.findings import alike, marked_alike, status, text_view
from .project.imports import ImportedText, read_texts
from .project.project_folder import COLOURS, ProjectConflict
from .project.project_state import ModelVersion
from .project.words import WordCutter
from .project_models import ProjectModels
from .project_rows import MOST_CHARACTERS, MOST_TEXTS
from .tabs import Tabs

T = TypeVar("T")


class ProjectDesk:
    """What the endpoints share. longest: characters of a text."""

    def __init__(
        self, models: ProjectModels, longest: int, temporary: bool = False
    ) -> None:
        self.models, self.project = models, models.project
        self.longest, self.temporary = longest, temporary
        self.words = WordCutter(models.session.nlp)
        self.jobs, self.tabs = JobRunner(), Tabs()

    def close(self) -> None:
        """End what is under way, and let others open the project."""
        # A job writes to the project to its end.
        self.jobs.stop()
        self.jobs.join()
        self.project.close()

    def view(self) -> dict[str, Any]:
        """All that the page shows besides texts."""
        project = self.project
        with project.lock:
            state = project.state
            counts: dict[str, int] = {}
            for text in state.texts:
                own = status(state, text)
                counts[own] = counts.get(own, 0) + 1
            return {
                "id": project.id,
                "folder": str(project.folder),
                "temporary": self.temporary,
                "torn": project.torn,
                "missing": self.models.missing,
                "pipeline": state.pipeline,
                "revision": state.revision,
                "texts": len(state.texts),
                "counts": counts,
                "labels": [asdict(own) for own in state.labels.values()],
                "threshold": state.least,
                "models": [model_view(own) for own in state.models.values()],
                "using": state.using,
                "files": self.models.files(),
                "colours": COLOURS,
                "job": self.jobs.job.view() if self.jobs.job else None,
            }

    def text(self, number: int) -> dict[str, Any]:
        """A text with its words. Raises KeyError for an unknown one."""
        with self.project.lock:
            self.project.text(number)
            own = text_view(self.project.state, number)
        return {**own, "words": self.words.words(own["text"])}

    def add(self, texts: list[ImportedText], source: str) -> dict[str, Any]:
        """Raises ValueError where the project would have too many."""
        with self.project.lock:
            self.check_room(own.text for own in texts)
            new, again = self.project.add_texts(texts, source)
        return {"new": new, "again": again}

    def add_decided(self, texts: list[DecidedText], source: str) -> dict[str, Any]:
        """Raises ValueError as `add`, and for labels that a project cannot have."""
        with self.project.lock:
            self.check_room(own.text for own in texts)
            return dict(self.project.add_decided(texts, source))

    def check_room(self, texts: Iterable[str]) -> None:
        """Raises ValueError where a project with these texts, too, would be too large."""
        every = {own.text for own in self.project.state.texts.values()}.union(texts)
        characters = sum(map(len, every))
        for count, most, what in (
            (len(every), MOST_TEXTS, "texts"),
            (characters, MOST_CHARACTERS, "characters"),
        ):
            if count > most:
                raise ValueError(
                    f"A project has at most {most} {what}; with these it would have "
                    f"{count}. Nothing is added. Bring fewer, or begin another project "
                    "with --project."
                )


def bring(
    desk: ProjectDesk, path: Path, name: str, cut: str, column: str, annotation: bool
) -> tuple[dict[str, Any], list[str]]:
    """Add the texts of a file.

    path (Path): of the file; name (str): what it is called.
    cut, column (str): as `read_texts`.
    annotation (bool): whether what an annotated file says of its texts counts as decided.
    RETURNS (tuple): what was added, and why some texts were left out. Raises ValueError
        for a file that cannot be read, or holds no text; nothing is added then."""
    if has_annotation(path) and (annotation or suffix_of(path) not in JSONL):
        decided = read_decided(path, desk.words.whole, desk.longest)
        if annotation and decided.texts:
            return desk.add_decided(decided.texts, name), decided.notes
        texts = [ImportedText(own.text, own.name) for own in decided.texts]
        problems = decided.notes
    else:
        plain = read_texts(path, cut, column, desk.longest)
        texts, problems = plain.texts, plain.problems
    if not texts and not problems:
        raise ValueError(f"{name} holds no text.")
    return desk.add(texts, name), problems


def model_view(own: ModelVersion) -> dict[str, Any]:
    """A training, with the F1 of its cross-fitting."""
    view = asdict(own)
    if own.counts is not None:
        right, found, there = (sum(c[i] for c in own.counts.values()) for i in range(3))
        view["f1"] = 2 * right / (found + there) if found + there else 0.0
        view["precision"] = right / found if found else 0.0
        view["recall"] = right / there if there else 0.0
    return view


def told(act: Callable[[], T]) -> T:
    """What an act gives; its errors as HTTP has them."""
    try:
        return act()
    except (ProjectConflict, JobUnderWay) as error:
        raise HTTPException(409, str(error)) from error
    except KeyError as error:
        raise HTTPException(404, str(error.args[0])) from error
    except OSError as error:
        raise HTTPException(507, f"Nothing was saved: {error}") from error
    except (ValueError, ImportError) as error:
        raise HTTPException(422, str(error)) from error


def places_of(
    desk: ProjectDesk, words: str, label: str | None, case: bool
) -> Mapping[int, list[CharSpan]]:
    """Places that are whole words, to be marked with a label or unmarked."""
    state = desk.project.state
    if label is None:
        return marked_alike(state, words, case)
    found = alike(state, words, label, case)
    whole = {t: desk.words.whole(state.texts[t].text, own) for t, own in found.items()}
    return {text: spans for text, spans in whole.items() if spans}
