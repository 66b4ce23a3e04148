"""What costs grow with: texts, their length, labels, batches, beams; memory; start."""

import gc
import random
import subprocess
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from spacy_instructner.data.corpora import read_docs

from .decoding import NAME, ready
from .measure import Row, timed
from .models import copies, test_docs, tuned
from .tables import slope


def annotate(nlp: Language, docs: list[Doc], **settings: int) -> float:
    """Seconds for fresh copies of some texts."""
    pipe = nlp.get_pipe(NAME)
    before = pipe.decoder
    pipe.decoder = replace(before, **settings)
    try:
        fresh = copies(docs)
        return timed(lambda: list(pipe.pipe(fresh, batch_size=1000)))
    finally:
        pipe.decoder = before


def curves(data: Path, name: str, cache: Path, count: int, times: int) -> list[Row]:
    """Seconds by number of texts, length, labels; texts a second by batch and beam."""
    nlp = tuned(data, name, cache)
    ready(nlp)
    docs = test_docs(nlp, data, name, 8 * count)
    annotate(nlp, docs[:count])
    rows = []

    def row(group: str, x: float, values: list[float], unit: str = "s") -> None:
        rows.append(Row(group, "ours", unit, values, x=x))

    for n in (count // 4, count, 4 * count, 8 * count):
        row("texts", n, [annotate(nlp, docs[:n]) for _ in range(times)])
    # One text of so many words, of sentences end to end.
    words = [token.text for doc in docs for token in doc]
    for n in (10, 50, 200, 1000, 5000):
        text = [Doc(nlp.vocab, words=(words * (n // len(words) + 1))[:n])]
        row("length", n, [annotate(nlp, text) for _ in range(times)])
    pipe = nlp.get_pipe(NAME)
    own = pipe.labels
    for n in (1, 5, 20, 80):
        labels = (list(own) + [f"{label}_{i}" for i in range(80) for label in own])[:n]
        pipe.set_labels(labels)
        annotate(nlp, docs[:8])
        row("labels", n, [annotate(nlp, docs[:count]) for _ in range(times)])
    pipe.set_labels(own)
    for n in (256, 1024, 2048, 4096, 8192):
        values = [
            annotate(nlp, docs[: 4 * count], batch_tokens=n) for _ in range(times)
        ]
        row("budget", n, [4 * count / s for s in values], "docs/s")
    for n in (1, 2, 4, 8):
        values = [annotate(nlp, docs[:count], beam_width=n) for _ in range(times)]
        row("beams", n, [count / s for s in values], "docs/s")
    return rows


def occupied() -> dict[str, float]:
    """Memory of this process now, in MB: all that is resident, and that part of it
    which is not mapped from files. The system can take back what is mapped (libraries,
    weights as they lie on the disk) at any time."""
    fields = Path("/proc/self/statm").read_text().split()
    resident, mapped = (int(pages) * 4096 / 1e6 for pages in fields[1:3])
    return {"resident": resident, "not mapped from files": resident - mapped}


def texts_of(data: Path, count: int) -> list[str]:
    """Texts of several sets, in turn, all different."""
    nlp = spacy.blank("en")
    seen: dict[str, None] = {}
    for path in sorted(data.glob("*/*.jsonl.gz")):
        if "support" in path.name:
            continue
        docs, _ = read_docs(path, nlp)
        random.Random(0).shuffle(docs)
        for doc in docs:
            if len(doc) < 60:
                seen[doc.text] = None
                if len(seen) == count:
                    return list(seen)
    return list(seen)


def stream(data: Path, count: int) -> list[str]:
    """The texts, read in another process: what reading the sets leaves behind is not
    ours to be measured."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(texts_of, (data, count))


def memory(data: Path, name: str, cache: Path, count: int) -> list[Row]:
    """Memory over a stream of texts; to be run in a process of its own."""
    texts = stream(data, count)
    nlp = tuned(data, name, cache)
    gc.collect()
    rows: list[Row] = []

    def note(at: int) -> None:
        rows.extend(
            Row("memory", name, "MB", [size], x=at) for name, size in occupied().items()
        )

    note(0)
    for at, _ in enumerate(nlp.pipe(texts, batch_size=256), 1):
        if at % 512 == 0:
            note(at)
    return rows


def vocabulary(data: Path, count: int) -> list[Row]:
    """What the same stream costs in spaCy's tokenizer alone, which keeps the words it
    has met; to be run in a process of its own."""
    texts = stream(data, count)
    own = "not mapped from files"
    line = [
        Row("", own, "MB", [occupied()[own]], x=at)
        for at, _ in enumerate(spacy.blank("en").pipe(texts, batch_size=256), 1)
        if at % 512 == 0
    ]
    growth = 1000 * (slope(line) or 0.0)
    name = "slope with the tokenizer alone, after the first quarter"
    return [Row("vocabulary", name, "MB per 1,000 texts", [growth])]


START = """
import sys, time
begin = time.perf_counter()
import spacy
nlp = spacy.load(sys.argv[1])
loaded = time.perf_counter()
nlp("Where can I find a place that serves soup?")
print(loaded - begin, time.perf_counter() - loaded)
"""


def start(cache: Path, name: str, times: int) -> list[Row]:
    """Seconds from nothing to a loaded pipeline, and to its first text, in processes of
    their own."""
    folder = cache / name / "model-last"
    found = []
    for _ in range(times):
        line = [sys.executable, "-c", START, str(folder)]
        out = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        found.append([float(part) for part in out.split()])
    return [
        Row("start", "import and load", "s", [load for load, _ in found]),
        Row("start", "first text", "s", [first for _, first in found]),
    ]
