"""A pipeline that threads share answers as one thread alone does."""

import threading
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from accelerate import init_empty_weights
from spacy.language import Language

from spacy_instructner.models.thinc_model import get_inference_backbone

try:
    from transformers.initialization import no_init_weights
except ImportError:
    from transformers.modeling_utils import no_init_weights
from helpers.pipelines import MakeNLP
from helpers.places import SHARED
from helpers.threads import (
    TEXTS,
    Found,
    ask,
    found,
    on_three_kinds,
    saved,
    together,
    training,
)
from spacy_instructner.models.thinc_model import get_backbone, has_backbone
from spacy_instructner.weights.sources import fetch

NAME = "instruction_ner"


@pytest.mark.long
@on_three_kinds
def test_first_calls_of_a_loaded_pipeline(make_nlp: MakeNLP, tmp_path: Path) -> None:
    folder = saved(make_nlp, tmp_path / "pipeline")
    alone = spacy.load(folder)
    expected = [ask(alone, text) for text in TEXTS]
    assert sum(map(len, expected)) > 2
    for _ in range(3):
        nlp = spacy.load(folder)
        assert together(len(TEXTS), lambda at, nlp=nlp: ask(nlp, TEXTS[at])) == expected
        assert [ask(nlp, text) for text in TEXTS] == expected


