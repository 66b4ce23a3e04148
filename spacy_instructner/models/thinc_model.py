"""The thinc model around a backbone: it holds the weights, and finds them at first use.

    config ──► ModelConfig ──► make_model      no weights yet
                                   │ get_backbone, at first use: name → weights → backbone
                                   ▼
               BackboneShim:  backbone (learns)  ──inference_copy──►  inference (decodes)

What a training step does with it is given to `make_model` by `architectures.py`.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from spacy.util import logger
from thinc.api import Model, Optimizer, PyTorchShim

from ..locks import Lock
from ..scoring.scoring_request import SpanHeadConfig
from ..weights.devices import check_process, choose_device
from ..weights.loading import load_folder
from ..weights.memory import bound_memory
from ..weights.precision import Precision, choose_dtype
from ..weights.sources import Identity, locate
from .backbone import Backbone
from .lora import LoRA
from .pretrained_adapters import Layers, Start, read_start
from .shared_weights import content_key, share_base
from .storage import put_adapter, put_head
from .weight_interpolation import Named, WeightInterpolation


class BackboneShim(PyTorchShim):
    """Holds the backbone, empty until the weights are needed, and the inference copy that
    was made of it last; None where its weights have changed since.

    lock: held while weights change, and while an inference copy is made of them."""

    _model: Backbone | None

    def __init__(self) -> None:
        super().__init__(None)
        self.pid = os.getpid()
        self.lock = Lock()
        self.inference: Backbone | None = None
        self.interpolation = WeightInterpolation()

    def put(self, backbone: Backbone | None) -> None:
        """Put another backbone in the place of the one that is there. Who decodes with
        that goes on with it to the end."""
        with self.lock:
            self.inference = None
            self.interpolation = WeightInterpolation()
            self._model = backbone

    def finish_update(self, optimizer: Optimizer) -> None:
        """One step of the optimizer for every weight that has a gradient.

        Through numpy on the CPU, so that a CUDA device needs no cupy."""
        if self._model is None:
            return
        with self.lock:
            # Without an adapter, who decodes does so in the memory that is learned in.
            shared = self.inference is not None and self._model.lora is None
            self.inference = None
            self.interpolation.keep_start(self._model)
            for name, parameter in self._model.named_parameters():
                if parameter.grad is None:
                    continue
                if shared:
                    parameter.data = parameter.data.clone()
                weights, _ = optimizer(
                    (self.id, name),
                    parameter.detach().cpu().numpy(),  # type: ignore[arg-type]
                    parameter.grad.detach().cpu().numpy(),  # type: ignore[arg-type]
                )
                # Into the memory that is there: a tensor around the array would hold
                # the one before it, and that the one before.
                parameter.data.copy_(torch.from_numpy(weights))
                parameter.grad = None

    @contextmanager
    def use_params(self, params: Any) -> Iterator[None]:
        """Other weights for a while, such as the optimizer's averages, by the keys that
        the optimizer was given; then again those that were there."""
        named = {} if self._model is None else dict(self._model.named_parameters())
        given = {n: params[self.id, n] for n in named if (self.id, n) in params}
        if self._model is None or not given:
            yield
            return
        own = {name: named[name].data for name in given}
        try:
            with self.lock:
                self.inference = None
                for name, weights in given.items():
                    named[name].data = torch.tensor(weights).to(own[name])
            yield
        finally:
            with self.lock:
                self.inference = None
                for name, kept in own.items():
                    named[name].data = kept


@dataclass(frozen=True)
class ModelConfig:
    """What the config says about a model, before any weights are there.

    kind: "causal" or "seq2seq"; backbone: its class; the rest: see `architectures.py`."""

    kind: str
    backbone: type[Backbone]
    name: str
    revision: str | None
    adapter: LoRA | None
    precision: Precision
    pack_tokens: int
    checkpointing: bool
    any_base: bool
    start: str | None
    layers: Layers = None

    def __post_init__(self) -> None:
        if isinstance(self.layers, int) and self.layers < 1:
            raise ValueError(f"`layers` must be at least 1, not {self.layers}.")
        if self.pack_tokens < 1:
            raise ValueError(
                f"`pack_tokens` must be at least 1, not {self.pack_tokens}."
            )


def make_model(config: ModelConfig, forward: Callable) -> Model:
    """A thinc model without weights; cheap, and off the network.

    forward: what the model does with a pack of records, as thinc calls it."""
    attrs: dict[str, Any] = {
        "config": config,
        "identity": None,
        "device": "auto",
        "objectives": {},
        # Of the task that scores spans, where it is one.
        "head": None,
        # Whether it writes answers.
        "writes": True,
        # The component's own, for whoever asks the bare model about Docs.
        "predict": None,
    }
    return Model(config.kind, forward, attrs=attrs, shims=[BackboneShim()])


def has_backbone(model: Model) -> bool:
    return current_backbone(model) is not None


def current_backbone(model: Model) -> Backbone | None:
    """The one that is there, if one is."""
    return shim_of(model)._model


def shim_of(model: Model) -> BackboneShim:
    return cast(BackboneShim, model.shims[0])


def get_backbone(model: Model) -> Backbone:
    """The backbone that learns, with its weights; they are found and loaded at first
    use, by one thread while the others wait."""
    shim = shim_of(model)
    backbone = shim._model
    if backbone is None:
        with shim.lock:
            backbone = shim._model
            if backbone is None:
                backbone, identity = _load(model)
                put_backbone(model, backbone, identity)
    if shim.pid != os.getpid():
        # A forked child: torch's threads stayed with the parent, and waiting for
        # them would never end.
        torch.set_num_threads(1)
        check_process(backbone.device)
        shim.pid = os.getpid()
    return backbone


def get_inference_backbone(model: Model) -> Backbone:
    """What answers are decoded with: the weights as they are now, which do not change any
    more. Any number of threads may use it while the model learns on."""
    shim = shim_of(model)
    # Also tells a forked process from its parent.
    get_backbone(model)
    inference = shim.inference
    if inference is None:
        with shim.lock:
            inference = shim.inference or used_backbone(model).inference_copy()
            shim.inference = inference
    return inference


def used_backbone(model: Model) -> Backbone:
    """The backbone with the weights that annotate and are saved: the one that learns, or,
    where they lie before that, another over the same base. Call it with the shim's lock."""
    backbone, config = get_backbone(model), model.attrs["config"]
    mixed = shim_of(model).interpolation.mixed(backbone)
    if mixed is None:
        return backbone
    other = backbone.without_adapter()
    # What training draws next stays what it would be.
    with torch.random.fork_rng(devices=[]):
        other.add_adapter(config.adapter)
        if backbone.head is not None:
            other.add_head(backbone.head.config)
    own = dict(other.named_parameters())
    for name, weights in mixed.items():
        own[name].data.copy_(weights)
    return other


