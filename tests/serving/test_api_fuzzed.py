"""The API, asked whatever its own document allows, and what it does not: schemathesis looks
for answers that the document does not have, and for errors of the server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for package in ("fastapi", "prometheus_client"):
    pytest.importorskip(package)
schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

from hypothesis import HealthCheck, settings  # noqa: E402

from helpers.serving_api import SMALL, TOKEN, load  # noqa: E402
from spacy_instructner.serving.api import make_api  # noqa: E402
from spacy_instructner.serving.api_guards import HEALTH, ApiLimits  # noqa: E402
from spacy_instructner.serving.batching import BatchSettings  # noqa: E402
from spacy_instructner.serving.service import Service  # noqa: E402

# As pytest names itself to an ASGI application.
HOST = "testserver"


@pytest.fixture(scope="module")
def service(folder: Path) -> Service:
    return Service(lambda: load(folder), BatchSettings(wait=0.0))


def document_of(service: Service, token: str) -> Any:
    """What schemathesis makes its requests of, once the pipeline is there."""
    app = make_api(service, ApiLimits(**SMALL), [HOST], token)
    own = {"authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=own)
    checks = schema.config.checks
    # Too large is refused, too.
    checks.negative_data_rejection.expected_statuses += ["413"]
    # Who gives no time gets no answer.
    checks.not_a_server_error.expected_statuses += ["504"]
    # Which labels are called alike, no schema can say; nor how soon is too soon.
    checks.positive_data_acceptance.expected_statuses = ["200", "401", "422", "504"]
    with schemathesis.python.asgi.get_client(app) as client:
        while client.get("/health").status_code != 200:
            pass
    return schema


@pytest.fixture(scope="module")
def everyones(service: Service) -> Iterator[Any]:
    yield document_of(service, "")
    # Texts were annotated, not only refused, and none failed.
    value = service.metrics.registry.get_sample_value
    assert value("instructner_texts_total", {"outcome": "annotated"}) > 100
    assert value("instructner_texts_total", {"outcome": "failed"}) == 0


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Any:
    return document_of(Service(lambda: load(folder), BatchSettings()), TOKEN)


def cases(count: int) -> Any:
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.slow
@schemathesis.pytest.from_fixture("everyones").parametrize()
@cases(400)
def test_answers_are_as_the_document_says(case: Any) -> None:
    case.call_and_validate()


@pytest.mark.slow
@schemathesis.pytest.from_fixture("guarded").parametrize()
@cases(40)
def test_without_the_token_nobody_is_answered(case: Any) -> None:
    answer = case.call_and_validate()
    assert answer.status_code == 401 or case.operation.path in HEALTH
