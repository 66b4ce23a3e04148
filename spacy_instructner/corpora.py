"""Annotated files as Docs: .spacy, JSON Lines with character spans, CoNLL/IOB,
gzipped or not; and the reader that draws a few shots inside a config."""

import gzip
import json
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import (
    IO,
    Any,
    Callable,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    runtime_checkable,
)
from typing import (
    Protocol as Interface,
)

from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import get_words_and_spaces

from .annotations import LABELS_KEY
from .sampling import Protocol, draw, too_few

JSONL = (".jsonl", ".ndjson")
CONLL = (".conll", ".iob", ".iob2", ".bio", ".tsv", ".txt")


@dataclass(frozen=True)
class Problem:
    """A span that was left out. where: file and line; why: the reason."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


def read_docs(path: Path, nlp: Language) -> Tuple[List[Doc], List[Problem]]:
    """All Docs of a file, and every span of it that could not be kept.

    Tokens are the file's own where it has them, else the pipeline's; words
    without an entity are O, not missing. Raises OSError for a missing file and
    ValueError for one that cannot be read, with the line.
    """
    if not path.is_file():
        raise OSError(f"There is no file {path}.")
    suffix = _suffix(path)
    if suffix == ".spacy":
        try:
            return list(DocBin().from_disk(path).get_docs(nlp.vocab)), []
        except Exception as error:
            raise ValueError(f"{path} is no .spacy file: {error}") from error
    problems: List[Problem] = []
    if suffix in JSONL:
        docs = list(_read_jsonl(path, nlp, problems))
    elif suffix in CONLL:
        docs = list(_read_conll(path, nlp))
    else:
        raise ValueError(
            f"{path} ends with neither .spacy nor {', '.join((*JSONL, *CONLL))} "
            "(.gz may follow)."
        )
    return docs, problems


def is_annotated(path: Path) -> bool:
    """Is this a file to convert, by its name? (A .txt may be anything.)"""
    return (
        path.is_file()
        and _suffix(path) in (*JSONL, *CONLL)
        and ".txt" not in path.suffixes
    )


def stem(path: Path) -> str:
    """A file's name without what says its format."""
    name = path.name.removesuffix(".gz")
    return name.removesuffix(_suffix(path))


def _suffix(path: Path) -> str:
    """What a file's name ends with, .gz aside."""
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    return suffixes[-1] if suffixes else ""


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf8")
    return path.open("r", encoding="utf8")


def _read_jsonl(path: Path, nlp: Language, problems: List[Problem]) -> Iterator[Doc]:
    """Lines of {"text", "spans": [{"start", "end", "label"}], "tokens"?}."""
    with _open(path) as file_:
        for number, line in enumerate(file_, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
                text = row["text"]
                spans = [
                    (int(s["start"]), int(s["end"]), s["label"])
                    for s in row.get("spans") or ()
                ]
                if not all(isinstance(x, str) for x in (text, *(s[2] for s in spans))):
                    raise TypeError("text and labels must be strings")
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f'{where}: not a JSON object with "text" and "spans" (each with '
                    f'"start", "end" and "label"): {error!r}'
                ) from error
            doc = _make_doc(text, row.get("tokens"), nlp, where)
            _set_spans(doc, spans, where, problems)
            yield doc


def _make_doc(
    text: str, tokens: Optional[Sequence[Any]], nlp: Language, where: str
) -> Doc:
    if tokens is None:
        return nlp.make_doc(text)
    # Prodigy writes a token as an object, others as a string.
    words = [t["text"] if isinstance(t, dict) else str(t) for t in tokens]
    try:
        words, spaces = get_words_and_spaces(words, text)
    except ValueError as error:
        raise ValueError(f'{where}: "tokens" are not the words of "text".') from error
    return Doc(nlp.vocab, words=words, spaces=spaces)


def _set_spans(
    doc: Doc,
    spans: Iterable[Tuple[int, int, str]],
    where: str,
    problems: List[Problem],
) -> None:
    kept: List[Span] = []
    for start, end, label in sorted(spans):
        named = f"{label} at {start}-{end} ({doc.text[max(0, start) : end]!r})"
        inside = 0 <= start < end <= len(doc.text)
        span = doc.char_span(start, end, label=label) if inside else None
        if span is None:
            problems.append(Problem(where, f"{named} does not fall on token borders"))
        elif kept and span.start < kept[-1].end:
            problems.append(
                Problem(where, f"{named} overlaps {kept[-1].label_} {kept[-1].text!r}")
            )
        else:
            kept.append(span)
    doc.set_ents(kept, default="outside")


def _read_conll(path: Path, nlp: Language) -> Iterator[Doc]:
    """A token a line: its first column the word, its last the tag (IOB1, IOB2,
    BIOES, BILUO or none but a type); an empty line ends a sentence."""
    words: List[str] = []
    tags: List[str] = []
    with _open(path) as file_:
        for number, line in enumerate([*file_, "\n"], 1):
            if line.startswith("# ") and "=" in line:
                continue  # a comment with a sentence's id, say
            # A word may hold other spaces, such as one that does not break.
            columns = re.split(r"[ \t]+", line.strip(" \t\r\n"))
            if columns == [""] or columns[0] == "-DOCSTART-":
                if words:
                    yield _tagged_doc(nlp, words, tags)
                words, tags = [], []
            elif len(columns) < 2:
                raise ValueError(
                    f"{path}, line {number}: a word without a tag: {line.strip()!r}."
                )
            else:
                words.append(columns[0])
                tags.append(columns[-1])


