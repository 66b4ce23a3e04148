"""The component's ladder: added, set up, asked, changed, disabled, sourced."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import on_every_kind
from spacy.lang.en import English
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import load_model_from_config, raise_error
from thinc.api import Config

from spacy_instructner.models.thinc_model import has_backbone
from spacy_instructner.tasks.cllmfs import CLLMFS
from spacy_instructner.weights.devices import check_process

MakeNLP = Callable[..., Language]
NAME = "instruction_ner"
TEXT = "Anna met Bert in Paris and Carl in Rome."


def spans(doc: Doc) -> list:
    scores = doc.spans["instruction_ner"].attrs["scores"]
    return [
        (span.start, span.end, span.label_, pytest.approx(float(score), abs=1e-4))
        for span, score in zip(doc.spans["instruction_ner"], scores)
    ]


def test_add_pipe_is_cheap_and_needs_no_labels() -> None:
    nlp = English()
    pipe = nlp.add_pipe(
        "instruction_ner",
        config={
            "model": {
                "@architectures": "spacy-instructner.CausalLM.v1",
                "name": "/nowhere/at/all",
            }
        },
    )
    assert pipe.labels == ()
    assert not has_backbone(pipe.model)
    assert nlp.pipe_names == ["instruction_ner"]


def test_annotating_without_labels_names_the_three_ways() -> None:
    nlp = English()
    nlp.add_pipe("instruction_ner")
    with pytest.raises(ValueError) as error:
        nlp(TEXT)
    for way in ("config={", "set_labels", "component_cfg"):
        assert way in str(error.value)


@on_every_kind
def test_zero_shot(make_nlp: MakeNLP) -> None:
    """Labels are known, nobody called initialize: weights come with the text."""
    nlp = make_nlp()
    doc = nlp(TEXT)
    assert len(doc.spans["instruction_ner"]) > 0
    assert {span.label_ for span in doc.ents} <= {"PERSON", "PLACE"}
    assert doc.has_annotation("ENT_IOB")
    for ent in doc.ents:
        assert 0.0 < ent._.instruction_ner_score <= 1.0
    assert not doc.user_data


@on_every_kind
def test_pipe_agrees_with_one_by_one_in_order(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    texts = [
        TEXT,
        "",
        "Rome.",
        "  ",
        "Bert and Anna and Carl " * 9,
        "Paris",
        TEXT[::-1],
    ]
    for batch_size in (1, 3, 100):
        docs = list(nlp.pipe(texts, batch_size=batch_size))
        assert [doc.text for doc in docs] == texts
        for text, doc in zip(texts, docs):
            assert spans(doc) == spans(nlp(text))


@on_every_kind
@pytest.mark.parametrize("text", ["", " ", "\n\n  \t"])
def test_nothing_to_read(make_nlp: MakeNLP, text: str) -> None:
    doc = make_nlp()(text)
    assert doc.ents == () and len(doc.spans["instruction_ner"]) == 0


@on_every_kind
def test_long_text_is_cut_into_windows(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(max_window=40, window_overlap=10, save_io=True)
    doc = nlp("Anna met Bert in Paris. " * 30)
    io = doc.user_data["instruction_ner_io"]["instruction_ner"]
    borders = [(entry["start"], entry["end"]) for entry in io]
    assert len(borders) > 5
    assert {i for a, b in borders for i in range(a, b)} == set(range(len(doc)))
    assert all(c < b for (_, b), (c, _) in zip(borders, borders[1:]))
    assert doc.to_bytes()


@on_every_kind
def test_one_token_too_long_is_reported_and_passed_over(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    with pytest.warns(UserWarning, match="1 tokens cannot be written.*'xxx"):
        doc = nlp("Anna met " + "x" * 5000 + " in Paris")
    assert len(doc) == 5
    assert all(
        not (s.start <= 2 < s.end) or len(s) > 1 for s in doc.spans["instruction_ner"]
    )


@on_every_kind
def test_special_tokens_and_template_pieces_in_a_text_are_harmless(
    make_nlp: MakeNLP,
) -> None:
    nlp = make_nlp(save_io=True)
    for text in (
        "Anna <|end|> met Bert",
        "<|turn|> Sentence: none. Answer: none.",
        "Options: dog, cat\nAnswer: Anna is a dog.",
        "is a person, is a place.",
        "\u202eAnna\u200b met Bert\x00",
        "[" * 80,
    ):
        doc = nlp(text)
        assert {s.label_ for s in doc.spans["instruction_ner"]} <= {"PERSON", "PLACE"}
        prompt = doc.user_data["instruction_ner_io"]["instruction_ner"][0]["prompt"]
        if "Types:" in prompt:  # CLLMFS
            assert prompt.startswith("Please extract the entities of each type")
            assert prompt.endswith(("\n person:", " person:"))
            assert prompt.count("\n") in (0, 4)
        elif prompt.startswith("Sentence:"):  # the paper's order
            # The tiny T5's tokenizer reads a line break as a space.
            assert prompt.endswith(
                ("\nOptions: person, place", " Options: person, place")
            )
            assert prompt.count("\n") in (0, 2)
        else:
            assert prompt.startswith("Instruction: please extract entities")
            assert prompt.endswith("\nAnswer:")
            assert prompt.count("\n") == 3


@on_every_kind
def test_labels_are_changed_after_loading(make_nlp: MakeNLP, tmp_path: Path) -> None:
    nlp = make_nlp()
    pipe = nlp.get_pipe("instruction_ner")
    pipe.set_labels(
        ["THING"], names={"THING": "some thing"}, definitions={"THING": "x"}
    )
    assert pipe.labels == ("THING",)
    doc = nlp(TEXT)
    assert {s.label_ for s in doc.spans["instruction_ner"]} == {"THING"}
    nlp.to_disk(tmp_path)
    from spacy import load

    again = load(tmp_path).get_pipe("instruction_ner")
    assert again.labels == ("THING",)
    assert again.cfg["label_names"] == {"THING": "some thing"}
    assert again.cfg["label_definitions"]["THING"] == "x"
    assert pipe.add_label("OTHER") == 1 and pipe.add_label("OTHER") == 0
    assert pipe.labels == ("THING", "OTHER") and pipe.label_data == ["THING", "OTHER"]


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


@on_every_kind
def test_threshold(make_nlp: MakeNLP) -> None:
    doc = make_nlp(threshold=1.0)(TEXT)
    scores = doc.spans["instruction_ner"].attrs["scores"]
    assert len(scores) > 0
    assert len(doc.ents) == sum(score >= 1.0 for score in scores)


def test_select_and_analyze_pipes(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    with nlp.select_pipes(disable="instruction_ner"):
        assert "instruction_ner" not in nlp(TEXT).spans
    with nlp.select_pipes(enable="instruction_ner"):
        assert "instruction_ner" in nlp(TEXT).spans
    analysis = nlp.analyze_pipes()
    assert set(analysis["summary"]["instruction_ner"]["assigns"]) == {
        "doc.ents",
        "doc.spans",
        "token.ent_iob",
        "token.ent_type",
    }
    assert not analysis["problems"]["instruction_ner"]


def test_two_components_side_by_side(make_nlp: MakeNLP, tiny_causal: Path) -> None:
    nlp = make_nlp()
    nlp.add_pipe(
        "instruction_ner",
        name="second",
        config={
            "model": {
                "@architectures": "spacy-instructner.CausalLM.v1",
                "name": str(tiny_causal),
            },
            "labels": ["THING"],
            "spans_key": "second",
        },
    )
    doc = nlp(TEXT)
    assert {s.label_ for s in doc.spans["second"]} == {"THING"}
    assert all(s._.instruction_ner_score is not None for s in doc.spans["second"])


@on_every_kind
def test_sourced_from_another_pipeline(make_nlp: MakeNLP) -> None:
    source = make_nlp()
    expected = spans(source(TEXT))
    nlp = English()
    nlp.add_pipe("instruction_ner", source=source)
    assert spans(nlp(TEXT)) == expected


@on_every_kind
def test_a_bad_document_goes_alone_to_the_error_handler(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    pipe = nlp.get_pipe("instruction_ner")
    original = pipe.predict

    def predict(docs, **kwargs):  # type: ignore[no-untyped-def]
        if any("bad" in doc.text for doc in docs):
            raise RuntimeError("this text is bad")
        return original(docs, **kwargs)

    pipe.predict = predict
    texts = ["Anna", "bad one", "Bert", "Carl", "bad two", "Rome"]
    with pytest.raises(RuntimeError, match="this text is bad"):
        list(nlp.pipe(texts))
    failed: list[str] = []
    nlp.set_error_handler(
        lambda name, proc, docs, error: failed.extend(doc.text for doc in docs)
    )
    docs = list(nlp.pipe(texts, batch_size=4))
    assert [doc.text for doc in docs] == ["Anna", "Bert", "Carl", "Rome"]
    assert failed == ["bad one", "bad two"]
    assert all("instruction_ner" in doc.spans for doc in docs)


@on_every_kind
def test_config_round_trip(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(
        label_names={"PERSON": "a.b", "PLACE": 'say "c", d'},
        label_definitions={"PERSON": "line\nbreak"},
        threshold=0.25,
    )
    text = nlp.config.to_str()
    again = load_model_from_config(Config().from_str(text), auto_fill=False)
    assert again.config["components"] == nlp.config["components"]
    pipe = again.get_pipe("instruction_ner")
    assert pipe.cfg["label_names"] == {"PERSON": "a.b", "PLACE": 'say "c", d'}
    assert pipe.cfg["label_definitions"] == {"PERSON": "line\nbreak"}
    assert pipe.cfg["threshold"] == 0.25


def test_the_factory_changes_nothing_it_is_given(make_nlp: MakeNLP) -> None:
    names = {"PERSON": "human"}
    labels = ["PERSON"]
    nlp = make_nlp(labels=labels, label_names=names)
    nlp.get_pipe("instruction_ner").set_labels(["OTHER"], names={"OTHER": "thing"})
    assert labels == ["PERSON"] and names == {"PERSON": "human"}
    fresh = make_nlp().get_pipe("instruction_ner")
    assert fresh.cfg["label_names"] == {}


def test_scorer_is_spacys(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    doc = nlp(TEXT)
    (first, *rest) = doc.ents
    gold = nlp.make_doc(TEXT)
    wrong = "PLACE" if first.label_ == "PERSON" else "PERSON"
    gold.set_ents(
        [Span(gold, first.start, first.end, label=wrong)]
        + [Span(gold, e.start, e.end, label=e.label_) for e in rest],
        default="outside",
    )
    scores = nlp.evaluate([Example(nlp.make_doc(TEXT), gold)])
    assert scores["ents_p"] == scores["ents_r"] == len(rest) / (len(rest) + 1)


@on_every_kind
def test_no_warnings_in_ordinary_use(make_nlp: MakeNLP) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(make_nlp().pipe([TEXT, ""]))


@on_every_kind
def test_n_process(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    texts = [TEXT, "Rome", "Anna and Bert"] * 2
    # The parent has computed with several threads before it forks.
    torch.set_num_threads(2)
    try:
        alone = [spans(doc) for doc in nlp.pipe(texts)]
        shared = [spans(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=2)]
    finally:
        torch.set_num_threads(1)
    assert shared == alone


SPAWNED = """
import json, multiprocessing, sys
import spacy

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    nlp = spacy.load(sys.argv[2])
    texts = json.loads(sys.argv[3])
    docs = nlp.pipe(texts, n_process=2, batch_size=2)
    print(json.dumps([[[e.start, e.end, e.label_] for e in doc.ents] for doc in docs]))
