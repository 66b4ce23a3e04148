"""Rehearsal: what a component said of other labels, before it learns."""

import copy
import logging
import pickle
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from helpers.pipelines import LORA, MakeNLP
from helpers.training import adapter, examples
from spacy_instructner.adaptation import rehearsal as module
from spacy_instructner.adaptation.rehearsal import build_rehearsal_v1
from spacy_instructner.adaptation.resuming import resume
from spacy_instructner.component import InstructionNERPipe
from spacy_instructner.data.gold import read_example

NAME = "instruction_ner"
# The scores of a tiny model that has learned nothing lie around it.
LEAST = 0.05
SCORED = {
    "@misc": "spacy-instructner.JustPassTwice.v1",
    "head_size": 8,
    "head_hidden": 8,
    "floor": 0.01,
    "threshold": LEAST,
}
WRITTEN = {"@misc": "spacy-instructner.CLLMFS.v1"}
MIXED = {
    "@misc": "spacy-instructner.Mixture.v1",
    "tasks": {"scored": SCORED, "written": WRITTEN},
    "shares": {"scored": 1.0, "written": 1.0},
    "asks": "scored",
}
INSTRUCTION = {"@misc": "spacy-instructner.InstructionNER.v1"}
ASKED = "instruction_ner_labels"


def begun(
    make_nlp: MakeNLP, task: dict[str, Any], own_labels: list[str], **more: Any
) -> tuple[Language, InstructionNERPipe]:
    """A pipeline that is initialized with rehearsal. more: its settings."""
    fix_random_seed(0)
    nlp = make_nlp(labels=own_labels, task=task, model={"adapter": LORA})
    settings = {"@misc": "spacy-instructner.Rehearsal.v1", **more}
    nlp.config["initialize"]["components"][NAME] = {"rehearsal": settings}
    nlp.initialize(lambda: examples(nlp))
    pipe = nlp.get_pipe(NAME)
    assert isinstance(pipe, InstructionNERPipe)
    return nlp, pipe


def learned_in(pipe: InstructionNERPipe, given: list[Example]) -> list[list[Example]]:
    """What is learned in four updates of these Examples."""
    return [pipe.state.join(given) for _ in range(4)]


@pytest.mark.parametrize("task", [SCORED, WRITTEN, INSTRUCTION, MIXED])
def test_every_task_learns_with_further_texts(
    make_nlp: MakeNLP, task: dict[str, Any]
) -> None:
    nlp, pipe = begun(make_nlp, task, [], share=0.5, labels=2, most_texts=2)
    before = adapter(nlp)
    losses = nlp.update(examples(nlp), sgd=Adam(0.01))
    assert losses[NAME] > 0
    assert any(not each.equal(before[name]) for name, each in adapter(nlp).items())
    (further,) = pipe.state.further
    own, shipped = further.pools
    assert len(own) == 4 and len(shipped) > 280 and further.unmentioned == ()
    for doc in (*own, *shipped[:99]):
        assert 1 <= len(doc.user_data[ASKED]) <= 2
        assert not {"PERSON", "PLACE"} & set(doc.user_data[ASKED])


def test_the_targets_are_what_was_found_before(make_nlp: MakeNLP) -> None:
    nlp, pipe = begun(make_nlp, SCORED, [], labels=5, shipped=False)
    (further,) = pipe.state.further
    (own,) = further.pools
    sure = unknown = 0
    fresh = [doc.copy() for doc in own]
    for doc, prediction in zip(own, pipe.predict(fresh)):
        gold = read_example(Example(doc.copy(), doc)).gold
        scores = {(f.start, f.end, f.label): f.score for f in prediction.found}
        assert all(scores[entity] >= LEAST for entity in gold.entities)
        inside = {at for start, end, _ in gold.entities for at in range(start, end)}
        for (start, end, label), score in scores.items():
            if score < LEAST:
                assert set(range(start, end)) - inside <= gold.unknown_of(label)
                unknown += 1
        sure += len(gold.entities)
    assert sure > 5 and unknown > 5
    # With learning, they stay.
    kept = [[(e.text, e.label_) for e in doc.ents] for doc in own]
    for _ in range(3):
        nlp.update(examples(nlp), sgd=Adam(0.05))
    (further,) = pipe.state.further
    assert [[(e.text, e.label_) for e in d.ents] for d in further.pools[0]] == kept


def test_the_share_the_seed_and_the_log(
    make_nlp: MakeNLP, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="spacy"):
        nlp, pipe = begun(make_nlp, SCORED, [], share=1.5, labels=3)
    (said,) = {each for each in caplog.messages if "rehearses" in each}
    assert "1.5 more texts for each text" in said
    assert "Its own 4 texts were asked 8 times" in said
    given = examples(nlp)
    learned = learned_in(pipe, given)
    assert [len(own) for own in learned] == [10] * 4
    assert all(own[:4] == given for own in learned)

    def drawn(learned: list[list[Example]]) -> list[Any]:
        more = [example for own in learned for example in own[4:]]
        return [(e.reference.text, e.reference.user_data[ASKED]) for e in more]

    _, again = begun(make_nlp, SCORED, [], share=1.5, labels=3)
    assert drawn(learned_in(again, given)) == drawn(learned)
    nlp.config["training"]["seed"] = 1
    nlp.initialize(lambda: examples(nlp))
    assert drawn(learned_in(pipe, given)) != drawn(learned)


