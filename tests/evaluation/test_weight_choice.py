"""How much of what is learned is taken."""

from pathlib import Path
from typing import Any

import pytest
import spacy
from confection import Config
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train

from helpers.calibration import TEXTS
from helpers.pipelines import LORA, MakeNLP
from helpers.places import ROOT
from helpers.training import adapter, examples
from spacy_instructner.evaluation import weight_choice
from spacy_instructner.evaluation.support_set import train_on
from spacy_instructner.evaluation.weight_choice import (
    build_interpolation_v1,
    choose_share,
    fold_config,
)
from spacy_instructner.models.thinc_model import shim_of

NAME = "instruction_ner"
SHARES = {"0": 0.0, "0.5": 0.5, "1": 1.0}


@pytest.fixture
def support() -> list[Doc]:
    nlp = spacy.blank("en")
    docs = []
    for text in TEXTS:
        doc = nlp.make_doc(text)
        places = [t for t in doc if t.text in ("Rome", "Paris")]
        doc.set_ents(
            [Span(doc, t.i, t.i + 1, label="PLACE") for t in places], default="outside"
        )
        docs.append(doc)
    return docs


@pytest.fixture
def config(support: list[Doc], tiny_causal: Path, tmp_path: Path) -> Config:
    """`written.cfg` with the choice, on a tiny model."""
    DocBin(docs=support).to_disk(tmp_path / "support.spacy")
    config = Config().from_disk(ROOT / "configs" / "written.cfg", interpolate=False)
    config["paths"]["train"] = str(tmp_path / "support.spacy")
    config["corpora"]["train"]["protocol"] = "all"
    config["training"].update(max_steps=4, eval_frequency=2)
    config["training"]["logger"] = {
        "@loggers": "spacy.ConsoleLogger.v3",
        "progress_bar": None,
    }
    model = config["components"][NAME]["model"]
    model.update(name=str(tiny_causal), precision="float32", start=None)
    config["initialize"]["components"][NAME] = {
        "interpolation": {
            "@misc": "spacy-instructner.Interpolation.v1",
            "shares": list(SHARES.values()),
        }
    }  # fmt: skip
    return config


def test_spacy_train_saves_the_share_that_did_best(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = weight_choice.f1_counts
    asked: list[tuple[list[str], int]] = []

    def look(nlp: Language, docs: list[Doc]) -> Any:
        found = counts(nlp, docs)
        # As if half of what was learned did best.
        right = found.annotated if len(asked) % len(SHARES) == 1 else 0
        asked.append(([doc.text for doc in docs], right))
        return weight_choice.Counts(right, found.annotated, found.annotated)

    monkeypatch.setattr(weight_choice, "f1_counts", look)
    nlp = init_nlp(config)
    pipe = nlp.get_pipe(NAME)
    assert pipe.cfg["interpolation"] == {
        "share": 0.5,
        "f1": {"0": 0.0, "0.5": 1.0, "1": 0.0},
    }
    # Each text is asked once for each share, by what the others taught.
    texts = [text for own, _ in asked for text in own]
    assert sorted(texts) == sorted(3 * TEXTS)
    begun = adapter(nlp)
    (tmp_path / "out").mkdir()
    train(nlp, tmp_path / "out")
    learned = adapter(nlp)
    loaded = spacy.load(tmp_path / "out" / "model-last")
    for name, each in adapter(loaded).items():
        half = (begun[name] + learned[name]) / 2
        assert each.allclose(half, atol=1e-6)
        # Something was learned.
    assert any(not learned[name].allclose(begun[name]) for name in learned)
    assert loaded.get_pipe(NAME).cfg["interpolation"]["share"] == 0.5
    # Training anew begins with nothing chosen.
    loaded.get_pipe(NAME).initialize(lambda: examples(loaded))
    assert "interpolation" not in loaded.get_pipe(NAME).cfg


def test_the_parts_are_trained_as_the_whole_would_be(
    config: Config, support: list[Doc], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], Config]] = []

    def look(own: Config, rest: list[Doc], overrides: Any, **more: Any) -> Language:
        seen.append(({doc.text for doc in rest}, own))
        assert more["quiet"]
        return train_on(own, rest, overrides, **more)

    monkeypatch.setattr(weight_choice, "train_on", look)
    # With something that another component needs of it, and labels of the user's own.
    config["components"][NAME]["labels"] = ["PLACE", "THING"]
    config["components"][NAME]["label_names"] = {"THING": "good"}
    nlp = init_nlp(config)
    (first, own), (second, _) = seen
    assert first | second == set(TEXTS) and not first & second
    training = own["training"]
    assert training["max_steps"] == training["eval_frequency"] == 2
    component = own["components"][NAME]
    assert component["labels"] == ["PLACE", "THING"]
    assert component["label_names"] == {"THING": "good"}
    assert NAME not in own["initialize"]["components"]
    # The pipeline's own config stays.
    assert nlp.config["training"]["max_steps"] == 4
    assert "interpolation" in nlp.config["initialize"]["components"][NAME]
    assert fold_config(nlp, nlp.get_pipe(NAME), 4)["training"]["max_steps"] == 3
    found = nlp.get_pipe(NAME).cfg["interpolation"]
    assert set(found["f1"]) == set(SHARES)
    assert found["f1"][f"{found['share']:g}"] == max(found["f1"].values())