def invalidate_inference_backbone(model: Model) -> None:
    """To be called when weights were changed by something else than an update."""
    with shim_of(model).lock:
        shim_of(model).inference = None


def interpolate(model: Model, share: float, start: Named | None = None) -> None:
    """Annotate with, and save, weights between the start of training and what it has
    reached, from now on.

    share: of what was learned, from 0 to 1; start: the weights to begin from, by name; None
    for those of before, or those that the next update finds. Raises ValueError for another
    share, and as `check_interpolated`."""
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"A share of what was learned is from 0 to 1, not {share}.")
    check_interpolated(model)
    shim = shim_of(model)
    with shim.lock:
        shim.inference = None
        shim.interpolation.share = share
        if start is not None:
            shim.interpolation.start = start


def check_interpolated(model: Model) -> None:
    """Raises ValueError without an adapter: the start would be as large as the model."""
    if model.attrs["config"].adapter is None:
        raise ValueError(
            "Weights are interpolated where an adapter is trained, and the model has none."
            " Set the model's `adapter`, or leave out `interpolation`."
        )


def drop_gradients(model: Model) -> None:
    """Forget what an update has begun."""
    backbone = current_backbone(model)
    if backbone is not None:
        backbone.zero_grad()


def drop_backbone(model: Model) -> None:
    """Forget the weights; the next use finds them anew."""
    shim_of(model).put(None)
    model.attrs["identity"] = None


def put_backbone(model: Model, backbone: Backbone, identity: Identity) -> None:
    """Use this backbone from now on."""
    model.attrs["identity"] = identity
    shim_of(model).put(backbone)
    logger.info(
        "Weights of %s on %s in %s",
        identity.source,
        backbone.device,
        str(backbone.hf.dtype).replace("torch.", ""),
    )


