"""Labels of the component, of one call and of a doc, and examples that it shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import raise_error

from helpers.component import spans
from helpers.pipelines import MakeNLP, on_every_kind
from spacy_instructner.tasks.cllmfs import CLLMFS

NAME = "instruction_ner"
TEXT = "Anna met Bert in Paris and Carl in Rome."


@on_every_kind
def test_labels_for_one_call(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    before = spans(nlp(TEXT))
    for doc in (
        # Two settings: spaCy adds a batch size to the one it gets with `pipe`.
        next(
            nlp.pipe([TEXT], component_cfg={"instruction_ner": {"labels": ["THING"]}})
        ),
        nlp(TEXT, component_cfg={"instruction_ner": {"labels": ["THING"]}}),
    ):
        assert {s.label_ for s in doc.spans["instruction_ner"]} == {"THING"}
    assert nlp.get_pipe("instruction_ner").labels == ("PERSON", "PLACE")
    assert spans(nlp(TEXT)) == before


@on_every_kind
def test_labels_that_a_doc_brings(make_nlp: MakeNLP) -> None:
    """Each Doc of a batch is asked for its own; the call's labels come first."""
    nlp = make_nlp(save_io=True, label_definitions={"PLACE": "a town"})
    own: list[Any] = [None, ["THING"], {"THING": "what is made", "PLACE": ""}, []]

    def docs() -> list[Doc]:
        made = [nlp.make_doc(TEXT) for _ in own]
        for doc, labels in zip(made, own):
            if labels is not None:
                doc.user_data["instruction_ner_labels"] = labels
        return made

    said: list[str] = []
    nlp.set_error_handler(lambda name, proc, docs, error: said.append(str(error)))
    found = list(nlp.pipe(docs()))
    # An empty list is nothing to look for; the others do not suffer from it.
    assert len(found) == 3 and len(said) == 1 and "one label at least" in said[0]
    alone = [nlp(doc) for doc in docs()[:3]]
    for one, other, labels in zip(found, alone, own):
        assert spans(one) == spans(other)
        known = set(labels or ["PERSON", "PLACE"])
        assert {s.label_ for s in one.spans["instruction_ner"]} <= known
    prompts = [
        "".join(x["prompt"] for x in doc.user_data["instruction_ner_io"][NAME])
        for doc in found
    ]
    assert ["thing" in prompt for prompt in prompts] == [False, True, True]
    assert ["place" in prompt for prompt in prompts] == [True, False, True]
    if isinstance(nlp.get_pipe(NAME).task, CLLMFS):
        assert ["what is made" in prompt for prompt in prompts] == [False, False, True]
        # What the Doc leaves open is as for the component.
        assert ["a town" in prompt for prompt in prompts] == [True, False, True]
    for doc in nlp.pipe(docs(), component_cfg={NAME: {"labels": ["LAW"]}}):
        assert {s.label_ for s in doc.spans["instruction_ner"]} == {"LAW"}
    nlp.set_error_handler(raise_error)
    with pytest.raises(ValueError, match="one text: 'LAW'"):
        nlp(TEXT, component_cfg={NAME: {"labels": "LAW"}})


@on_every_kind
def test_label_names_are_what_the_prompt_says(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(
        labels=["PER", "LOC"],
        label_names={"PER": "human being, or so", "LOC": 'the "place"'},
        save_io=True,
    )
    doc = nlp(TEXT)
    entries = doc.user_data["instruction_ner_io"]["instruction_ner"]
    if len(entries) == 1:
        assert 'Options: human being, or so, the "place"' in entries[0]["prompt"]
    else:  # CLLMFS
        first, second = (entry["prompt"] for entry in entries)
        assert first.endswith(" human being, or so:")
        assert second.endswith(' the "place":')
    assert {s.label_ for s in doc.spans["instruction_ner"]} <= {"PER", "LOC"}


@on_every_kind
def test_earlier_entities_stay(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    ruler = nlp.add_pipe("entity_ruler", before="instruction_ner")
    ruler.add_patterns([{"label": "CITY", "pattern": "Paris"}])
    doc = nlp(TEXT)
    assert "CITY" in {ent.label_ for ent in doc.ents}
    other = make_nlp(overwrite=True)
    ruler = other.add_pipe("entity_ruler", before="instruction_ner")
    ruler.add_patterns([{"label": "CITY", "pattern": "Paris"}])
    assert "CITY" not in {ent.label_ for ent in other(TEXT).ents}


def test_labels_are_a_list(make_nlp: MakeNLP) -> None:
    with pytest.raises(ValueError, match="list of labels"):
        make_nlp().get_pipe("instruction_ner").set_labels("ORG")


@pytest.mark.parametrize("kind", ["causal", "t5"])
def test_examples_are_shown_without_training_and_saved(
    make_nlp: MakeNLP,
    tiny_seq2seq: Callable[[str], Path],
    tmp_path: Path,
    kind: str,
) -> None:
    source = tmp_path / "shots.jsonl"
    source.write_text(
        '{"text": "Carl is in Bonn", "spans": '
        '[{"start": 0, "end": 4, "label": "PERSON"}]}'
    )
    reader = {
        "@readers": "spacy-instructner.FewShotCorpus.v1",
        "path": str(source),
        "protocol": "all",
    }
    task = {"@misc": "spacy-instructner.InstructionNER.v1", "examples": reader}
    model = {}
    if kind == "t5":
        model["@architectures"] = "spacy-instructner.Seq2SeqLM.v1"
        model["name"] = str(tiny_seq2seq("t5"))
    nlp = make_nlp(task=task, save_io=True, model=model)
    doc = nlp(TEXT)
    (entry,) = doc.user_data["instruction_ner_io"]["instruction_ner"]
    assert entry["prompt"].count("Sentence:") == 2
    assert "arl is a person." in entry["prompt"]
    assert spans(doc) != spans(make_nlp(model=model)(TEXT))
    # spaCy hands a component's cfg to its scorer, beside the examples to score.
    found = nlp.evaluate([Example(nlp.make_doc(TEXT), doc)])
    assert found["ents_f"] == 1.0 and len(doc.ents) > 0
    # Read once: the pipeline is whole without the file, also one that is not asked
    # anything before.
    begun = make_nlp(task=task, model=model)
    begun.initialize()
    nlp.to_disk(tmp_path / "saved")
    source.unlink()
    from spacy import load

    assert spans(load(tmp_path / "saved")(TEXT)) == spans(doc)
    assert spans(begun(TEXT)) == spans(doc)
