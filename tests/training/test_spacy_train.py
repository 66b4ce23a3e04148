"""`spacy train` and `spacy evaluate`, and another process that loads what they saved."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from helpers.places import ROOT
from helpers.training import TRAIN, examples, gold_docs

CONFIGS = ROOT / "configs"
HELD_OUT = ["Bert lives in Paris.", "Anna and Bert met in Rome and Paris.", "", "None."]


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True
    )


SPANS = """
import json, sys, torch, spacy
torch.set_num_threads(1)
nlp = spacy.load(sys.argv[1])
rows = []
for doc in nlp.pipe(json.loads(sys.argv[2])):
    group = doc.spans["instruction_ner"]
    scores = [float(score) for score in group.attrs["scores"]]
    rows.append([[s.start, s.end, s.label_, x] for s, x in zip(group, scores)])
print(json.dumps(rows))
"""


def spans_elsewhere(folder: Path, texts: list[str]) -> list:
    """What a pipeline on disk answers in a process of its own."""
    done = run("-c", SPANS, folder, json.dumps(texts))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=["causal", "t5", "bart"])
def trained(
    request: pytest.FixtureRequest,
    tiny_causal: Path,
    tiny_seq2seq: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """`spacy train` with the shipped configs, overfitted on a few sentences."""
    kind = request.param
    folder = tmp_path_factory.mktemp("train")
    name = tiny_causal if kind == "causal" else tiny_seq2seq(kind)
    config = CONFIGS / f"instructionner{'' if kind == 'causal' else '_t5'}.cfg"
    DocBin(docs=gold_docs(spacy.blank("en"))).to_disk(folder / "train.spacy")
    # fmt: off
    done = run(
        "-m", "spacy", "train", config, "--output", folder / "out",
        "--paths.train", folder / "train.spacy",
        "--corpora.train.protocol", "all",
        "--components.instruction_ner.model.name", name,
        "--components.instruction_ner.model.precision", "float32",
        "--training.max_steps", "150" if kind == "causal" else "300",
        "--training.eval_frequency", "75",
        # Twice this is the edge for the tiny T5: whether it converges then depends
        # on the machine's rounding.
        "--training.optimizer.learn_rate.initial_rate", "5e-3",
    )
    # fmt: on
    assert done.returncode == 0, done.stdout + done.stderr
    # Progress is shown: a row for each evaluation.
    assert "ENTS_F" in done.stdout and done.stdout.count("\n") > 8
    return folder


@pytest.mark.long
def test_overfits_to_f1_of_one(trained: Path) -> None:
    nlp = spacy.load(trained / "out" / "model-last")
    scores = nlp.evaluate(examples(nlp))
    assert scores["ents_f"] == 1.0
    assert nlp.get_pipe("instruction_ner").labels == ("PERSON", "PLACE")


@pytest.mark.long
def test_spacy_evaluate(trained: Path, tmp_path: Path) -> None:
    # fmt: off
    done = run(
        "-m", "spacy", "evaluate", trained / "out" / "model-last",
        trained / "train.spacy", "--output", tmp_path / "scores.json",
    )
    # fmt: on
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["ents_f"] == 1.0 and set(scores["ents_per_type"]) == {
        "PERSON",
        "PLACE",
    }


@pytest.mark.long
def test_another_process_answers_the_same(trained: Path) -> None:
    nlp = spacy.load(trained / "out" / "model-last")
    texts = [text for text, _ in TRAIN] + HELD_OUT
    here = []
    for doc in nlp.pipe(texts):
        group = doc.spans["instruction_ner"]
        scores = [pytest.approx(float(x), abs=1e-6) for x in group.attrs["scores"]]
        here.append([[s.start, s.end, s.label_, x] for s, x in zip(group, scores)])
    assert spans_elsewhere(trained / "out" / "model-last", texts) == here
    assert sum(map(len, here)) > 8
