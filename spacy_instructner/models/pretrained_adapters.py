"""What an adapter begins from: one that has learned the task before. Source: ours.

A start is a folder as `bundle = "adapter"` saves it: info.json and adapter.safetensors.
Those that come with the package lie in `adapters/`.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import srsly
import torch
from safetensors.torch import load_file, save_file

from ..files import sha256_of
from ..scoring.scoring_request import SpanHeadConfig
from ..weights.sources import Identity
from . import storage
from .lora import LoRA

AUTO: Final = "auto"
# How many of a model's layers are read, the first ones; None for all.
Layers = int | Literal["auto"] | None
# In the names of weights: `model.layers.7.…`, T5's `decoder.block.7.…`, GPT-2's `h.7.…`.
LAYER = re.compile(r"\.(\d+)\.")
CUT = (
    "The adapter in {folder} stands beside the model's first {layers} layers alone, and the "
    "task writes answers, which takes the last ones. Begin from another adapter (`start`), "
    "or take the task spacy-instructner.JustPassTwice.v1."
)
SHIPPED = Path(__file__).parents[1] / "adapters"


@dataclass(frozen=True)
class Start:
    """What an adapter begins from. layers: how many of the base's first layers it stands
    beside, None for all; state: the weights of the adapter and, where there is one, of the
    head; head: its settings."""

    layers: int | None
    state: storage.Weights
    head: SpanHeadConfig | None


def read_start(
    start: str | None,
    kind: str,
    identity: Identity,
    lora: LoRA | None,
    any_base: bool,
    layers: Layers,
    head: SpanHeadConfig | None,
    writes: bool,
) -> Start | None:
    """The weights that a fresh adapter begins with; None: it begins without effect.

    start: a folder; "auto" for the one that comes with the package, where there is one
    for these base weights and an adapter of this shape; or None. kind, identity: of the
    base; any_base: whether a start made on another will do; layers: how many
    of the base's first layers are read, None for all, "auto" for those that the start
    stands beside. What a start has for others is left out. head: of the task; writes:
    whether it writes answers. Raises ValueError for a folder that holds no
    start, a damaged one, or one that does not fit."""
    if start is None or (lora is None and start == AUTO):
        return None
    if lora is None:
        raise ValueError(
            f"There is no adapter that could begin from {start}. Set `adapter`, or write "
            "`start = null`."
        )
    folder = Path(start)
    if start == AUTO:
        shipped = find_shipped(kind, identity, lora, layers, head, writes)
        if shipped is None:
            return None
        folder = shipped
    info = storage.read_info(folder, kind)
    if info["adapter"] is None:
        raise ValueError(f"The model in {folder} has no adapter to begin from.")
    made_on = info["identity"]
    if made_on["sha256"] != identity.sha256 and not any_base:
        raise ValueError(
            f"The adapter in {folder} was made on {made_on['source']} (SHA-256 "
            f"{made_on['sha256']}), not on these weights ({identity.sha256}). Begin "
            "without it (`start = null`), or set `any_base = true`."
        )
    layers = _layers_to_read(folder, info.get("layers"), layers, writes)
    own = LoRA(**info["adapter"])
    if (own.r, own.targets) != (lora.r, lora.targets):
        message = (
            f"The adapter in {folder} has r = {own.r} and targets = {own.targets!r}; "
            f"one with r = {lora.r} and targets = {lora.targets!r} cannot begin from it"
        )
        if start != AUTO:
            raise ValueError(f"{message}. Make them equal, or write `start = null`.")
        warnings.warn(
            f"{message} and begins without. Make them equal, or write `start = null`.",
            stacklevel=2,
        )
        return None
    # Only their product, scaled by alpha / r, has a meaning.
    factor = own.alpha / lora.alpha
    weights = load_file(str(folder / storage.ADAPTER_FILE))
    state = {
        name: values.float() * (factor if "lora_B" in name else 1.0)
        for name, values in weights.items()
        if layers is None or layer_of(name) < layers
    }
    head = info.get("head")
    return Start(layers, state, SpanHeadConfig(**head) if head else None)


def _layers_to_read(
    folder: Path, own: int | None, layers: Layers, writes: bool
) -> int | None:
    """How many layers of the base are read, None for all. own: beside how many the adapter
    in the folder stands; the rest: see `read_start`. Raises ValueError where that does not
    fit."""
    if isinstance(layers, str):
        if writes and own is not None:
            raise ValueError(CUT.format(folder=folder, layers=own))
        return own
    if own is not None and (layers is None or layers > own):
        raise ValueError(
            f"The adapter in {folder} stands beside the first {own} layers, and the "
            f'model has more. Write `layers = {own}` or `layers = "auto"`, or '
            "`start = null`."
        )
    return layers


def layer_of(name: str) -> int:
    """The layer that a weight of an adapter stands in; -1 for none."""
    found = LAYER.search(name)
    return int(found[1]) if found else -1


def find_shipped(
    kind: str,
    identity: Identity,
    lora: LoRA,
    layers: Layers,
    head: SpanHeadConfig | None,
    writes: bool,
) -> Path | None:
    """The folder of the start that comes with the package for these base weights. Of
    several, one of this shape goes first, then one with the head of the task, then one
    with a head, where the task has one, and then one of as many layers."""
    found: list[tuple[bool, bool, bool, bool, Path]] = []
    wanted = head.to_dict() if head else None
    for path in sorted(SHIPPED.glob(f"*/{storage.INFO}")):
        info = srsly.read_json(path)
        same = info["identity"]["sha256"] == identity.sha256
        own = info.get("layers")
        if isinstance(layers, str):
            # Answers are written with all layers.
            enough = own is None or not writes
        else:
            enough = own is None or (layers is not None and layers <= own)
        if same and info["kind"] == kind and enough:
            shape = LoRA(**info["adapter"])
            fits = (shape.r, shape.targets) == (lora.r, lora.targets)
            own_head = info.get("head")
            alike = own_head == wanted, (own_head is None) == (wanted is None)
            unlike = not fits, not alike[0], not alike[1], own != layers
            found.append((*unlike, path.parent))
    return min(found)[-1] if found else None


def write_start(saved: Path, folder: Path) -> None:
    """Make a start of a saved model's adapter, in half of the space: bfloat16."""
    info = srsly.read_json(saved / storage.INFO)
    _write(load_file(str(saved / storage.ADAPTER_FILE)), info, folder)


