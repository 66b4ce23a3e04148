"""Self-training: texts that a component annotates itself, after a while."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import spacy
from confection import Config
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from thinc.api import Adam, fix_random_seed

from helpers.pipelines import LORA, MakeNLP
from helpers.training import examples, gold_docs, tiny_fewshot
from spacy_instructner.adaptation import precision_bound as bounds
from spacy_instructner.adaptation.precision_bound import precision_bound
from spacy_instructner.adaptation.self_training import build_self_training_v1
from spacy_instructner.component import InstructionNERPipe
from spacy_instructner.data.gold import read_example
from spacy_instructner.evaluation.weight_choice import fold_config

NAME = "instruction_ner"
SCORED = {
    "@misc": "spacy-instructner.JustPassTwice.v1",
    "head_size": 8,
    "head_hidden": 8,
    "floor": 0.01,
}
TEXTS = ["Anna saw Rome.", "Bert and Carl", "It is new.", "Anna met Bert in Paris."]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Texts, of which one is a training text, one stands twice and one cannot be read."""
    made = tmp_path / "texts.jsonl.gz"
    with gzip.open(made, "wt") as file_:
        file_.writelines(json.dumps({"text": text}) + "\n" for text in TEXTS)
        file_.write('{"text": "Bert and Carl"}\n{"no": 1}\n\n')
    return made


def begun(make_nlp: MakeNLP, path: Path, **more: Any) -> Language:
    """A pipeline that is initialized with self-training. more: its settings."""
    fix_random_seed(0)
    nlp = make_nlp(labels=[], task=SCORED, model={"adapter": LORA})
    settings = {
        "@misc": "spacy-instructner.SelfTraining.v1",
        "path": str(path),
        "after": 2,
        **more,
    }
    nlp.config["initialize"]["components"][NAME] = {"self_training": settings}
    nlp.config["training"]["max_steps"] = 9
    with pytest.warns(UserWarning, match="1 texts of .* cannot be read .* line 6"):
        nlp.initialize(lambda: examples(nlp))
    return nlp


def pipe_in(nlp: Language) -> InstructionNERPipe:
    pipe = nlp.get_pipe(NAME)
    assert isinstance(pipe, InstructionNERPipe)
    return pipe


def test_texts_join_after_a_while_with_what_is_found_then(
    make_nlp: MakeNLP, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = begun(make_nlp, path, bound=0.05, share=1.0)
    pipe, given = pipe_in(nlp), examples(nlp)
    for _ in range(2):
        assert pipe.state.join(given) == given
    pipe.state.updates = 1
    nlp.update(given, sgd=Adam(0.01))
    blank = [nlp.make_doc(text) for text in TEXTS[:3]]
    predicted = dict(zip(TEXTS, pipe.predict(blank)))
    with caplog.at_level(logging.INFO, logger="spacy"):
        learned = pipe.state.join(given)
    assert len(learned) == 2 * len(given) and learned[:4] == given
    (further,) = pipe.state.further
    (pool,) = further.pools
    assert {doc.text for doc in pool} <= set(TEXTS[:3])
    sure = 0
    for doc in pool:
        gold = read_example(Example(doc.copy(), doc)).gold
        own = {(f.start, f.end, f.label): f.score for f in predicted[doc.text].found}
        assert all(own[entity] >= 0.05 for entity in gold.entities)
        inside = {at for start, end, _ in gold.entities for at in range(start, end)}
        for (start, end, label), score in own.items():
            if score < 0.05:
                assert set(range(start, end)) - inside <= gold.unknown_of(label)
        # Those of which nothing is sure are left out.
        assert gold.entities
        sure += len(gold.entities)
    (said,) = {each for each in caplog.messages if "annotated itself" in each}
    assert f"learns from {len(pool)} of 3 texts" in said
    assert f": {sure} spans are sure from 0.050 on" in said
    # Once: what is found afterwards changes nothing.
    pipe.state.join(given)
    assert pipe.state.further[0].pools[0] is pool


def test_where_nothing_is_sure_nothing_joins_and_it_is_told(
    make_nlp: MakeNLP, path: Path
) -> None:
    nlp = begun(make_nlp, path, bound=1.0, after=1)
    pipe, given = pipe_in(nlp), examples(nlp)
    nlp.update(given, sgd=Adam(0.01))
    with pytest.warns(UserWarning, match="sure of no span .* Lower `bound` "):
        nlp.update(given, sgd=Adam(0.01))
    assert pipe.state.further[0].pools == ()
    assert pipe.state.join(given) == given


def test_files_with_words_of_their_own(make_nlp: MakeNLP, tmp_path: Path) -> None:
    nlp = make_nlp(task=SCORED, model={"adapter": LORA})
    doc = nlp.make_doc("Carl is here")
    doc.user_data["instruction_ner_labels"] = ["X"]
    doc.ents = [spacy.tokens.Span(doc, 0, 1, label="X")]
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "texts.spacy")
    begin = build_self_training_v1(tmp_path / "texts.spacy", after=1)
    (read,) = begin.__self__.read(nlp, set())  # type: ignore[attr-defined]
    assert [token.text for token in read] == ["Carl", "is", "here"]
    assert not read.ents and not read.user_data
    (tmp_path / "texts.txt").write_text("Anna, again\nAnna\n")
    plan = build_self_training_v1(tmp_path / "texts.txt", after=1, most_texts=1)
    (read,) = plan.__self__.read(nlp, set())  # type: ignore[attr-defined]
    assert read.text == "Anna, again"


