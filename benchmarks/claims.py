"""Labels that compete for a span: F1 and time without shots, with the setting `typing` and
without it, on the same texts in one process: `python -m benchmarks.claims`.

Chosen by the sets for development (trivia, Few-NERD dev, GUM); MIT's are reported.
"""

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.tokens import Doc
from wasabi import msg

from spacy_instructner.corpus.entities import entities_of, scored_entities_of
from spacy_instructner.data.blank_docs import without_annotation
from spacy_instructner.evaluation.metrics import Counts, count, total
from spacy_instructner.fewshot.machine import machine
from spacy_instructner.fewshot.markdown_tables import table
from spacy_instructner.formats.docs import read_docs
from spacy_instructner.tasks.labels import default_name

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


@dataclass(frozen=True)
class Texts:
    """docs: annotated texts; names: words for each label."""

    docs: list[Doc]
    names: dict[str, str]


def read_texts(data: Path, name: str, part: str, most: int) -> Texts:
    """The first of a shuffle that is the same every time, and all labels of the part."""
    docs, _ = read_docs(data / name / f"{part}.jsonl.gz", spacy.blank("en"))
    labels = sorted({ent.label_ for doc in docs for ent in doc.ents})
    known = srsly.read_json(data / "names.json").get(name, {})
    random.Random(0).shuffle(docs)
    return Texts(
        docs[:most], {label: known.get(label, default_name(label)) for label in labels}
    )


def measure(texts: Texts, typing: bool) -> dict[str, float]:
    """Counts of entities, those that are only function words or signs, and seconds of CPU
    time."""
    nlp = spacy.blank("en", vocab=texts.docs[0].vocab)
    labels = list(texts.names)
    config = {
        "task": {"@misc": "spacy-instructner.CLLMFS.v1"},
        "labels": labels,
        "label_names": texts.names,
        "typing": typing,
    }
    pipe: Any = nlp.add_pipe("instruction_ner", config=config)
    pipe(Doc(nlp.vocab, words=["nothing"]))
    docs = list(map(without_annotation, texts.docs))
    begin = time.process_time()
    docs = list(pipe.pipe(docs, batch_size=1000))
    seconds = time.process_time() - begin
    gold = list(map(entities_of, texts.docs))
    found = list(map(scored_entities_of, docs))
    return {
        **asdict(total(count(gold, found).values())),
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
    names = ("right", "predicted", "annotated")
    return 100 * Counts(*(int(counts[name]) for name in names)).f1


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
            "texts": len(texts.docs),
            "without": measure(texts, typing=False),
            "typing": measure(texts, typing=True),
        }
        msg.text(f"{name}: F1 {f1(row['without']):.1f}, {f1(row['typing']):.1f}")
        rows.append(row)
    srsly.write_json(args.output, {"machine": machine(), "rows": rows})
    msg.info("The tables: python -m benchmarks.pages")


if __name__ == "__main__":
    main()
