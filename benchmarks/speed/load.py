"""Requests a second that `serve --api-only` answers, and how long each takes, by the number of
clients: texts of several requests together, and one by one (`--batch 1`), by turns.

Two servers with the same pipeline listen on this machine, and one is asked at a time. A client
sends a text, waits for its answer and sends the next one. The clients take a part of the
machine's time, as they run on it."""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

import spacy
import srsly

from .measure import Row

ROOT = Path(__file__).parents[2]
TEXTS = ROOT / "assets" / "workshop" / "test.jsonl"
DEFINITIONS = ROOT / "assets" / "definitions" / "workshop.json"
CLIENTS = (1, 8, 32)
# What is compared, and the options of each.
TOGETHER, ALONE = "together", "one by one"
WAYS: dict[str, tuple[str, ...]] = {TOGETHER: (), ALONE: ("--batch", "1")}
# What is measured: groups of rows, and their units.
RATE, P50, P99 = "load.rate", "load.p50", "load.p99"
UNITS = {RATE: "requests/s", P50: "ms", P99: "ms"}
# Seconds in which a server must be ready.
PATIENCE = 300


def compare(seconds: float, times: int, clients: Sequence[int] = CLIENTS) -> list[Row]:
    """With the default model and the labels of the workshop sentences.

    seconds: of each measurement; times: of each way with each number of clients."""
    texts = [row["text"] for row in srsly.read_jsonl(TEXTS)]
    found: dict[tuple[str, str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as made, ExitStack() as servers:
        folder = make_pipeline(Path(made) / "pipeline")
        ports = {
            way: servers.enter_context(served(folder, options))
            for way, options in WAYS.items()
        }
        for port in ports.values():
            measure(port, texts, max(clients), min(seconds, 5))
        for _ in range(times):
            for count in clients:
                for way, port in ports.items():
                    for group, value in measure(port, texts, count, seconds).items():
                        found.setdefault((group, way, count), []).append(value)
    return [
        Row(group, way, UNITS[group], values, x=count)
        for (group, way, count), values in found.items()
    ]


def make_pipeline(folder: Path) -> Path:
    """A pipeline that has learned nothing, in a folder."""
    definitions = srsly.read_json(DEFINITIONS)
    nlp = spacy.blank("en")
    config = {
        "labels": list(definitions),
        "label_definitions": definitions,
        "bundle": "adapter",
    }
    nlp.add_pipe("instruction_ner", config=config)
    nlp.to_disk(folder)
    return folder


@contextmanager
def served(folder: Path, options: Sequence[str]) -> Iterator[int]:
    """The port of a server that is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "spacy", "instructner", "serve", str(folder)]
    own = {name: v for name, v in os.environ.items() if name != "INSTRUCTNER_TOKEN"}
    process = subprocess.Popen(
        [*command, "--api-only", "--port", str(port), *options],
        cwd=ROOT,
        env=own,
        stdout=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + PATIENCE
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("The server does not start.")
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait()


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def measure(
    port: int, texts: Sequence[str], clients: int, seconds: float
) -> dict[str, float]:
    """Requests a second, and milliseconds of half and of all but a hundredth of them, by
    group of rows. Raises RuntimeError for a request that is not answered."""
    waits: list[float] = []
    failed: list[str] = []
    begin = time.perf_counter()

    def client(number: int) -> None:
        # Each begins with another text.
        own = cycle([*texts[number % len(texts) :], *texts[: number % len(texts)]])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            while not failed and time.perf_counter() - begin < seconds:
                sent = time.perf_counter()
                ask(connection, next(own))
                waits.append(time.perf_counter() - sent)
        except Exception as error:
            failed.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    threads = [threading.Thread(target=client, args=(at,)) for at in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begin
    if failed:
        raise RuntimeError(f"A request was not answered: {failed[0]}")
    return {
        RATE: len(waits) / elapsed,
        P50: 1000 * statistics.median(waits),
        P99: 1000 * percentile(waits, 99),
    }


def ask(connection: http.client.HTTPConnection, text: str) -> None:
    """One request. Raises ValueError for another answer than 200 with a result."""
    body = json.dumps({"texts": [text]})
    headers = {"content-type": "application/json"}
    connection.request("POST", "/v1/annotate", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200 or json.loads(content)["results"][0]["error"]:
        raise ValueError(f"{answer.status} {content[:200]!r}")


def percentile(values: Sequence[float], share: int) -> float:
    """The value that this share of them, in percent, does not exceed."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]