def _tagged_doc(nlp: Language, words: List[str], tags: List[str]) -> Doc:
    doc = Doc(nlp.vocab, words=words)
    entities: List[Tuple[int, int, str]] = []
    open_label = ""
    for at, tag in enumerate(tags):
        kind, _, label = tag.partition("-")
        if kind not in "BIELSU":
            label = ""  # a bare type with a hyphen in it
        if tag in ("O", "_"):
            open_label = ""
        else:
            if not label:
                kind, label = "I", tag
            if kind in "IEL" and label == open_label:
                entities[-1] = (entities[-1][0], at + 1, label)
            else:
                entities.append((at, at + 1, label))
            open_label = "" if kind in "ELSU" else label
    doc.set_ents([Span(doc, *entity) for entity in entities], default="outside")
    return doc


Augmenter = Callable[[Language, Example], Iterator[Example]]


@runtime_checkable
class FromDraw(Interface):
    """An augmenter that looks at the other texts of a draw."""

    def among(self, examples: Iterable[Example]) -> Augmenter:
        """The augmenter for this draw."""


@dataclass(frozen=True)
class FewShotCorpus:
    """Reads Examples of a draw. See `build_few_shot_corpus_v1`."""

    path: Optional[Path]
    protocol: Protocol
    k: int
    seed: int
    exclude: Optional[Path]
    augmenter: Optional[Augmenter] = None
    instead: Optional[Path] = None

    def __call__(self, nlp: Language) -> Iterator[Example]:
        if self.instead is not None:
            whole = replace(self, path=self.instead, protocol="all", instead=None)
            yield from replace(whole, exclude=None)(nlp)
            return
        if self.path is None:
            raise ValueError(
                "The corpus has no path. Name a file with --paths.train, or as `path` "
                "in the config's [corpora]."
            )
        docs, problems = read_docs(Path(self.path), nlp)
        if problems:
            warnings.warn(
                f"{len(problems)} spans of {self.path} are left out, the first: "
                f"{problems[0]}. `python -m spacy instructner convert` lists them all.",
                stacklevel=2,
            )
        barred = read_docs(Path(self.exclude), nlp)[0] if self.exclude else []
        drawn = draw(docs, self.protocol, self.k, self.seed, barred)
        by_entities = self.protocol in ("at-least-k", "at-most-k")
        short = too_few(docs, drawn, self.k) if by_entities else []
        if short:
            warnings.warn(
                f"{self.path} has fewer than {self.k} entities of: {', '.join(short)}.",
                stacklevel=2,
            )
        examples = [Example(bare(doc), doc) for doc in drawn]
        augmenter = self.augmenter
        if isinstance(augmenter, FromDraw):
            augmenter = augmenter.among(examples)
        for example in examples:
            yield from [example] if augmenter is None else augmenter(nlp, example)


def build_few_shot_corpus_v1(
    path: Optional[Path],
    protocol: Protocol = "all",
    k: int = 0,
    seed: int = 0,
    exclude: Optional[Path] = None,
    augmenter: Optional[Callable] = None,
    instead: Optional[Path] = None,
) -> Callable[[Language], Iterable[Example]]:
    """Registered as `spacy-instructner.FewShotCorpus.v1`.

    path (Optional[Path]): .spacy, .jsonl or CoNLL, gzipped or not. A config may
        leave it open; reading then raises ValueError.
    protocol (str): "at-least-k", "at-most-k", "k-sentences", "sentences" or "all".
        See `sampling.draw`.
    k (int): shots.
    seed (int): of the draw.
    exclude (Optional[Path]): a file whose sentences are never drawn: the test set.
    augmenter (Optional[Callable]): gives one or more Examples for each, as those of
        spacy.Corpus.v1 do; such as `spacy-instructner.MentionSwap.v1`.
    instead (Optional[Path]): a file that is read as it is, all of it, in place of a
        draw from `path`: development data, where there is some.
    RETURNS (Callable): reads Examples; their tokens are the data's own.
    """

    return FewShotCorpus(path, protocol, k, seed, exclude, augmenter, instead)


def bare(doc: Doc) -> Doc:
    """A Doc's words without its annotation; what it asks for stays."""
    spaces = [bool(token.whitespace_) for token in doc]
    own = Doc(doc.vocab, words=[token.text for token in doc], spaces=spaces)
    if LABELS_KEY in doc.user_data:
        own.user_data[LABELS_KEY] = doc.user_data[LABELS_KEY]
    return own


def write_docs(docs: Iterable[Doc], path: Path) -> None:
    """Write Docs as .spacy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    DocBin(docs=docs, store_user_data=True).to_disk(path)
