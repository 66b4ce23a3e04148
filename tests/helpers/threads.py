"""Pipelines that many ask at once, and what they found."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from helpers.pipelines import MakeNLP

T = TypeVar("T")
NAME = "instruction_ner"
TEXTS = [
    "Anna met Bert in Paris and Carl in Rome.",
    "Rome",
    "Anna's friend lives in Rome and Bert lives in Paris, which is an old place.",
    "Paris Brown, Anna Rome and Bert met.",
    "None of the words is known.",
    "Bert and Anna and Bert and Anna in Paris, Rome, Paris.",
]
GOLD = [
    ("Anna met Bert in Paris.", [(0, 1, "PERSON"), (2, 3, "PERSON"), (4, 5, "PLACE")]),
    ("Rome, Paris and Anna", [(0, 1, "PLACE"), (2, 3, "PLACE"), (4, 5, "PERSON")]),
]
Found = tuple[tuple[int, int, str, float], ...]


# Each way to keep what is under way, and both methods.
on_three_kinds = pytest.mark.parametrize(
    "make_nlp", ["causal cllmfs", "t5", "bart"], indirect=True
)


@contextlib.contextmanager
def eager_switches() -> Iterator[None]:
    """Threads take turns as often as can be, so that what can meet does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def found(doc: Doc) -> Found:
    """To the bit."""
    group = doc.spans[NAME]
    scores = group.attrs["scores"]
    return tuple((s.start, s.end, s.label_, float(p)) for s, p in zip(group, scores))


def ask(nlp: Language, text: str) -> Found:
    return found(nlp(text))


def together(count: int, work: Callable[[int], T]) -> list[T]:
    """What so many threads that begin at one moment give, in order."""
    barrier = threading.Barrier(count)

    def begin(number: int) -> T:
        barrier.wait()
        return work(number)

    with eager_switches(), ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def saved(make_nlp: MakeNLP, folder: Path, learn: bool = True) -> Path:
    """A pipeline with an adapter that says something, on disk."""
    nlp = make_nlp(model={"adapter": {"@misc": "spacy-instructner.LoRA.v1"}})
    if learn:
        steps = training(nlp)
        for _ in range(3):
            next(steps)
    nlp.to_disk(folder)
    return folder


def training(nlp: Language, rate: float = 1e-2) -> Iterator[None]:
    """Steps of training, always the same."""
    examples = []
    for text, entities in GOLD:
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, *each) for each in entities], default="outside")
        examples.append(Example(nlp.make_doc(text), doc))
    fix_random_seed(0)
    nlp.initialize(lambda: examples)
    pipe: Any = nlp.get_pipe(NAME)
    optimizer = Adam(rate)
    while True:
        pipe.update(examples, sgd=optimizer)
        yield
