"""A project's folder: each change is checked, then written, then counts. Any number of
threads may read and change it; one process at a time may open it. Source: ours.

    journal.jsonl   the events, see journal.py
    models/1, …     the pipeline after each training
    files/          what was packed for download
"""

import hashlib
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ...char_spans import CharSpan
from ...formats.text_files import repaired
from .annotated_imports import DecidedText, decided_event
from .imports import ImportedText
from .journal import Journal
from .project_state import (
    Answer,
    Decision,
    ProjectLabel,
    ProjectState,
    ProjectText,
    overlaps,
)

JOURNAL, LOCK = "journal.jsonl", ".lock"
COLOUR = re.compile(r"#[0-9a-f]{6}")
# What tells two labels, or two codes, apart must be seen on the page.
LONGEST_LABEL, LONGEST_MEANING, MOST_LABELS = 80, 500, 50


class ProjectConflict(ValueError):
    """Somebody changed the same thing meanwhile, such as another tab."""


class ProjectFolder:
    """A project that is open. `state` is read under `lock`."""

    def __init__(self, folder: Path) -> None:
        """Open or make the project.

        folder (Path): its folder.
        Raises ValueError for a folder that is in use, holds something else, or whose
        journal is damaged; OSError where it cannot be read or written."""
        journal = folder / JOURNAL
        if folder.exists() and not journal.exists():
            if not folder.is_dir() or any(
                each.name != LOCK for each in folder.iterdir()
            ):
                raise ValueError(
                    f"{folder} is not a project, and not empty. Name a folder that does "
                    "not exist yet, or one that `serve --project` made."
                )
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.lock = folder, threading.RLock()
        # Whatever thread closes it.
        self._own = FileLock(folder / LOCK, thread_local=False)
        try:
            self._own.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(
                f"{folder} is open in another server. Stop that one first; several tabs "
                "of one server may share it."
            ) from error
        try:
            self._journal = Journal(journal)
            self.state = replayed(self._journal.events)
        except BaseException:
            self._own.release()
            raise
        self.torn = self._journal.torn
        first = self._journal.events[:1]
        self._began = str(first[0].get("at", "")) if first else ""
        self._known = {text.text for text in self.state.texts.values()}

    def close(self) -> None:
        """Let others open it."""
        with self.lock:
            self._journal.close()
            self._own.release()

    @property
    def id(self) -> str:
        """Tells it from others, and is the same whenever it is opened."""
        own = repr((str(self.folder.resolve()), self._began))
        return hashlib.sha256(own.encode("utf8", "backslashreplace")).hexdigest()[:16]

    def _add(self, kind: str, **event: Any) -> int:
        """Write an event, then let it count. RETURNS (int): its number."""
        own = {"kind": kind, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        own |= event
        self._journal.append(own)
        self._began = self._began or own["at"]
        self.state.apply(own)
        return self.state.revision

    # What is asked, and of whom.

    def set_base(
        self,
        pipeline: str,
        fingerprint: str,
        threshold: float,
        labels: Mapping[str, str],
    ) -> None:
        """Say which pipeline is served. A new project begins with its labels."""
        with self.lock:
            new = not self.state.revision
            if new or self.state.fingerprint != fingerprint:
                self._add(
                    "base",
                    pipeline=pipeline,
                    fingerprint=fingerprint,
                    threshold=threshold,
                )
            if new and labels:
                named = [
                    ProjectLabel(name, meaning, COLOURS[at % len(COLOURS)])
                    for at, (name, meaning) in enumerate(labels.items())
                ]
                self._add("labels", labels=[asdict(own) for own in named], renamed={})

    def set_labels(
        self,
        labels: Sequence[ProjectLabel],
        renamed: Mapping[str, str],
        seen: Sequence[str] | None = None,
    ) -> None:
        """Replace the labels.

        labels (Sequence[ProjectLabel]): all of them, in their order.
        renamed (Mapping[str, str]): new names by old ones; decisions follow.
        seen (Sequence[str] | None): the names that there were when somebody began to
            change them.
        Raises ValueError for labels that cannot be asked for, and ProjectConflict where
        others were there."""
        named = [
            ProjectLabel(repaired(own.name.strip())[0], own.meaning.strip(), own.colour)
            for own in labels
        ]
        named = [
            ProjectLabel(own.name, repaired(own.meaning)[0], own.colour)
            for own in named
        ]
        check_labels(named)
        with self.lock:
            if seen is not None and list(seen) != list(self.state.labels):
                raise ProjectConflict(
                    "The labels were changed in another tab. They are shown as they are now."
                )
            names = {own.name for own in named}
            # All at once, so that names may be swapped, or move up by one.
            kept = {
                old: new
                for old, new in renamed.items()
                if old in self.state.labels and new in names and old != new
            }
            self._add("labels", labels=[asdict(own) for own in named], renamed=kept)

    def set_threshold(self, value: float) -> None:
        """The lowest score of what is shown. Raises ValueError outside of 0 to 1."""
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"A threshold is from 0 to 1, not {value:g}.")
        with self.lock:
            self._add("threshold", value=value)

    # Texts, and what is found in them.

    def add_texts(self, texts: Iterable[ImportedText], source: str) -> tuple[int, int]:
        """Add texts, all of them or none. RETURNS (tuple[int, int]): how many are new,
        and how many were there already."""
        with self.lock:
            rows, again = [], 0
            fresh: set[str] = set()
            number = max(self.state.texts, default=0)
            for each in texts:
                if each.text in self._known or each.text in fresh:
                    again += 1
                    continue
                fresh.add(each.text)
                number += 1
                rows.append({"id": number, "text": each.text, "name": each.name})
            if rows:
                self._add("texts", source=repaired(source)[0], texts=rows)
                self._known |= fresh
            return len(rows), again

    def add_decided(self, texts: Sequence[DecidedText], source: str) -> dict[str, int]:
        """Add texts with what is in them, and their labels, all of it or nothing.

        RETURNS (dict[str, int]): "new" texts, texts that were there "again", "accepted"
            ones, and how many were "decided" before and stay as they are. Raises
            ValueError for labels that a project cannot have."""
        with self.lock:
            event = decided_event(self.state, texts, COLOURS)
            check_labels(event["labels"])
            event["labels"] = [asdict(own) for own in event["labels"]]
            new, accepted = len(event["texts"]), len(event["decisions"])
            if new or accepted:
                own = {"source": repaired(source)[0], "model": self.state.using}
                self._add("decided", **own, **event)
                self._known |= {row["text"] for row in event["texts"]}
            annotated = sum(each.spans is not None for each in texts)
            counts = {"new": new, "again": len(texts) - new, "accepted": accepted}
            return {**counts, "decided": annotated - accepted}

    def add_found(
        self, model: int, asked: str, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """What a model found in some texts.

        rows: {"id", "spans": [[start, end, label, score]], "fixed": [[start, end,
            label]], "error"}."""
        with self.lock:
            self._add("found", model=model, asked=asked, texts=list(rows))

    def add_training(
        self,
        model: int,
        texts: int,
        labels: Sequence[str],
        losses: Sequence[float],
        seconds: float,
    ) -> None:
        """A training that is over, whose pipeline is saved. It is used from now on."""
        with self.lock:
            self._add(
                "trained",
                model=model,
                texts=texts,
                labels=list(labels),
                losses=list(losses),
                seconds=seconds,
            )

    def add_measure(
        self, model: int, counts: Mapping[str, Sequence[int]], folds: int
    ) -> None:
        """What a training's cross-fitting found: right, predicted and annotated entities,
        by label."""
        with self.lock:
            own = {label: list(each) for label, each in counts.items()}
            self._add("measured", model=model, counts=own, folds=folds)

    def use(self, model: int) -> None:
        """Use a model from now on; 0 is the pipeline that is served. Raises KeyError for
        one that is not there."""
        with self.lock:
            if model and model not in self.state.models:
                raise KeyError(f"There is no model {model}.")
            if model != self.state.using:
                self._add("use", model=model)

    # What somebody says about them.

    def decide(
        self,
        text: int,
        answer: Answer,
        spans: Sequence[CharSpan],
        changed: bool,
        seen: int,
    ) -> int:
        """Say what is in a text.

        text (int): its id.
        answer (Answer): whether these are its entities, or it is set aside.
        spans (Sequence[CharSpan]): its entities, without overlaps.
        changed (bool): do they differ from what was shown?
        seen (int): the revision of the text that was shown.
        RETURNS (int): the number of the event, for `undo`. Raises KeyError for an unknown
            text, ValueError for spans that cannot be entities, and ProjectConflict where
            the text was changed since."""
        with self.lock:
            own = self.text(text)
            if self.state.changed[text] != seen:
                raise ProjectConflict(
                    "This text was changed in another tab. It is shown as it is now."
                )
            kept = sorted(set(spans))
            check_spans(kept, own.text, self.state.labels)
            return self._add(
                "decision",
                text=text,
                answer=answer,
                spans=kept,
                model=self.state.using,
                changed=changed,
            )

    def mark(self, places: Mapping[int, Sequence[CharSpan]], added: bool) -> int:
        """Mark words in several texts, or unmark them.

        places (Mapping): the places in each text, by its id.
        RETURNS (int): as `decide`. Raises as `decide`, and ValueError for no place."""
        with self.lock:
            if not any(places.values()):
                raise ValueError("No text has these words in a place that is free.")
            for text, spans in places.items():
                check_spans(sorted(spans), self.text(text).text, self.state.labels)
            rows = [
                {"id": text, "spans": sorted(spans)}
                for text, spans in places.items()
                if spans
            ]
            return self._add("marking", added=added, texts=rows)

    def undo(self, of: int | None = None) -> list[int]:
        """Take a decision or a marking back; the last one where none is named. RETURNS
        (list[int]): the texts that it was about. Raises ValueError where there is
        nothing to take back."""
        with self.lock:
            every = [
                (layer.seq, text)
                for text, layers in self.state.layers.items()
                for layer in layers
            ]
            number = max(every, default=(0, 0))[0] if of is None else of
            texts = [text for seq, text in every if seq == number]
            if not texts:
                raise ValueError("There is nothing to undo.")
            self._add("undo", of=number)
            return sorted(texts)

    def text(self, text: int) -> ProjectText:
        """Raises KeyError for an unknown one."""
        if text not in self.state.texts:
            raise KeyError(f"There is no text {text}.")
        return self.state.texts[text]

    def decision(self, text: int) -> Decision | None:
        with self.lock:
            return self.state.decision(text)


# Eight that can be told apart, also by most who see fewer colours.
COLOURS = (
    "#4c9be8", "#e8a33d", "#5fb878", "#e06c75", "#a884e0", "#d96fb0", "#3fb8af", "#b3a125",
)  # fmt: skip


def replayed(events: Iterable[Mapping[str, Any]]) -> ProjectState:
    """The state after some events. Raises ValueError for events that are none of ours."""
    state = ProjectState()
    for number, event in enumerate(events, 1):
        try:
            state.apply(event)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"Event {number} of the project is damaged: {error!r}."
            ) from error
    return state


