"""A config's pipeline, trained on a support set that is given as Docs."""

import random
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from confection import Config
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training.initialize import init_nlp
from spacy.util import load_config, load_model_from_path

from .annotations import find_score
from .corpora import bare, write_docs
from .scores import Entity, Scored


def support_overrides(config: Config, support: str) -> Dict[str, Any]:
    """What makes a config read this file, and all of it. There is no other development
    data in a few-shot run than the support set."""
    overrides: Dict[str, Any] = {"paths.train": support}
    paths, corpora = config.get("paths", {}), config.get("corpora", {})
    if "dev" in paths:
        overrides["paths.dev"] = support
    if "protocol" in corpora.get("train", {}):
        # It is drawn already.
        overrides["corpora.train.protocol"] = "all"
    if "logger" in config.get("training", {}):
        overrides["training.logger.progress_bar"] = None
    return overrides


def train_on(
    config: Config,
    support: Sequence[Doc],
    overrides: Mapping[str, Any],
    learn: bool = True,
) -> Language:
    """The pipeline as `spacy train` leaves it. overrides: settings by their paths;
    learn: False only initializes it."""
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
) -> Iterator[Tuple[List[Doc], List[Doc]]]:
    """The rest and the part that is left out, for each of `count` parts of about the
    same size. Raises ValueError for fewer than two, or fewer texts than parts."""
    if not 2 <= count <= len(docs):
        raise ValueError(
            f"{len(docs)} texts cannot be divided into {count} folds: take from 2 to "
            f"{len(docs)}."
        )
    order = list(range(len(docs)))
    random.Random(seed).shuffle(order)
    for fold in range(count):
        left_out = sorted(order[fold::count])
        rest = [doc for at, doc in enumerate(docs) if at not in set(left_out)]
        yield rest, [docs[at] for at in left_out]


def predicted(
    nlp: Language, docs: Sequence[Doc]
) -> Tuple[List[List[Entity]], List[List[Scored]]]:
    """Annotated and predicted entities of Docs, which keep their tokens."""
    own = list(DocBin(docs=docs).get_docs(nlp.vocab))
    found = list(nlp.pipe(map(bare, own)))
    return [entities_of(doc) for doc in own], [scored_of(doc) for doc in found]


def entities_of(doc: Doc) -> List[Entity]:
    return [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]


def scored_of(doc: Doc) -> List[Scored]:
    """The entities with their scores."""
    return [
        (ent.start_char, ent.end_char, ent.label_, find_score(ent, doc.spans))
        for ent in doc.ents
    ]
