"""Interrupts: whatever is broken off, the pipeline answers as before."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import spacy
from spacy.training import Example

from helpers.pipelines import MakeNLP
from helpers.threads import TEXTS, ask, on_three_kinds, saved, together, training
from spacy_instructner.models.thinc_model import get_backbone

NAME = "instruction_ner"


class Interruption:
    """Raises KeyboardInterrupt at the n-th line of the package that is run."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __enter__(self) -> "Interruption":
        sys.settrace(self.trace)
        return self

    def __exit__(self, *error: Any) -> None:
        sys.settrace(None)

    def trace(self, frame: Any, event: str, arg: Any) -> Any:
        own = f"{os.sep}spacy_instructner{os.sep}" in frame.f_code.co_filename
        if event == "call":
            return self.trace if own else None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self.trace


def lines_of(work: Callable[[], Any]) -> int:
    with Interruption(-1) as counting:
        work()
    return -1 - counting.left


@pytest.mark.long
@on_three_kinds
def test_an_interrupted_first_call(make_nlp: MakeNLP, tmp_path: Path) -> None:
    """Wherever it stops, the next call answers as if there had been none."""
    folder = saved(make_nlp, tmp_path / "pipeline")
    text = TEXTS[0]
    expected = ask(spacy.load(folder), text)
    whole = lines_of(lambda: ask(spacy.load(folder), text))
    loading = lines_of(lambda: spacy.load(folder))
    assert whole - loading > 500
    # All of the first steps, where weights are merged and prompts made, then some.
    where = [*range(loading + 1, loading + 60, 4)]
    where += range(loading + 60, whole, (whole - loading) // 15)
    broken = 0
    for line in where:
        nlp = spacy.load(folder)
        try:
            with Interruption(line - loading):
                ask(nlp, text)
        except KeyboardInterrupt:
            broken += 1
        assert ask(nlp, text) == expected, line - loading
        # No lock is left behind for other threads.
        (other,) = together(1, lambda _, nlp=nlp: ask(nlp, text))
        assert other == expected
    assert broken > len(where) * 0.9


@pytest.mark.long
def test_an_interrupted_loading(make_nlp: MakeNLP) -> None:
    """Weights that come at the first call come whole at the next."""
    expected = ask(make_nlp(), TEXTS[0])
    whole = lines_of(lambda: ask(make_nlp(), TEXTS[0]))
    for line in range(20, whole, whole // 20):
        nlp = make_nlp()
        with contextlib.suppress(KeyboardInterrupt), Interruption(line):
            ask(nlp, TEXTS[0])
        assert ask(nlp, TEXTS[0]) == expected, line
        assert together(1, lambda _: ask(make_nlp(), TEXTS[0])) == [expected]


@pytest.mark.long
def test_an_interrupted_beginning_of_training(make_nlp: MakeNLP) -> None:
    """`initialize` changes labels and weights, or nothing; so does loading."""
    nlp = make_nlp(model={"adapter": {"@misc": "spacy-instructner.LoRA.v1"}})
    steps = training(nlp)
    for _ in range(3):
        next(steps)
    pipe: Any = nlp.get_pipe(NAME)

    def state() -> Any:
        return {**pipe.cfg}, pipe.state.labels_given, ask(nlp, TEXTS[0])

    examples = [Example(nlp.make_doc(TEXTS[0]), nlp.make_doc(TEXTS[0]))]
    saved, before = nlp.to_bytes(), state()
    nlp.from_bytes(saved)
    loaded = state()

    def begin() -> None:
        pipe.initialize(lambda: examples, labels=["CITY", "PERSON"])

    whole = lines_of(begin)
    after = state()
    assert after[0]["labels"] == ["CITY", "PERSON"] and after[2] != before[2]
    for line in range(2, whole, whole // 12):
        nlp.from_bytes(saved)
        with contextlib.suppress(KeyboardInterrupt), Interruption(line):
            begin()
        assert state() in (loaded, after), line
    reading = lines_of(lambda: nlp.from_bytes(saved))
    for line in range(2, reading, reading // 8):
        begin()
        with contextlib.suppress(KeyboardInterrupt), Interruption(line):
            nlp.from_bytes(saved)
        assert state() in (after, loaded), line


def test_an_interrupted_update(make_nlp: MakeNLP) -> None:
    """Half of a step is no part of the next."""
    # Every record is a pack of its own.
    lora = {"@misc": "spacy-instructner.LoRA.v1"}
    nlp = make_nlp(model={"adapter": lora, "pack_tokens": 1})
    whole = []
    for broken in (False, True):
        steps = training(nlp)
        next(steps)
        pipe: Any = nlp.get_pipe(NAME)
        if broken:
            backbone = get_backbone(pipe.model)
            passes = [backbone.forward_records] * 2 + [
                mock.Mock(side_effect=KeyboardInterrupt)
            ]
            forward_records = mock.Mock(side_effect=lambda *a, p=passes: p.pop(0)(*a))
            example = Example(nlp.make_doc(TEXTS[0]), nlp(TEXTS[0]))
            with mock.patch.object(backbone, "forward_records", forward_records):
                with pytest.raises(KeyboardInterrupt):
                    pipe.update([example])
            assert forward_records.call_count == 3
        next(steps)
        whole.append(ask(nlp, TEXTS[0]))
    assert whole[0] == whole[1] != ()
