"""Texts to annotate, one by one, from text, JSON Lines, CSV and .spacy files."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..formats.text_files import (
    TORN,
    UTF8,
    as_stream,
    check_beginning,
    check_encoding,
    nul_found,
    repaired,
    shown,
    suffix_of,
    undecoded,
    unpacked,
)

SUFFIXES = (".txt", ".jsonl", ".ndjson", ".csv", ".spacy")
STDIN = "-"
# Bytes that are looked at before anything else is done with a file.
BEGINNING = 2**16

T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """One text of a file.

    id: the file's own id (in a .spacy file, `user_data["id"]`), else the number of the
    line, of the row (.csv) or of the Doc, from 1; text: the text; doc: the bytes of a
    DocBin with one Doc, where the file holds tokens, else empty; problem: why there is
    no text, "" where there is one."""

    id: str
    text: str
    doc: bytes = b""
    problem: str = ""


class TextSource:
    """A file of texts, or standard input."""

    def __init__(
        self,
        name: str,
        column: str = "text",
        id_column: str = "id",
        encoding: str = UTF8,
    ) -> None:
        """Check the file, and read its beginning.

        name (str): a path that ends with one of SUFFIXES, .gz may follow; or "-" for
            standard input, with one text a line.
        column, id_column (str): where a .jsonl or .csv file has its texts and ids.
        encoding (str): the encoding of the file, by Python's name for it.
        Raises OSError for a missing file, and ValueError for a file of another kind or
        in another encoding, as far as the beginning of the file tells."""
        check_encoding(encoding)
        self.name, self.column, self.id_column = name, column, id_column
        self.encoding = encoding
        self.path = None if name == STDIN else Path(name)
        if self.path is not None and not self.path.is_file():
            raise OSError(f"There is no file {self.path}.")
        self.kind = ".txt" if self.path is None else _kind(self.path)
        self.size = None if self.path is None else self.path.stat().st_size
        self._file: BinaryIO | None = None
        if self.path is not None and self.kind != ".spacy":
            self._check_beginning(self.path)

    @property
    def position(self) -> int:
        """Bytes read so far, counted in the file as it is stored."""
        if self._file is None:
            return 0
        return self.size or 0 if self._file.closed else self._file.tell()

    def __iter__(self) -> Iterator[Item]:
        """Raises ValueError where the file is damaged or is not text."""
        read = {".csv": self._csv, ".spacy": self._spacy, ".txt": self._lines}
        try:
            with self._open() as file_:
                yield from read.get(self.kind, self._jsonl)(file_)
        except UnicodeError as error:
            raise ValueError(
                f"{self.name} is not in {shown(self.encoding)}: {error}."
            ) from error
        except (*TORN, csv.Error) as error:
            raise ValueError(
                f"{self.name} cannot be read any further: {error}"
            ) from error

    def _open(self) -> BinaryIO:
        if self.path is None:
            return sys.stdin.buffer
        self._file = self.path.open("rb")
        return unpacked(self.path, self._file)

    def _check_beginning(self, path: Path) -> None:
        with path.open("rb") as file_:
            try:
                content = unpacked(path, file_).read(BEGINNING)
            except TORN:
                return  # Reading raises the error, after what can be read.
        check_beginning(content, self.name, self.encoding)
        at = content.decode(self.encoding, "replace").find("\0")
        if at >= 0:
            line = content.decode(self.encoding, "replace").count("\n", 0, at) + 1
            raise nul_found(self.name, line)

    def _numbered(self, file_: BinaryIO) -> Iterator[tuple[int, str]]:
        """Lines that are not empty, by their numbers. Only a line feed ends one. Raises
        ValueError for a NUL character."""
        lines = as_stream(file_, self.encoding, newline="\n")
        for number, line in enumerate(lines, 1):
            if "\0" in line:
                raise nul_found(self.name, number)
            line = line.rstrip("\r\n")
            if line.strip():
                yield number, line

    def _lines(self, file_: BinaryIO) -> Iterator[Item]:
        for number, line in self._numbered(file_):
            if why := undecoded(line, self.encoding):
                yield Item(str(number), "", problem=f"line {number}: {why}")
            else:
                yield Item(str(number), line)

    def _jsonl(self, file_: BinaryIO) -> Iterator[Item]:
        for number, line in self._numbered(file_):
            id_ = str(number)
            if why := undecoded(line, self.encoding):
                yield Item(id_, "", problem=f"line {number}: {why}")
                continue
            try:
                row = json.loads(line)
                id_ = _id(row.get(self.id_column), number)
                text = row[self.column]
                if not isinstance(text, str):
                    raise TypeError("it is not a text")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                why = f"line {number} is not a JSON object with a text {self.column!r}"
                yield Item(id_, "", problem=f"{why}: {error!r}")
            except RecursionError:
                yield Item(id_, "", problem=f"line {number} is nested too deeply")
            else:
                yield Item(id_, text)

    def _csv(self, file_: BinaryIO) -> Iterator[Item]:
        csv.field_size_limit(sys.maxsize)
        rows = csv.DictReader(as_stream(file_, self.encoding, newline=""))
        if self.column not in (rows.fieldnames or ()):
            raise ValueError(
                f"{self.name} has no column {self.column!r}. Its columns are: "
                f"{', '.join(map(_shown, rows.fieldnames or ()))}."
            )
        for number, row in enumerate(rows, 1):
            cells = [cell for cell in row.values() if isinstance(cell, str)]
            line = rows.line_num
            if any("\0" in cell for cell in cells):
                raise nul_found(self.name, line)
            faults = [each for c in cells if (each := undecoded(c, self.encoding))]
            text = row[self.column]
            id_ = _id(row.get(self.id_column) or None, number)
            if faults:
                why = f"line {line}: in one of its cells, {faults[0]}"
                yield Item(id_, "", problem=why)
            elif text is None:
                yield Item(id_, "", problem=f"row {number} is too short")
            else:
                yield Item(id_, text)

    def _spacy(self, file_: BinaryIO) -> Iterator[Item]:
        try:
            docs = DocBin().from_bytes(file_.read()).get_docs(Vocab())
            for number, doc in enumerate(docs, 1):
                id_ = _id(doc.user_data.get("id"), number)
                yield Item(id_, doc.text, pack(doc).to_bytes())
        except Exception as error:
            raise ValueError(f"{self.name} is not a .spacy file: {error}") from error


def docs_of(nlp: Language, item: Item) -> list[Doc]:
    """A text as the pipeline reads it: with the words that it brings, or else in pieces
    where it is too long. Raises ValueError for one that could not be read."""
    if item.problem:
        raise ValueError(item.problem)
    if item.doc:
        return list(DocBin().from_bytes(item.doc).get_docs(nlp.vocab))
    return [nlp.make_doc(p) for p in pieces(repaired(item.text)[0], nlp.max_length)]


def _kind(path: Path) -> str:
    kind = suffix_of(path)
    if kind not in SUFFIXES:
        raise ValueError(
            f"The name of {path} must end with one of {', '.join(SUFFIXES)} (.gz may "
            "follow)."
        )
    return kind


def _shown(name: str) -> str:
    return repaired(name)[0]


def _id(own: Any, number: int) -> str:
    return repaired(str(number if own is None else own))[0]


def pack(doc: Doc) -> DocBin:
    """A Doc as a DocBin. Raises TypeError where its user data cannot be saved."""
    return DocBin(docs=[doc], store_user_data=True)


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Items in lists of `size`; the last list may be shorter."""
    while chunk := list(islice(items, size)):
        yield chunk


def pieces(text: str, longest: int) -> list[str]:
    """A text in pieces of at most `longest` characters. A piece is cut after whitespace
    where its last tenth has some."""
    found: list[str] = []
    begin = 0
    while len(text) - begin > longest:
        end = begin + longest
        for at in range(end, end - longest // 10, -1):
            if text[at - 1].isspace():
                end = at
                break
        found.append(text[begin:end])
        begin = end
    return [*found, text[begin:]]
