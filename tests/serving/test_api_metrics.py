"""What the API counts."""

import sys
from pathlib import Path
from typing import Any

import pytest

for package in ("fastapi", "httpx", "prometheus_client"):
    pytest.importorskip(package)

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from helpers.serving_api import annotate, api_client, results  # noqa: E402

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def figures(client: Any) -> Figures:
    """What /metrics says, as Prometheus reads it."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_figures(folder: Path) -> None:
    with api_client(folder, labels=100) as client:
        before = figures(client)
        ok = annotate(client, "Anna met Bert.", "Carl")
        found = sum(len(each["entities"]) for each in results(ok))
        annotate(client, "x" * 150 + " Rome", labels=["TOWN"])
        # Refused at once, and by the pipeline.
        assert annotate(client, "x", labels=["a", "A"]).status_code == 422
        long = [f"label number {at}" for at in range(100)]
        assert annotate(client, "x", labels=long).status_code == 422
        assert annotate(client, "x" * 201).status_code == 413
        assert client.get("/nothing").status_code == 404
        after = figures(client)

        def more(name: str, **labels: str) -> float:
            key = name, tuple(sorted(labels.items()))
            return after[key] - before.get(key, 0.0)

        requests = "instructner_requests_total"
        assert more(requests, route="/v1/annotate", status="200") == 2
        assert more(requests, route="/v1/annotate", status="422") == 2
        assert more(requests, route="/v1/annotate", status="413") == 1
        assert more(requests, route="other", status="404") == 1
        assert more(requests, route="/metrics", status="200") == 1
        # Latency, as a histogram.
        assert more("instructner_request_seconds_count", route="/v1/annotate") == 5
        assert more("instructner_request_seconds_sum", route="/v1/annotate") > 0
        bucket = "instructner_request_seconds_bucket"
        assert more(bucket, route="/v1/annotate", le="+Inf") == 5
        assert more(bucket, route="/v1/annotate", le="60.0") == 5
        # Batches: those of one asker at a time are its requests.
        assert more("instructner_batch_texts_count") == 3
        assert more("instructner_batch_texts_sum") == 4
        assert more("instructner_batch_texts_bucket", le="1.0") == 2
        assert more("instructner_batch_texts_bucket", le="2.0") == 3
        assert more("instructner_batch_seconds_count") == 3
        texts = "instructner_texts_total"
        assert more(texts, outcome="annotated") == 3
        assert more(texts, outcome="refused") == 1
        assert more(texts, outcome="failed") == 0
        assert more("instructner_characters_total") == 14 + 4 + 155 + 1
        assert more("instructner_entities_total") >= found
        assert after["instructner_queue_texts", ()] == 0
        assert after["instructner_ready", ()] == 1
        assert ("instructner_unread_total", (("what", "tokens"),)) in before
        if sys.platform == "linux":
            assert after["process_resident_memory_bytes", ()] > 1e6


def test_two_servers_of_one_process_count_for_themselves(folder: Path) -> None:
    with api_client(folder) as one, api_client(folder) as other:
        assert results(annotate(one, "Anna"))
        key = "instructner_texts_total", (("outcome", "annotated"),)
        assert (figures(one)[key], figures(other)[key]) == (1, 0)


def test_names_that_clients_make_up_are_counted_together(folder: Path) -> None:
    with api_client(folder) as client:
        for at in range(30):
            assert client.get(f"/{at}").status_code == 404
        counted = {
            dict(labels)["route"]: value
            for (name, labels), value in figures(client).items()
            if name == "instructner_requests_total" and ("status", "404") in labels
        }
    assert counted == {"other": 30}
