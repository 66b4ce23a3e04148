"""What the API reads and writes, as pydantic models: version 1. Source: ours.

A field may be added to an answer; none changes its meaning or goes. Anything else is a
version 2 beside this one."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..formats.text_files import repaired


def without_surrogates(value: Any) -> Any:
    """A text with U+FFFD in place of each surrogate, which JSON may hold: no other text
    could be sent back. Places stay."""
    return repaired(value)[0] if isinstance(value, str) else value


AnyText = Annotated[str, BeforeValidator(without_surrogates)]


class AnnotateTexts(BaseModel):
    """Texts, and what to look for in them."""

    model_config = ConfigDict(
        extra="forbid",
        # Neither true nor "1" is a number.
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "texts": ["My cargo bike has a bent fork."],
                    "labels": {"PART": "a part of a bicycle"},
                }
            ]
        },
    )

    texts: list[AnyText] = Field(min_length=1, description="The texts.")
    labels: dict[str, str] | list[str] | None = Field(
        default=None,
        description=(
            "The labels to look for: a list, or an object that says what each means, with an "
            "empty text where its name says it. Without it, the labels of the pipeline."
        ),
    )
    seconds: float | None = Field(
        default=None,
        gt=0,
        description=(
            "How long you will wait. What is not answered by then is given up. The server's "
            "own limit, if that is less."
        ),
    )


class FoundEntity(BaseModel):
    """An entity. start, end: its characters, counted as Unicode code points from 0."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    label: str
    text: str
    score: float | None = Field(
        description="How sure the pipeline is, from 0 to 1; null for another component's entity."
    )


class TextResult(BaseModel):
    """What was found in a text, in text order. error: why it could not be annotated, null
    where it was."""

    entities: list[FoundEntity]
    error: str | None


class AnnotatedTexts(BaseModel):
    """pipeline: who answered, and its version; results: one for each text, in order."""

    pipeline: str
    results: list[TextResult]


class PipelineLabels(BaseModel):
    """The labels that are looked for where a request gives none, and what each means, ""
    where nothing is said."""

    pipeline: str
    labels: dict[str, str]


class HealthReport(BaseModel):
    """live: the process answers; ready: the pipeline is loaded and takes texts."""

    live: bool
    ready: bool


class ApiProblem(BaseModel):
    """Why a request was not answered, and what to do."""

    detail: str
