"""Just Pass Twice in a pipeline: windows, batches, labels of a call, thresholds, what is kept."""

import random
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin

import spacy_instructner.cli  # noqa: F401
from helpers.pipelines import MakeNLP
from helpers.scoring import TASK, trained_to_score
from helpers.shipped_configs import good
from helpers.threads import ask, together
from helpers.training import gold_docs
from spacy_instructner.calibration import Calibration

NAME = "instruction_ner"
WORDS = [
    "Anna",
    "Bert",
    "Paris",
    "Rome",
    "Brown",
    "lives",
    "in",
    "met",
    "and",
    ",",
    ".",
]


@pytest.fixture
def nlp(make_nlp: MakeNLP) -> Language:
    return trained_to_score(make_nlp, steps=25)


def made_up(nlp: Language, count: int, longest: int = 30) -> list[Doc]:
    rng = random.Random(count)
    return [
        Doc(nlp.vocab, words=rng.choices(WORDS, k=rng.randint(0, longest)))
        for _ in range(count)
    ]


def spans_of(doc: Doc) -> list[tuple[int, int, str, float]]:
    group = doc.spans[NAME]
    scores = group.attrs["scores"]
    return [(s.start, s.end, s.label_, float(x)) for s, x in zip(group, scores)]


def same(one: Doc, other: Doc) -> bool:
    """The same spans, but for what rounding moves over the floor."""
    left, right = (
        {span[:3]: span[3] for span in spans_of(doc) if span[3] > 0.101}
        for doc in (one, other)
    )
    return left.keys() == right.keys() and all(
        right[key] == pytest.approx(score, abs=1e-4) for key, score in left.items()
    )


def test_spans_lie_within_the_text_and_have_its_labels(nlp: Language) -> None:
    docs = list(nlp.pipe(made_up(nlp, 40)))
    found = [(doc, span) for doc in docs for span in spans_of(doc)]
    assert len(found) > 100
    for doc, (start, end, label, score) in found:
        assert 0 <= start < end <= len(doc)
        assert label in nlp.get_pipe(NAME).labels
        assert 0.1 <= score <= 1.0
    for doc in docs:
        scores = {span[:3]: span[3] for span in spans_of(doc)}
        for ent in doc.ents:
            assert scores[ent.start, ent.end, ent.label_] >= 0.4


def test_a_batch_is_as_one_by_one(nlp: Language) -> None:
    docs = made_up(nlp, 30)
    alone = [nlp(Doc(nlp.vocab, words=[t.text for t in doc])) for doc in docs]
    for batch_size in (7, 1000):
        again = [Doc(nlp.vocab, words=[t.text for t in doc]) for doc in docs]
        for one, other in zip(nlp.pipe(again, batch_size=batch_size), alone):
            assert same(one, other)


def test_long_texts_are_cut_into_windows(make_nlp: MakeNLP) -> None:
    nlp = trained_to_score(make_nlp, steps=25, max_window=20, window_overlap=8)
    words = ["lives", "in", "Rome", ",", "met", "Anna"] * 60
    doc = nlp(Doc(nlp.vocab, words=words))
    windows = nlp.get_pipe(NAME).requests([doc])
    assert len(windows) > 10
    starts = {span[0] for span in spans_of(doc) if span[3] > 0.5}
    # To the last sentence, and in the middle of windows as at their edges.
    assert len(starts) > 60 and max(starts) > 350


def test_labels_of_a_call(nlp: Language) -> None:
    (doc,) = nlp.pipe(
        ["Anna met Bert in Paris."], component_cfg={NAME: {"labels": ["PLACE"]}}
    )
    assert {span[2] for span in spans_of(doc)} <= {"PLACE"}
    assert nlp("Anna met Bert in Paris.").ents


def test_a_lower_threshold_finds_more(nlp: Language) -> None:
    pipe = nlp.get_pipe(NAME)
    before = -1
    for threshold in (0.9, 0.5, 0.2, 0.0):
        pipe.cfg["threshold"] = threshold
        found = sum(len(doc.ents) for doc in nlp.pipe(made_up(nlp, 20)))
        assert found >= before
        before = found
    pipe.cfg["threshold"] = 1.0
    assert before > sum(len(doc.ents) for doc in nlp.pipe(made_up(nlp, 20)))


def test_its_threshold_is_its_own_where_the_config_leaves_it_open(
    make_nlp: MakeNLP,
) -> None:
    def threshold(**config: object) -> float:
        found: float = make_nlp(**config).get_pipe(NAME).cfg["threshold"]
        return found

    assert threshold() == 0.0
    assert threshold(task=TASK) == 0.4
    assert threshold(task={**TASK, "threshold": 0.3}) == 0.3
    assert threshold(task=TASK, threshold=0.0) == 0.0


def test_find_threshold_and_calibration(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "saved")
    DocBin(docs=gold_docs(nlp)).to_disk(tmp_path / "dev.spacy")
    # fmt: off
    good(
        "instructner", "find-threshold", tmp_path / "saved", tmp_path / "dev.spacy",
        "--output", tmp_path / "found",
    )
    good(
        "find-threshold", tmp_path / "saved", tmp_path / "dev.spacy", NAME,
        "threshold", "ents_f", "--n_trials", 2,
    )
    # fmt: on
    assert 0.0 < spacy.load(tmp_path / "found").get_pipe(NAME).cfg["threshold"] < 1.0
    before = spans_of(nlp("Anna met Bert in Paris."))
    pipe = nlp.get_pipe(NAME)
    pipe.set_calibration(Calibration(0.5, -1.0))
    after = spans_of(nlp("Anna met Bert in Paris."))
    assert [span[:3] for span in after] == [span[:3] for span in before]
    expected = [Calibration(0.5, -1.0)(span[3]) for span in before]
    assert [span[3] for span in after] == pytest.approx(expected, abs=1e-4)
    assert pipe.cfg["threshold"] == pytest.approx(Calibration(0.5, -1.0)(0.4))


def test_prompts_can_be_kept(make_nlp: MakeNLP) -> None:
    nlp = trained_to_score(make_nlp, steps=1, save_io=True)
    doc = nlp("Anna met Bert.")
    (kept,) = doc.user_data["instruction_ner_io"][NAME]
    assert kept["prompt"].count("Sentence: Anna met Bert.") == 2
    assert kept["answer"] == ""


def test_many_threads(nlp: Language) -> None:
    text = "Anna met Bert in Paris and Carl in Rome."
    expected = ask(nlp, text)
    assert together(4, lambda _: ask(nlp, text)) == [expected] * 4
