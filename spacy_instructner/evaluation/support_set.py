"""A config's pipeline, trained on a support set that is given as Docs."""

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from confection import Config
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training.initialize import init_nlp
from spacy.util import load_config, load_model_from_path

from ..annotations import scores_on
from ..corpus.piped import Problem, annotate_each
from ..data.corpora import without_annotation, write_docs
from ..span_groups import characters_of
from .metrics import Entity, Scored


def support_overrides(config: Config, support: str) -> dict[str, Any]:
    """What makes a config read this file, and all of it. There is no other development
    data in a few-shot run than the support set. Raises ValueError for a config whose
    corpora read no file."""
    overrides: dict[str, Any] = {}
    named = config.copy()
    text = config.to_str(interpolate=False)
    for name in {"train", "dev"} & set(named.get("paths", {})):
        # One that nothing reads must not be named.
        if f"${{paths.{name}}}" in text:
            named["paths"][name] = overrides[f"paths.{name}"] = support
    read = named.interpolate()
    for name in ("train", "dev"):
        corpus = config["training"].get(f"{name}_corpus", f"corpora.{name}")
        block: Any = read
        for part in corpus.split("."):
            block = block.get(part, {})
        if "path" not in block:
            raise ValueError(f"[{corpus}] has no `path` to name the support set in.")
        if block["path"] != support:
            overrides[f"{corpus}.path"] = support
        # It is drawn already.
        if "protocol" in block:
            overrides[f"{corpus}.protocol"] = "all"
        if "exclude" in block:
            overrides[f"{corpus}.exclude"] = None
        if block.get("instead") not in (None, support):
            overrides[f"{corpus}.instead"] = None
    if "logger" in config.get("training", {}):
        overrides["training.logger.progress_bar"] = None
    return overrides


def train_on(
    config: Config,
    support: Sequence[Doc],
    overrides: Mapping[str, Any],
    learn: bool = True,
) -> Language:
    """The pipeline as `spacy train` leaves it.

    config (Config): as `spacy train` takes it.
    support (Sequence[Doc]): annotated texts, all of them to learn from.
    overrides (Mapping[str, Any]): settings by their paths.
    learn (bool): False only initializes it.
    RETURNS (Language): the pipeline. Raises ValueError as `support_overrides`, and what
        training raises."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_docs(support, folder / "support.spacy")
        own = support_overrides(config, str(folder / "support.spacy"))
        path = folder / "config.cfg"
        config.to_disk(path)
        if not learn:
            return init_nlp(load_config(path, overrides={**own, **overrides}))
        train(path, folder / "out", overrides={**own, **overrides})
        return load_model_from_path(folder / "out" / "model-last")


def folds(
    docs: Sequence[Doc], count: int, seed: int
) -> Iterator[tuple[list[Doc], list[Doc]]]:
    """The rest and the part that is left out, for each of `count` parts of about the
    same size; what is the same text is in the same part. Raises ValueError for fewer
    than two, or fewer texts than parts."""
    texts = sorted({doc.text for doc in docs})
    if not 2 <= count <= len(texts):
        raise ValueError(
            f"{len(texts)} texts cannot be divided into {count} folds: take from 2 to "
            f"{len(texts)}."
        )
    random.Random(seed).shuffle(texts)
    for fold in range(count):
        own = set(texts[fold::count])
        yield (
            [doc for doc in docs if doc.text not in own],
            [doc for doc in docs if doc.text in own],
        )


@dataclass(frozen=True)
class Predicted:
    """Annotated texts beside what a pipeline finds in them.

    gold: by text, the annotated entities; found: the predicted ones with their scores;
    problems: number (from 1) and reason of each text that could not be annotated: it is
    left out of both."""

    gold: list[list[Entity]]
    found: list[list[Scored]]
    problems: list[tuple[int, str]]


def predicted(nlp: Language, docs: Sequence[Doc]) -> Predicted:
    """What a pipeline finds in annotated Docs, which keep their tokens. Raises
    ValueError where it fails for every one of them."""
    own = list(DocBin(docs=docs).get_docs(nlp.vocab))
    answers = annotate_each(
        nlp, [partial(_bare_docs, doc) for doc in own], nlp.batch_size
    )
    result = Predicted([], [], [])
    for number, (doc, answer) in enumerate(zip(own, answers), 1):
        if isinstance(answer, Problem):
            result.problems.append((number, answer.why))
        else:
            result.gold.append(entities_of(doc))
            result.found.append(scored_of(answer))
    if own and not result.gold:
        _, why = result.problems[0]
        raise ValueError(f"None of the {len(own)} texts could be annotated: {why}.")
    return result


def _bare_docs(doc: Doc) -> list[Doc]:
    return [without_annotation(doc)]


def entities_of(doc: Doc) -> list[Entity]:
    return [characters_of(ent) for ent in doc.ents]


def scored_of(doc: Doc) -> list[Scored]:
    """The entities with their scores."""
    scores = scores_on(doc)
    return [(*entity, scores.get(entity)) for entity in entities_of(doc)]