def test_the_bound_is_the_lowest_score_with_the_precision() -> None:
    right = [(0.9 - at / 100, True) for at in range(18)]
    assert precision_bound([*right, (0.5, False), (0.4, False)], 0.9) == 0.4
    assert precision_bound([*right, *[(0.5, False)] * 3], 0.9) == right[-1][0]
    # Spans of one score come together.
    assert precision_bound([(0.7, True)] * 9 + [(0.7, False)] * 2, 0.9) is None
    assert precision_bound([(0.7, True)] * 9, 0.9) is None
    assert precision_bound([(0.7, True)] * 10, 0.9) == 0.7
    assert precision_bound([], 0.9) is None


@pytest.fixture
def config(tiny_causal: Path, path: Path, tmp_path: Path) -> Config:
    """`fewshot.cfg` with self-training whose bound is found, on a tiny model."""
    config = tiny_fewshot(tiny_causal, tmp_path, 6)
    config["initialize"]["components"][NAME].update(
        rehearsal={"@misc": "spacy-instructner.Rehearsal.v1", "shipped": False},
        self_training={
            "@misc": "spacy-instructner.SelfTraining.v1",
            "path": str(path),
            "after": 4,
            "bound": None,
        },
    )
    return config


@pytest.mark.filterwarnings("ignore:1 texts of")
def test_the_bound_is_found_on_texts_that_others_taught(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[set[str], Config]] = []
    asked: list[str] = []

    def train(own: Config, rest: list[Any], overrides: Any, **more: Any) -> Any:
        trained.append(({doc.text for doc in rest}, own))
        return len(trained)

    def judge(nlp: Any, held_out: list[Any]) -> list[tuple[float, bool]]:
        asked.extend(doc.text for doc in held_out)
        assert trained[nlp - 1][0].isdisjoint(doc.text for doc in held_out)
        return [(0.5 + nlp / 10, True)] * 6

    monkeypatch.setattr(bounds, "train_on", train)
    monkeypatch.setattr(bounds, "judge_texts", judge)
    nlp = init_nlp(config)
    texts = [doc.text for doc in gold_docs(nlp)]
    assert sorted(asked) == sorted(texts)
    further = pipe_in(nlp).state.further
    assert [each.after for each in further] == [0, 4]
    assert further[1].pending.args[2] == 0.6  # type: ignore[union-attr]
    for _, own in trained:
        # Half of the updates before the texts are annotated, for half of the texts.
        assert own["training"]["max_steps"] == 2
        assert set(own["initialize"]["components"][NAME]) == {"rehearsal"}
    # The parts of an interpolation learn as the whole does, as early in their training.
    own = fold_config(nlp, nlp.get_pipe(NAME), 2)["initialize"]["components"][NAME]
    assert own["self_training"]["after"] == 2 and "rehearsal" in own
    kept = nlp.config["initialize"]["components"][NAME]["self_training"]
    assert kept["after"] == 4
    monkeypatch.setattr(bounds, "judge_texts", lambda nlp, docs: [(0.9, False)] * 6)
    with pytest.raises(ValueError, match="of 12 spans .*, 0 are right.* Give a number"):
        init_nlp(config)


def test_what_cannot_be_is_told(make_nlp: MakeNLP, path: Path, tmp_path: Path) -> None:
    for wrong in ({"after": 0}, {"bound": 0.0}, {"bound": 2.0}, {"share": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            build_self_training_v1(path, **{"after": 1, **wrong})
    with pytest.raises(ValueError, match="not standard input"):
        build_self_training_v1(Path("-"), after=1)
    nlp = make_nlp(labels=[], task=SCORED, model={"adapter": LORA})
    pipe = pipe_in(nlp)

    def begin(**settings: Any) -> None:
        own = build_self_training_v1(**{"path": path, "after": 1, **settings})
        pipe.initialize(lambda: examples(nlp), self_training=own)

    with pytest.warns(UserWarning), pytest.raises(ValueError, match="Give a number"):
        begin(bound=None)
    with pytest.raises(OSError, match="There is no file"):
        begin(path=tmp_path / "none.txt")
    (tmp_path / "same.txt").write_text(f"{TEXTS[3]}\n")
    with pytest.raises(ValueError, match="no text for the self-training"):
        begin(path=tmp_path / "same.txt")
    nlp.config["training"]["max_steps"] = 5
    own = build_self_training_v1(path, after=5)
    with pytest.raises(ValueError, match="must be less than `.training. max_steps`"):
        pipe.initialize(lambda: examples(nlp), nlp=nlp, self_training=own)
    assert pipe.labels == () and pipe.state.further == ()
