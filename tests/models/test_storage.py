"""Saved pipelines: what is written, what is refused, no network, no pickle."""

import shutil
import socket
from pathlib import Path

import pytest
import spacy
import srsly
from safetensors.torch import load_file, save_file
from spacy.language import Language
from thinc.api import Adam, Config

from helpers.pipelines import LORA, MakeNLP, on_every_kind
from helpers.training import examples, initialized, train_by_hand
from spacy_instructner.models.thinc_model import get_backbone, has_backbone

TEXT = "Anna met Bert in Paris and Carl in Rome."


@pytest.fixture
def saved(make_nlp: MakeNLP, tmp_path: Path) -> Path:
    nlp = initialized(make_nlp)
    train_by_hand(nlp, 3, Adam(1e-2))
    nlp(TEXT)  # merged weights in use must not be what is saved
    nlp.to_disk(tmp_path / "saved")
    return tmp_path / "saved"


@on_every_kind
def test_the_folder_holds_json_safetensors_and_the_tokenizer(saved: Path) -> None:
    model = saved / "instruction_ner" / "model"
    names = {str(p.relative_to(model)) for p in model.rglob("*") if p.is_file()}
    assert {
        "info.json",
        "adapter.safetensors",
        "base/config.json",
        "base/model.safetensors",
        "base/tokenizer.json",
    } <= names
    # Whoever may read other new files may read these.
    modes = {path.stat().st_mode for path in saved.rglob("*") if path.is_file()}
    assert len(modes) == 1
    assert {Path(name).suffix for name in names} <= {".json", ".safetensors", ".jinja"}
    # Files whose name starts with a dot would be lost from a wheel.
    assert not any(Path(name).name.startswith(".") for name in names)


def test_base_weights_are_saved_bare(saved: Path, tiny_causal: Path) -> None:
    """Neither merged with the adapter nor renamed by it."""
    model = saved / "instruction_ner" / "model"
    base = load_file(str(model / "base" / "model.safetensors"))
    source = load_file(str(tiny_causal / "model.safetensors"))
    assert set(base) == set(source)
    assert all((base[name] == tensor).all() for name, tensor in source.items())


def test_the_info_says_what_it_is(saved: Path, tiny_causal: Path) -> None:
    info = srsly.read_json(saved / "instruction_ner" / "model" / "info.json")
    assert info["format"] == 1 and info["kind"] == "causal"
    assert info["dtype"] == "float32"
    assert info["identity"]["source"] == str(tiny_causal)
    assert len(info["identity"]["sha256"]) == 64
    assert info["adapter"] == {"r": 4, "alpha": 8, "targets": "all-linear"}


