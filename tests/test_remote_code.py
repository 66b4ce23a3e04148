"""Model folders that name code to be run are refused; nothing is unpickled."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from transformers import AutoConfig

import spacy_instructner
from spacy_instructner.weights.remote_code import refuse_remote_code

PACKAGE = Path(spacy_instructner.__file__).parent
NAMED = {
    "auto_map": {"AutoModelForCausalLM": "modeling_mine.Mine"},
    "custom_pipelines": {"mine": {"impl": "mine.Mine"}},
    "custom_generate": "somebody/decoding",
    "trust_remote_code": True,
    "_attn_implementation_internal": "somebody/attention",
    "_experts_implementation_internal": "somebody/experts",
    "attn_implementation": "somebody/attention:forward",
    "_attn_implementation": {"text_config": "somebody/attention"},
    "experts_implementation": "paged|somebody",
}
HARMLESS = {
    "attn_implementation": "flash_attention_2",
    "_attn_implementation": "sdpa",
    "_attn_implementation_internal": None,
    "_attn_implementation_autoset": True,
    "architectures": ["LlamaForCausalLM"],
    "model_max_length": 10**30,
}


def write(folder: Path, name: str, **more: Any) -> None:
    path = folder / name
    said = json.loads(path.read_text("utf8")) if path.exists() else {}
    path.write_text(json.dumps({**said, **more}), encoding="utf8")


@pytest.mark.parametrize("key", NAMED)
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer_config.json", "generation_config.json"]
)
def test_a_key_that_names_code(tmp_path: Path, name: str, key: str) -> None:
    write(
        tmp_path, name, model_type="llama", text_config={"layers": [{key: NAMED[key]}]}
    )
    with pytest.raises(ValueError) as refused:
        refuse_remote_code(tmp_path)
    assert name in str(refused.value) and repr(key) in str(refused.value)
    assert repr(NAMED[key]) in str(refused.value)


def test_what_names_no_code(tmp_path: Path) -> None:
    write(tmp_path, "config.json", **HARMLESS)
    # A vocabulary may have any words, a list of weights any names.
    for name in ("vocab.json", "tokenizer.json", "model.safetensors.index.json"):
        write(tmp_path, name, auto_map="3")
    refuse_remote_code(tmp_path)


@pytest.mark.parametrize(
    "name", ["custom_generate/generate.py", "modeling.py", "deep/er/EVIL.PY"]
)
def test_a_folder_with_code(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("raise SystemExit")
    with pytest.raises(ValueError, match="is code") as refused:
        refuse_remote_code(tmp_path)
    assert str(path) in str(refused.value)


def test_code_beside_a_model_does_not_run(
    make_nlp: Callable[..., Language], tiny_causal: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_causal, tmp_path / "model")
    seen = tmp_path / "seen"
    (folder / "custom_generate").mkdir()
    code = f"open({str(seen)!r}, 'w')\ndef generate(*args): pass\n"
    (folder / "custom_generate" / "generate.py").write_text(code)
    with pytest.raises(ValueError, match="generate.py is code"):
        make_nlp(model={"name": str(folder)})("Anna")
    assert not seen.exists()


def test_an_adapter_in_the_place_of_a_model(tmp_path: Path) -> None:
    write(tmp_path, "config.json", model_type="llama")
    write(tmp_path, "adapter_config.json", base_model_name_or_path="elsewhere")
    with pytest.raises(ValueError, match="adapter_config.json .*merge_and_unload"):
        refuse_remote_code(tmp_path)


@pytest.mark.parametrize(
    "name", ["config.4.0.0+tokenizer.json", "Config.JSON", "config.4.0.0.json"]
)
def test_configs_by_other_names(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, auto_map=NAMED["auto_map"])
    with pytest.raises(ValueError, match="auto_map"):
        refuse_remote_code(tmp_path)


def test_a_config_that_names_another_one(tmp_path: Path) -> None:
    write(tmp_path, "config.json", configuration_files=["config.4.0.0.json"])
    with pytest.raises(ValueError, match="configuration_files"):
        refuse_remote_code(tmp_path)


def test_files_that_transformers_does_not_read(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('{"text": "a"}\n{"text": "b"}\n')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    refuse_remote_code(tmp_path)
    (tmp_path / "config.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="config.json cannot be read"):
        refuse_remote_code(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "lla')
    with pytest.raises(ValueError, match="config.json cannot be read"):
        refuse_remote_code(tmp_path)


@pytest.mark.parametrize("saved", [False, True])
def test_transformers_does_not_get_to_see_it(
    make_nlp: Callable[..., Language],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saved: bool,
) -> None:
    nlp = make_nlp()
    nlp("Anna")
    nlp.to_disk(tmp_path / "pipeline")
    model = tmp_path / "pipeline" / "instruction_ner" / "model"
    write(model / "base", "config.json", _attn_implementation_internal="somebody/evil")
    if saved:
        # Who changes a file can change the list of files, too.
        info = json.loads((model / "info.json").read_text("utf8"))
        info["files"] = {}
        (model / "info.json").write_text(json.dumps(info))

    def seen(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("transformers was given the folder")

    monkeypatch.setattr(AutoConfig, "from_pretrained", seen)
    with pytest.raises(ValueError, match="_attn_implementation_internal"):
        if saved:
            spacy.load(tmp_path / "pipeline")("Anna")
        else:
            make_nlp(model={"name": str(model / "base")})("Anna")


def test_nothing_is_unpickled() -> None:
    found = [
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*.py")
        if re.search(
            r"torch\.load\(|pickle\.loads?\(|trust_remote_code=True",
            path.read_text("utf8"),
        )
    ]
    # Ray's processes pass a pipeline between them.
    assert found == [Path("corpus") / "on_ray.py"]
