"""Threads, interrupts and forks: a pipeline answers as one thread alone does."""

import asyncio
import contextlib
import copy
import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import pytest
import spacy
import torch
from accelerate import init_empty_weights
from conftest import SHARED
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

try:
    from transformers.initialization import no_init_weights
except ImportError:
    from transformers.modeling_utils import no_init_weights

from spacy_instructner import locks
from spacy_instructner.locks import LOADING, Cache, Lock
from spacy_instructner.models.thinc_model import (
    get_backbone,
    get_inference_backbone,
    has_backbone,
)
from spacy_instructner.weights.sources import fetch

MakeNLP = Callable[..., Language]
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
            with mock.patch.object(backbone, "study", forward_records):
                with pytest.raises(KeyboardInterrupt):
                    pipe.update([example])
            assert forward_records.call_count == 3
        next(steps)
        whole.append(ask(nlp, TEXTS[0]))
    assert whole[0] == whole[1] != ()


def forked(nlp: Language, texts: list[str]) -> list[Found]:
    return [found(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_after_threads_and_among_them(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    expected = [ask(nlp, text) for text in TEXTS]
    together(4, lambda at: ask(nlp, TEXTS[at]))
    assert forked(nlp, TEXTS) == expected
    # Processes begin while other threads of this one hold whatever they hold.
    done = threading.Event()

    def work(number: int) -> list[list[Found]]:
        out = []
        while not done.is_set():
            out.append([ask(nlp, text) for text in TEXTS])
        return out

    with eager_switches(), ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(work, number) for number in range(2)]
        try:
            processes = [forked(nlp, TEXTS) for _ in range(3)]
        finally:
            done.set()
    assert processes == [expected] * 3
    for thread in threads:
        assert thread.result() and all(own == expected for own in thread.result())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_for_loading_and_finds_other_locks_free() -> None:
    lock, inside, leave = Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock, LOADING:
            inside.set()
            leave.wait(0.5)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_take, args=(lock,))
    child.start()
    # The parent went on only when the other thread had let go.
    assert LOADING.acquire(blocking=False)
    LOADING.release()
    child.join(20)
    leave.set()
    holder.join()
    assert child.exitcode == 0


def _take(lock: Any) -> None:
    taken = lock.acquire(timeout=5) and LOADING.acquire(timeout=5)
    os._exit(0 if taken else 1)


def test_tasks_of_asyncio(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()

    async def all_of_them() -> list[Found]:
        asked = [asyncio.to_thread(ask, nlp, text) for text in TEXTS * 4]
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(all_of_them())
    assert answers == [ask(make_nlp(), text) for text in TEXTS] * 4


def test_what_is_kept_as_io_is_of_the_text(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(save_io=True)
    kept = [nlp(text).user_data["instruction_ner_io"] for text in TEXTS]
    nlp = make_nlp(save_io=True)

    def io(number: int) -> Any:
        return nlp(TEXTS[number % 6]).user_data["instruction_ner_io"]

    assert together(12, io) == kept * 2


def test_a_cache_makes_once_what_is_asked_for_at_once() -> None:
    made: list[int] = []
    cache: Cache[int, str] = Cache(2)

    def make(key: int) -> str:
        made.append(key)
        return str(key)

    assert together(8, lambda _: cache.get(1, lambda: make(1))) == ["1"] * 8
    assert made == [1]
    cache.get(2, lambda: make(2))
    cache.get(1, lambda: make(1))
    cache.get(3, lambda: make(3))  # 2 was not used for longest
    assert len(cache) == 2
    cache.get(1, lambda: make(1))
    cache.get(2, lambda: make(2))
    assert made == [1, 2, 3, 2]

    def fail() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get(9, fail)
    assert together(1, lambda _: cache.get(9, lambda: "nine")) == ["nine"]


def test_a_copy_of_a_lock_is_free() -> None:
    lock = Lock()
    with lock:
        copies = copy.deepcopy(lock), pickle.loads(pickle.dumps(lock))
    for other in copies:
        assert type(other) is Lock and other is not lock
        assert together(1, lambda _, other=other: other.acquire(timeout=1)) == [True]


def test_locks_are_forgotten_with_what_they_guard() -> None:
    before = len(locks._LOCKS)
    cache: Cache[int, int] = Cache(1)
    assert len(locks._LOCKS) == before + 1
    del cache
    assert len(locks._LOCKS) == before


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
