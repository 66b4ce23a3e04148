"""HTTP, as INCEpTION asks an external recommender.

    POST /predict  {"metadata", "document", "typeSystem"} -> {"document"}
    POST /train    {"metadata", "documents", "typeSystem"} -> 204; 429 while one trains
    GET  /status   how the last training of each project and user went

INCEpTION gives no password. Where one is needed, it is the first part of the address, as in
`http://host:9091/SECRET`. Source: ours.
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException
from pydantic import BaseModel, Field
from starlette.responses import Response

from ..project_pipelines import AskedText, ProjectPipelines, TrainingUnderWay
from ..web import make_guarded_app
from .cas_texts import (
    AnnotationLayer,
    add_predictions,
    annotated_sentences,
    read_cas,
    read_type_system,
    sentences_of,
)


class LayerMetadata(BaseModel):
    """What is asked for: a feature of a layer of a project."""

    layer: str
    feature: str
    project: int = Field(alias="projectId")


class CasDocument(BaseModel):
    """A document of a user."""

    xmi: str
    document: int = Field(0, alias="documentId")
    user: str = Field("", alias="userId")


class PredictCasRequest(BaseModel):
    """The body of POST /predict."""

    metadata: LayerMetadata
    document: CasDocument
    types: str = Field(alias="typeSystem")


class TrainCasRequest(BaseModel):
    """The body of POST /train."""

    metadata: LayerMetadata
    documents: list[CasDocument]
    types: str = Field(alias="typeSystem")


class InceptionRecommender:
    """What is answered, without HTTP."""

    def __init__(self, pipelines: ProjectPipelines) -> None:
        self.pipelines = pipelines

    def predict(self, asked: PredictCasRequest) -> str:
        """The document as XMI, with predictions. Raises ValueError for what cannot be read
        or annotated."""
        layer = AnnotationLayer(asked.metadata.layer, asked.metadata.feature)
        cas = read_cas(asked.document.xmi, read_type_system(asked.types, layer))
        parts = sentences_of(cas, f"document {asked.document.document}")
        name = pipeline_of(asked.metadata, asked.document.user)
        # By sentences, as it learns: INCEpTION's entities stay inside of them.
        texts = [AskedText(row) for _, row in parts]
        _, found = self.pipelines.annotate(name, texts)
        for (begin, _), own in zip(parts, found, strict=True):
            if own.error:
                raise ValueError(own.error)
            moved = ((begin + a, begin + b, label, s) for a, b, label, s in own.spans)
            add_predictions(cas, layer, moved)
        xmi: str = cas.to_xmi()
        return xmi

    def train(self, asked: TrainCasRequest) -> None:
        """Start to train on the annotated sentences of all documents. Raises
        TrainingUnderWay, and ValueError where there is none."""
        layer = AnnotationLayer(asked.metadata.layer, asked.metadata.feature)
        types = read_type_system(asked.types, layer)
        rows = [
            row
            for each in asked.documents
            for row in annotated_sentences(
                read_cas(each.xmi, types), layer, f"document {each.document}"
            )
        ]
        user = asked.documents[0].user if asked.documents else ""
        name = pipeline_of(asked.metadata, user)
        self.pipelines.train(name, [AskedText(row) for row in rows])


def pipeline_of(asked: LayerMetadata, user: str) -> str:
    """The name of the pipeline that learns a feature from one user of a project, as
    INCEpTION keeps what its users are recommended apart. It is that of a folder, too."""
    own = hashlib.sha256("\0".join((asked.layer, asked.feature, user)).encode())
    return f"{asked.project}-{own.hexdigest()[:12]}"


def make_recommender_app(
    recommender: InceptionRecommender, hosts: Sequence[str], secret: str = ""
) -> FastAPI:
    """The application.

    recommender (InceptionRecommender): answers.
    hosts (Sequence[str]): the names that this machine may be called by, "*" for any.
    secret (str): the first part of every path; "" for none."""
    app = make_guarded_app("spacy-instructner for INCEpTION", hosts)

    def check(given: str = "") -> None:
        """Raises HTTPException for another secret."""
        if not secrets.compare_digest(given.encode(), secret.encode()):
            raise HTTPException(404, "Not found.")

    prefix = "/{given}" if secret else ""
    routes = APIRouter(prefix=prefix, dependencies=[Depends(check)] if secret else [])

    @routes.post("/predict")
    def predict(body: PredictCasRequest) -> dict[str, str]:
        """A document with predictions."""
        try:
            return {"document": recommender.predict(body)}
        except ValueError as error:
            raise HTTPException(422, str(error)) from error

    @routes.post("/train", status_code=204)
    def train(body: TrainCasRequest) -> Response:
        """Start to train."""
        try:
            recommender.train(body)
        except TrainingUnderWay as error:
            raise HTTPException(429, str(error)) from error
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return Response(status_code=204)

    @routes.get("/status")
    def status() -> dict[str, Any]:
        """How the last training of each pipeline went."""
        return recommender.pipelines.report()

    app.include_router(routes)
    return app
