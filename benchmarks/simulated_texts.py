"""The data sets of `benchmarks.simulated`, and their texts with the annotation that takes the
place of a person's."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import filter_spans

from spacy_instructner.char_spans import CharSpan
from spacy_instructner.formats.docs import make_docs
from spacy_instructner.formats.json_rows import read_json_rows
from spacy_instructner.formats.rows import Row
from spacy_instructner.formats.text_files import read_text
from spacy_instructner.tasks.labels import default_name

# Sentences to choose from, and to score by.
POOL, SCORED = 300, 300
# By name: the folder, and the files that are scored by; where these hold too few sentences, the
# rest is of the train file. The last source is held out of the base as a whole
# (assets/base/held_out.json).
SETS: dict[str, tuple[str, str]] = {
    "mit_movie_trivia": ("mit_movie_trivia", "test"),
    "mit_restaurant": ("mit_restaurant", "test"),
    "bionlp13cg": ("base/bionlp13cg", "dev"),
}


@dataclass(frozen=True)
class PoolText:
    """A text that may be chosen, and its entities, which begin and end with words."""

    text: str
    spans: tuple[CharSpan, ...]


@dataclass(frozen=True)
class SimulatedTexts:
    """labels: as a person would name them; pool: texts to choose from; scored: annotated
    texts to score by, none of them in the pool."""

    labels: tuple[str, ...]
    pool: tuple[PoolText, ...]
    scored: tuple[Doc, ...]


def read_simulated(
    data: Path, name: str, seed: int, pool: int = POOL, scored: int = SCORED
) -> SimulatedTexts:
    """The texts of a data set.

    data (Path): the folder with the data sets; name (str): one of `SETS`.
    seed (int): which texts are the pool. Those that are scored are the same for all seeds.
    pool, scored (int): how many texts.
    RETURNS (SimulatedTexts): the texts, whose labels are words. Raises OSError for a
        missing file, and ValueError where there are too few texts."""
    folder, part = SETS[name]
    words = words_of(data, name)
    other = unique(read_rows(data / folder / f"{part}.jsonl.gz", words))
    known = {row.text for row in other}
    every = unique(read_rows(data / folder / "train.jsonl.gz", words))
    train = [row for row in every if row.text not in known]
    # What is scored is the same for every seed.
    random.Random(0).shuffle(other)
    random.Random(0).shuffle(train)
    short = max(0, scored - len(other))
    scoring, rest = [*other[:scored], *train[:short]], train[short:]
    random.Random(seed).shuffle(rest)
    if len(rest) < pool or len(scoring) < scored:
        raise ValueError(
            f"{name} has {len(scoring)} texts to score by and {len(rest)} to choose from: "
            f"{scored} and {pool} are needed."
        )
    nlp = spacy.blank("en")
    return SimulatedTexts(
        tuple(sorted({label for row in every for *_, label in row.spans})),
        tuple(marked(nlp, row) for row in rest[:pool]),
        tuple(make_docs(scoring, nlp)[0]),
    )


def words_of(data: Path, name: str) -> Mapping[str, str]:
    """What a person would call labels of a set; others have their own name in words."""
    if name == "bionlp13cg":
        wording: dict[str, Any] = srsly.read_json(data / "base" / "wording.json")
        return {
            key.partition("/")[2]: own["names"][0]
            for key, own in wording.items()
            if key.startswith(f"{name}/")
        }
    found: dict[str, str] = srsly.read_json(data / "names.json").get(name, {})
    return found


def read_rows(path: Path, words: Mapping[str, str]) -> list[Row]:
    """The rows of a file with other labels. words: in their place."""
    rows, _ = read_json_rows(read_text(path), str(path))
    return [
        Row(
            row.where,
            row.text,
            row.tokens,
            tuple((a, b, words.get(x, default_name(x))) for a, b, x in row.spans),
        )
        for row in rows
    ]


def unique(rows: Iterable[Row]) -> list[Row]:
    """The first row of each text."""
    return list({row.text: row for row in reversed(list(rows))}.values())[::-1]


def marked(nlp: Language, row: Row) -> PoolText:
    """A text as a person marks it on the page, who can choose whole words alone: an entity
    that begins or ends inside of a word gets all of it."""
    doc = nlp.make_doc(row.text or "")
    spans = [
        span
        for start, end, label in row.spans
        if (span := doc.char_span(start, end, label, alignment_mode="expand"))
    ]
    kept = filter_spans(spans)
    return PoolText(doc.text, tuple((s.start_char, s.end_char, s.label_) for s in kept))