def test_few_or_many_texts_are_not_divided(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = config["initialize"]["components"][NAME]["interpolation"]
    monkeypatch.setattr(weight_choice, "train_on", None)
    for more in ({"most_texts": len(set(TEXTS)) - 1}, {"folds": len(set(TEXTS)) + 1}):
        own = config.copy()
        own["initialize"]["components"][NAME]["interpolation"] = {**block, **more}
        pipe = init_nlp(own).get_pipe(NAME)
        assert pipe.cfg["interpolation"] == {"share": 1.0, "f1": {}}


def test_of_equal_shares_the_smallest_is_taken() -> None:
    assert choose_share({0.0: 0.5, 0.5: 0.6, 1.0: 0.6}) == 0.5
    assert choose_share({0.0: 0.6, 0.5: 0.6, 1.0: 0.6}) == 0.0
    assert choose_share({0.0: 0.1, 1.0: 0.7}) == 1.0
    # Nothing was found by anyone, which says nothing.
    assert choose_share({0.0: 0.0, 1.0: 0.0}) == 1.0


def test_one_share_is_taken_without_training(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config["initialize"]["components"][NAME]["interpolation"]["shares"] = [0.75]
    monkeypatch.setattr(weight_choice, "train_on", None)
    nlp = init_nlp(config)
    pipe = nlp.get_pipe(NAME)
    assert pipe.cfg["interpolation"] == {"share": 0.75, "f1": {}}
    assert shim_of(pipe.model).interpolation.share == 0.75


def test_steps_of_a_variable_and_patience(config: Config) -> None:
    config["vars"] = {"steps": 4}
    config["training"]["max_steps"] = "${vars.steps}"
    config["training"]["patience"] = 1
    config["training"]["eval_frequency"] = 1
    nlp = init_nlp(config)
    own = fold_config(nlp, nlp.get_pipe(NAME), 2)["training"]
    assert (own["max_steps"], own["eval_frequency"], own["patience"]) == (2, 2, 0)
    # Epochs end as they would.
    config["training"].update(max_steps=0, max_epochs=1)
    nlp = init_nlp(config)
    own = fold_config(nlp, nlp.get_pipe(NAME), 2)["training"]
    assert (own["max_steps"], own["patience"]) == (0, 1)


def test_where_it_fails_the_component_stays_as_it_was(
    config: Config, support: list[Doc], monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = init_nlp(config)
    pipe = nlp.get_pipe(NAME)
    before, kept = adapter(nlp), dict(pipe.cfg)
    share = shim_of(pipe.model).interpolation.share

    def fail(*args: Any, **more: Any) -> Language:
        raise KeyboardInterrupt

    monkeypatch.setattr(weight_choice, "train_on", fail)
    with pytest.raises(KeyboardInterrupt):
        nlp.initialize(lambda: [Example(doc.copy(), doc) for doc in support])
    assert pipe.cfg == kept
    assert all(each.equal(before[name]) for name, each in adapter(nlp).items())
    assert shim_of(pipe.model).interpolation.share == share
    nlp.config["training"]["frozen_components"] = ["tagger"]
    with pytest.raises(ValueError, match="would have no weights"):
        fold_config(nlp, pipe, 2)


def test_what_cannot_be_chosen_is_told(make_nlp: MakeNLP, config: Config) -> None:
    for settings in ({"shares": []}, {"shares": [1.5]}, {"folds": 1}):
        with pytest.raises(ValueError):
            build_interpolation_v1(**settings)
    choice = build_interpolation_v1()
    nlp = make_nlp(labels=[], model={"adapter": LORA})
    pipe = nlp.get_pipe(NAME)
    with pytest.raises(ValueError, match="initialize the component by"):
        pipe.initialize(lambda: examples(nlp), interpolation=choice)
    config["components"][NAME]["model"].update(adapter=None)
    with pytest.raises(ValueError, match="where an adapter is trained"):
        init_nlp(config)
