"""Annotated files as Docs.

An entity that does not fall on tokens is left out, and the tokens that it touches then
have no annotation, as nobody said that they are outside of entities. All else is kept.
Source: ours.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.util import get_words_and_spaces
from spacy.vocab import Vocab

from ..char_spans import CharSpan
from .conll import read_conll
from .json_rows import read_json_rows
from .rows import Problem, Row, spaces_after
from .text_files import UTF8, read_bytes, read_text, suffix_of

SPACY = ".spacy"
JSONL = (".jsonl", ".ndjson")
JSON = ".json"
CONLL = (
    ".conll", ".iob", ".iob2", ".bio", ".tsv", ".txt", ".conllu", ".conllup",
    ".gold_conll", ".v4_gold_conll",
)  # fmt: skip
# In `Doc.user_data`: runs of tokens without annotation, as [start, end, label]. They may
# hold an entity of this label, but none of another label.
LOST_KEY = "instruction_ner_lost"


def read_docs(
    path: Path, nlp: Language, encoding: str = UTF8, tag_names: Sequence[str] = ()
) -> tuple[list[Doc], list[Problem]]:
    """Read an annotated file.

    path (Path): .spacy, JSON Lines, JSON or CoNLL; see docs/reference/formats.md.
    nlp (Language): cuts texts that come without tokens.
    encoding (str): of the file, by Python's name for it.
    tag_names (Sequence[str]): the names of tags that are numbers, from 0 on.
    RETURNS (tuple): the Docs, and what of the file could not be kept. Words without an
        entity are O, not missing, unless the file says otherwise. Raises OSError for a
        missing file, and ValueError, with the line, for a file that cannot be read."""
    suffix = suffix_of(path)
    if suffix == SPACY:
        return read_spacy(path, nlp.vocab), []
    if suffix not in (*JSONL, JSON, *CONLL):
        if not path.is_file():
            raise OSError(f"There is no file {path}.")
        raise ValueError(
            f"The name of {path} must end with {SPACY} or one of "
            f"{', '.join((*JSONL, JSON, *CONLL))} (.gz may follow)."
        )
    text = read_text(path, encoding)
    if suffix in CONLL:
        rows, problems = read_conll(text, str(path))
    else:
        rows, problems = read_json_rows(text, str(path), tag_names)
    if not rows and not problems:
        raise ValueError(f"{path}, line 1: the file holds no text.")
    docs, more = make_docs(rows, nlp)
    return docs, [*problems, *more]


def read_spacy(path: Path, vocab: Vocab) -> list[Doc]:
    """Raises OSError for a missing file, and ValueError for one that is no .spacy file."""
    content = read_bytes(path)
    try:
        return list(DocBin().from_bytes(content).get_docs(vocab))
    except Exception as error:
        # msgpack, zlib and spaCy each have their own.
        raise ValueError(f"{path} is not a .spacy file: {error}") from error


def is_annotated(path: Path) -> bool:
    """Is a file annotated, by its name? (A .txt or .json file may be anything.)"""
    suffix = suffix_of(path)
    return path.is_file() and suffix in (*JSONL, *CONLL) and suffix != ".txt"


def make_docs(rows: Iterable[Row], nlp: Language) -> tuple[list[Doc], list[Problem]]:
    """Rows as Docs, and what of them could not be kept. Raises ValueError as `make_doc`."""
    docs: list[Doc] = []
    problems: list[Problem] = []
    for row in rows:
        doc, own = make_doc(row, nlp)
        docs.append(doc)
        problems.extend(own)
    return docs, problems


def make_doc(row: Row, nlp: Language) -> tuple[Doc, list[Problem]]:
    """A row as a Doc, and what of the row could not be kept. Raises ValueError for tokens
    that are not the words of the text."""
    doc = _words(row, nlp)
    kept: list[Span] = []
    lost = list(row.lost)
    problems = list(row.problems)
    for start, end, label in sorted(set(row.spans)):
        why = _why_no_entity(doc, start, end, label, kept)
        if why:
            problems.append(Problem(row.where, why))
            lost.append((start, end, label))
        else:
            span = doc.char_span(start, end, label=label)
            assert span is not None  # `_why_no_entity` saw to it.
            kept.append(span)
    inside = {token.i for span in kept for token in span}
    unlabelled = [(a, b) for a, b, label in lost if not label.strip()]
    unknown = _touched(doc, [*row.unknown, *unlabelled]) - inside
    of_label = [
        (_touched(doc, [(a, b)]) - inside - unknown, label)
        for a, b, label in lost
        if label.strip()
    ]
    missing = unknown.union(*(tokens for tokens, _ in of_label))
    doc.set_ents(kept, missing=[doc[i : i + 1] for i in missing], default="outside")
    known = [[a, b, label] for tokens, label in of_label for a, b in runs(tokens)]
    if known:
        doc.user_data[LOST_KEY] = known
    return doc, problems


def _words(row: Row, nlp: Language) -> Doc:
    if row.tokens is None:
        return nlp.make_doc(row.text or "")
    if row.text is None:
        own = list(row.tokens)
        return Doc(nlp.vocab, words=own, spaces=spaces_after(own))
    try:
        words, spaces = get_words_and_spaces(row.tokens, row.text)
    except ValueError as error:
        raise ValueError(
            f'{row.where}: "tokens" are not the words of "text".'
        ) from error
    return Doc(nlp.vocab, words=words, spaces=spaces)


def _why_no_entity(
    doc: Doc, start: int, end: int, label: str, kept: Sequence[Span]
) -> str:
    """Why a span cannot be an entity; "" where it can. kept: those before it."""
    text = doc.text[max(0, start) : max(0, end)]
    if not label.strip():
        return f"the span at {start}-{end} ({text!r}) has no label"
    named = f"{label} at {start}-{end} ({text!r})"
    inside = 0 <= start < end <= len(doc.text)
    span = doc.char_span(start, end, label=label) if inside else None
    if span is None:
        return f"{named} does not fall on token borders"
    if kept and span.start < kept[-1].end:
        return f"{named} overlaps {kept[-1].label_} {kept[-1].text!r}"
    return ""


def _touched(doc: Doc, stretches: Sequence[tuple[int, int]]) -> set[int]:
    """The tokens that have a character in one of these stretches."""
    return {
        token.i
        for start, end in stretches
        for token in doc
        if start < token.idx + len(token) and token.idx < end
    }


def runs(tokens: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of successive tokens, by start and end (exclusive)."""
    found: list[tuple[int, int]] = []
    for token in sorted(tokens):
        if found and found[-1][1] == token:
            found[-1] = (found[-1][0], token + 1)
        else:
            found.append((token, token + 1))
    return found


def lost_in(doc: Doc) -> list[CharSpan]:
    """The runs of tokens under `LOST_KEY` (start, end and label, by tokens) that nobody has
    annotated since."""
    return [
        (start, end, label)
        for start, end, label in doc.user_data.get(LOST_KEY, ())
        if start < end <= len(doc) and not any(t.ent_iob for t in doc[start:end])
    ]
