"""HTTP: the endpoints of a project, under /api/project.

    GET  /                      what there is: counts, labels, models, the job under way
    POST /import?name=…         a file of texts (application/octet-stream)
    POST /texts                 {"texts", "source"}
    GET  /texts, /texts/{id}    search; one text with its words
    GET  /next                  the least certain text that nobody decided about
    POST /decide, /undo, /mark  what somebody says; GET /alike for what would be marked
    POST /labels, /threshold    GET /threshold says what it hides and shows
    POST /annotate, /train, /pack, /stop   jobs; GET /job follows the one under way
    GET  /compare, /export/{kind}, /files/{name}, /suggest

What cannot be is 422, what is not there 404, what another tab was faster at 409. Source: ours.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from ..formats.text_files import repaired
from ..tasks.known_labels import known_label
from ..tasks.labels import default_name
from .jobs import watch
from .page_guard import UploadRefused
from .project.exporting import EXPORTS
from .project.findings import (
    comparison,
    exported,
    queue,
    search,
    text_view,
    threshold_view,
)
from .project.imports import ImportedText
from .project.project_folder import COLOURS
from .project.project_state import ProjectLabel
from .project_desk import ProjectDesk, bring, places_of, told
from .project_models import FILES
from .project_rows import (
    DecisionRow,
    LabelRows,
    MarkRow,
    ModelRow,
    PackRow,
    PastedTexts,
    ThresholdRow,
    TrainRow,
    UndoRow,
)

# Rows of a list, and characters of a file's name.
MOST_ROWS, LONGEST_NAME = 100, 200
Words = Annotated[str, Query(max_length=500)]


def make_routes(desk: ProjectDesk) -> APIRouter:
    """The endpoints of a project. They are plain functions, which threads answer: what they
    write is on the disk before they do."""
    router = APIRouter(prefix="/api/project")
    _add_reading(router, desk)
    _add_views(router, desk)
    _add_importing(router, desk)
    _add_changing(router, desk)
    _add_settings(router, desk)
    _add_jobs(router, desk)
    _add_downloads(router, desk)
    return router


def _add_reading(router: APIRouter, desk: ProjectDesk) -> None:
    project = desk.project

    @router.get("")
    def view() -> dict[str, Any]:
        """What there is."""
        return desk.view()

    @router.get("/texts")
    def texts(
        words: Words = "", only: Words = "", begin: int = 0, rows: int = 50
    ) -> dict[str, Any]:
        """Texts that hold some words."""
        with project.lock:
            found = search(project.state, words, only)
            own = found[max(begin, 0) :][: max(0, min(rows, MOST_ROWS))]
            return {
                "all": len(found),
                "rows": [text_view(project.state, t) for t in own],
            }

    @router.get("/texts/{number}")
    def text(number: int) -> dict[str, Any]:
        """One text, with its words."""
        return told(lambda: desk.text(number))

    @router.get("/next")
    def following(tab: Words = "", skip: int = 0) -> dict[str, Any]:
        """The least certain text that nobody decided about, and no other tab shows. skip:
        one to come back to later."""
        with project.lock:
            waiting = queue(project.state)
        number = desk.tabs.choose(tab, waiting, skip)
        left = {"left": len(waiting)}
        return left if number is None else {**told(lambda: desk.text(number)), **left}

    @router.get("/alike")
    def places(words: Words, label: Words = "", case: bool = True) -> dict[str, Any]:
        """How many places could be marked alike, or unmarked where no label is given."""
        with project.lock:
            found = places_of(desk, words, label or None, case)
        return {
            "texts": len(found),
            "places": sum(map(len, found.values())),
        }


def _add_views(router: APIRouter, desk: ProjectDesk) -> None:
    project = desk.project

    @router.get("/threshold")
    def threshold(value: float) -> dict[str, Any]:
        """What another threshold would hide and show."""
        if not 0.0 <= value <= 1.0:
            raise HTTPException(422, "A threshold is from 0 to 1.")
        with project.lock:
            return threshold_view(project.state, value)

    @router.get("/compare")
    def compare(first: int, second: int) -> dict[str, Any]:
        """What two models differ in, text by text."""
        with project.lock:
            state = project.state
            for number in (first, second):
                if number and number not in state.models:
                    raise HTTPException(404, f"There is no model {number}.")
            return comparison(state, first, second)

    @router.get("/suggest")
    def suggest(name: Words) -> dict[str, str]:
        """What a model is asked for, where a label has no meaning of its own."""
        known = known_label(name)
        if known is None:
            return {"asked": default_name(name), "meaning": ""}
        return {"asked": known.name, "meaning": known.definition}


def _add_importing(router: APIRouter, desk: ProjectDesk) -> None:
    @router.post("/texts")
    def paste(body: PastedTexts) -> dict[str, Any]:
        """Add texts."""
        own = [repaired(text)[0].strip("\r\n") for text in body.texts]
        if long := [text for text in own if len(text) > desk.longest]:
            raise HTTPException(
                413,
                f"A text has at most {desk.longest} characters; {long[0][:20]!r} … has "
                f"{len(long[0])}.",
            )
        texts = [
            ImportedText(text, str(number))
            for number, text in enumerate(own, 1)
            if text.strip()
        ]
        return told(lambda: desk.add(texts, body.source))

    async def saved(request: Request) -> Any:
        """The body in a file, part by part."""
        with tempfile.TemporaryDirectory(prefix="spacy-instructner-") as aside:
            path = Path(aside) / "upload"
            try:
                with path.open("wb") as file_:
                    async for part in request.stream():
                        file_.write(part)
            except UploadRefused as error:
                raise HTTPException(error.status, str(error)) from error
            yield path

    @router.post("/import")
    def upload(
        path: Annotated[Path, Depends(saved)],
        name: Annotated[str, Query(max_length=LONGEST_NAME)],
        cut: str = "lines",
        column: Words = "text",
        annotation: bool = True,
    ) -> dict[str, Any]:
        """Add the texts of a file. annotation: whether those of an annotated file count as
        decided."""

        def read() -> dict[str, Any]:
            # The name says what the file is, and never where.
            ending = "".join(Path(name.replace("\\", "/")).suffixes[-2:])[:20]
            own = path.with_name(
                f"upload{ending}" if ending.isprintable() else "upload"
            )
            path.rename(own)
            try:
                added, left_out = bring(desk, own, name, cut, column, annotation)
            except ValueError as error:
                raise ValueError(str(error).replace(str(own), name)) from error
            problems = [why.replace(str(own), name) for why in left_out[:20]]
            return {**added, "left_out": len(left_out), "problems": problems}

        return told(read)


def _add_changing(router: APIRouter, desk: ProjectDesk) -> None:
    project = desk.project

    @router.post("/decide")
    def decide(body: DecisionRow) -> dict[str, Any]:
        """Say what is in a text."""
        spans = [(s.start, s.end, s.label) for s in body.spans]

        def act() -> dict[str, Any]:
            own = project.text(body.text)
            if len(desk.words.whole(own.text, spans)) < len(spans):
                raise ValueError("An entity begins and ends with whole words.")
            number = project.decide(
                body.text, body.answer, spans, body.changed, body.seen
            )
            return {"event": number}

        return told(act)

    @router.post("/undo")
    def undo(body: UndoRow) -> dict[str, Any]:
        """Take something back."""
        return told(lambda: {"texts": project.undo(body.of)})

    @router.post("/mark")
    def mark(body: MarkRow) -> dict[str, Any]:
        """Mark all alike."""

        def act() -> dict[str, Any]:
            with project.lock:
                places = places_of(desk, body.words, body.label, body.case)
                number = project.mark(places, body.label is not None)
            return {"event": number, "places": sum(map(len, places.values()))}

        return told(act)


def _add_settings(router: APIRouter, desk: ProjectDesk) -> None:
    project = desk.project

    @router.post("/labels")
    def labels(body: LabelRows) -> dict[str, Any]:
        """Replace the labels."""
        named = [
            ProjectLabel(
                own.name, own.meaning, own.colour or COLOURS[at % len(COLOURS)]
            )
            for at, own in enumerate(body.labels)
        ]
        renamed = {
            own.was: own.name.strip()
            for own in body.labels
            if own.was and own.was != own.name.strip()
        }
        told(lambda: project.set_labels(named, renamed, body.seen))
        return desk.view()

    @router.post("/threshold")
    def set_threshold(body: ThresholdRow) -> dict[str, Any]:
        """The lowest score that is shown."""
        told(lambda: project.set_threshold(body.value))
        return desk.view()

    @router.post("/use")
    def use(body: ModelRow) -> dict[str, Any]:
        """Use a model from now on."""
        told(lambda: desk.models.use(body.model or 0))
        return desk.view()


def _add_jobs(router: APIRouter, desk: ProjectDesk) -> None:
    models, jobs = desk.models, desk.jobs

    @router.post("/annotate")
    def annotate(body: ModelRow) -> dict[str, Any]:
        """Annotate all texts."""
        if not desk.project.state.labels:
            raise HTTPException(
                422, "Name a label first: there is nothing to look for."
            )
        if body.model and body.model not in desk.project.state.models:
            raise HTTPException(404, f"There is no model {body.model}.")
        act = partial(models.annotate, body.model)
        return told(lambda: jobs.start("annotation", act)).view()

    @router.post("/train")
    def train(body: TrainRow) -> dict[str, Any]:
        """Train on what was accepted."""
        told(models.session.check_free)
        act = partial(models.train, body.parts)
        return told(lambda: jobs.start("training", act)).view()

    @router.post("/pack")
    def pack(body: PackRow) -> dict[str, Any]:
        """Pack a model as folder or wheel."""
        number = desk.project.state.using if body.model is None else body.model
        if number and number not in desk.project.state.models:
            raise HTTPException(404, f"There is no model {number}.")
        act = partial(models.pack, number, body.kind, body.name, body.version)
        return told(lambda: jobs.start("packing", act)).view()

    @router.post("/stop")
    def stop() -> dict[str, Any]:
        """End the job after its step."""
        jobs.stop()
        return desk.view()

    @router.get("/job")
    async def follow(request: Request) -> StreamingResponse:
        """The events of the last job, from its beginning, until it ends."""
        if jobs.job is None:
            raise HTTPException(404, "There was no job yet.")
        lines = watch(jobs.job, request.is_disconnected)
        return StreamingResponse(lines, media_type="application/x-ndjson")


def _add_downloads(router: APIRouter, desk: ProjectDesk) -> None:
    @router.get("/export/{kind}")
    def export(kind: str, every: bool = False) -> Response:
        """The decided texts (every: all of them) as a file."""
        if kind not in EXPORTS:
            raise HTTPException(404, f"Export as one of {', '.join(EXPORTS)}.")
        name, media, write, rejected = EXPORTS[kind]
        with desk.project.lock:
            texts = exported(desk.project.state, every, rejected)
        if not texts:
            raise HTTPException(422, "No text is accepted yet.")
        content = desk.words.read(lambda nlp: write(texts, nlp))
        kept = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=media, headers=kept)

    @router.get("/files/{name}")
    def packed(name: str) -> FileResponse:
        """A pipeline that was packed."""
        # Of the names that are there, never a path.
        if name not in desk.models.files():
            raise HTTPException(404, f"There is no file {name[:80]!r}.")
        path = desk.project.folder / FILES / name
        return FileResponse(path, filename=name)
