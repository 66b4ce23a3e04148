"""Data sets of Hugging Face's `datasets` as annotated Docs, and Docs as a data set.

One file, so that `spacy train --code integrations/huggingface/dataset_reader.py` finds the
reader in it. Rows are read by the rules of all other files (docs/reference/formats.md); here
numbers only become the names that the data set has for them. Source: ours.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import datasets
import pyarrow.parquet
from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.training import Example
from spacy.util import registry

from spacy_instructner.corpus.entities import entities_of
from spacy_instructner.data.blank_docs import without_annotation
from spacy_instructner.data.sampling import Protocol, draw
from spacy_instructner.formats.docs import make_docs
from spacy_instructner.formats.json_rows import read_row_values
from spacy_instructner.formats.json_spans import SPAN_KEYS
from spacy_instructner.formats.rows import Problem, left_out
from spacy_instructner.formats.tags import MISSING

Form = Literal["IOB2", "BIOES", "spans"]
OUTSIDE = "O"


def dataset_docs(
    dataset: "datasets.Dataset", nlp: Language, name: str = "the data set"
) -> tuple[list[Doc], list[Problem]]:
    """The rows of a data set as annotated Docs.

    dataset (Dataset): with `tokens` and `ner_tags` (names or ClassLabel; IOB, IOB2, BIOES
        and others), or `text` and `spans`, or what else rows of JSON may have.
    nlp (Language): cuts texts that come without tokens.
    name (str): of the data set, for messages. Its rows are counted as lines, from 1 on.
    RETURNS (tuple): the Docs, and what could not be kept. Raises ValueError, with the row,
        for rows that cannot be read, and for several splits."""
    if isinstance(dataset, Mapping):
        raise ValueError(
            f"{name} has several splits. Choose one: {', '.join(map(str, dataset))}."
        )
    features = dataset.features or {}
    named = _named_rows(dataset.with_format(None), features, name)
    rows, problems = read_row_values(named, name)
    docs, more = make_docs(rows, nlp)
    return docs, [*problems, *more]


def docs_dataset(docs: Iterable[Doc], form: Form = "IOB2") -> "datasets.Dataset":
    """Docs as a data set, from which `dataset_docs` makes the same words and entities.

    docs (Iterable[Doc]): annotated texts.
    form (str): "IOB2" or "BIOES", for `ner_tags`, a ClassLabel for each of the `tokens`; or
        "spans", each with start and end (characters, end exclusive) and label.
    RETURNS (Dataset): with `text`, `tokens` (but those of whitespace) and annotation. Raises
        ValueError for tokens without annotation in the form of spans: only tags can tell
        them from those outside of entities."""
    docs = list(docs)
    rows: dict[str, list[Any]] = {
        "text": [doc.text for doc in docs],
        "tokens": [[token.text for token in _words(doc)] for doc in docs],
    }
    string = datasets.Value("string")
    features = {"text": string, "tokens": datasets.Sequence(string)}
    if form == "spans":
        rows["spans"] = [_spans(doc, at) for at, doc in enumerate(docs, 1)]
        number = datasets.Value("int64")
        features["spans"] = [{"start": number, "end": number, "label": string}]
    else:
        rows["ner_tags"] = [_tags(doc, form) for doc in docs]
        found = {tag for tags in rows["ner_tags"] for tag in tags} - {OUTSIDE}
        # By type, so that the tags of one stand together.
        names = [OUTSIDE, *sorted(found, key=lambda tag: (tag[2:], tag))]
        features["ner_tags"] = datasets.Sequence(datasets.ClassLabel(names=names))
    return datasets.Dataset.from_dict(rows, datasets.Features(features))


def load_local(path: Path, split: str | None = None) -> "datasets.Dataset":
    """A data set of this machine.

    path (Path): a folder of `Dataset.save_to_disk`, or a .parquet file.
    split (str | None): of a folder with several.
    RETURNS (Dataset): the data set. Raises OSError where there is none, and ValueError
        for other files, and for a split that there is not."""
    if not path.exists():
        raise OSError(f"There is no data set {path}.")
    if path.suffix == ".parquet":
        # Not by `load_dataset`, which would keep a copy of it in its cache.
        return datasets.Dataset(pyarrow.parquet.read_table(path))
    if not path.is_dir():
        raise ValueError(
            f"{path} is neither a .parquet file nor a folder of Dataset.save_to_disk. "
            "JSON Lines are read by spacy-instructner.FewShotCorpus.v1."
        )
    found = datasets.load_from_disk(str(path))
    if not isinstance(found, Mapping):
        return found
    if split not in found:
        names = ", ".join(map(str, found))
        raise ValueError(f"{path} has no split {split!r}. Choose one: {names}.")
    return found[split]


@dataclass(frozen=True)
class DatasetCorpus:
    """Reads Examples of a data set. See `build_hugging_face_dataset_v1`."""

    path: Path
    split: str | None
    protocol: Protocol
    k: int
    seed: int

    def __call__(self, nlp: Language) -> Iterator[Example]:
        dataset = load_local(Path(self.path), self.split)
        docs, problems = dataset_docs(dataset, nlp, str(self.path))
        if lost := left_out(problems):
            first = next(each for each in problems if each.kind != "note")
            what = f"{lost} of {self.path} are left out, the first: {first}."
            warnings.warn(what, stacklevel=2)
        for doc in draw(docs, self.protocol, self.k, self.seed, []):
            yield Example(without_annotation(doc), doc)


@registry.readers("integrations.HuggingFaceDataset.v1")
def build_hugging_face_dataset_v1(
    path: Path,
    split: str | None = None,
    protocol: Protocol = "all",
    k: int = 0,
    seed: int = 0,
) -> Callable[[Language], Iterable[Example]]:
    """Registered as `integrations.HuggingFaceDataset.v1`, where this file is given as
    `--code`.

    path, split: see `load_local`; protocol, k, seed: of the draw, as those of
    `spacy-instructner.FewShotCorpus.v1`."""
    return DatasetCorpus(path, split, protocol, k, seed)


def _named_rows(
    rows: Iterable[Mapping[str, Any]], features: Mapping[str, Any], name: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with names in place of numbers, and the number of each. Raises ValueError for a
    number without a name, such as -1 where a data set keeps its annotation secret."""
    for line, row in enumerate(rows, 1):
        try:
            found = {k: _named(value, features.get(k), k) for k, value in row.items()}
        except ValueError as error:
            raise ValueError(f"{name}, line {line}: {error}") from error
        yield line, found