@on_every_kind
def test_loading_touches_no_network_and_no_source(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = spacy.load(saved)(TEXT)

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    # The source may be gone, too.
    config = Config().from_disk(saved / "config.cfg")
    config["components"]["instruction_ner"]["model"]["name"] = "/gone/away"
    config.to_disk(saved / "config.cfg")
    nlp = spacy.load(saved)
    assert nlp(TEXT).to_json() == expected.to_json()
    assert has_backbone(nlp.get_pipe("instruction_ner").model)


@on_every_kind
def test_ready_for_zero_shot_is_saved_with_its_weights(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp()
    nlp.to_disk(tmp_path)
    text = (tmp_path / "config.cfg").read_text()
    name = nlp.get_pipe("instruction_ner").model.attrs["config"].name
    (tmp_path / "config.cfg").write_text(text.replace(name, "/gone/away"))
    again = spacy.load(tmp_path)
    assert has_backbone(again.get_pipe("instruction_ner").model)
    assert found(again) == pytest.approx(found(nlp), abs=1e-6)


def test_saved_before_the_weights_were_needed(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp(labels=[])
    nlp.to_disk(tmp_path)
    assert not (tmp_path / "instruction_ner" / "model").exists()
    again = spacy.load(tmp_path)
    assert not has_backbone(again.get_pipe("instruction_ner").model)
    nlp.initialize(lambda: examples(nlp))
    again.initialize(lambda: examples(again))
    assert found(again) == pytest.approx(found(nlp), abs=1e-6)


def test_a_zero_shot_pipeline_without_its_weights_says_so(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp(model={"name": "/not/here"})
    with pytest.warns(UserWarning, match="saved without its weights"):
        nlp.to_disk(tmp_path)


def test_lost_weights_are_not_taken_for_none(saved: Path) -> None:
    shutil.rmtree(saved / "instruction_ner" / "model")
    with pytest.raises(ValueError, match="info.json is missing"):
        spacy.load(saved)


def test_loading_a_pipeline_without_weights_drops_those_in_use(
    make_nlp: MakeNLP, saved: Path, tmp_path: Path
) -> None:
    make_nlp(labels=[]).to_disk(tmp_path / "none")
    nlp = spacy.load(saved).from_disk(tmp_path / "none")
    assert not has_backbone(nlp.get_pipe("instruction_ner").model)


def test_leftovers_of_a_broken_save_do_no_harm(saved: Path) -> None:
    nlp = spacy.load(saved)
    folder = saved / "instruction_ner"
    (folder / "model.part").mkdir()
    (folder / "model.part" / "stale.json").write_text("{}")
    (folder / "model" / "info.json").unlink()
    nlp.to_disk(saved)
    assert not (folder / "model" / "stale.json").exists()
    assert not (folder / "model.part").exists()
    assert found(spacy.load(saved)) == pytest.approx(found(nlp), abs=1e-6)


def test_a_second_save_replaces_the_first(saved: Path, make_nlp: MakeNLP) -> None:
    """A pipeline without an adapter must not leave another's behind."""
    make_nlp().to_disk(saved)
    assert not (saved / "instruction_ner" / "model" / "adapter.safetensors").exists()
    again = spacy.load(saved)
    assert get_backbone(again.get_pipe("instruction_ner").model).lora is None


def test_a_newer_format_is_refused_by_name(saved: Path) -> None:
    path = saved / "instruction_ner" / "model" / "info.json"
    srsly.write_json(path, {**srsly.read_json(path), "format": 99})
    with pytest.raises(ValueError, match="format 99.*pip install --upgrade"):
        spacy.load(saved)


@pytest.mark.parametrize(
    "name,message",
    [
        ("info.json", "info.json is missing"),
        ("adapter.safetensors", "adapter.safetensors is missing"),
        ("base/model.safetensors", "model.safetensors is missing"),
        ("base/tokenizer.json", "tokenizer.json is missing"),
    ],
)
def test_a_missing_file_is_named(saved: Path, name: str, message: str) -> None:
    (saved / "instruction_ner" / "model" / name).unlink()
    with pytest.raises(ValueError, match=message):
        spacy.load(saved)


@pytest.mark.parametrize(
    "name", ["adapter.safetensors", "base/model.safetensors", "base/config.json"]
)
def test_a_damaged_file_is_named(saved: Path, name: str) -> None:
    path = saved / "instruction_ner" / "model" / name
    whole = path.read_bytes()
    for content in (whole[:-20], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path.name} is damaged"):
            spacy.load(saved)


def test_damaged_settings_are_named(saved: Path) -> None:
    path = saved / "instruction_ner" / "cfg"
    cfg = srsly.read_json(path)
    srsly.write_json(path, {**cfg, "threshold": 0.9})
    with pytest.raises(ValueError, match="cfg is damaged or was exchanged"):
        spacy.load(saved)
    # Saved before there were checksums.
    (saved / "instruction_ner" / "checksums.json").unlink()
    assert spacy.load(saved).get_pipe("instruction_ner").cfg["threshold"] == 0.9


def test_an_adapter_of_another_shape_is_refused(saved: Path) -> None:
    path = saved / "instruction_ner" / "model" / "info.json"
    info = srsly.read_json(path)
    info["adapter"]["r"] = 2
    srsly.write_json(path, info)
    with pytest.raises(ValueError, match="do not fit the model"):
        spacy.load(saved)


def found(nlp: Language) -> list:
    doc = nlp(TEXT)
    return [float(score) for score in doc.spans["instruction_ner"].attrs["scores"]]


@on_every_kind
def test_bytes(make_nlp: MakeNLP, saved: Path) -> None:
    nlp = spacy.load(saved)
    again = make_nlp(labels=[], model={"adapter": LORA}).from_bytes(nlp.to_bytes())
    assert again.get_pipe("instruction_ner").labels == ("PERSON", "PLACE")
    assert found(again) == pytest.approx(found(nlp), abs=1e-6)
    untouched = make_nlp()
    assert make_nlp().from_bytes(untouched.to_bytes())(TEXT)


def test_bytes_over_the_limit_name_to_disk(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = spacy.load(saved)
    monkeypatch.setattr("spacy_instructner.models.serialization.MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="to_disk"):
        nlp.to_bytes()


@pytest.fixture
def saved_adapter(make_nlp: MakeNLP, tmp_path: Path) -> Path:
    base = tmp_path / "base"
    spec = make_nlp().get_pipe("instruction_ner").model.attrs["config"]
    shutil.copytree(spec.name, base)
    nlp = initialized(make_nlp, model={"name": str(base)}, bundle="adapter")
    train_by_hand(nlp, 3, Adam(1e-2))
    nlp.to_disk(tmp_path / "saved")
    return tmp_path


@on_every_kind
def test_adapter_bundle_finds_its_base(saved_adapter: Path) -> None:
    model = saved_adapter / "saved" / "instruction_ner" / "model"
    names = {path.name for path in model.rglob("*")}
    assert names == {"info.json", "adapter.safetensors"}
    nlp = spacy.load(saved_adapter / "saved")
    pipe = nlp.get_pipe("instruction_ner")
    assert get_backbone(pipe.model).lora is not None
    again = spacy.load(saved_adapter / "saved").from_bytes(nlp.to_bytes())
    assert found(again) == pytest.approx(found(nlp), abs=1e-6)


@on_every_kind
def test_adapter_bundle_without_its_base(saved_adapter: Path) -> None:
    shutil.rmtree(saved_adapter / "base")
    with pytest.raises(OSError, match="no folder"):
        spacy.load(saved_adapter / "saved")


def test_adapter_bundle_on_other_weights(saved_adapter: Path) -> None:
    path = saved_adapter / "base" / "model.safetensors"
    state = load_file(str(path))
    state["model.norm.weight"] += 1
    save_file(state, str(path), {"format": "pt"})
    with pytest.raises(ValueError, match="was made on .*any_base"):
        spacy.load(saved_adapter / "saved")
    config = {"components": {"instruction_ner": {"model": {"any_base": True}}}}
    assert found(spacy.load(saved_adapter / "saved", config=config))


def test_adapter_bundle_needs_an_adapter(make_nlp: MakeNLP) -> None:
    with pytest.raises(ValueError, match="all its weights are trained"):
        make_nlp(model={"adapter": None}, bundle="adapter")