def test_silence_does_not_teach_that_an_old_label_is_absent(make_nlp: MakeNLP) -> None:
    _, pipe = begun(make_nlp, SCORED, ["DATE", "PERSON", "PLACE"], shipped=False)
    (further,) = pipe.state.further
    assert further.unmentioned == ("DATE",)
    # It is the first of the labels that the own texts ask for, too.
    assert all("DATE" in doc.user_data[ASKED] for doc in further.pools[0])
    nlp = spacy.blank("en")
    given = examples(nlp)
    learned = pipe.state.join(given)[: len(given)]
    asked = [nlp.make_doc(example.text) for example in given]
    words = {"DATE": pipe.label_words["DATE"]}
    before = pipe.predict(asked, labels=words)
    assert any(prediction.found for prediction in before)
    kept = 0
    for old, new, prediction in zip(given, learned, before):
        gold = read_example(new).gold
        # The annotation itself stays.
        assert set(read_example(old).gold.entities) <= set(gold.entities)
        inside = {at for start, end, _ in gold.entities for at in range(start, end)}
        for each in prediction.found:
            open_ = set(range(each.start, each.end)) - inside
            assert each.score >= LEAST or open_ <= gold.unknown_of("DATE")
        own = {e[:2] for e in gold.entities if e[2] == "DATE"}
        kept += len(own)
        assert own <= {(f.start, f.end) for f in prediction.found if f.score >= LEAST}
    assert kept


def test_going_on_keeps_old_labels_and_adds_new_ones(
    make_nlp: MakeNLP, tmp_path: Any
) -> None:
    nlp, pipe = begun(make_nlp, SCORED, [])
    nlp.update(examples(nlp), sgd=Adam(0.01))
    nlp.to_disk(tmp_path / "trained")
    loaded = spacy.load(tmp_path / "trained")
    before = adapter(loaded)
    own = loaded.get_pipe(NAME)
    # What joined updates is the user's, and is not saved.
    assert own.state.further == () and own.state.updates == 0
    new = examples(loaded)[:2]
    for example in new:
        example.reference.set_ents([example.reference[0:1]], default="outside")
        ents = [spacy.tokens.Span(example.reference, 0, 1, label="FIRST")]
        example.reference.set_ents(ents, default="outside")
    rehearsal = build_rehearsal_v1(labels=4)
    resume(
        loaded, NAME, lambda: new, definitions={"FIRST": "a name"}, rehearsal=rehearsal
    )
    assert own.labels == ("PERSON", "PLACE", "FIRST")
    assert own.label_words["FIRST"]["definition"] == "a name"
    assert own.state.further[0].unmentioned == ("PERSON", "PLACE")
    assert all(each.equal(before[name]) for name, each in adapter(loaded).items())
    loaded.update(new, sgd=loaded.resume_training())
    assert own.state.updates == 1
    # A copy goes on as the pipeline does.
    for other in (copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
        losses = [each.update(new, sgd=False)[NAME] for each in (loaded, other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        loaded.get_pipe(NAME).state.updates -= 1


def test_where_it_fails_the_component_stays_as_it_was(
    make_nlp: MakeNLP, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp, pipe = begun(make_nlp, SCORED, [])
    nlp.update(examples(nlp), sgd=Adam(0.01))
    before, cfg, state = adapter(nlp), dict(pipe.cfg), pipe.state.further

    def fail(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "found_in", fail)
    with pytest.raises(KeyboardInterrupt):
        nlp.initialize(lambda: examples(nlp))
    assert all(each.equal(before[name]) for name, each in adapter(nlp).items())
    assert pipe.cfg == cfg and pipe.state.further == state and pipe.state.updates == 1
    with pytest.raises(KeyboardInterrupt):
        resume(nlp, NAME, lambda: examples(nlp), rehearsal=build_rehearsal_v1())
    assert pipe.cfg == cfg and pipe.state.further == state


def test_what_cannot_be_is_told(make_nlp: MakeNLP) -> None:
    for settings in ({"share": 0.0}, {"share": -1.0}, {"labels": 0}, {"most_texts": 0}):
        with pytest.raises(ValueError, match="must be"):
            build_rehearsal_v1(**settings)  # type: ignore[arg-type]
    nlp = make_nlp()
    nlp.add_pipe("sentencizer")
    with pytest.raises(ValueError, match="no instruction_ner component"):
        resume(nlp, "sentencizer", lambda: examples(nlp))
