"""Texts from files that somebody has: .txt, .csv, .jsonl and .docx, gzipped or not but for
the last. Source: ours; Word files are read by python-docx.
"""

import gzip
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...corpus.texts import TextSource
from ...formats.text_files import TORN, is_packed, repaired, suffix_of

DOCX = ".docx"
# How .txt files are cut.
CUTS = ("lines", "paragraphs", "whole")
# A Word file is a zip of XML, which may be far larger than it looks; so may a gzipped one.
MOST_UNPACKED = 200_000_000
# Bytes that are unpacked at a time, to count them.
PART = 2**20


@dataclass(frozen=True)
class ImportedText:
    """A text to add. name: its id in the file, or the number of its line."""

    text: str
    name: str


@dataclass
class ImportedFile:
    """The texts of a file, and why some of it is left out."""

    texts: list[ImportedText] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_texts(
    path: Path, cut: str = "lines", column: str = "text", longest: int = 20_000
) -> ImportedFile:
    """Read the texts of a file.

    path (Path): of the file; its name says what it is.
    cut (str): one of `CUTS`: a text a line, or what stands between blank lines, or all
        of the file. (.txt and .docx; a paragraph of Word is a line.)
    column (str): where .csv and .jsonl files have their texts.
    longest (int): characters of a text; longer ones are left out.
    RETURNS (ImportedFile): the texts, without blank ones. Raises ValueError for a file of
        another kind, in another encoding or too large, and ImportError without python-docx."""
    if cut not in CUTS:
        raise ValueError(f"Cut texts by one of {', '.join(CUTS)}, not {cut!r}.")
    found = ImportedFile()
    check_unpacked(path)
    if suffix_of(path) == DOCX:
        lines = [(str(at), line) for at, line in enumerate(docx_lines(path), 1)]
        given = cut_lines(lines, cut)
    elif suffix_of(path) == ".spacy":
        raise ValueError("Bring texts as .txt, .csv, .jsonl or .docx.")
    elif suffix_of(path) == ".txt" and cut != "lines":
        given = cut_lines(list(text_lines(path)), cut)
    else:
        given = []
        for item in TextSource(str(path), column=column):
            if item.problem:
                found.problems.append(item.problem)
            else:
                given.append((item.id, item.text))
    for name, text in given:
        text = repaired(text)[0].strip("\ufeff\r\n")
        if len(text) > longest:
            found.problems.append(
                f"text {name} has {len(text)} characters; at most {longest} are read"
            )
        elif text.strip():
            found.texts.append(ImportedText(text, name))
    return found


def check_unpacked(path: Path) -> None:
    """Raises ValueError for a gzipped file that is too large when unpacked."""
    if not is_packed(path):
        return
    size = 0
    try:
        with gzip.open(path) as file_:
            while part := file_.read(PART):
                size += len(part)
                if size > MOST_UNPACKED:
                    raise ValueError(
                        f"{path} has more than {MOST_UNPACKED} bytes when unpacked. "
                        "Bring it in several files."
                    )
    except TORN:
        return  # Reading raises the error, and says where.


def text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """All lines of a .txt file, the blank ones too, with their numbers."""
    at = 0
    for item in TextSource(str(path)):
        if item.problem:
            raise ValueError(item.problem)
        # Blank lines are what is missing between two numbers.
        while at + 1 < int(item.id):
            at += 1
            yield str(at), ""
        at = int(item.id)
        yield item.id, item.text


def cut_lines(lines: list[tuple[str, str]], cut: str) -> list[tuple[str, str]]:
    """Lines as texts, each with the number of its first line."""
    if cut == "lines":
        return lines
    if cut == "whole":
        return [("1", "\n".join(line for _, line in lines))]
    found: list[tuple[str, str]] = []
    inside = False
    for number, line in lines:
        if not line.strip():
            inside = False
        elif inside:
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{line}")
        else:
            inside = True
            found.append((number, line))
    return found


def docx_lines(path: Path) -> Iterator[str]:
    """The paragraphs of a Word file in order, those of tables too. Raises ValueError for a
    file that is none, or is too large when unpacked; ImportError without python-docx."""
    try:
        import docx
        from docx.table import Table
    except ImportError as error:
        raise ImportError(
            "Word files need python-docx: pip install 'spacy-instructner[serve]'. Or save "
            "the file as text."
        ) from error
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > MOST_UNPACKED:
            raise ValueError(f"it is {size} bytes when unpacked")
        document = docx.Document(str(path))
    except Exception as error:
        # Zip, XML and python-docx have errors of their own.
        raise ValueError(f"{path.name} is not a Word file (.docx): {error}") from error
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            for row in block.rows:
                # A merged cell stands in a row several times.
                cells = dict.fromkeys(cell.text for cell in row.cells)
                yield " ".join(cell for cell in cells if cell)
        else:
            yield block.text