def average_starts(starts: Sequence[Path], folder: Path) -> None:
    """Make one start of several: the mean of their weights.

    Of starts that were learned from one another, or from the same one, the mean often
    knows more than each (Wortsman et al. 2022, "Robust fine-tuning of zero-shot
    models"); of those that began apart it is worth nothing. Raises ValueError for fewer
    than two, for a folder that holds no start or a damaged one, and for starts that
    differ in their base weights or their shape."""
    if len(starts) < 2:
        raise ValueError(f"A mean takes two adapters or more, not {len(starts)}.")
    infos = [storage.read_info(start) for start in starts]
    for start, info in zip(starts, infos):
        if info["adapter"] is None:
            raise ValueError(f"The model in {start} has no adapter.")
        same = info["identity"]["sha256"] == infos[0]["identity"]["sha256"]
        if not same or info["kind"] != infos[0]["kind"]:
            raise ValueError(
                f"The adapters in {starts[0]} and {start} were made on different base "
                "weights and have no mean."
            )
        if info.get("layers") != infos[0].get("layers"):
            raise ValueError(
                f"The adapters in {starts[0]} and {start} have no mean: they are of "
                f"{infos[0].get('layers') or 'all'} and {info.get('layers') or 'all'} "
                "layers."
            )
        if info["adapter"] != infos[0]["adapter"]:
            raise ValueError(
                f"The adapters in {starts[0]} and {start} have no mean: their settings "
                f"are {infos[0]['adapter']} and {info['adapter']}."
            )
        if info.get("head") != infos[0].get("head"):
            raise ValueError(
                f"The adapters in {starts[0]} and {start} have no mean: the settings of "
                f"their heads are {infos[0].get('head')} and {info.get('head')}."
            )
    states = [load_file(str(start / storage.ADAPTER_FILE)) for start in starts]
    mean = {
        name: torch.stack([state[name].float() for state in states]).mean(0)
        for name in states[0]
    }
    _write(mean, infos[0], folder)


def _write(state: storage.Weights, info: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / storage.ADAPTER_FILE
    half = {name: values.to(torch.bfloat16) for name, values in state.items()}
    save_file(half, str(path))
    info |= {"bundle": "adapter", "files": {path.name: sha256_of([path])}}
    storage.write_info(info, folder)
