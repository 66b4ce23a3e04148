"""The thinc model around a backbone: one pack of records in, its loss out."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import (
    Any,
    cast,
)

import torch
from spacy.util import logger
from thinc.api import Model, Optimizer, PyTorchShim, get_torch_default_device

from ..files import put_folder
from ..locks import Lock
from ..tasks.base import TrainingRecord
from ..training.likelihood import likelihood
from ..training.objective import Objective
from ..weights.loading import load_folder
from ..weights.precision import Precision, choose_dtype
from ..weights.sources import Identity, locate
from ..weights.versions import VERSION
from . import storage
from .backbone import Backbone, EmbeddingHook, ForwardOutput, TokenPositions
from .lora import LoRA, load_adapter_state
from .pretrained_adapters import read_start

MAX_BYTES = 2 * 2**30
Loss = float


@dataclass(frozen=True)
class Pack:
    """Records of one pass. total: weight of all answer ids of the batch, which the
    likelihood is divided by; terms: the same for each objective, by its name."""

    records: list[TrainingRecord]
    total: float
    terms: Mapping[str, float]


class BackboneShim(PyTorchShim):
    """Holds the backbone, empty until the weights are needed, and the reader that was
    made of it last; None where its weights have changed since.

    lock: held while weights change, and while a reader is made of them."""

    _model: Backbone | None

    def __init__(self) -> None:
        super().__init__(None)
        self.pid = os.getpid()
        self.lock = Lock()
        self.reader: Backbone | None = None

    def put(self, backbone: Backbone | None) -> None:
        """Put another backbone in the place of the one that is there. Who reads with
        that goes on with it to the end."""
        with self.lock:
            self.reader = None
            self._model = backbone

    def finish_update(self, optimizer: Optimizer) -> None:
        """One step of the optimizer for every weight that has a gradient.

        Through numpy on the CPU, so that a CUDA device needs no cupy."""
        if self._model is None:
            return
        with self.lock:
            # Without an adapter, who reads does so in the memory that is learned in.
            shared = self.reader is not None and self._model.lora is None
            self.reader = None
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
                self.reader = None
                for name, weights in given.items():
                    named[name].data = torch.tensor(weights).to(own[name])
            yield
        finally:
            with self.lock:
                self.reader = None
                for name, kept in own.items():
                    named[name].data = kept


@dataclass(frozen=True)
class ModelConfig:
    """What the config says about a model, before any weights are there."""

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


def make_model(spec: ModelConfig) -> Model[Pack, Loss]:
    """A thinc model without weights; cheap, and off the network."""
    if spec.pack_tokens < 1:
        raise ValueError(f"`pack_tokens` must be at least 1, not {spec.pack_tokens}.")
    attrs: dict[str, Any] = {
        "spec": spec,
        "identity": None,
        "device": "auto",
        "objectives": {},
        # The component's own, for whoever asks the bare model about Docs.
        "predict": None,
    }
    return Model(spec.kind, forward, attrs=attrs, shims=[BackboneShim()])


def forward(
    model: Model[Pack, Loss], pack: Pack, is_train: bool
) -> tuple[Loss, Callable[[float], list]]:
    """A pack's share of the batch's loss, and a function that adds its gradient, times
    a scale, to the weights'.

    Docs in place of a pack are what `spacy debug model` gives to every model: they get
    the component's predictions, and no gradient."""
    if not isinstance(pack, Pack):
        return model.attrs["predict"](pack), lambda scale: []
    backbone = get_backbone(model)
    spec: ModelConfig = model.attrs["spec"]
    if is_train:
        backbone.train_mode(spec.checkpointing)
    else:
        backbone.hf.eval()
    objectives: dict[str, Objective] = model.attrs["objectives"]
    layers = sorted({at for each in objectives.values() for at in each.layers})
    attacks = (
        [each for each in objectives.values() if each.second_pass_weight]
        if is_train
        else []
    )
    # The embeddings of the first pass, what was added to them, and who stands where.
    first: list[tuple[torch.Tensor, torch.Tensor, TokenPositions]] = []

    def studied(change: EmbeddingHook | None) -> ForwardOutput:
        # The adapter's float32 weights compute in the base's format.
        half = backbone.hf.dtype != torch.float32
        with (
            torch.set_grad_enabled(is_train),
            torch.autocast(backbone.device.type, backbone.hf.dtype, enabled=half),
        ):
            return backbone.forward_records(pack.records, layers, change)

    def begin(embedded: torch.Tensor, position_table: TokenPositions) -> torch.Tensor:
        bare = embedded
        for each in objectives.values():
            more = each.perturb(pack.records, position_table, bare, None)
            embedded = embedded if more is None else embedded + more
        if attacks:
            embedded.requires_grad_().retain_grad()
            first.append((embedded, (embedded - bare).detach(), position_table))
        return embedded

    learned = studied(begin if objectives and is_train else None)
    with torch.set_grad_enabled(is_train):
        loss = likelihood(learned) / pack.total
        for name, each in objectives.items():
            own = each.loss(pack.records, learned)
            if own is not None and pack.terms[name]:
                loss = loss + own / pack.terms[name]

    def backprop(scale: float) -> list:
        (loss * scale).backward()
        for each in attacks:
            ((embedded, before, position_table),) = first
            more = each.perturb(
                pack.records, position_table, embedded.detach(), embedded.grad
            )
            if more is not None:
                same_plan = studied(partial(added, before + more))
                (
                    likelihood(same_plan)
                    * (each.second_pass_weight * scale / pack.total)
                ).backward()
        return []

    return float(loss.detach()), backprop


