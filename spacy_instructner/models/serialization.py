"""A thinc model to a folder or bytes, and back. What a folder holds: see `storage.py`."""

import shutil
import tempfile
from pathlib import Path

from thinc.api import Model

from ..files import put_folder
from ..scoring.scoring_request import SpanHeadConfig
from ..weights.memory import bound_memory
from ..weights.sources import Identity, locate
from ..weights.versions import VERSION
from . import storage
from .pretrained_adapters import AUTO
from .thinc_model import (
    ModelConfig,
    has_backbone,
    load_backbone,
    put_backbone,
    shim_of,
    used_backbone,
)

MAX_BYTES = 2 * 2**30


def save_model(model: Model, folder: Path, bundle: str) -> None:
    """Write the model into a folder, in place of one that is there; nothing
    where the weights were not needed yet.

    bundle: "full" writes the base weights too, "adapter" the adapter alone."""
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    if has_backbone(model):
        # Not half of an update.
        with shim_of(model).lock:
            backbone, identity = used_backbone(model), model.attrs["identity"]
            config: ModelConfig = model.attrs["config"]
            storage.save(backbone, config.kind, identity, aside, bundle)
    if aside.exists():
        put_folder(aside, folder)
    elif folder.exists():
        shutil.rmtree(folder)


def load_model(model: Model, folder: Path) -> None:
    """Read what `save_model` wrote. An adapter alone is put on the weights that
    the config names; raises OSError where those are not here, and ValueError
    where they are not the ones it was made on (unless `any_base`)."""
    config: ModelConfig = model.attrs["config"]
    bound_memory()
    info = storage.read_info(folder, config.kind)
    layers = info.get("layers")
    if config.layers not in (AUTO, layers):
        raise ValueError(
            f"The model in {folder} is of {said_layers(layers)}, but the config "
            f"has {said_layers(config.layers)}. Load it with those it was trained with, or "
            "train anew."
        )
    if config.layers == AUTO and layers is not None and model.attrs["writes"]:
        raise ValueError(
            f"The model in {folder} is of its first {layers} layers alone, and the task of "
            "the config writes answers, which takes the last ones. Load it with the task "
            "that it was trained with, or train anew."
        )
    wanted, saved = model.attrs["head"], info.get("head")
    if wanted is not None and saved not in (None, wanted.to_dict()):
        raise ValueError(
            f"The model in {folder} has a head with {SpanHeadConfig(**saved)}, and the task "
            f"of the config one with {wanted}. Load it with the settings that it was "
            "trained with, or train anew."
        )
    identity = Identity(**info["identity"])
    base = folder / storage.BASE
    digest = storage.base_sha256(info)
    if info["bundle"] == "adapter":
        weights = locate(config.name, config.revision)
        if weights.identity.sha256 != identity.sha256 and not config.any_base:
            raise ValueError(
                f"The adapter in {folder} was made on {identity.source} (SHA-256 "
                f"{identity.sha256}), but {config.name} is {weights.identity.sha256}. "
                "Name the weights it was made on as the model's `name`, or set "
                "`any_base = true` to use it on these all the same."
            )
        base, identity = weights.folder, weights.identity
        digest = identity.sha256
    backbone = load_backbone(model, base, digest, layers)
    same = identity.sha256 == info["identity"]["sha256"]
    if same:
        storage.check_reading(backbone, info, folder)
    if not same or info.get("transformers") != str(VERSION):
        # What was checked when it was made is not known of these.
        backbone.check()
    storage.load_beside(backbone, info, folder)
    put_backbone(model, backbone, identity)


def said_layers(layers: int | str | None) -> str:
    return "`layers = null`" if layers is None else f"`layers = {layers}`"


def model_to_bytes(model: Model, bundle: str) -> dict[str, bytes]:
    """The files of `save_model`, by name; empty without weights.

    Raises ValueError over 2 GiB, where msgpack's 4 GiB are near."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        save_model(model, folder, bundle)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        size = sum(path.stat().st_size for path in paths)
        if size > MAX_BYTES:
            raise ValueError(
                f"The model takes {size / 2**30:.1f} GiB; `to_bytes` holds up to "
                f"{MAX_BYTES / 2**30:.0f} GiB. Use `to_disk`, or `bundle = "
                '"adapter"`.'
            )
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def model_from_bytes(model: Model, files: dict[str, bytes]) -> None:
    """Read what `model_to_bytes` made."""
    if not files:
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve() / "model"
        for name, content in files.items():
            path = folder / name
            if folder not in path.resolve().parents:
                raise ValueError(
                    f"{name!r} is not a file of a model. Is this a pipeline?"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        load_model(model, folder)
