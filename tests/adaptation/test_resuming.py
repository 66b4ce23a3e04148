"""Going on from a trained pipeline, with new labels beside the old ones."""

from pathlib import Path
from typing import Any

import pytest
import spacy
from confection import Config
from spacy.language import Language
from spacy.tokens import DocBin, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from thinc.api import Adam, fix_random_seed

from helpers.pipelines import LORA, MakeNLP
from helpers.places import ROOT
from helpers.training import adapter, examples, gold_docs, tiny_fewshot, train_by_hand
from spacy_instructner.adaptation.rehearsal import build_rehearsal_v1
from spacy_instructner.adaptation.resuming import resume, resume_all
from spacy_instructner.component import InstructionNERPipe
from spacy_instructner.evaluation.weight_choice import f1_counts

NAME = "instruction_ner"
SCORED = {
    "@misc": "spacy-instructner.JustPassTwice.v1",
    "head_size": 16,
    "head_hidden": 16,
}
RESUME = {"@callbacks": "spacy-instructner.ResumeTraining.v1"}


def verbs(nlp: Language) -> list[Example]:
    """The same texts with a new label alone."""
    found = []
    for doc in gold_docs(nlp):
        words = [t for t in doc if t.text in ("met", "lives", "is", "and")]
        spans = [Span(doc, t.i, t.i + 1, label="VERB") for t in words]
        doc.set_ents(spans, default="outside")
        found.append(Example(nlp.make_doc(doc.text), doc))
    return found


def trained_for(make_nlp: MakeNLP, steps: int, folder: Path) -> Path:
    """A pipeline that has learned the persons and places of four texts."""
    fix_random_seed(0)
    nlp = make_nlp(labels=[], task=SCORED, model={"adapter": LORA})
    nlp.initialize(lambda: examples(nlp))
    train_by_hand(nlp, steps, Adam(0.01))
    nlp.to_disk(folder)
    return folder


@pytest.fixture
def trained(make_nlp: MakeNLP, tmp_path: Path) -> Path:
    return trained_for(make_nlp, 2, tmp_path / "trained")


