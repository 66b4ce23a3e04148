"""Saved models: a folder with the base weights, the tokenizer and the adapter.

    model/info.json             what it is: format, kind, identity, dtype, adapter, head,
                                and the SHA-256 of every other file
    model/base/                 config, safetensors and tokenizer (bundle "full")
    model/adapter.safetensors   the weights of the adapter and of the head, where there
                                is one of them

Only JSON and safetensors; nothing is read from the network.
"""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import srsly
import torch
from safetensors.torch import load_file, save_file

from ..files import sha256_of
from ..scoring.scoring_request import SpanHeadConfig
from ..weights.loading import quiet
from ..weights.sources import Identity
from ..weights.versions import VERSION, write_for_older
from .backbone import Backbone
from .lora import LoRA, adapter_state, load_adapter_state
from .span_head import HEAD, head_state, load_head_state

# Of a folder without a head, and with one, which earlier versions cannot read.
PLAIN, FORMAT = 1, 2
INFO = "info.json"
Weights = dict[str, torch.Tensor]
BASE = "base"
ADAPTER_FILE = "adapter.safetensors"


def save(
    backbone: Backbone,
    kind: str,
    identity: Identity,
    folder: Path,
    bundle: str,
) -> None:
    """Write a model's adapter and head and, with bundle "full", its base weights and
    tokenizer into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if bundle == "full":
        with quiet():
            backbone.hf.save_pretrained(
                folder / BASE,
                state_dict=_base_state(backbone),
                safe_serialization=True,
            )
            backbone.tokenizer.save_pretrained(folder / BASE)
        write_for_older(folder / BASE)
    beside = {**adapter_state(backbone.hf), **head_state(backbone.head)}
    if beside:
        save_file(beside, str(folder / ADAPTER_FILE))
    head = backbone.head
    info: dict[str, Any] = {
        "format": FORMAT if head else PLAIN,
        "kind": kind,
        "bundle": bundle,
        "identity": identity.__dict__,
        "dtype": str(backbone.hf.dtype).replace("torch.", ""),
        "layers": backbone.layers,
        "adapter": backbone.lora.to_dict() if backbone.lora else None,
        "head": head.config.to_dict() if head else None,
        "transformers": str(VERSION),
        "reads": backbone.fingerprint(),
        "files": {name: sha256_of([folder / name]) for name in _files(folder)},
    }
    write_info(info, folder)


def write_info(info: dict[str, Any], folder: Path) -> None:
    """Write a model's info beside its files. These are then for whom new files of this
    user are: safetensors makes them its owner's alone."""
    srsly.write_json(folder / INFO, info)
    for name in info["files"]:
        shutil.copymode(folder / INFO, folder / name)


def _files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def _base_state(backbone: Backbone) -> dict[str, torch.Tensor]:
    """The base weights by the names they had before an adapter stood beside them."""
    state = {}
    for name, tensor in backbone.hf.state_dict().items():
        if "lora_" not in name:
            state[name.replace(".base_layer.", ".")] = tensor
    return state


def read_info(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """A saved model's info. Raises ValueError where it is missing, of a newer
    format or of another kind of model than one is given, and where a file is missing or
    damaged."""
    path = folder / INFO
    if not path.is_file():
        raise ValueError(
            f"There is no saved model in {folder}: {INFO} is missing. Was the pipeline "
            "copied whole?"
        )
    info: dict[str, Any] = srsly.read_json(path)
    if info["format"] > FORMAT:
        raise ValueError(
            f"The model in {folder} is of format {info['format']}; this version of "
            f"spacy-instructner reads up to {FORMAT}. Install a newer one: "
            "pip install --upgrade spacy-instructner"
        )
    if kind is not None and info["kind"] != kind:
        raise ValueError(
            f"The model in {folder} is {info['kind']}, but the config says {kind}."
        )
    check_files(folder, info["files"])
    return info


def base_sha256(info: Mapping[str, Any]) -> str:
    """The SHA-256 of the base weights that a saved model brings, one after the other where
    there are several; empty without them."""
    return " ".join(
        digest
        for name, digest in sorted(info["files"].items())
        if name.startswith(f"{BASE}/") and name.endswith(".safetensors")
    )


def check_files(folder: Path, digests: Mapping[str, str]) -> None:
    """Raises ValueError for a file that is missing, damaged or exchanged. digests:
    SHA-256 by name."""
    for name, digest in digests.items():
        file_ = folder / name
        if not file_.is_file():
            raise ValueError(f"{file_} is missing. Was the pipeline copied whole?")
        if sha256_of([file_]) != digest:
            raise ValueError(
                f"{file_} is damaged or was exchanged: its SHA-256 is not the one it "
                "was saved with. Copy or install the pipeline again."
            )


def check_reading(backbone: Backbone, info: Mapping[str, Any], folder: Path) -> None:
    """Raises ValueError where another version of transformers than the one that a model
    was saved with gives other logits."""
    if info.get("transformers") in (None, str(VERSION)):
        return
    halves = {info["dtype"], str(backbone.hf.dtype).replace("torch.", "")}
    bound = 0.01 if halves == {"float32"} else 0.5
    found = backbone.fingerprint()
    off = max(
        # Where weights ran astray, there is nothing to compare; none may do so here.
        (
            math.inf if a is None else abs(a - b)
            for a, b in zip(found, info["reads"], strict=True)
            if b is not None
        ),
        default=0.0,
    )
    if off >= bound:
        raise ValueError(
            f"The model in {folder} was saved with transformers {info['transformers']} and "
            f"gives other logits with {VERSION} (off by {off:.2f} standard deviations). "
            f"Install that version: pip install transformers=={info['transformers']}"
        )


def load_beside(backbone: Backbone, info: Mapping[str, Any], folder: Path) -> None:
    """Attach and fill the adapter and the head that stand in a saved model's folder."""
    if info["adapter"] is None and info.get("head") is None:
        return
    state = load_file(str(folder / ADAPTER_FILE))
    if info["adapter"] is not None:
        put_adapter(backbone, LoRA(**info["adapter"]), state)
    if info.get("head") is not None:
        put_head(backbone, SpanHeadConfig(**info["head"]), state)


def put_adapter(backbone: Backbone, lora: LoRA, state: Weights) -> None:
    """Attach an adapter with weights that stand beside those of a head, or alone."""
    backbone.add_adapter(lora)
    own = {n: each for n, each in state.items() if not n.startswith(HEAD)}
    load_adapter_state(backbone.hf, own)


def put_head(backbone: Backbone, config: SpanHeadConfig, state: Weights) -> None:
    """Add a head with weights that stand beside those of an adapter, or alone."""
    backbone.add_head(config)
    assert backbone.head is not None
    own = {n: each for n, each in state.items() if n.startswith(HEAD)}
    load_head_state(backbone.head, own)