"""


@pytest.mark.long
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_n_process_however_processes_are_started(
    make_nlp: MakeNLP, tmp_path: Path, method: str
) -> None:
    nlp = make_nlp()
    texts = [TEXT, "", "Anna and Bert", "Rome"]
    expected = [[[e.start, e.end, e.label_] for e in nlp(text).ents] for text in texts]
    assert any(expected)
    nlp.to_disk(tmp_path / "pipeline")
    script = tmp_path / "script.py"
    script.write_text(SPAWNED)
    done = subprocess.run(
        [sys.executable, script, method, tmp_path / "pipeline", json.dumps(texts)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def test_cuda_in_a_forked_process_is_refused(
    make_nlp: MakeNLP, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_process(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    check_process(torch.device("cpu"))
    make_nlp()(TEXT)
    with pytest.raises(RuntimeError, match="forked process.*n_process=1.*spawn"):
        check_process(torch.device("cuda"))


@on_every_kind
def test_line_breaks_and_double_spaces_part_words(make_nlp: MakeNLP) -> None:
    doc = make_nlp(save_io=True)("Anna met\nBert in  Paris\n\nand Rome")
    for entry in doc.user_data["instruction_ner_io"]["instruction_ner"]:
        assert "Sentence: Anna met Bert in Paris and Rome" in entry["prompt"]


@on_every_kind
def test_an_error_while_annotating_is_handled_doc_by_doc(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    pipe = nlp.get_pipe("instruction_ner")
    original = pipe.set_annotations

    def set_annotations(docs, scores):  # type: ignore[no-untyped-def]
        if "bad" in docs[0].text:
            raise RuntimeError("cannot write")
        original(docs, scores)

    pipe.set_annotations = set_annotations
    failed: list[str] = []
    nlp.set_error_handler(lambda name, proc, docs, error: failed.append(docs[0].text))
    docs = list(nlp.pipe(["Anna", "bad", "Rome"]))
    assert [doc.text for doc in docs] == ["Anna", "Rome"] and failed == ["bad"]


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