@pytest.mark.long
def test_old_labels_are_kept_by_rehearsal_and_unlearned_without(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    folder = trained_for(make_nlp, 60, tmp_path / "trained")
    nlp = spacy.load(folder)
    assert f1_counts(nlp, gold_docs(nlp)).f1 > 0.9
    f1 = {}
    for name, rehearsal in (("with", build_rehearsal_v1()), ("without", None)):
        nlp = spacy.load(folder)
        new = verbs(nlp)
        resume(nlp, NAME, lambda new=new: new, rehearsal=rehearsal)
        pipe = nlp.get_pipe(NAME)
        assert isinstance(pipe, InstructionNERPipe)
        assert pipe.labels == ("PERSON", "PLACE", "VERB")
        optimizer = Adam(0.01)
        for _ in range(40):
            nlp.update(new, sgd=optimizer)
        assert f1_counts(nlp, [each.reference for each in new]).recall > 0.9
        pipe.set_labels(["PERSON", "PLACE"])
        f1[name] = f1_counts(nlp, gold_docs(nlp)).f1
    assert f1["with"] > 0.7
    assert f1["without"] < 0.4


def config_of(trained: Path, tmp_path: Path) -> Config:
    """A config that takes the component from the trained pipeline."""
    docs = [example.reference for example in verbs(spacy.blank("en"))]
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    config = Config().from_disk(ROOT / "configs" / "fewshot.cfg", interpolate=False)
    config["paths"]["train"] = str(tmp_path / "train.spacy")
    config["corpora"]["train"]["protocol"] = "all"
    config["training"].update(max_steps=2, eval_frequency=2)
    config["components"] = {NAME: {"source": str(trained)}}
    config["initialize"]["after_init"] = RESUME
    config["initialize"]["components"][NAME]["rehearsal"] = {
        "@misc": "spacy-instructner.Rehearsal.v1",
        "shipped": False,
    }
    return config


def test_spacy_train_goes_on_with_a_sourced_component(
    trained: Path, tmp_path: Path
) -> None:
    before = adapter(spacy.load(trained))
    nlp = init_nlp(config_of(trained, tmp_path))
    pipe = nlp.get_pipe(NAME)
    assert isinstance(pipe, InstructionNERPipe)
    assert pipe.labels == ("PERSON", "PLACE", "VERB")
    (further,) = pipe.state.further
    assert further.unmentioned == ("PERSON", "PLACE")
    assert all(each.equal(before[name]) for name, each in adapter(nlp).items())
    (tmp_path / "out").mkdir()
    train(nlp, tmp_path / "out")
    assert pipe.state.updates >= 2
    loaded = spacy.load(tmp_path / "out" / "model-last")
    assert loaded.get_pipe(NAME).labels == ("PERSON", "PLACE", "VERB")
    assert any(not e.equal(before[name]) for name, e in adapter(loaded).items())


@pytest.mark.parametrize(
    "block", [{"labels": ["VERB"]}, {"interpolation": {"shares": [0.5]}}]
)
def test_what_is_for_a_beginning_is_refused(
    trained: Path, tmp_path: Path, block: dict[str, Any]
) -> None:
    (setting,) = block
    if setting == "interpolation":
        block[setting]["@misc"] = "spacy-instructner.Interpolation.v1"
    config = config_of(trained, tmp_path)
    config["initialize"]["components"][NAME].update(block)
    with pytest.raises(ValueError, match=f"has `{setting}`, which is for components"):
        init_nlp(config)


def test_without_a_sourced_component_it_is_told(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    with pytest.raises(ValueError, match="has no component to go on with"):
        resume_all(nlp)


def config_anew(tiny_causal: Path, tmp_path: Path) -> Config:
    """A config that begins from nothing, with rehearsal."""
    config = tiny_fewshot(tiny_causal, tmp_path, 2)
    config["initialize"]["components"][NAME]["rehearsal"] = {
        "@misc": "spacy-instructner.Rehearsal.v1",
        "labels": 2,
    }
    return config


@pytest.mark.long
def test_rehearsal_beside_interpolation(tiny_causal: Path, tmp_path: Path) -> None:
    config = config_anew(tiny_causal, tmp_path)
    config["initialize"]["components"][NAME]["interpolation"] = {
        "@misc": "spacy-instructner.Interpolation.v1",
        "shares": [0.0, 1.0],
    }
    nlp = init_nlp(config)
    pipe = nlp.get_pipe(NAME)
    assert isinstance(pipe, InstructionNERPipe)
    assert set(pipe.cfg["interpolation"]["f1"]) == {"0", "1"}
    assert len(pipe.state.further[0].pools) == 2 and pipe.state.updates == 0
    (tmp_path / "out").mkdir()
    train(nlp, tmp_path / "out")
    assert pipe.state.updates >= 2
    loaded = spacy.load(tmp_path / "out" / "model-last").get_pipe(NAME)
    assert loaded.cfg["interpolation"] == pipe.cfg["interpolation"]


def test_windows_that_need_sentences(tiny_causal: Path, tmp_path: Path) -> None:
    config = config_anew(tiny_causal, tmp_path)
    config["nlp"]["pipeline"] = ["sentencizer", NAME]
    config["components"]["sentencizer"] = {"factory": "sentencizer"}
    config["components"][NAME]["windows"] = {"@misc": "spacy-instructner.Sentences.v1"}
    with pytest.raises(ValueError, match="annotating_components"):
        init_nlp(config)
    config["training"]["annotating_components"] = ["sentencizer"]
    nlp = init_nlp(config)
    further = nlp.get_pipe(NAME).state.further[0]
    assert all(doc.has_annotation("SENT_START") for own in further.pools for doc in own)
    (tmp_path / "out").mkdir()
    train(nlp, tmp_path / "out")
    assert nlp.get_pipe(NAME).state.updates >= 2
