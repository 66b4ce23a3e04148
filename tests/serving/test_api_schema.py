"""The OpenAPI document has what there is, and no more."""

from pathlib import Path
from typing import Any

import pytest

for package in ("fastapi", "httpx", "prometheus_client"):
    pytest.importorskip(package)

from helpers.serving_api import TOKEN, api_client  # noqa: E402

# What each route answers: statuses, with the model of each.
PROBLEM, HEALTH = "ApiProblem", "HealthReport"
ROUTES: dict[str, dict[str, str | None]] = {
    "post /v1/annotate": {
        "200": "AnnotatedTexts",
        **dict.fromkeys(
            ("400", "403", "408", "413", "415", "422", "500", "503", "504"), PROBLEM
        ),
    },
    "get /v1/labels": {"200": "PipelineLabels", "400": None, "503": PROBLEM},
    "get /health": {"200": HEALTH, "400": None, "503": HEALTH},
    "get /health/live": {"200": HEALTH, "400": None},
    "get /metrics": {"200": None, "400": None},
    "get /openapi.json": {"200": None, "400": None},
}
OPEN = ("get /health", "get /health/live")


def model_of(response: dict[str, Any]) -> str | None:
    schema = response["content"].get("application/json", {}).get("schema", {})
    return schema.get("$ref", "").rpartition("/")[2] or None


def said(document: dict[str, Any]) -> dict[str, dict[str, str | None]]:
    return {
        f"{method} {path}": {
            status: model_of(response)
            for status, response in operation["responses"].items()
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_and_every_status(folder: Path) -> None:
    with api_client(folder) as client:
        document = client.get("/openapi.json").json()
        routes = {
            f"{method.lower()} {route.path}"
            for route in client.app.routes
            for method in route.methods
        }
    assert said(document) == ROUTES and set(ROUTES) == routes
    assert "securitySchemes" not in document["components"]
    retry = document["paths"]["/v1/annotate"]["post"]["responses"]["503"]["headers"]
    assert set(retry) == {"Retry-After"}


def test_a_token_is_in_the_document(folder: Path) -> None:
    with api_client(folder, TOKEN) as client:
        own = {"authorization": f"Bearer {TOKEN}"}
        document = client.get("/openapi.json", headers=own).json()
    for name, statuses in said(document).items():
        method, path = name.split()
        operation = document["paths"][path][method]
        needed = name not in OPEN
        assert ("401" in statuses) == ("security" in operation) == needed
        assert statuses == ROUTES[name] | ({"401": PROBLEM} if needed else {})
    scheme = {"token": {"type": "http", "scheme": "bearer"}}
    assert document["components"]["securitySchemes"] == scheme


def test_the_limits_of_this_server_are_in_the_document(folder: Path) -> None:
    limits = {"characters": 123, "texts": 7, "labels": 2, "meaning": 31, "bytes": 4567}
    with api_client(folder, **limits) as client:
        document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    asked = schemas["AnnotateTexts"]
    assert asked["required"] == ["texts"] and asked["additionalProperties"] is False
    texts = asked["properties"]["texts"]
    assert (texts["minItems"], texts["maxItems"]) == (1, 7)
    assert texts["items"]["maxLength"] == 123
    (mapping,) = (
        each
        for each in asked["properties"]["labels"]["anyOf"]
        if each["type"] == "object"
    )
    assert (mapping["minProperties"], mapping["maxProperties"]) == (1, 2)
    assert mapping["propertyNames"]["maxLength"] == 31
    assert mapping["additionalProperties"] == {"type": "string", "maxLength": 31}
    (listed,) = (
        each
        for each in asked["properties"]["labels"]["anyOf"]
        if each["type"] == "array"
    )
    assert (listed["minItems"], listed["maxItems"]) == (1, 2)
    assert listed["items"]["maxLength"] == 31
    assert "at most 4567 bytes" in document["info"]["description"]
    assert set(schemas) == {
        *("AnnotateTexts", "AnnotatedTexts", "ApiProblem", "FoundEntity"),
        *("HealthReport", "PipelineLabels", "TextResult"),
    }
