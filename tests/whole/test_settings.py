"""Settings that are given at load are heard, and what a config cannot hold is refused."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import DocBin
from thinc.api import Config

import spacy_instructner.cli  # noqa: F401
from helpers.pipelines import MakeNLP
from helpers.settings import WORDS, pipe_of
from helpers.shipped_configs import good
from helpers.training import gold_docs
from spacy_instructner.calibration import Calibration

NAME = "instruction_ner"
TEXT = "Anna met Bert in Paris and Carl in Rome."


# Settings at load.

OVERRIDES: list[tuple[str, Any, Any]] = [
    ("threshold", 0.9, 0.9),
    ("thresholds", {"PERSON": 0.3}, {"PLACE": 0.75, "PERSON": 0.3}),
    ("labels", ["THING"], ["THING"]),
    ("label_names", {"PLACE": "spot"}, {"PERSON": "human", "PLACE": "spot"}),
    (
        "label_definitions",
        {"PLACE": "a spot"},
        {"PLACE": "a spot", "PERSON": "somebody"},
    ),
]


@pytest.fixture
def saved(make_nlp: MakeNLP, tmp_path: Path) -> Path:
    """Configured, then changed, then saved."""
    nlp = make_nlp(threshold=0.25, thresholds={"PLACE": 0.75}, **WORDS)
    pipe = pipe_of(nlp)
    pipe.set_labels(["PLACE", "PERSON"], definitions={"PERSON": "somebody"})
    pipe.cfg["threshold"] = 0.5
    nlp.to_disk(tmp_path / "saved")
    return tmp_path / "saved"


KEPT = {
    "threshold": 0.5,
    "thresholds": {"PLACE": 0.75},
    "labels": ["PLACE", "PERSON"],
    "label_names": {"PERSON": "human"},
    "label_definitions": {"PLACE": "a town", "PERSON": "somebody"},
}


def settings_of(nlp: Language) -> dict[str, Any]:
    return {key: pipe_of(nlp).cfg[key] for key in KEPT}


@pytest.mark.parametrize("key,value,expected", OVERRIDES)
@pytest.mark.parametrize("dotted", [False, True])
def test_what_is_given_to_load_wins(
    saved: Path, tmp_path: Path, key: str, value: Any, expected: Any, dotted: bool
) -> None:
    assert settings_of(spacy.load(saved)) == KEPT
    config: dict[str, Any] = {"components": {NAME: {key: value}}}
    if dotted:
        own = value if isinstance(value, dict) else {"": value}
        path = f"components.{NAME}.{key}"
        config = {f"{path}.{k}".strip("."): said for k, said in own.items()}
    nlp = spacy.load(saved, config=config)
    assert settings_of(nlp) == {**KEPT, key: expected}
    # Saved anew, this is what is there; and it can be given anew.
    nlp.to_disk(tmp_path / "again")
    assert settings_of(spacy.load(tmp_path / "again")) == {**KEPT, key: expected}
    other = spacy.load(tmp_path / "again", config={f"components.{NAME}.threshold": 0.0})
    assert pipe_of(other).cfg["threshold"] == 0.0


def test_what_is_given_is_in_force(saved: Path) -> None:
    config = {"components": {NAME: {"threshold": 1.0, "labels": ["THING"]}}}
    doc = spacy.load(saved, config=config)(TEXT)
    assert {span.label_ for span in doc.spans[NAME]} == {"THING"}
    scores = doc.spans[NAME].attrs["scores"]
    assert len(doc.ents) == sum(score >= 1.0 for score in scores)


def test_what_is_given_is_checked(saved: Path) -> None:
    names = {"PLACE": "human"}
    config = {"components": {NAME: {"label_names": names}}}
    with pytest.raises(ValueError, match="both called 'human'"):
        spacy.load(saved, config=config)


def test_nothing_given_changes_nothing(
    make_nlp: MakeNLP, saved: Path, tmp_path: Path
) -> None:
    # Into a pipeline that has seen something, whatever its config says.
    for nlp in (make_nlp(threshold=0.75), make_nlp(labels=[])):
        pipe_of(nlp).set_labels(["X"])
        assert settings_of(nlp.from_disk(saved)) == KEPT
        nlp.to_disk(tmp_path / "again")
        assert settings_of(spacy.load(tmp_path / "again")) == KEPT
    blank = make_nlp(labels=[], threshold=0.75)
    assert settings_of(blank.from_bytes(spacy.load(saved).to_bytes())) == KEPT
    # Without labels and words of its own, it takes those that are saved.
    fresh = make_nlp(labels=[], threshold=0.25).from_disk(saved)
    assert settings_of(fresh) == KEPT
    # As a part of another pipeline.
    other = spacy.blank("en")
    other.add_pipe(NAME, source=spacy.load(saved))
    other.to_disk(tmp_path / "sourced")
    assert settings_of(spacy.load(tmp_path / "sourced")) == KEPT
    given_ = {"components": {NAME: {"threshold": 0.9}}}
    again = spacy.load(tmp_path / "sourced", config=given_)
    assert settings_of(again) == {**KEPT, "threshold": 0.9}


def test_folders_from_before_go_on_to_load(saved: Path) -> None:
    path = saved / NAME / "cfg"
    cfg = srsly.read_json(path)
    (saved / NAME / "checksums.json").unlink()
    # Before there were thresholds by label.
    del cfg["thresholds"], cfg["configured"]["thresholds"]
    srsly.write_json(path, cfg)
    config = Config().from_disk(saved / "config.cfg")
    del config["components"][NAME]["thresholds"]
    config.to_disk(saved / "config.cfg")
    assert settings_of(spacy.load(saved)) == {**KEPT, "thresholds": {}}
    del cfg["configured"]
    srsly.write_json(path, cfg)
    assert settings_of(spacy.load(saved)) == {**KEPT, "thresholds": {}}


def test_thresholds_by_label(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(thresholds={"PLACE": 1.0})
    free = make_nlp()(TEXT)
    doc = nlp(TEXT)
    assert "PLACE" in {ent.label_ for ent in free.ents}
    assert "PLACE" not in {ent.label_ for ent in doc.ents}
    # In the group they are all the same.
    assert len(doc.spans[NAME]) == len(free.spans[NAME])
    # They follow a calibration, as the common one does.
    pipe = nlp.get_pipe(NAME)
    pipe.cfg.update(threshold=0.5, thresholds={"PERSON": 0.25, "PLACE": 0.0})
    pipe.set_calibration(Calibration(2.0, 1.0))
    assert pipe.cfg["threshold"] == pytest.approx(Calibration(2.0, 1.0)(0.5))
    expected = {"PERSON": Calibration(2.0, 1.0)(0.25), "PLACE": 0.0}
    assert pipe.cfg["thresholds"] == pytest.approx(expected)
    with pytest.raises(
        ValueError, match="`thresholds.PERSON` must be in .0, 1., not 2"
    ):
        make_nlp(thresholds={"PERSON": 2})
    with pytest.warns(UserWarning, match="`thresholds` has 'PERSO', which is none of"):
        make_nlp(thresholds={"PERSO": 0.5})


def test_a_threshold_that_was_found_can_be_taken_back(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "saved")
    docs = gold_docs(nlp)
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    # fmt: off
    good(
        "instructner", "find-threshold", tmp_path / "saved", tmp_path / "dev.spacy",
        "--output", tmp_path / "found",
    )
    # fmt: on
    found = pipe_of(spacy.load(tmp_path / "found")).cfg["threshold"]
    assert found > 0.0
    config = {"components": {NAME: {"threshold": 0.0}}}
    nlp = spacy.load(tmp_path / "found", config=config)
    assert pipe_of(nlp).cfg["threshold"] == 0.0


# What a config file can hold.

HARD = st.sampled_from(
    list(":=#;@$%{}[]()\\\"'` \t\n\r.,*!<>|&~^\u00a0\u2028\u00df")
    + ["${", "$$", "%(a)s"]
)
LABELS = st.lists(st.one_of(HARD, st.characters(codec="utf-8")), max_size=5).map(
    "".join
)


@pytest.mark.long
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    label=LABELS,
    words=LABELS,
    kind=st.sampled_from(["label_names", "label_definitions"]),
)
def test_any_label_survives_or_is_refused(
    tmp_path: Path, label: str, words: str, kind: str
) -> None:
    nlp = spacy.blank("en")
    config = {"labels": [label, "OTHER"], kind: {label: words}}
    try:
        nlp.add_pipe(NAME, config={**config, "model": NO_WEIGHTS})
    except ValueError:
        # Refused when given; what `set_labels` takes is saved beside the config.
        nlp.add_pipe(NAME, config={"model": NO_WEIGHTS})
        try:
            pipe_of(nlp).set_labels(
                [label, "OTHER"], **{kind.removeprefix("label_"): {label: words}}
            )
        except ValueError:
            return
    text = nlp.config.to_str()
    assert Config().from_str(text)["components"] == nlp.config["components"]
    with warnings.catch_warnings():
        # There are no weights.
        warnings.simplefilter("ignore")
        nlp.to_disk(tmp_path / "saved")
        again = spacy.load(tmp_path / "saved")
        other = spacy.blank("en").from_config(Config().from_str(text))
    assert pipe_of(again).cfg["labels"] == [label, "OTHER"]
    assert pipe_of(again).cfg[kind] == {label: words}
    assert again.config["components"] == nlp.config["components"]
    assert other.config["components"] == nlp.config["components"]


NO_WEIGHTS = {"@architectures": "spacy-instructner.CausalLM.v1", "name": "/none/here"}


@pytest.mark.parametrize(
    "label", ["A:B", "A=B", "#A", ";A", "@A", "A\nB", "A ", " A", "${A}"]
)
def test_keys_that_a_config_cannot_hold_say_what_to_do(label: str) -> None:
    nlp = spacy.blank("en")
    with pytest.raises(ValueError) as error:
        nlp.add_pipe(
            NAME, config={"labels": [label], "label_definitions": {label: "what"}}
        )
    if not label.startswith("@"):
        # (Of those spaCy says itself that it knows no such registry.)
        assert "A config file cannot hold" in str(error.value)
        assert "set_labels" in str(error.value) and repr(label) in str(error.value)


def test_labels_that_only_the_component_holds_go_into_a_package(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp()
    labels = ["A:B", "C = D", "#E", ";F", "@G", "${H}", "I.J"]
    words = {label: f"thing {at}" for at, label in enumerate(labels)}
    pipe_of(nlp).set_labels(labels, names=words, definitions=words)
    nlp.to_disk(tmp_path / "saved")
    (tmp_path / "out").mkdir()
    # fmt: off
    good(
        "package", tmp_path / "saved", tmp_path / "out", "--build", "none",
        "--name", "hard",
    )
    # fmt: on
    (config,) = (tmp_path / "out").glob("*/*/*/config.cfg")
    for folder in (tmp_path / "saved", config.parent):
        again = spacy.load(folder)
        assert pipe_of(again).labels == tuple(labels)
        assert pipe_of(again).cfg["label_definitions"] == words
        doc = again(TEXT)
        assert {span.label_ for span in doc.spans[NAME]} <= set(labels)
