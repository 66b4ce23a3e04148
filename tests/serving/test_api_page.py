"""What docs/how-to/serve-api.md says of the API is so."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

for package in ("fastapi", "httpx", "prometheus_client", "uvicorn"):
    pytest.importorskip(package)

from helpers import pages  # noqa: E402
from helpers.pages import DOCS  # noqa: E402
from helpers.serving import free_port  # noqa: E402
from helpers.serving_api import TOKEN, api_client, load  # noqa: E402
from spacy_instructner.cli.serve import serve_cli  # noqa: E402
from spacy_instructner.serving.api import make_api  # noqa: E402
from spacy_instructner.serving.api_guards import (  # noqa: E402
    SHORTEST_TOKEN,
    ApiLimits,
)
from spacy_instructner.serving.batching import BatchSettings  # noqa: E402
from spacy_instructner.serving.service import Service  # noqa: E402

PAGE = DOCS / "how-to" / "serve-api.md"


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of a table, by their first cell. heading: of the first column."""
    (table,) = (each for each in pages.tables(PAGE) if each[0][0] == heading)
    return {row[0]: row[1:] for row in table[1:]}


@contextmanager
def listening(folder: Path) -> Iterator[int]:
    """The port of a server in this process, on loopback."""
    import threading
    import time

    import uvicorn

    service = Service(lambda: load(folder), BatchSettings())
    app = make_api(service, ApiLimits(), ["127.0.0.1"])
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not service.ready:
            time.sleep(0.05)
        yield port
    finally:
        server.should_exit = True
        thread.join()


def test_the_examples_are_answered(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from urllib.request import Request, urlopen

    (code,) = pages.blocks(PAGE, "py")
    (asked,) = re.findall(r"-d '(\{.*?\})'", pages.text_of(PAGE), re.S)
    (shown,) = map(json.loads, pages.blocks(PAGE, "json"))
    with listening(folder) as port:
        left: dict[str, Any] = {}
        exec(code.replace(":8000", f":{port}"), left)
        url = f"http://127.0.0.1:{port}"
        texts = ["Anna met Bert in Paris."] * 2
        own = left["annotate"](texts, {"PERSON": "", "PLACE": ""}, url)
        assert len(own) == 2 and own[0]["entities"]
        headers = {"content-type": "application/json"}
        request = Request(f"{url}/v1/annotate", asked.encode(), headers)
        with urlopen(request) as answer:
            given = json.load(answer)
    # The page shows another pipeline's answer, of the same form.
    assert set(given) == set(shown)
    assert len(given["results"]) == len(shown["results"]) == 2
    for text, result in zip(json.loads(asked)["texts"], shown["results"], strict=True):
        assert set(result) == {"entities", "error"} and result["entities"]
        for each in result["entities"]:
            assert set(each) == set(own[0]["entities"][0])
            assert text[each["start"] : each["end"]] == each["text"]
            assert each["label"] in json.loads(asked)["labels"]


def test_statuses_and_fields_are_those_of_the_document(folder: Path) -> None:
    with api_client(folder, TOKEN) as client:
        own = {"authorization": f"Bearer {TOKEN}"}
        document = client.get("/openapi.json", headers=own).json()
    responses = document["paths"]["/v1/annotate"]["post"]["responses"]
    told = {status for cell in rows("Status") for status in cell.split(", ")}
    assert told == set(responses) - {"200"}
    fields = document["components"]["schemas"]["AnnotateTexts"]["properties"]
    assert {cell.strip("`") for cell in rows("Field of the request")} == set(fields)
    for path in re.findall(r"`GET (/[\w/.]+)`", pages.text_of(PAGE)):
        assert "get" in document["paths"][path], path


def test_metrics_are_those_that_there_are(folder: Path) -> None:
    with api_client(folder) as client:
        families = set(re.findall(r"^# TYPE (\w+)", client.get("/metrics").text, re.M))
    told = {
        name
        for cell in rows("Metric")
        for name in re.findall(r"`(instructner_\w+)`", cell)
    }
    ours = {name for name in families if name.startswith("instructner_")}
    assert told == {name for name in ours if not name.endswith("_created")}


def test_limits_are_those_of_the_code() -> None:
    limits, batches = ApiLimits(), BatchSettings()
    options = signature(serve_cli).parameters
    defaults = {
        "--characters": options["characters"].default.default,
        "--seconds": options["seconds"].default.default,
        "--waiting": limits.waiting,
        "--batch": batches.texts,
        "--batch-wait": batches.wait,
    }
    told = {name.strip("`"): cells[0] for name, cells in rows("Option").items()}
    assert set(told) == set(defaults)
    for name, value in defaults.items():
        assert float(told[name].replace(",", "")) == value, name
        # The help of the command says the same.
        option = options[name[2:].replace("-", "_")].default
        assert option.default == value or f"{value:g}" in option.help, name
    text = " ".join(pages.text_of(PAGE).split())
    assert f"at most {limits.texts} texts, {limits.labels} labels and 4 MB" in text
    assert f"at most {batches.waiting_characters:,} characters together" in text
    assert limits.bytes == 4_000_000
    assert f"have {limits.meaning} characters each at most" in text
    assert f"also ends at {batches.characters:,} characters" in text
    assert f"a token of {SHORTEST_TOKEN} characters or more" in text