@pytest.mark.long
@on_three_kinds
def test_first_calls_that_load_the_weights(
    make_nlp: MakeNLP, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [ask(make_nlp(), text) for text in TEXTS]
    nlp = make_nlp()
    assert not has_backbone(nlp.get_pipe(NAME).model)
    assert together(len(TEXTS), lambda at, nlp=nlp: ask(nlp, TEXTS[at])) == expected
    # Other pipelines of the process are as they would be.
    assert [ask(make_nlp(), text) for text in TEXTS] == expected


@pytest.mark.long
@on_three_kinds
def test_a_pipeline_that_has_answered_before(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    expected = [ask(nlp, text) for text in TEXTS]

    def batches(number: int) -> list[list[Found]]:
        # Each thread another text first, one by one and as a stream.
        order = TEXTS[number % 6 :] + TEXTS[: number % 6]
        one = [ask(nlp, text) for text in order]
        streamed = [found(doc) for doc in nlp.pipe(order, batch_size=1)]
        return [one[-number % 6 :] + one[: -number % 6], streamed]

    for number, (one, streamed) in enumerate(together(8, batches)):
        assert one == expected
        assert streamed == expected[number % 6 :] + expected[: number % 6]


def test_other_labels_in_every_thread(make_nlp: MakeNLP) -> None:
    """More label sets than are kept, each prompt's prefix read for the first time."""
    nlp = make_nlp()
    asked = [[f"PLACE {number}", "PERSON"] for number in range(24)]

    def ask_for(number: int) -> Found:
        (doc,) = nlp.pipe(TEXTS[:1], component_cfg={NAME: {"labels": asked[number]}})
        return found(doc)

    alone = [ask_for(number) for number in range(24)]
    assert len(set(alone)) > 4
    again = make_nlp()
    again.get_pipe(NAME)._bound.most = 3
    nlp = again
    assert together(24, ask_for) == alone


@pytest.mark.long
def test_several_pipelines_load_and_answer_side_by_side(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    folders = [
        saved(make_nlp, tmp_path / "learned"),
        saved(make_nlp, tmp_path / "fresh", learn=False),
    ]
    expected = [[ask(spacy.load(each), text) for text in TEXTS] for each in folders]
    assert expected[0] != expected[1]

    def load(number: int) -> list[Found]:
        if number > 3:
            return [ask(make_nlp(), text) for text in TEXTS]
        nlp = spacy.load(folders[number % 2])
        return [ask(nlp, text) for text in TEXTS]

    lazily = [ask(make_nlp(), text) for text in TEXTS]
    assert together(6, load) == [*expected, *expected, lazily, lazily]
    assert [ask(make_nlp(), text) for text in TEXTS] == lazily
    # What is initialised now is initialised as ever.
    assert float(torch.nn.Linear(8, 8).weight.detach().std()) > 0.0


def test_somebody_elses_loading(make_nlp: MakeNLP, tmp_path: Path) -> None:
    """While any code of the process loads weights, new modules come without any."""
    folder = saved(make_nlp, tmp_path / "pipeline")
    expected = ask(spacy.load(folder), TEXTS[0])
    nlp = spacy.load(folder)
    with init_empty_weights(), no_init_weights():
        assert together(2, lambda _: ask(nlp, TEXTS[0])) == [expected] * 2


def test_training_while_others_annotate(make_nlp: MakeNLP) -> None:
    """Each text is answered by the weights before an update or after one."""
    adapter = {"adapter": {"@misc": "spacy-instructner.LoRA.v1"}}
    nlp = make_nlp(model=adapter)
    steps = training(nlp)
    after: list[Found] = []
    for _ in range(6):
        next(steps)
        after.append(ask(nlp, TEXTS[0]))
    assert len(set(after)) == 6

    nlp = make_nlp(model=adapter)
    steps, seen, done = training(nlp), set(), threading.Event()
    next(steps)

    def work(number: int) -> None:
        if number:
            while not done.is_set():
                seen.add(ask(nlp, TEXTS[0]))
            return
        for _ in range(5):
            next(steps)
        done.set()

    together(3, work)
    assert seen <= set(after)
    # What others read did not disturb what was learned.
    assert ask(nlp, TEXTS[0]) == after[-1]


def test_all_weights_learn_while_others_annotate(make_nlp: MakeNLP) -> None:
    """Without an adapter, who reads keeps the weights that it began with."""
    nlp = make_nlp(model={"adapter": None})
    steps = training(nlp, 1e-3)
    next(steps)
    before = ask(nlp, TEXTS[0])
    reader = get_inference_backbone(nlp.get_pipe(NAME).model)
    kept = {name: tensor.clone() for name, tensor in reader.named_parameters()}
    next(steps)
    learned = dict(get_backbone(nlp.get_pipe(NAME).model).named_parameters())
    assert all(torch.equal(t, kept[name]) for name, t in reader.named_parameters())
    assert not all(torch.equal(tensor, kept[name]) for name, tensor in learned.items())
    assert ask(nlp, TEXTS[0]) != before


def test_labels_are_changed_as_a_whole(make_nlp: MakeNLP) -> None:
    """A text is asked for the labels of one moment, in their own words."""
    nlp = make_nlp()
    pipe: Any = nlp.get_pipe(NAME)
    sets = [
        (["A", "B"], {"A": "person", "B": "place"}),
        (["A", "B"], {"A": "place", "B": "person"}),
    ]
    words = set()
    done = threading.Event()

    def work(number: int) -> None:
        if number:
            while not done.is_set():
                words.add(tuple(pipe._label_set(None).names))
            return
        for turn in range(2000):
            pipe.set_labels(sets[turn % 2][0], sets[turn % 2][1])
        done.set()

    pipe.set_labels(*sets[0])
    together(3, work)
    assert words <= {("person", "place"), ("place", "person")}


@pytest.mark.slow
def test_the_default_in_32_threads() -> None:
    """Real weights in float32, real texts: bit-equal to one thread."""
    data = SHARED / "mit_restaurant" / "test.jsonl.gz"
    if not data.is_file():
        pytest.skip("needs the data sets")
    from spacy_instructner.data.corpora import read_docs

    fetch()

    def make() -> Language:
        nlp = spacy.blank("en")
        config = {"labels": ["dish", "cuisine", "location"], "model": {}}
        config["model"] = {
            "@architectures": "spacy-instructner.CausalLM.v1",
            "precision": "float32",
            "adapter": {"@misc": "spacy-instructner.LoRA.v1"},
        }
        nlp.add_pipe(NAME, config=config)
        return nlp

    nlp = make()
    texts = [doc.text for doc in read_docs(data, nlp)[0][:200]]
    alone = [ask(nlp, text) for text in texts]
    assert sum(map(len, alone)) > 100
    nlp = make()
    answers = together(32, lambda at: [ask(nlp, text) for text in texts[at::32]])
    assert answers == [alone[at::32] for at in range(32)]
