"""The API, asked with texts and bodies that nobody expects: every answer is one that its
document has, and none is an error of the server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for package in ("fastapi", "httpx", "prometheus_client"):
    pytest.importorskip(package)

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as some  # noqa: E402

from helpers.serving_api import annotate, api_client, results  # noqa: E402

# What they all together did is looked at in the end: one process runs them.
pytestmark = pytest.mark.xdist_group("api-odd-input")
# Half characters, NUL, marks that combine, both directions of writing, emoji of several.
ODD = some.sampled_from(
    "\ud800\udfff\0\n\r\t\u2028\ufeff\u200f\u0301eİß𝔸👩\u200d👧ก؟ ._-{}<|\\\"'"
)
TEXTS = some.text(ODD | some.characters(), max_size=60)
LABELS = some.none() | some.lists(TEXTS, max_size=4) | some.dictionaries(TEXTS, TEXTS)
JSON = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | TEXTS
    | some.just(10**400),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(TEXTS, inner),
    max_leaves=12,
)
KEYS = some.sampled_from(["texts", "labels", "seconds"])
many = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Any]:
    with api_client(folder) as client:
        yield client
        value = client.service.metrics.registry.get_sample_value
        assert value("instructner_texts_total", {"outcome": "annotated"}) > 100
        assert value("instructner_texts_total", {"outcome": "failed"}) == 0


def send(client: Any, body: bytes) -> Any:
    headers = {"content-type": "application/json"}
    return client.post("/v1/annotate", content=body, headers=headers)


@pytest.mark.long
@many
@given(texts=some.lists(TEXTS, min_size=1, max_size=4))
def test_entities_are_where_they_are_said_to_be(client: Any, texts: list[str]) -> None:
    found = results(annotate(client, *texts))
    assert len(found) == len(texts)
    for text, result in zip(texts, found, strict=True):
        # Half characters are replaced; places stay.
        whole = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
        assert result["error"] is None
        for each in result["entities"]:
            assert 0 <= each["start"] < each["end"] <= len(text)
            assert each["text"] == whole[each["start"] : each["end"]]
            assert each["label"] in ("PERSON", "PLACE") and 0 <= each["score"] <= 1


@pytest.mark.long
@many
@given(text=TEXTS, labels=LABELS)
def test_odd_labels_are_asked_for_or_refused(
    client: Any, text: str, labels: Any
) -> None:
    answer = annotate(client, text, labels=labels)
    assert answer.status_code in (200, 413, 422), answer.text
    if answer.status_code == 200:
        (result,) = results(answer)
        known = ("PERSON", "PLACE") if labels is None else list(labels)
        assert {each["label"] for each in result["entities"]} <= set(known)
    else:
        assert isinstance(answer.json()["detail"], str)


@pytest.mark.long
@many
@given(body=JSON | some.dictionaries(KEYS | TEXTS, JSON, max_size=4))
def test_any_json_is_answered_or_refused(client: Any, body: Any) -> None:
    answer = send(client, json.dumps(body).encode())
    assert answer.status_code in (200, 400, 413, 422, 504), answer.text
    assert set(answer.json()) in ({"detail"}, {"pipeline", "results"})


@pytest.mark.long
@many
@given(body=some.binary(max_size=80), before=some.sampled_from([b"", b'{"texts": ["']))
def test_any_bytes_are_answered_or_refused(
    client: Any, body: bytes, before: bytes
) -> None:
    answer = send(client, before + body)
    assert answer.status_code in (200, 400, 422), answer.text
    assert set(answer.json()) in ({"detail"}, {"pipeline", "results"})