def added(
    more: torch.Tensor, embedded: torch.Tensor, position_table: TokenPositions
) -> torch.Tensor:
    return embedded + more


def has_backbone(model: Model) -> bool:
    return current_backbone(model) is not None


def current_backbone(model: Model) -> Backbone | None:
    """The one that is there, if one is."""
    return _shim(model)._model


def _shim(model: Model) -> BackboneShim:
    return cast(BackboneShim, model.shims[0])


def get_backbone(model: Model) -> Backbone:
    """The backbone that learns, with its weights; they are found and loaded at first
    use, by one thread while the others wait."""
    shim = _shim(model)
    backbone = shim._model
    if backbone is None:
        with shim.lock:
            backbone = shim._model
            if backbone is None:
                backbone, identity = _load(model)
                _set(model, backbone, identity)
    if shim.pid != os.getpid():
        # A forked child: torch's threads stayed with the parent, and waiting for
        # them would never end.
        torch.set_num_threads(1)
        check_process(backbone.device)
        shim.pid = os.getpid()
    return backbone


def get_reader(model: Model) -> Backbone:
    """What answers are read with: the weights as they are now, which do not change any
    more. Any number of threads may read with it while the model learns on."""
    shim = _shim(model)
    # Also tells a forked process from its parent.
    get_backbone(model)
    reader = shim.reader
    if reader is None:
        with shim.lock:
            reader = shim.reader or get_backbone(model).reader()
            shim.reader = reader
    return reader


def invalidate_reader(model: Model) -> None:
    """To be called when weights were changed by something else than an update."""
    with _shim(model).lock:
        _shim(model).reader = None


def drop_gradients(model: Model) -> None:
    """Forget what an update has begun."""
    backbone = _shim(model)._model
    if backbone is not None:
        backbone.zero_grad()


def drop_backbone(model: Model) -> None:
    """Forget the weights; the next use finds them anew."""
    _shim(model).put(None)
    model.attrs["identity"] = None


def begin_afresh(model: Model) -> None:
    """Weights as they were before any training: the base, and a fresh adapter, or the
    one that it starts from. They are made ready aside; until then, those that are there
    stay."""
    spec: ModelConfig = model.attrs["spec"]
    before = _shim(model)._model
    if before is not None and (spec.adapter or not before.learned):
        backbone, identity = before.without_adapter(), model.attrs["identity"]
        _begin(spec, backbone, identity)
    else:
        backbone, identity = _load(model)
    if spec.adapter is not None:
        backbone.add_adapter(spec.adapter)
    _set(model, backbone, identity)


