"""HTTP, as Label Studio asks a machine-learning backend.

    GET  /health     is it there?
    POST /setup      a project is connected, or its tasks are about to be predicted
    POST /predict    {"tasks", "project", "label_config"} -> {"results"}
    POST /webhook    {"action": "START_TRAINING", "project"}; other actions are left alone
    POST /train      {"annotations", "project", "label_config"}, as older versions train
    GET  /status     how the last training of each project went

Handlers are no coroutines, so that /health and /setup, which Label Studio gives one and
three seconds, are answered while others predict. Source: ours.
"""

import logging
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field, StringConstraints

from ..project_pipelines import AskedText, ProjectPipelines, TrainingUnderWay
from ..web import make_guarded_app
from .annotation_export import LabelStudioClient
from .labeling_config import SpanTag, read_labeling_config
from .task_results import Task, annotated_texts, prediction_of, text_to_ask

# A project's number and the second that it was made in, as Label Studio names it.
# It becomes the name of a folder.
ProjectName = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
START = "START_TRAINING"
STATUS = ((TrainingUnderWay, 409), (ValueError, 422), (OSError, 502))
LOG = logging.getLogger(__name__)
# Reasons that an answer tells.
TOLD = 3


class SetupRequest(BaseModel):
    """The body of POST /setup, which calls the labeling configuration a schema."""

    project: ProjectName
    label_config: str = Field(alias="schema")
    access_token: str | None = None


class PredictRequest(BaseModel):
    """The body of POST /predict."""

    tasks: list[dict[str, Any]]
    project: ProjectName
    label_config: str


class TrainOnTasksRequest(BaseModel):
    """The body of POST /train."""

    annotations: list[dict[str, Any]]
    project: ProjectName
    label_config: str


class WebhookRequest(BaseModel):
    """The body of POST /webhook."""

    action: str
    project: dict[str, Any] = {}


class LabelStudioBackend:
    """What is answered, without HTTP."""

    def __init__(self, pipelines: ProjectPipelines, studio: LabelStudioClient) -> None:
        self.pipelines, self.studio = pipelines, studio
        # That Label Studio sent with /setup, by project.
        self._tokens: dict[str, str] = {}

    def setup(self, project: str, config: str, token: str) -> dict[str, Any]:
        """The version of a project's predictions. Label Studio asks for new predictions
        of the tasks that have none of this version."""
        read_labeling_config(config)
        self._tokens[project] = token
        return {"model_version": self.pipelines.version(project)}

    def predict(
        self, project: str, config: str, tasks: Sequence[Task]
    ) -> dict[str, Any]:
        """Predictions in the order of the tasks. Raises ValueError for a configuration
        without anything to look for. A task without a text gets an error of its own."""
        tags = read_labeling_config(config)
        asked = [asked_of(task, tags) for task in tasks]
        texts = [text for own in asked if isinstance(own, list) for _, text in own]
        version, found = self.pipelines.annotate(project, texts)
        rest = iter(found)
        results = [
            prediction_of([(tag, text, next(rest)) for tag, text in own], version)
            if isinstance(own, list)
            else {"error": own, "model_version": version}
            for own in asked
        ]
        return {"results": results, "model_version": version}

    def fit(self, project: str, config: str, tasks: Sequence[Task]) -> dict[str, Any]:
        """Start to train on annotated tasks. Raises ValueError where there is nothing to
        learn from, and TrainingUnderWay."""
        tags = read_labeling_config(config)
        texts, left_out = annotated_texts(tasks, tags)
        if not texts:
            reasons = " ".join(left_out[:TOLD])
            raise ValueError(f"No text can be learned from. {reasons}".strip())
        self.pipelines.train(project, texts)
        return {
            "status": "training",
            "texts": len(texts),
            "left_out": len(left_out),
            "reasons": left_out[:TOLD],
        }

    def start(self, given: dict[str, Any]) -> dict[str, Any]:
        """Start to train a project on all of its annotations. given: the project as the
        webhook sends it. Raises as `fit`, and OSError as `LabelStudioClient`."""
        number, config = given.get("id"), given.get("label_config")
        if not isinstance(number, int) or not isinstance(config, str):
            raise ValueError("The webhook's project has no id or no label_config.")
        project = project_name(number, given.get("created_at"))
        read_labeling_config(config)
        tasks = self.studio.annotated_tasks(number, self._tokens.get(project, ""))
        return self.fit(project, config, tasks)


def asked_of(
    task: Task, tags: Sequence[SpanTag]
) -> list[tuple[SpanTag, AskedText]] | str:
    """The text of a task for each tag, or why there is none."""
    try:
        return [(tag, text_to_ask(task, tag)) for tag in tags]
    except ValueError as error:
        return str(error)


def project_name(number: int, created_at: Any) -> str:
    """How Label Studio names a project when it asks for predictions: by its number and the
    second that it was made in. Raises ValueError for what is no time."""
    if not isinstance(created_at, str):
        raise ValueError("The webhook's project has no created_at.")
    # Python 3.10 does not know the Z.
    made = datetime.fromisoformat(re.sub(r"Z$", "+00:00", created_at))
    return f"{number}.{int(made.timestamp())}"


def answer(what: Any, *arguments: Any) -> dict[str, Any]:
    """Call what answers a request. Its errors become those of HTTP, with the reason; and
    are logged, as Label Studio shows its user the status alone."""
    try:
        found: dict[str, Any] = what(*arguments)
        return found
    except (TrainingUnderWay, ValueError, OSError) as error:
        LOG.warning("Refused: %s", error)
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        raise HTTPException(status, str(error)) from error


def make_backend_app(
    backend: LabelStudioBackend,
    hosts: Sequence[str],
    user: str = "",
    password: str = "",
) -> FastAPI:
    """The application.

    backend (LabelStudioBackend): answers.
    hosts (Sequence[str]): the names that this machine may be called by, "*" for any.
    user, password (str): that Label Studio has to give (HTTP Basic); "" for nobody."""
    app = make_guarded_app("spacy-instructner for Label Studio", hosts, user, password)

    @app.get("/")
    @app.get("/health")
    def health() -> dict[str, str]:
        """Label Studio asks this every now and then."""
        return {"status": "UP", "model_class": "spacy-instructner"}

    @app.post("/setup")
    def setup(body: SetupRequest) -> dict[str, Any]:
        """A project is connected, or about to be predicted."""
        given = body.label_config, body.access_token or ""
        return answer(backend.setup, body.project, *given)

    @app.post("/predict")
    def predict(body: PredictRequest) -> dict[str, Any]:
        """Predict tasks."""
        return answer(backend.predict, body.project, body.label_config, body.tasks)

    @app.post("/train")
    def train(body: TrainOnTasksRequest) -> dict[str, Any]:
        """Train on the tasks of the request."""
        return answer(backend.fit, body.project, body.label_config, body.annotations)

    @app.post("/webhook")
    def webhook(body: WebhookRequest) -> dict[str, Any]:
        """Train where that is asked for; Label Studio tells of everything else, too."""
        if body.action != START:
            return {"status": "noted", "action": body.action}
        return answer(backend.start, body.project)

    @app.get("/status")
    def status() -> dict[str, Any]:
        """How the last training of each project went."""
        return backend.pipelines.report()

    return app
