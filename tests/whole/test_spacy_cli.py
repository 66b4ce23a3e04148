"""spaCy's own commands on the component, through tiny pipelines."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin
from thinc.api import Adam, Config

from helpers.pipelines import LORA
from helpers.places import ROOT
from helpers.shipped_configs import good
from helpers.training import gold_docs, initialized, train_by_hand
from spacy_instructner.models.thinc_model import get_backbone

CONFIG = ROOT / "configs" / "instructionner.cfg"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "train.spacy"
    DocBin(docs=gold_docs(spacy.blank("en"))).to_disk(path)
    return path


@pytest.fixture
def pipeline(make_nlp: Callable[..., Language], tmp_path: Path) -> Path:
    nlp = initialized(make_nlp, model={"adapter": LORA})
    train_by_hand(nlp, 30, Adam(1e-2))
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def test_init_labels(data: Path, tmp_path: Path, tiny_causal: Path) -> None:
    # fmt: off
    good(
        "init", "labels", CONFIG, tmp_path / "labels", "--paths.train", data,
        "--corpora.train.protocol", "all",
        "--components.instruction_ner.model.name", tiny_causal,
    )
    # fmt: on
    path = tmp_path / "labels" / "instruction_ner.json"
    assert json.loads(path.read_text()) == ["PERSON", "PLACE"]


def test_assemble(tmp_path: Path, tiny_causal: Path) -> None:
    """A zero-shot pipeline from a config, weights and all."""
    base = tmp_path / "base.cfg"
    base.write_text(
        '[nlp]\nlang = "en"\npipeline = ["instruction_ner"]\n'
        '[components]\n[components.instruction_ner]\nfactory = "instruction_ner"\n'
        'labels = ["THING"]\n[components.instruction_ner.model]\n'
        '@architectures = "spacy-instructner.CausalLM.v1"\n'
        f'name = "{tiny_causal}"\n[components.instruction_ner.task]\n'
        '@misc = "spacy-instructner.CLLMFS.v1"\n'
    )
    good("assemble", base, tmp_path / "out")
    nlp = spacy.load(tmp_path / "out")
    pipe = nlp.get_pipe("instruction_ner")
    assert pipe.labels == ("THING",)
    assert (tmp_path / "out" / "instruction_ner" / "model" / "base").is_dir()
    assert len(nlp("Anna met Bert").spans["instruction_ner"].attrs["scores"]) >= 0


def test_benchmark_accuracy_and_speed(
    pipeline: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scores.json"
    good("benchmark", "accuracy", pipeline, data, "--output", output)
    scores = json.loads(output.read_text())
    assert 0.0 < scores["ents_f"] <= 1.0
    # fmt: off
    shown = good(
        "benchmark", "speed", pipeline, data,
        "--batches", "30", "--batch-size", "1", "--warmup", "1",
    )
    # fmt: on
    assert "words/s" in shown


def test_find_threshold(pipeline: Path, data: Path) -> None:
    # fmt: off
    shown = good(
        "find-threshold", pipeline, data, "instruction_ner", "threshold", "ents_f",
        "--n_trials", "3",
    )
    # fmt: on
    rows = [
        line.split() for line in shown.splitlines() if line.startswith(("0.", "1."))
    ]
    scores = {float(threshold): float(score) for threshold, score, *_ in rows}
    # Every threshold was in force: at 1.0 next to nothing passes.
    assert set(scores) == {0.0, 0.5, 1.0}
    assert scores[1.0] < scores[0.0]


def test_training_on_from_a_sourced_component(
    pipeline: Path, data: Path, tmp_path: Path
) -> None:
    config = Config().from_disk(CONFIG, interpolate=False)
    config["components"]["instruction_ner"] = {"source": str(pipeline)}
    config["training"]["max_steps"] = config["training"]["eval_frequency"] = 2
    config.to_disk(tmp_path / "on.cfg")
    # fmt: off
    good(
        "train", tmp_path / "on.cfg", "--output", tmp_path / "out",
        "--paths.train", data, "--corpora.train.protocol", "all",
    )
    # fmt: on
    before = get_backbone(spacy.load(pipeline).get_pipe("instruction_ner").model)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    after = get_backbone(nlp.get_pipe("instruction_ner").model)
    # The same adapter, gone on: neither a fresh one nor a second.
    assert after.lora == before.lora and after.lora.r == LORA["r"]
    (one, *_), (other, *_) = (
        [p for n, p in b.hf.named_parameters() if "lora_B" in n]
        for b in (before, after)
    )
    assert one.abs().sum() > 0 and not (one == other).all()


def test_frozen_and_annotating_components(
    pipeline: Path, data: Path, tmp_path: Path
) -> None:
    """Frozen, it stays as it was; it may annotate for others all the same."""
    config = Config().from_disk(CONFIG, interpolate=False)
    config["nlp"]["pipeline"] = ["instruction_ner", "ner"]
    config["components"] = {
        "instruction_ner": {"source": str(pipeline)},
        "ner": {"factory": "ner"},
    }
    config["training"]["frozen_components"] = ["instruction_ner"]
    config["training"]["annotating_components"] = ["instruction_ner"]
    config["training"]["max_steps"] = config["training"]["eval_frequency"] = 2
    config.to_disk(tmp_path / "frozen.cfg")
    # fmt: off
    good(
        "train", tmp_path / "frozen.cfg", "--output", tmp_path / "out",
        "--paths.train", data, "--corpora.train.protocol", "all",
    )
    # fmt: on
    one, other = spacy.load(pipeline), spacy.load(tmp_path / "out" / "model-last")
    text = "Anna met Bert in Paris."
    with other.select_pipes(disable="ner"):
        mine, theirs = one(text), other(text)
    scores = [doc.spans["instruction_ner"].attrs["scores"] for doc in (mine, theirs)]
    assert list(scores[0]) == pytest.approx(list(scores[1]), abs=1e-6)
