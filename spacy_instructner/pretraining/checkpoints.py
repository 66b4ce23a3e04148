"""All that training needs to continue as if it had never stopped. Source: ours.

    checkpoint/state.json               step, texts, seconds, …
    checkpoint/weights.safetensors      what is trained, float32
    checkpoint/optimizer.safetensors    the moments of each weight, and its averages

Which texts and which random numbers come next follows from the step alone.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import srsly
import torch
from safetensors.torch import load_file, save_file
from thinc.api import Model, Optimizer

from ..models.thinc_model import get_backbone, invalidate_inference_backbone

FOLDER = "checkpoint"


@dataclass(frozen=True)
class TrainingState:
    """How far training is.

    settings: what is trained, how and on what, by the names of the settings; step:
    number of updates; texts, ids: number of texts and of token ids that were learned from
    (ids of prompts and answers of all records); seconds: of training, without
    evaluation."""

    settings: Mapping[str, str]
    step: int = 0
    texts: int = 0
    ids: int = 0
    seconds: float = 0.0


def write_checkpoint(
    folder: Path, state: TrainingState, model: Model, optimizer: Optimizer
) -> None:
    """Replace the checkpoint in a folder. The one before stays until the new one is whole.

    folder (Path): of the training.
    state (TrainingState): how far training is.
    model, optimizer: whose weights and moments are written."""
    aside = folder / f"{FOLDER}.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    weights = {name: each.detach().cpu() for name, each in _trained(model).items()}
    save_file(weights, str(aside / "weights.safetensors"))
    shim = model.shims[0].id
    moments: dict[str, torch.Tensor] = {}
    for kind in ("mom1", "mom2", "averages"):
        for (owner, name), values in (getattr(optimizer, kind) or {}).items():
            if owner == shim:
                moments[f"{kind} {name}"] = torch.as_tensor(values).cpu().contiguous()
    save_file(moments, str(aside / "optimizer.safetensors"))
    updates = {
        name: times
        for (owner, name), times in optimizer.nr_update.items()
        if owner == shim
    }
    srsly.write_json(aside / "state.json", {**asdict(state), "updates": updates})
    old = folder / f"{FOLDER}.old"
    if (folder / FOLDER).exists():
        # At any time, one checkpoint at least is whole.
        shutil.rmtree(old, ignore_errors=True)
        (folder / FOLDER).rename(old)
    aside.rename(folder / FOLDER)
    shutil.rmtree(old, ignore_errors=True)


def read_checkpoint(
    folder: Path, settings: Mapping[str, str], model: Model, optimizer: Optimizer
) -> TrainingState | None:
    """Restore a model and an optimizer from the checkpoint in a folder.

    folder (Path): of the training.
    settings (Mapping[str, str]): as in `TrainingState`.
    model, optimizer: as they are at the start of the training; they are changed.
    RETURNS (TrainingState | None): how far training was, None where there is no
        checkpoint. Raises ValueError for a checkpoint of other settings or weights."""
    found = folder / FOLDER
    if not found.exists():
        # Training was killed between the two renames.
        found = folder / f"{FOLDER}.old"
    if not found.exists():
        return None
    stored = srsly.read_json(found / "state.json")
    updates: dict[str, int] = stored.pop("updates")
    state = TrainingState(**stored)
    names = state.settings.keys() | settings.keys()
    other = sorted(n for n in names if state.settings.get(n) != settings.get(n))
    if other:
        raise ValueError(
            f"{found} was made with another config or other data, which differ in "
            f"{', '.join(other)}. Name another output folder to train anew, or give the "
            "same settings."
        )
    # In the precision that is trained in, which is not that of the weights at rest.
    get_backbone(model).train_mode()
    trained = _trained(model)
    weights = load_file(str(found / "weights.safetensors"))
    if set(weights) != set(trained):
        raise ValueError(f"{found} does not hold the weights that are trained here.")
    with torch.no_grad():
        for name, values in weights.items():
            trained[name].copy_(values)
    invalidate_inference_backbone(model)
    shim = model.shims[0].id
    for key, values in load_file(str(found / "optimizer.safetensors")).items():
        kind, _, name = key.partition(" ")
        getattr(optimizer, kind)[shim, name] = values.numpy()
    for name, times in updates.items():
        optimizer.nr_update[shim, name] = times
    for _ in range(state.step):
        optimizer.step_schedules()
    return state


def _trained(model: Model) -> dict[str, torch.nn.Parameter]:
    named = get_backbone(model).named_parameters()
    return {name: each for name, each in named if each.requires_grad}