def check_labels(labels: Sequence[ProjectLabel]) -> None:
    """Raises ValueError for labels that cannot be asked for or shown."""
    if len(labels) > MOST_LABELS:
        raise ValueError(f"A project has at most {MOST_LABELS} labels.")
    names = [own.name for own in labels]
    if not all(names):
        raise ValueError("Give each label a name.")
    if again := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"Two labels are called {again[0]!r}. Rename one of them.")
    for own in labels:
        if len(own.name) > LONGEST_LABEL or len(own.meaning) > LONGEST_MEANING:
            raise ValueError(
                f"A name has at most {LONGEST_LABEL} characters, a meaning "
                f"{LONGEST_MEANING}: {own.name[:20]!r} is longer."
            )
        if any(c.isspace() and c != " " for c in own.name + own.meaning):
            raise ValueError(f"Write label {own.name!r} and its meaning in one line.")
        if not COLOUR.fullmatch(own.colour):
            raise ValueError(
                f"The colour of {own.name!r} must look like #1f6f5c, not {own.colour!r}."
            )


def check_spans(
    spans: Sequence[CharSpan], text: str, labels: Mapping[str, ProjectLabel]
) -> None:
    """Raises ValueError for spans that are not in the text, overlap, or have other
    labels. spans: sorted."""
    for at, span in enumerate(spans):
        start, end, label = span
        if not 0 <= start < end <= len(text):
            raise ValueError(f"There is no place {start}-{end} in the text.")
        if label not in labels:
            raise ValueError(f"There is no label {label!r} in the project.")
        if overlaps(span, spans[:at]):
            raise ValueError(f"{label} at {start}-{end} overlaps another entity.")
