"""What differs between versions of transformers, and what is saved by one for another."""

import json
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from packaging.version import Version
from spacy.training import Example
from transformers import AutoConfig

from helpers.pipelines import MakeNLP, on_every_kind
from spacy_instructner.files import sha256_of
from spacy_instructner.models import serialization, storage
from spacy_instructner.models.causal import CausalBackbone
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.weights import versions
from spacy_instructner.weights.versions import refuse_newer, write_for_older


def saved_by_5(folder: Path, **more: Any) -> Path:
    said = {"model_type": "llama", "dtype": "float32", **more}
    (folder / "config.json").write_text(json.dumps(said))
    said = {"tokenizer_class": "TokenizersBackend", "eos_token": "€"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said), "utf8")
    return folder


def read(folder: Path, name: str = "config.json") -> dict[str, Any]:
    return json.loads((folder / name).read_text("utf8"))


@pytest.mark.parametrize(
    "parameters, expected",
    [
        (
            {"rope_theta": 1e5, "rope_type": "default"},
            {"rope_theta": 1e5},
        ),
        (
            {"rope_theta": 1e5, "rope_type": "llama3", "factor": 8.0},
            {"rope_theta": 1e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
        ),
        (
            {"rope_theta": 1e4, "rope_type": "default", "partial_rotary_factor": 0.5},
            {"rope_theta": 1e4, "partial_rotary_factor": 0.5},
        ),
        (
            {
                **{"rope_theta": 1e4, "rope_type": "longrope", "short_factor": [1.0]},
                **{"long_factor": [4.0], "partial_rotary_factor": 0.75},
                "original_max_position_embeddings": 64,
            },
            {
                "rope_theta": 1e4,
                "partial_rotary_factor": 0.75,
                "original_max_position_embeddings": 64,
                "rope_scaling": {
                    **{"type": "longrope", "short_factor": [1.0], "long_factor": [4.0]}
                },
            },
        ),
        (
            {
                "full_attention": {
                    "rope_theta": 1e6,
                    "rope_type": "linear",
                    "factor": 8,
                },
                "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
            },
            {
                "rope_theta": 1e6,
                "rope_scaling": {"rope_type": "linear", "factor": 8},
                "rope_local_base_freq": 1e4,
            },
        ),
    ],
)
def test_older_versions_read_the_same_rotary_embeddings(
    tmp_path: Path, parameters: dict[str, Any], expected: dict[str, Any]
) -> None:
    folder = saved_by_5(tmp_path, rope_parameters=parameters)
    write_for_older(folder)
    own = {"model_type": "llama", "dtype": "float32", "torch_dtype": "float32"}
    assert read(folder) == {**own, "rope_parameters": parameters, **expected}
    tokenizer = read(folder, "tokenizer_config.json")
    assert tokenizer == {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "€"}
    before = (folder / "config.json").read_bytes()
    write_for_older(folder)
    assert (folder / "config.json").read_bytes() == before


@pytest.mark.parametrize("installed, fails", [("4.53.2", True), ("5.24.0", False)])
def test_an_older_version_refuses_what_it_would_misread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str, fails: bool
) -> None:
    monkeypatch.setattr(versions, "VERSION", Version(installed))
    rope = {"rope_theta": 1e5, "rope_type": "default"}
    folder = saved_by_5(tmp_path, rope_parameters=rope, transformers_version="5.9.0")
    if fails:
        with pytest.raises(ValueError, match="saved by transformers 5.9.0; 4.53.2"):
            refuse_newer(folder)
    else:
        refuse_newer(folder)
    write_for_older(folder)
    refuse_newer(folder)


def test_parts_of_a_config_are_told_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rope = {"rope_theta": 1e5, "rope_type": "default"}
    part = {"model_type": "gemma3_text", "rope_parameters": rope}
    folder = saved_by_5(tmp_path, text_config=part)
    monkeypatch.setattr(versions, "VERSION", Version("4.53.2"))
    with pytest.raises(ValueError, match="would read it wrongly"):
        refuse_newer(folder)
    write_for_older(folder)
    assert read(folder)["text_config"] == {**part, "rope_theta": 1e5}
    refuse_newer(folder)


