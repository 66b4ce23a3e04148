"""Texts to annotate, one by one, from files of many kinds."""

import csv
import gzip
import io
import json
import re
import sys
import zlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, Iterator, List, Optional, Tuple, TypeVar

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

SUFFIXES = (".txt", ".jsonl", ".ndjson", ".csv", ".spacy")
STDIN = "-"
# Half of a character: what cannot be decoded becomes one, and JSON may hold one.
SURROGATE = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"

T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """id: the file's own (in a .spacy file, `user_data["id"]`), else the number of the
    line, of the row (.csv) or of the Doc, from 1;
    doc: a DocBin of one, where the file holds tokens; problem: why there is no text."""

    id: str
    text: str
    doc: bytes = b""
    problem: str = ""


class Source:
    """A file of texts, or standard input."""

    def __init__(self, name: str, column: str = "text", id_column: str = "id") -> None:
        """name: a path that ends with one of SUFFIXES, .gz may follow; or "-" for
        standard input, a text a line. column, id_column: where a .jsonl or .csv file
        has texts and ids. Raises OSError for a file that is not there, and ValueError
        for one of another kind."""
        self.name, self.column, self.id_column = name, column, id_column
        self.path = None if name == STDIN else Path(name)
        if self.path is not None and not self.path.is_file():
            raise OSError(f"There is no file {self.path}.")
        self.kind = ".txt" if self.path is None else _kind(self.path)
        self.size = None if self.path is None else self.path.stat().st_size
        self._file: Optional[BinaryIO] = None

    @property
    def position(self) -> int:
        """Bytes read so far, of the file as it lies there."""
        if self._file is None:
            return 0
        return self.size or 0 if self._file.closed else self._file.tell()

    def __iter__(self) -> Iterator[Item]:
        read = {".csv": self._csv, ".spacy": self._spacy, ".txt": self._lines}
        try:
            with self._open() as file_:
                yield from read.get(self.kind, self._jsonl)(file_)
        except (EOFError, gzip.BadGzipFile, zlib.error, csv.Error) as error:
            raise ValueError(
                f"{self.name} cannot be read any further: {error}"
            ) from error

    def _open(self) -> BinaryIO:
        if self.path is None:
            return sys.stdin.buffer
        self._file = self.path.open("rb")
        if self.path.suffix == ".gz":
            return gzip.open(self._file)  # type: ignore[return-value]
        return self._file

    def _lines(self, file_: BinaryIO) -> Iterator[Item]:
        for number, line in _decoded(file_):
            yield Item(str(number), line)

    def _jsonl(self, file_: BinaryIO) -> Iterator[Item]:
        for number, line in _decoded(file_):
            id_ = str(number)
            try:
                row = json.loads(line)
                id_ = _id(row.get(self.id_column), number)
                text = row[self.column]
                if not isinstance(text, str):
                    raise TypeError("it is no text")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                why = f"line {number} is no JSON object with a text {self.column!r}"
                yield Item(id_, "", problem=f"{why}: {error!r}")
            except RecursionError:
                yield Item(id_, "", problem=f"line {number} is nested too deeply")
            else:
                yield Item(id_, text)

    def _csv(self, file_: BinaryIO) -> Iterator[Item]:
        csv.field_size_limit(sys.maxsize)
        rows = csv.DictReader(_text(file_, newline=""))
        if self.column not in (rows.fieldnames or ()):
            raise ValueError(
                f"{self.name} has no column {self.column!r}. It has: "
                f"{', '.join(rows.fieldnames or ())}."
            )
        for number, row in enumerate(rows, 1):
            id_ = _id(row.get(self.id_column) or None, number)
            text = row[self.column]
            if text is None:
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
            raise ValueError(f"{self.name} is no .spacy file: {error}") from error


def _kind(path: Path) -> str:
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind not in SUFFIXES:
        raise ValueError(
            f"{path} ends with none of {', '.join(SUFFIXES)} (.gz may follow)."
        )
    return kind


def _id(own: Any, number: int) -> str:
    return repaired(str(number if own is None else own))[0]


def _text(file_: BinaryIO, newline: Optional[str] = None) -> IO[str]:
    return io.TextIOWrapper(
        file_, encoding="utf-8-sig", errors="surrogateescape", newline=newline
    )


def _decoded(file_: BinaryIO) -> Iterator[Tuple[int, str]]:
    """Lines that are not empty, by their numbers. Only a line feed ends one."""
    for number, line in enumerate(_text(file_, newline="\n"), 1):
        line = line.rstrip("\r\n")
        if line.strip():
            yield number, line


def pack(doc: Doc) -> DocBin:
    """Raises TypeError where its user data cannot be saved."""
    return DocBin(docs=[doc], store_user_data=True)


def chunks(items: Iterator[T], size: int) -> Iterator[List[T]]:
    """As many at a time as there are, the last chunk aside."""
    while chunk := list(islice(items, size)):
        yield chunk


def repaired(text: str) -> Tuple[str, int]:
    """A text without halves of characters, and how many there were. Places stay."""
    return SURROGATE.subn(REPLACEMENT, text)


def pieces(text: str, longest: int) -> List[str]:
    """A text in pieces of at most so many characters, cut behind whitespace where
    there is some in the last tenth."""
    found: List[str] = []
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