def _named(value: Any, feature: Any, key: str) -> Any:
    """A value of a row with names in place of numbers, and lists of spans as such: of these
    some versions of `datasets` make one object of lists."""
    if isinstance(feature, datasets.ClassLabel):
        return feature.int2str(value) if isinstance(value, int) else value
    if isinstance(value, Mapping):
        inner: Any = feature if isinstance(feature, Mapping) else {}
        if not inner and isinstance(getattr(feature, "feature", None), Mapping):
            inner = {k: [each] for k, each in feature.feature.items()}
        found = {k: _named(each, inner.get(k), "") for k, each in value.items()}
        lists = [each for each in found.values() if isinstance(each, list)]
        if key in SPAN_KEYS and len(lists) == len(found) > 0:
            return [dict(zip(found, each)) for each in zip(*lists, strict=True)]
        return found
    if isinstance(value, list):
        inner = feature[0] if isinstance(feature, list) else None
        inner = getattr(feature, "feature", inner)
        return [_named(each, inner, "") for each in value]
    return value


def _tags(doc: Doc, form: Form) -> list[str]:
    """The tags of a Doc's words. Raises ValueError for an entity without a word."""
    tags = {
        token.i: MISSING if token.ent_iob == 0 else OUTSIDE for token in _words(doc)
    }
    for ent in doc.ents:
        places = [token.i for token in ent if token.i in tags]
        if not places:
            raise ValueError(f"An entity of {doc.text[:40]!r} … has no word.")
        letters = ["B"] + ["I"] * (len(places) - 1)
        if form == "BIOES":
            letters[-1] = "S" if len(places) == 1 else "E"
        tags |= {at: f"{own}-{ent.label_}" for at, own in zip(places, letters)}
    return list(tags.values())


def _words(doc: Doc) -> list[Token]:
    """The tokens of a Doc but those of whitespace, which come back with the text."""
    return [token for token in doc if not token.is_space]


def _spans(doc: Doc, number: int) -> Sequence[dict[str, Any]]:
    if any(token.ent_iob == 0 for token in _words(doc)):
        raise ValueError(
            f"Text {number} ({doc.text[:40]!r} …) has tokens without annotation. Spans "
            'could not tell them from those outside of entities: use form="IOB2".'
        )
    return [{"start": a, "end": b, "label": label} for a, b, label in entities_of(doc)]
