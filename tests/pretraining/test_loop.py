"""Training in stages."""

from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from safetensors.torch import load_file
from thinc.api import Config
from typer.testing import CliRunner

from helpers.pretraining import result, steps_of, told
from spacy_instructner.cli import app
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.pretraining.loop import LOG, MODEL, pretrain, read_log


@pytest.mark.long
def test_stages_do_what_one_run_does(config: Config, tmp_path: Path) -> None:
    assert pretrain(config, tmp_path / "one")
    assert steps_of(tmp_path / "one") == [0, 2, 4, 6, 8, 9]
    said: list[int] = []
    stages = 0
    while not pretrain(
        config,
        tmp_path / "two",
        seconds=0.0,
        on_progress=lambda entry: said.append(entry.state.step),
    ):
        stages += 1
    assert stages == 4 and said == [0, 2, 4, 6, 8, 9]
    assert told(tmp_path / "two") == told(tmp_path / "one")
    assert result(tmp_path / "two") == result(tmp_path / "one") != {}
    # Nothing is left to do, and nothing changes.
    assert pretrain(config, tmp_path / "two")
    assert steps_of(tmp_path / "two") == [0, 2, 4, 6, 8, 9]
    assert result(tmp_path / "two") == result(tmp_path / "one")
    last = read_log(tmp_path / "one" / LOG)[-1]
    assert last["texts"] == 18 and last["ids"] > 18 * 20 and last["loss"] > 0.0


@pytest.mark.long
def test_it_learns(config: Config, tmp_path: Path) -> None:
    config["training"].update(max_steps=80, eval_frequency=10)
    config["training"]["optimizer"]["learn_rate"].update(
        initial_rate=0.005, warmup_steps=2
    )
    # All weights: those of a random model say nothing that an adapter could turn.
    component = config["components"]["instruction_ner"]
    component["bundle"], component["model"]["adapter"] = "full", None
    assert pretrain(config, tmp_path)
    before, first, *_, last = (line["loss"] for line in read_log(tmp_path / LOG))
    assert before is None and last < 0.9 * first
    nlp = spacy.load(tmp_path / MODEL)
    doc = nlp.make_doc("The chain broke.")
    doc.user_data["instruction_ner_labels"] = ["ANYTHING"]
    assert {s.label_ for s in nlp(doc).spans["instruction_ner"]} <= {"ANYTHING"}


def test_all_weights_in_half_precision_go_on_as_they_were(
    config: Config, tmp_path: Path
) -> None:
    model = config["components"]["instruction_ner"]["model"]
    model.update(adapter=None, precision="bfloat16")
    config["components"]["instruction_ner"]["bundle"] = "full"
    config["training"].update(max_steps=4)
    assert pretrain(config, tmp_path / "one")
    assert not pretrain(config, tmp_path / "two", seconds=0.0)
    assert pretrain(config, tmp_path / "two")
    assert told(tmp_path / "two") == told(tmp_path / "one")


@pytest.mark.long
def test_averages_are_measured_and_saved(config: Config, tmp_path: Path) -> None:
    config["training"]["optimizer"]["learn_rate"].update(
        initial_rate=0.05, warmup_steps=1
    )
    assert pretrain(config, tmp_path / "averaged")
    config["training"]["optimizer"]["use_averages"] = False
    assert pretrain(config, tmp_path / "last")
    averaged, last = result(tmp_path / "averaged"), result(tmp_path / "last")
    assert averaged.keys() == last.keys() and averaged != last
    losses = [[r["loss"] for r in told(tmp_path / n)] for n in ("averaged", "last")]
    assert losses[0] == losses[1]
    (moments,) = (tmp_path / "averaged").rglob("optimizer.safetensors")
    kept = [v for name, v in load_file(moments).items() if name.startswith("averages")]
    for values in map(torch.tensor, averaged.values()):
        same = [each for each in kept if each.shape == values.shape]
        assert any(each.allclose(values, atol=1e-6) for each in same)


def test_what_cannot_be_trained_is_told(config: Config, tmp_path: Path) -> None:
    config["training"]["train_corpus"] = "corpora.dev"
    with pytest.raises(ValueError, match="has no `starting` method"):
        pretrain(config, tmp_path)
    training = config["training"]
    for name, value, message in (
        ("eval_frequency", 0, "at least 1"),
        ("seed", None, "`.training. seed` must be a number"),
        (
            "batcher",
            {
                **training["batcher"],
                "@batchers": "spacy.batch_by_words.v1",
                "tolerance": 0.2,
                "discard_oversize": False,
            },
            "with a number as `size`",
        ),
    ):
        other = config.copy()
        other["training"].update(train_corpus="corpora.train")
        other["training"][name] = value
        with pytest.raises(ValueError, match=message):
            pretrain(other, tmp_path)
    config["training"].update(train_corpus="corpora.train", accumulate_gradient=2)
    with pytest.raises(ValueError, match="`accumulate_gradient` 1"):
        pretrain(config, tmp_path)
    config["nlp"]["pipeline"] = []
    with pytest.raises(ValueError, match="one instruction_ner component"):
        pretrain(config, tmp_path)


@pytest.mark.long
def test_the_command(config: Config, tmp_path: Path) -> None:
    config.to_disk(tmp_path / "config.cfg")

    def run_it(*more: str) -> Any:
        line = ["pretrain", str(tmp_path / "config.cfg"), str(tmp_path / "out"), *more]
        return CliRunner().invoke(app, line)

    stopped = run_it("--minutes", "0")
    assert stopped.exit_code == 0 and "Time is up" in stopped.output
    assert "Step 2 (4 texts" in stopped.output
    other = run_it("--training.dropout", "0.2")
    assert other.exit_code == 1 and "another config" in other.output
    done = run_it()
    assert done.exit_code == 0 and "All steps are done" in done.output
    loaded = spacy.load(tmp_path / "out" / MODEL).get_pipe("instruction_ner")
    assert get_backbone(loaded.model).lora is not None
