"""A component as a folder or as bytes: its state, and the folder of its model. No pickle.
Source: ours."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import srsly
from spacy import util
from thinc.api import Model

from .files import sha256_of
from .models.serialization import (
    load_model,
    model_from_bytes,
    model_to_bytes,
    save_model,
)
from .models.storage import check_files
from .models.thinc_model import drop_backbone, get_backbone, has_backbone
from .state import State

# In a saved component's folder. (The model's folder has checksums of its own.)
CFG = "cfg"
CHECKSUMS = "checksums.json"


def save(
    folder: Path, state: State, model: Model, bundle: str, exclude: Iterable[str]
) -> None:
    """Write a component's folder. bundle: "full" or "adapter"."""
    if bundle == "full" and state.cfg["labels"] and not has_backbone(model):
        # Ready for zero-shot use: what is saved must work elsewhere.
        try:
            get_backbone(model)
        except OSError as error:
            warnings.warn(
                f"The pipeline is saved without its weights: {error}", stacklevel=3
            )
    writers = {
        CFG: lambda p: srsly.write_json(p, state.to_save(has_backbone(model))),
        "model": lambda p: save_model(model, p, bundle),
    }
    util.to_disk(folder, writers, exclude)
    if (folder / CFG).is_file():
        srsly.write_json(folder / CHECKSUMS, {CFG: sha256_of([folder / CFG])})


def load(folder: Path, state: State, model: Model, exclude: Iterable[str]) -> None:
    """Read what `save` wrote. Raises ValueError for a file that is damaged or was
    exchanged."""

    def read_model(path: Path) -> None:
        if state.weights_saved:
            load_model(model, path)
        else:
            drop_backbone(model)

    given = state.configured if state.as_configured else None
    if (folder / CHECKSUMS).is_file() and CFG not in exclude:
        check_files(folder, srsly.read_json(folder / CHECKSUMS))
    readers = {
        CFG: lambda p: state.read(srsly.read_json(p), given),
        "model": read_model,
    }
    with state.all_or_nothing(model):
        util.from_disk(folder, readers, exclude)


def pack(state: State, model: Model, bundle: str, exclude: Iterable[str]) -> bytes:
    """What `save` writes, as bytes. Raises ValueError where they take more than 2 GiB."""
    writers = {
        CFG: lambda: srsly.json_dumps(state.to_save(has_backbone(model))),
        "model": lambda: srsly.msgpack_dumps(model_to_bytes(model, bundle)),
    }
    return util.to_bytes(writers, exclude)


def unpack(content: bytes, state: State, model: Model, exclude: Iterable[str]) -> None:
    """Read what `pack` made."""
    readers = {
        CFG: lambda b: state.read(srsly.json_loads(b)),
        "model": lambda b: model_from_bytes(model, srsly.msgpack_loads(b)),
    }
    with state.all_or_nothing(model):
        util.from_bytes(content, readers, exclude)