def begin_afresh(model: Model) -> None:
    """Weights as they were before any training: the base, and a fresh adapter, or the
    one that it starts from. They are made ready aside; until then, those that are there
    stay."""
    backbone, identity = _base_again(model), model.attrs["identity"]
    if backbone is None:
        backbone, identity = _load(model)
    add_trained(model, backbone)
    put_backbone(model, backbone, identity)


def _base_again(model: Model) -> Backbone | None:
    """The base that is there, with the adapter to start from; None where its weights were
    trained, or where it is not of as many layers."""
    config: ModelConfig = model.attrs["config"]
    before = current_backbone(model)
    if before is None or (config.adapter is None and before.learned):
        return None
    start = _read_start(model, model.attrs["identity"])
    if before.layers != layers_to_read(config, start):
        return None
    backbone = before.without_adapter()
    _put_start(model, backbone, start)
    return backbone


def add_trained(model: Model, backbone: Backbone) -> None:
    """What is trained: a fresh adapter and a fresh head, where there is none of them yet
    and the config has one."""
    config: ModelConfig = model.attrs["config"]
    if config.adapter is not None:
        backbone.add_adapter(config.adapter)
    if model.attrs["head"] is not None and backbone.head is None:
        backbone.add_head(model.attrs["head"])
        # The copy that answers were decoded with has none.
        invalidate_inference_backbone(model)


def _load(model: Model) -> tuple[Backbone, Identity]:
    """The weights that the config names, checked, and the adapter to start from, where
    there is one."""
    config: ModelConfig = model.attrs["config"]
    bound_memory()
    weights = locate(config.name, config.revision)
    start = _read_start(model, weights.identity)
    backbone = load_backbone(
        model,
        weights.folder,
        weights.identity.sha256,
        layers_to_read(config, start),
    )
    backbone.check()
    _put_start(model, backbone, start)
    return backbone, weights.identity


def layers_to_read(config: ModelConfig, start: Start | None) -> int | None:
    """How many of the base's first layers are read, None for all: what the config says,
    or, where it leaves it open, as many as the adapter stands beside."""
    if isinstance(config.layers, str):
        return start.layers if start else None
    return config.layers


def _read_start(model: Model, identity: Identity) -> Start | None:
    """What the config's `start` names, for base weights of this identity."""
    config: ModelConfig = model.attrs["config"]
    return read_start(
        config.start,
        config.kind,
        identity,
        config.adapter,
        config.any_base,
        config.layers,
        model.attrs["head"],
        model.attrs["writes"],
    )


def _put_start(model: Model, backbone: Backbone, start: Start | None) -> None:
    """Put an adapter on the base, with its head, where the task has the same."""
    config: ModelConfig = model.attrs["config"]
    if start is None or config.adapter is None:
        return
    put_adapter(backbone, config.adapter, start.state)
    head: SpanHeadConfig | None = model.attrs["head"]
    if head is not None and start.head == head:
        put_head(backbone, head, start.state)
    elif head is not None and start.head is not None:
        warnings.warn(
            f"The adapter that the model begins from has a head with {start.head}; that "
            f"of the task has {head}, and begins from nothing. Make them equal.",
            stacklevel=2,
        )


def load_backbone(
    model: Model, folder: Path, weights: str, layers: int | None
) -> Backbone:
    """A backbone of the weights in a folder, on the device and in the dtype that the
    config names. Another model that has an adapter beside the same weights shares them.

    weights: the SHA-256 of the files of weights; layers: how many of the model's first
    layers, None for all."""
    config: ModelConfig = model.attrs["config"]
    device = choose_device(model.attrs["device"])
    dtype = choose_dtype(config.precision, device)

    def load() -> Backbone:
        loaded = load_folder(folder, config.kind, dtype, device, layers)
        backbone = config.backbone(*loaded)
        backbone.layers = layers
        backbone.probe_windows()
        return backbone

    if config.adapter is None:
        # All weights are trained, where they are.
        return load()
    content = content_key(folder, weights)
    key = (config.backbone, content, layers, dtype, device)
    return share_base(key, load)
