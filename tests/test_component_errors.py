"""The component beside others, in several processes, and on docs that fail."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from spacy.lang.en import English

from helpers.component import spans
from helpers.pipelines import MakeNLP, on_every_kind
from spacy_instructner.weights.devices import check_process

TEXT = "Anna met Bert in Paris and Carl in Rome."


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
            "task": {"@misc": "spacy-instructner.CLLMFS.v1"},
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
