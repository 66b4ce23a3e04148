"""The bodies of requests to a project. Source: ours."""

from typing import Literal

from pydantic import BaseModel, Field

# Texts of a project, and their characters, all of which are in memory; characters of the name
# of where they come from.
MOST_TEXTS, MOST_CHARACTERS, LONGEST_SOURCE = 100_000, 100_000_000, 200


class PastedTexts(BaseModel):
    """The body of POST /texts."""

    texts: list[str] = Field(max_length=MOST_TEXTS)
    source: str = Field("pasted", max_length=LONGEST_SOURCE)


class LabelRow(BaseModel):
    """A label of POST /labels. was: its name before, where it is renamed."""

    name: str
    meaning: str = ""
    colour: str = ""
    was: str = ""


class LabelRows(BaseModel):
    """The body of POST /labels. seen: the names that were shown."""

    labels: list[LabelRow]
    seen: list[str] | None = None


class SpanRow(BaseModel):
    """An entity, by characters (code points) of its text."""

    start: int
    end: int
    label: str


class DecisionRow(BaseModel):
    """The body of POST /decide. seen: as GET /texts/{id} said it."""

    text: int
    answer: Literal["accept", "reject"]
    spans: list[SpanRow] = Field(max_length=5000)
    changed: bool = False
    seen: int


class UndoRow(BaseModel):
    """The body of POST /undo. of: the number of an event, null for the last one."""

    of: int | None = None


class MarkRow(BaseModel):
    """The body of POST /mark. label: null to unmark."""

    words: str = Field(max_length=500)
    label: str | None
    case: bool = True


class ThresholdRow(BaseModel):
    """The body of POST /threshold."""

    value: float


class ModelRow(BaseModel):
    """The body of POST /annotate and /use."""

    model: int | None = None


class TrainRow(BaseModel):
    """The body of POST /train. parts: of cross-fitting, 0 for none."""

    parts: int = Field(0, ge=0, le=10)


class PackRow(BaseModel):
    """The body of POST /pack."""

    kind: Literal["folder", "wheel"]
    name: str
    version: str = "0.1.0"
    model: int | None = None
