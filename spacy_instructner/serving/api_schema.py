"""The OpenAPI document of the API: what its functions do not say by themselves. Source:
ours."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .api_guards import HEALTH, ApiLimits
from .api_models import ApiProblem, HealthReport

# By status: when it comes.
DETAILS = {
    400: "The body cannot be parsed, or the host is not a name of this server.",
    401: "The token is missing, or another one.",
    403: "The request is from a page of another site.",
    408: "The request did not arrive in time.",
    413: "The request is larger than this server answers.",
    415: "The request is not application/json.",
    422: "The request is not as it must be.",
    500: "Something failed that should not. The log of the server says what.",
    503: "The server is not ready, or its queue is full. Ask again after `Retry-After`.",
    504: "Time was up before there was an answer.",
}
RETRY_AFTER = {
    "description": "Seconds after which to ask again.",
    "schema": {"type": "integer", "minimum": 1},
}


def statuses(*wanted: int) -> dict[int | str, dict[str, Any]]:
    """What a route answers besides its result."""
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": ApiProblem, "description": DETAILS[status]}
        for status in wanted
    }
    if 503 in found:
        found[503]["headers"] = {"Retry-After": RETRY_AFTER}
    return found


NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthReport, "description": "No texts are taken yet, or any more."}
}


def describe(app: FastAPI, limits: ApiLimits, needs_token: bool) -> None:
    """Make the document, with the limits of this server in it."""
    schema = get_openapi(
        title="spacy-instructner",
        version=version("spacy-instructner"),
        description=(
            "Named entities of texts. Characters are counted as Unicode code points. A "
            f"request has at most {limits.bytes} bytes."
        ),
        routes=app.routes,
    )
    own = schema["components"]["schemas"]["AnnotateTexts"]["properties"]
    own["texts"]["maxItems"] = limits.most_texts
    own["texts"]["items"]["maxLength"] = limits.characters
    for kind in own["labels"]["anyOf"]:
        limit_labels(kind, limits)
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            responses = operation["responses"]
            # Before everything else.
            responses.setdefault("400", a_text(DETAILS[400]))
            responses["400"]["content"].update(a_text("")["content"])
            if needs_token and path not in HEALTH:
                responses["401"] = a_problem(DETAILS[401])
                operation["security"] = [{"token": []}]
    if needs_token:
        bearer = {"type": "http", "scheme": "bearer"}
        schema["components"]["securitySchemes"] = {"token": bearer}
    # The framework would make it anew.
    app.openapi = lambda: schema  # type: ignore[method-assign]


def limit_labels(kind: dict[str, Any], limits: ApiLimits) -> None:
    """One of the ways to give labels."""
    label = {"type": "string", "minLength": 1, "maxLength": limits.meaning}
    if kind["type"] == "array":
        kind |= {"minItems": 1, "maxItems": limits.labels, "uniqueItems": True}
        kind["items"] = label
    elif kind["type"] == "object":
        kind |= {"minProperties": 1, "maxProperties": limits.labels}
        kind["propertyNames"] = label
        kind["additionalProperties"]["maxLength"] = limits.meaning


def a_text(description: str) -> dict[str, Any]:
    """A response in words."""
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {"description": description, "content": content}


def a_problem(description: str) -> dict[str, Any]:
    """A response as `ApiProblem`."""
    reference = {"$ref": f"#/components/schemas/{ApiProblem.__name__}"}
    return {
        "description": description,
        "content": {"application/json": {"schema": reference}},
    }
