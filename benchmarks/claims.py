"""Labels that compete for a span: F1 and time without shots, with the setting `typing` and
without it, on the same texts in one process: `python -m benchmarks.claims`.

Chosen by the sets for development (trivia, Few-NERD dev, GUM); MIT's are reported.
"""

import argparse
import gzip
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.tokens import Doc
from wasabi import msg

from spacy_instructner.fewshot.machine import machine
from spacy_instructner.fewshot.report import table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "claims.json"
# Data sets and their parts.
SETS = (
    ("mit_movie_trivia", "test"),
    ("fewnerd_inter", "dev"),
    ("gum", "test"),
    ("mit_restaurant", "test"),
    ("mit_movie_eng", "test"),
)
Entities = set[tuple[int, int, str]]


@dataclass(frozen=True)
class Texts:
    """Texts as words, and their entities by words. names: words for each label."""

    words: list[list[str]]
    gold: list[Entities]
    names: dict[str, str]


def read_texts(data: Path, name: str, part: str, count: int) -> Texts:
    """The first of a shuffle that is the same every time, and all labels of the part."""
    with gzip.open(data / name / f"{part}.jsonl.gz", "rt", encoding="utf8") as file_:
        rows: list[dict[str, Any]] = [json.loads(line) for line in file_]
    known = srsly.read_json(data / "names.json").get(name, {})
    labels = sorted({span["label"] for row in rows for span in row["spans"]})
    plain = {each: each.lower().replace("_", " ").replace("-", " ") for each in labels}
    random.Random(0).shuffle(rows)
    rows = rows[:count]
    return Texts(
        [row["tokens"] for row in rows],
        [entities_of(row) for row in rows],
        {label: known.get(label, plain[label]) for label in labels},
    )


def entities_of(row: dict[str, Any]) -> Entities:
    """The entities of a row by words; its characters count one space between words."""
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    at = 0
    for number, word in enumerate(row["tokens"]):
        starts[at] = number
        at += len(word)
        ends[at] = number + 1
        at += 1
    return {(starts[s["start"]], ends[s["end"]], s["label"]) for s in row["spans"]}


def measure(texts: Texts, typing: bool) -> dict[str, float]:
    """Counts of entities, those that are only function words or signs, and seconds of CPU
    time."""
    nlp = spacy.blank("en")
    labels = list(texts.names)
    config = {"labels": labels, "label_names": texts.names, "typing": typing}
    pipe: Any = nlp.add_pipe("instruction_ner", config=config)
    pipe(Doc(nlp.vocab, words=["nothing"]))
    docs = [Doc(nlp.vocab, words=words) for words in texts.words]
    begin = time.process_time()
    docs = list(pipe.pipe(docs, batch_size=1000))
    seconds = time.process_time() - begin
    found = [{(e.start, e.end, e.label_) for e in doc.ents} for doc in docs]
    return {
        "right": sum(len(a & b) for a, b in zip(found, texts.gold)),
        "predicted": sum(map(len, found)),
        "annotated": sum(map(len, texts.gold)),
        "empty": sum(map(len, map(empty_entities, docs))),
        "seconds": round(seconds, 1),
    }


def empty_entities(doc: Doc) -> list[str]:
    """Entities that are only function words in lower case, or only signs."""

    def empty(text: str, is_stop: bool) -> bool:
        signs = not any(letter.isalnum() for letter in text)
        return signs or (is_stop and text.islower())

    return [ent.text for ent in doc.ents if all(empty(t.text, t.is_stop) for t in ent)]


def section(name: str, folder: str) -> str:
    """The table of the marker `claims`."""
    if name != "claims":
        raise KeyError(name)
    results = srsly.read_json(RESULTS)
    rows: list[Sequence[object]] = []
    for row in results["rows"]:
        without, typing = row["without"], row["typing"]
        rows.append(
            [
                f"{row['set']}, {row['part']}",
                row["texts"],
                *(f"{f1(each):.1f}" for each in (without, typing)),
                *(f"{each['seconds']:.1f}" for each in (without, typing)),
                f"{without['empty']}, {typing['empty']}",
            ]
        )
    head = ["data", "texts", "F1 without", "F1 with", "CPU s without", "CPU s with"]
    return table([*head, "entities without a content word"], rows)


def f1(counts: dict[str, float]) -> float:
    """Strict micro F1 in percent."""
    both = counts["predicted"] + counts["annotated"]
    return 200 * counts["right"] / both if both else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.claims", description=__doc__
    )
    # fmt: off
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data",
                        help="folder with the data sets")
    parser.add_argument("--texts", type=int, default=80, help="texts of each set")
    parser.add_argument("--output", type=Path, default=RESULTS)
    # fmt: on
    args = parser.parse_args()
    rows = []
    for name, part in SETS:
        texts = read_texts(args.data, name, part, args.texts)
        row = {
            "set": name,
            "part": part,
            "texts": len(texts.words),
            "without": measure(texts, typing=False),
            "typing": measure(texts, typing=True),
        }
        msg.text(f"{name}: F1 {f1(row['without']):.1f}, {f1(row['typing']):.1f}")
        rows.append(row)
    srsly.write_json(args.output, {"machine": machine(), "rows": rows})
    msg.info("The tables: python -m benchmarks.pages")


if __name__ == "__main__":
    main()