def _load(model: Model) -> tuple[Backbone, Identity]:
    """The weights that the config names, checked, and the start, where there is one."""
    spec: ModelConfig = model.attrs["spec"]
    weights = locate(spec.name, spec.revision)
    backbone = _read(model, weights.folder)
    backbone.check()
    _begin(spec, backbone, weights.identity)
    return backbone, weights.identity


def _begin(spec: ModelConfig, backbone: Backbone, identity: Identity) -> None:
    """Put the start on, where there is one."""
    state = read_start(spec.start, spec.kind, identity, spec.adapter, spec.any_base)
    if state is not None and spec.adapter is not None:
        backbone.add_adapter(spec.adapter)
        load_adapter_state(backbone.hf, state)


def _read(model: Model, folder: Path) -> Backbone:
    spec: ModelConfig = model.attrs["spec"]
    device = choose_device(model.attrs["device"])
    dtype = choose_dtype(spec.precision, device)
    backbone = spec.backbone(*load_folder(folder, spec.kind, dtype, device))
    backbone.probe_windows()
    return backbone


def _set(model: Model, backbone: Backbone, identity: Identity) -> None:
    model.attrs["identity"] = identity
    _shim(model).put(backbone)
    logger.info(
        "Weights of %s on %s in %s",
        identity.source,
        backbone.device,
        str(backbone.hf.dtype).replace("torch.", ""),
    )


def save_model(model: Model, folder: Path, bundle: str) -> None:
    """Write the model into a folder, in place of one that is there; nothing
    where the weights were not needed yet.

    bundle: "full" writes the base weights too, "adapter" the adapter alone."""
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    if has_backbone(model):
        # Not half of an update.
        with _shim(model).lock:
            backbone, identity = get_backbone(model), model.attrs["identity"]
            storage.save(backbone, model.attrs["spec"].kind, identity, aside, bundle)
    if aside.exists():
        put_folder(aside, folder)
    elif folder.exists():
        shutil.rmtree(folder)


def load_model(model: Model, folder: Path) -> None:
    """Read what `save_model` wrote. An adapter alone is put on the weights that
    the config names; raises OSError where those are not here, and ValueError
    where they are not the ones it was made on (unless `any_base`)."""
    spec: ModelConfig = model.attrs["spec"]
    info = storage.read_info(folder, spec.kind)
    identity = Identity(**info["identity"])
    base = folder / storage.BASE
    if info["bundle"] == "adapter":
        weights = locate(spec.name, spec.revision)
        if weights.identity.sha256 != identity.sha256 and not spec.any_base:
            raise ValueError(
                f"The adapter in {folder} was made on {identity.source} (SHA-256 "
                f"{identity.sha256}), but {spec.name} is {weights.identity.sha256}. "
                "Name the weights it was made on as the model's `name`, or set "
                "`any_base = true` to use it on these all the same."
            )
        base, identity = weights.folder, weights.identity
    backbone = _read(model, base)
    same = identity.sha256 == info["identity"]["sha256"]
    if same:
        storage.check_reading(backbone, info, folder)
    if not same or info.get("transformers") != str(VERSION):
        # What was checked when it was made is not known of these.
        backbone.check()
    storage.load_adapter(backbone, info["adapter"], folder)
    _set(model, backbone, identity)


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
                raise ValueError(f"{name!r} is no file of a model. Is this a pipeline?")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        load_model(model, folder)


def choose_device(name: str) -> torch.device:
    """A torch device; "auto" follows spaCy's choice. Raises ValueError where it
    is unknown or not there."""
    if name == "auto":
        return get_torch_default_device()
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'`device` is {name!r}, which cannot be used: {error}. Write "auto", "cpu" '
            'or "cuda:0".'
        ) from error
    return device


def check_process(device: torch.device) -> None:
    """Raises RuntimeError where a process was forked from one that had begun to use
    CUDA: CUDA does not survive that."""
    if device.type == "cuda" and torch.cuda._is_in_bad_fork():
        raise RuntimeError(
            "A model on CUDA cannot be used in a forked process. Annotate with "
            "n_process=1, a process for each GPU, or call "
            'multiprocessing.set_start_method("spawn") before anything else.'
        )
