"""Words for known labels: in a pipeline, saved, and in pipelines from before."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.language import Language

from helpers.pipelines import MakeNLP, on_every_kind
from helpers.settings import pipe_of
from helpers.training import examples
from spacy_instructner.tasks.known_labels import known_label

NAME = "instruction_ner"
TEXT = "Anna met Bert in Paris and Carl in Rome."
LABELS = ["ORG", "GPE", "PERSON"]
DEFAULT = ["org", "gpe", "person"]
KNOWN = ["organization", "country or city", "person"]


def names_of(nlp: Language) -> list[str]:
    return [words["name"] for words in pipe_of(nlp).label_words.values()]


def prompts_of(nlp: Language) -> list[str]:
    pipe_of(nlp).save_io = True
    return [each["prompt"] for each in nlp(TEXT).user_data["instruction_ner_io"][NAME]]


@contextmanager
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def old(make_nlp: MakeNLP, tmp_path: Path) -> Path:
    """A pipeline as it was saved before there was the setting."""
    make_nlp(labels=LABELS).to_disk(tmp_path / "old")
    without_setting(tmp_path / "old")
    return tmp_path / "old"


def without_setting(folder: Path) -> None:
    cfg = srsly.read_json(folder / NAME / "cfg")
    assert cfg.pop("known_labels") is True
    assert cfg["configured"].pop("known_labels") is True
    srsly.write_json(folder / NAME / "cfg", cfg)
    (folder / NAME / "checksums.json").unlink()
    config = folder / "config.cfg"
    lines = config.read_text(encoding="utf8").splitlines(True)
    kept = [line for line in lines if not line.startswith("known_labels")]
    assert len(kept) == len(lines) - 1
    config.write_text("".join(kept), encoding="utf8")


def asked_for(names: dict[str, str]) -> dict[str, Any]:
    return {"components": {NAME: names}}


# In a pipeline.


@on_every_kind
def test_known_labels_are_asked_for_by_their_words(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=LABELS, label_definitions={})
    assert names_of(nlp) == KNOWN
    prompts = "\n".join(prompts_of(nlp))
    assert "organization" in prompts and "gpe" not in prompts
    before = make_nlp(labels=LABELS, label_definitions={}, known_labels=False)
    assert names_of(before) == DEFAULT
    prompts = "\n".join(prompts_of(before))
    assert "organization" not in prompts and "gpe" in prompts
    # What is written on the Doc are the labels.
    doc = nlp(TEXT)
    assert {span.label_ for span in doc.spans[NAME]} <= set(LABELS)


def test_label_words_are_what_is_asked_now(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=LABELS, label_definitions={"PERSON": "somebody"})
    pipe, gpe = pipe_of(nlp), known_label("GPE")
    assert gpe is not None
    assert pipe.label_words == {
        "ORG": {"name": "organization", "definition": ""},
        "GPE": {"name": gpe.name, "definition": gpe.definition},
        "PERSON": {"name": "person", "definition": "somebody"},
    }
    pipe.set_labels(["GPE"], names={"GPE": "realm"})
    assert pipe.label_words == {"GPE": {"name": "realm", "definition": ""}}
    assert pipe_of(make_nlp(labels=[])).label_words == {}
    # What is saved is what was given: no word of the table.
    assert pipe.cfg["label_names"] == {"GPE": "realm"}


def test_words_of_initialize_and_of_a_doc_come_first(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=[])
    words = {"labels": ["GPE", "ORG"], "definitions": {"GPE": "a town"}}
    words["names"] = {"ORG": "club"}
    nlp.config["initialize"]["components"][NAME] = words
    nlp.initialize(lambda: examples(nlp))
    assert pipe_of(nlp).label_words == {
        "GPE": {"name": "country or city", "definition": "a town"},
        "ORG": {"name": "club", "definition": ""},
    }
    doc = nlp.make_doc(TEXT)
    doc.user_data["instruction_ner_labels"] = {"GPE": {"name": "realm"}, "PER": ""}
    asked = pipe_of(nlp).state.label_set(None, doc)
    assert asked and asked.names == ("realm", "person")
    asked = pipe_of(nlp).state.label_set(["NORP"], doc)
    assert asked and asked.names == ("nationality or group",)


@pytest.mark.parametrize("make_nlp", ["causal cllmfs"], indirect=True)
def test_only_definitions_that_were_given_want_others(make_nlp: MakeNLP) -> None:
    """CLLMFS warns of labels without one where others were given one."""
    with no_warnings():
        make_nlp(labels=LABELS, label_definitions={})(TEXT)
    nlp = make_nlp(labels=LABELS, label_definitions={"PERSON": "somebody"})
    with pytest.warns(UserWarning) as caught:
        nlp(TEXT)
    # GPE has the table's.
    assert [str(each.message).split("'")[1] for each in caught] == ["ORG"]


def test_a_prompt_of_definitions_has_those_of_the_table(make_nlp: MakeNLP) -> None:
    """InstructionNER names the labels that its prompt leaves out."""
    template = "{definitions}\n{sentence}\n{options}"
    task = {"@misc": "spacy-instructner.InstructionNER.v1", "main_template": template}
    nlp = make_nlp(labels=LABELS, task=task)
    gpe = known_label("GPE")
    with pytest.warns(UserWarning) as caught:
        (prompt,) = prompts_of(nlp)
    assert [str(each.message).split("'")[1] for each in caught] == ["ORG", "PERSON"]
    assert gpe and f"{gpe.name}: {gpe.definition}\n" in prompt


# Saved.


def test_a_saved_pipeline_keeps_its_words(make_nlp: MakeNLP, tmp_path: Path) -> None:
    for given, names in ((True, KNOWN), (False, DEFAULT)):
        nlp = make_nlp(labels=LABELS, known_labels=given)
        nlp.to_disk(tmp_path / str(given))
        again = spacy.load(tmp_path / str(given))
        assert names_of(again) == names
        assert pipe_of(again).cfg["known_labels"] is given
        assert prompts_of(again) == prompts_of(nlp)
        other = make_nlp(labels=LABELS, known_labels=not given)
        assert names_of(other.from_bytes(nlp.to_bytes())) == names


def test_what_is_given_to_load_wins(make_nlp: MakeNLP, tmp_path: Path) -> None:
    for given, names in ((True, KNOWN), (False, DEFAULT)):
        folder = tmp_path / str(given)
        make_nlp(labels=LABELS, known_labels=not given).to_disk(folder)
        nlp = spacy.load(folder, config=asked_for({"known_labels": given}))
        assert names_of(nlp) == names
        nlp.to_disk(tmp_path / "again")
        assert names_of(spacy.load(tmp_path / "again")) == names


def test_what_only_the_table_tells_apart_is_refused_without_it(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    words = {"labels": ["PER", "AGENT"], "label_names": {"AGENT": "per"}}
    nlp = make_nlp(**words)
    assert names_of(nlp) == ["person", "per"]
    nlp.to_disk(tmp_path / "saved")
    assert names_of(spacy.load(tmp_path / "saved")) == ["person", "per"]
    with pytest.raises(ValueError, match="both called 'per'"):
        spacy.load(tmp_path / "saved", config=asked_for({"known_labels": False}))


# Saved before.


def test_a_pipeline_from_before_asks_as_before(
    make_nlp: MakeNLP, old: Path, tmp_path: Path
) -> None:
    before = make_nlp(labels=LABELS, known_labels=False)
    nlp = spacy.load(old)
    assert names_of(nlp) == DEFAULT and prompts_of(nlp) == prompts_of(before)
    # Saved anew, by a version that has the setting, and with other settings overridden.
    nlp.to_disk(tmp_path / "again")
    for folder in (old, tmp_path / "again"):
        config = asked_for({"threshold": 0.5})
        loaded = spacy.load(folder, config=config)
        assert names_of(loaded) == DEFAULT and pipe_of(loaded).cfg["threshold"] == 0.5
    # As a part of another pipeline, and into one that was just made.
    other = spacy.blank("en")
    other.add_pipe(NAME, source=nlp)
    other.to_disk(tmp_path / "sourced")
    assert names_of(spacy.load(tmp_path / "sourced")) == DEFAULT
    assert names_of(make_nlp(labels=LABELS).from_disk(old)) == DEFAULT


def test_a_pipeline_from_before_may_take_the_table(old: Path, tmp_path: Path) -> None:
    nlp = spacy.load(old)
    pipe_of(nlp).cfg["known_labels"] = True
    assert names_of(nlp) == KNOWN
    nlp.to_disk(tmp_path / "again")
    assert names_of(spacy.load(tmp_path / "again")) == KNOWN


def test_one_that_does_not_say_what_was_configured_asks_as_before(old: Path) -> None:
    cfg = srsly.read_json(old / NAME / "cfg")
    del cfg["configured"]
    srsly.write_json(old / NAME / "cfg", cfg)
    assert names_of(spacy.load(old)) == DEFAULT


def test_bytes_from_before_ask_as_before(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=LABELS)
    content = srsly.msgpack_loads(pipe_of(nlp).to_bytes())
    cfg = json.loads(content["cfg"])
    del cfg["known_labels"], cfg["configured"]["known_labels"]
    content["cfg"] = srsly.json_dumps(cfg)
    assert names_of(nlp) == KNOWN
    pipe_of(nlp).from_bytes(srsly.msgpack_dumps(content))
    assert names_of(nlp) == DEFAULT


def test_training_goes_on_with_the_words_of_before(old: Path, tmp_path: Path) -> None:
    nlp = spacy.load(old)
    rows = examples(nlp)
    nlp.initialize(lambda: rows)
    nlp.update(rows)
    assert names_of(nlp) == DEFAULT
    nlp.to_disk(tmp_path / "again")
    assert names_of(spacy.load(tmp_path / "again")) == DEFAULT
