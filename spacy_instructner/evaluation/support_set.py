"""The pipeline of a config, trained on a support set that is given as Docs. Source: ours."""

import io
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from confection import Config
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config, load_model_from_path
from thinc.api import CupyOps, get_current_ops

from ..formats.outputs import write_docs

# Of a component, what it is asked for.
WORDS = ("labels", "label_names", "label_definitions", "known_labels")
# Of its [initialize]: what joins its updates.
FURTHER = ("rehearsal", "self_training")


def support_overrides(config: Config, support: str) -> dict[str, Any]:
    """The settings that make a config read this file, all of it, for training and for
    development: a few-shot run has no other development data than the support set.

    config (Config): as `spacy train` takes it.
    support (str): the path of the support set.
    RETURNS (dict[str, Any]): settings by their paths. Raises ValueError for a config
        whose corpora read no file."""
    overrides: dict[str, Any] = {}
    named = config.copy()
    text = config.to_str(interpolate=False)
    for name in {"train", "dev"} & set(named.get("paths", {})):
        # A path that nothing reads must not be set.
        if f"${{paths.{name}}}" in text:
            named["paths"][name] = overrides[f"paths.{name}"] = support
    read = named.interpolate()
    for name in ("train", "dev"):
        corpus = config["training"].get(f"{name}_corpus", f"corpora.{name}")
        block: Any = read
        for part in corpus.split("."):
            block = block.get(part, {})
        if "path" not in block:
            raise ValueError(f"[{corpus}] has no `path` for the support set.")
        if block["path"] != support:
            overrides[f"{corpus}.path"] = support
        # The support set is drawn already.
        if "protocol" in block:
            overrides[f"{corpus}.protocol"] = "all"
        if "exclude" in block:
            overrides[f"{corpus}.exclude"] = None
        if block.get("instead") not in (None, support):
            overrides[f"{corpus}.instead"] = None
    if "logger" in config.get("training", {}):
        overrides["training.logger.progress_bar"] = None
    return overrides


def config_again(nlp: Language, name: str, cfg: Mapping[str, Any]) -> Config:
    """The config of a pipeline, for training it anew with the labels and the words for
    them that its component has now, and with the further texts that it learned from. name, cfg: of
    the component."""
    config = nlp.config.copy()
    config["components"][name] |= {key: cfg[key] for key in WORDS}
    begun = config["initialize"]["components"].pop(name, {})
    if further := {key: begun[key] for key in FURTHER if begun.get(key)}:
        config["initialize"]["components"][name] = further
    return config


def training_seed(config: Config) -> int:
    """The seed of a config's training; 0 where it has none."""
    return int(config.interpolate()["training"]["seed"] or 0)


def train_on(
    config: Config,
    support: Sequence[Doc],
    overrides: Mapping[str, Any],
    learn: bool = True,
    quiet: bool = False,
    on_begin: Callable[[Language], None] = lambda nlp: None,
) -> Language:
    """Train a pipeline as `spacy train` does, where spaCy computes now.

    config (Config): as `spacy train` takes it.
    support (Sequence[Doc]): annotated texts to learn from.
    overrides (Mapping[str, Any]): settings by their paths.
    learn (bool): whether to train the pipeline after initializing it.
    quiet (bool): whether to print nothing.
    on_begin (Callable): gets the pipeline before the first step.
    RETURNS (Language): the pipeline after the last step. Raises ValueError as
        `support_overrides`, and whatever training raises."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_docs(support, folder / "support.spacy")
        own = support_overrides(config, str(folder / "support.spacy"))
        path = folder / "config.cfg"
        config.to_disk(path)
        read = load_config(path, overrides={**own, **overrides}, interpolate=False)
        gpu = present_gpu()
        nlp = init_nlp(read, use_gpu=gpu)
        on_begin(nlp)
        if not learn:
            return nlp
        out = io.StringIO() if quiet else sys.stdout
        err = io.StringIO() if quiet else sys.stderr
        (folder / "out").mkdir()
        train(nlp, folder / "out", use_gpu=gpu, stdout=out, stderr=err)
        return load_model_from_path(folder / "out" / "model-last")


def present_gpu() -> int:
    """The number of the GPU that spaCy uses now, -1 for none."""
    ops = get_current_ops()
    return ops.device_id if isinstance(ops, CupyOps) else -1


def folds(
    docs: Sequence[Doc], count: int, seed: int
) -> Iterator[tuple[list[Doc], list[Doc]]]:
    """Divide texts into parts of about the same size; equal texts are in the same part.

    docs (Sequence[Doc]): the texts.
    count (int): number of parts.
    seed (int): of the division.
    YIELDS (tuple[list[Doc], list[Doc]]): for each part, all other texts, and its own.
        Raises ValueError for fewer than two parts, or fewer texts than parts."""
    texts = sorted({doc.text for doc in docs})
    if not 2 <= count <= len(texts):
        raise ValueError(
            f"{len(texts)} texts cannot be divided into {count} folds. Take from 2 to "
            f"{len(texts)}."
        )
    random.Random(seed).shuffle(texts)
    for fold in range(count):
        own = set(texts[fold::count])
        yield (
            [doc for doc in docs if doc.text not in own],
            [doc for doc in docs if doc.text in own],
        )
