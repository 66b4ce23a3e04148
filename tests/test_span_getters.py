"""Registered span getters, and configs that name those of spacy-transformers."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.util import registry

from helpers.pipelines import SPACY_TRANSFORMERS
from spacy_instructner.span_getters import build_sentences_v1, build_whole_docs_v1

OLD = "spacy-transformers.doc_spans.v1"


def test_they_are_registered() -> None:
    assert registry.misc.get("spacy-instructner.WholeDocs.v1") is build_whole_docs_v1
    assert registry.misc.get("spacy-instructner.Sentences.v1") is build_sentences_v1


def test_whole_docs_is_the_default(make_nlp: Callable[..., Language]) -> None:
    nlp = make_nlp()
    windows = nlp.config["components"]["instruction_ner"]["windows"]
    assert windows == {"@misc": "spacy-instructner.WholeDocs.v1"}
    assert nlp.get_pipe("instruction_ner").windows is build_whole_docs_v1()


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ("spacy-instructner.WholeDocs.v1", OLD),
        ("spacy-instructner.Sentences.v1", "spacy-transformers.sent_spans.v1"),
    ],
)
def test_a_pipeline_of_before_still_loads(
    make_nlp: Callable[..., Language], tmp_path: Path, ours: str, theirs: str
) -> None:
    """With spacy-transformers and without: it answers what it answered."""
    answers: list[list] = []
    for name, windows in (("new", {"@misc": ours}), ("old", {"@span_getters": theirs})):
        nlp = make_nlp(windows=windows)
        nlp.add_pipe("sentencizer", first=True)
        nlp.to_disk(tmp_path / name)
        again = spacy.load(tmp_path / name)
        assert again.config["components"]["instruction_ner"]["windows"] == windows
        doc = again("Anna met Bert. Paris is an old place. Bert lives in Rome.")
        group = doc.spans["instruction_ner"]
        answers.append([(s.start, s.end, s.label_) for s in group])
    assert answers[0] == answers[1] and answers[0]


@pytest.mark.skipif(SPACY_TRANSFORMERS, reason="strides are there")
def test_strides_name_the_extra(make_nlp: Callable[..., Language]) -> None:
    strides = {"@span_getters": "spacy-transformers.strided_spans.v1"}
    with pytest.raises(ValueError, match=r"spacy-instructner\[spacy-transformers\]"):
        make_nlp(windows={**strides, "window": 128, "stride": 96})


def test_it_works_whichever_is_imported_first(tiny_causal: Path) -> None:
    """Without spacy-transformers, its registry is made by whoever needs it."""
    model = {"name": str(tiny_causal), "precision": "float32"}
    task = {"@misc": "spacy-instructner.CLLMFS.v1"}
    windows = {"@span_getters": OLD}
    config = {"windows": windows, "labels": ["X"], "model": model, "task": task}
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json, sys, spacy\n"
            "from spacy.util import registry\n"
            "nlp = spacy.blank('en')\n"
            "nlp.add_pipe('instruction_ner', config=json.loads(sys.argv[1]))\n"
            f"assert {OLD!r} in registry.span_getters.get_all()\n"
            "print(len(nlp('Anna').ents))",
            json.dumps(config),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() in ("0", "1")