def test_an_output_matrix_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 5 says of every T5 that its matrices are one."""
    matrices = {"scale_decoder_outputs": False, "tie_word_embeddings": True}
    folder = saved_by_5(tmp_path, **matrices)
    monkeypatch.setattr(versions, "VERSION", Version("4.53.2"))
    with pytest.raises(ValueError, match="would read it wrongly"):
        refuse_newer(folder)
    write_for_older(folder)
    assert read(folder)["tie_word_embeddings"] is False
    refuse_newer(folder)
    said = {k: v for k, v in read(folder).items() if k != "model_type"}
    config = AutoConfig.for_model("t5", **said)
    monkeypatch.undo()
    assert not versions.scales_decoder_outputs(config)


@pytest.mark.parametrize("make_nlp", ["causal", "t5", "bart"], indirect=True)
def test_how_a_model_is_read_is_not_how_it_learns(make_nlp: MakeNLP) -> None:
    """Saved in the middle of training, with dropout on."""
    nlp = make_nlp(model={"adapter": {"@misc": "spacy-instructner.LoRA.v1"}})
    examples = [Example(nlp.make_doc("Anna"), nlp.make_doc("Anna"))]
    nlp.initialize(lambda: examples)
    backbone = get_backbone(nlp.get_pipe("instruction_ner").model)
    before = backbone.fingerprint()
    backbone.set_dropout(0.5)
    backbone.train_mode()
    assert backbone.hf.training
    assert backbone.fingerprint() == before == backbone.fingerprint()
    assert backbone.hf.training


def test_weights_that_ran_astray_can_be_saved(
    make_nlp: MakeNLP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = make_nlp()
    nlp("Anna")
    model = nlp.get_pipe("instruction_ner").model
    # In a memory of its own: others may share the base.
    parameter = next(get_backbone(model).hf.parameters())
    parameter.data = torch.full_like(parameter, float("nan"))
    nlp.to_disk(tmp_path)
    info = read(tmp_path / "instruction_ner" / "model", "info.json")
    assert info["reads"] == [None] * 8
    monkeypatch.setattr(storage, "VERSION", Version("9.1.0"))
    spacy.load(tmp_path)


def test_another_version_is_checked_as_new_weights_are(
    make_nlp: MakeNLP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = make_nlp()
    nlp("Anna")
    nlp.to_disk(tmp_path)
    checked: list[str] = []
    monkeypatch.setattr(
        CausalBackbone, "check", lambda self: checked.append(type(self).__name__)
    )
    spacy.load(tmp_path)
    assert checked == []
    monkeypatch.setattr(serialization, "VERSION", Version("9.1.0"))
    spacy.load(tmp_path)
    assert checked == ["CausalBackbone"]


def test_logits_that_are_none_are_other_logits(
    make_nlp: MakeNLP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where those before were about the mean."""
    nlp = make_nlp()
    nlp("Anna")
    backbone = get_backbone(nlp.get_pipe("instruction_ner").model)
    info = {"transformers": "4.0.0", "dtype": "float32", "reads": [0.0] * 8}
    monkeypatch.setattr(CausalBackbone, "fingerprint", lambda self: [None] * 8)
    with pytest.raises(ValueError, match="gives other logits"):
        storage.check_reading(backbone, info, tmp_path)


@on_every_kind
def test_another_version_that_reads_alike_is_welcome(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp()
    before = nlp("Anna met Bert in Paris.")
    nlp.to_disk(tmp_path)
    info = tmp_path / "instruction_ner" / "model" / "info.json"
    said = json.loads(info.read_text("utf8"))
    assert said["transformers"] == str(versions.VERSION) and len(said["reads"]) == 8
    info.write_text(json.dumps({**said, "transformers": "4.0.0"}))
    again = spacy.load(tmp_path)("Anna met Bert in Paris.")
    assert [*again.ents] and [e.text for e in again.ents] == [
        e.text for e in before.ents
    ]


@pytest.mark.parametrize("make_nlp", ["causal", "t5"], indirect=True)
def test_another_version_that_reads_otherwise_is_refused(
    make_nlp: MakeNLP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = make_nlp()
    nlp("Anna")
    nlp.to_disk(tmp_path)
    folder = tmp_path / "instruction_ner" / "model"
    config = folder / "base" / "config.json"
    said = json.loads(config.read_text("utf8"))
    # As a version would that does not know a setting, or means another thing by it.
    said["rms_norm_eps" if "rms_norm_eps" in said else "layer_norm_epsilon"] = 0.5
    config.write_text(json.dumps(said))
    info = json.loads((folder / "info.json").read_text("utf8"))
    info["files"]["base/config.json"] = sha256_of([config])
    (folder / "info.json").write_text(json.dumps(info))
    # The same version is not asked.
    spacy.load(tmp_path)
    monkeypatch.setattr(storage, "VERSION", Version("9.1.0"))
    with pytest.raises(ValueError, match="gives other logits with 9.1.0"):
        spacy.load(tmp_path)
