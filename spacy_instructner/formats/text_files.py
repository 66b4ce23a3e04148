"""Text files: how they are opened, decoded and counted in lines, for every reader of the
package. Source: ours.

The encoding is UTF-8, with or without a byte order mark, unless another one is named. What
cannot be decoded is an error that names the byte; it never becomes other characters.
"""

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

import srsly

UTF8 = "utf8"
PACKED = ".gz"
REMEDY = (
    "Save the file as UTF-8, or name its encoding: for example `--encoding cp1252` on the "
    "command line, `encoding` in a config."
)
GZIP_MARK = b"\x1f\x8b"
# UTF-32's mark begins with UTF-16's, and so stands first.
MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
    (codecs.BOM_UTF8, "UTF-8"),
)
LINE_END = re.compile("\r\n|\r|\n")
# Surrogates, halves of characters: JSON may hold them, but no file can be written with
# them.
SURROGATE = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"
TORN = (EOFError, gzip.BadGzipFile, zlib.error)


def suffix_of(path: Path) -> str:
    """The suffix of a file's name in lower case, without `.gz`."""
    return Path(path.name.lower().removesuffix(PACKED)).suffix


def stem(path: Path) -> str:
    """A file's name without the suffixes of its format."""
    ending = suffix_of(path) + (PACKED if is_packed(path) else "")
    return path.name[: len(path.name) - len(ending)]


def is_packed(path: Path) -> bool:
    """Is a file gzipped, by its name?"""
    return path.suffix.lower() == PACKED


def unpacked(path: Path, file_: BinaryIO) -> BinaryIO:
    """The contents of an open file, decompressed if its name ends with `.gz`."""
    return gzip.open(file_) if is_packed(path) else file_  # type: ignore[return-value]


def read_bytes(path: Path) -> bytes:
    """Raises OSError for a missing file, and ValueError for a torn one."""
    if not path.is_file():
        raise OSError(f"There is no file {path}.")
    try:
        with path.open("rb") as file_:
            return unpacked(path, file_).read()
    except TORN as error:
        raise ValueError(f"{path} cannot be read any further: {error}") from error


def read_text(path: Path, encoding: str = UTF8) -> str:
    """A whole file. Raises OSError as `read_bytes`, and ValueError as `decode`."""
    return decode(read_bytes(path), str(path), encoding)


def decode(content: bytes, name: str, encoding: str = UTF8) -> str:
    """Bytes as text, without the byte order mark.

    content, name (bytes, str): of the file.
    encoding (str): by Python's name for it.
    RETURNS (str): the text. Raises ValueError, with the line and the byte, for what
        cannot be decoded, for NUL characters, and for an unknown encoding."""
    check_beginning(content, name, encoding)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, "replace")
        raise ValueError(
            f"{name}, line {len(LINE_END.findall(before)) + 1}: byte {error.start + 1} "
            f"of the file (0x{content[error.start]:02X}) is not "
            f"{shown(encoding)}. {REMEDY}"
        ) from error
    except UnicodeError as error:
        raise ValueError(
            f"{name}, line 1: the file is not in {shown(encoding)}: {error}. {REMEDY}"
        ) from error
    nul = text.find("\0")
    if nul >= 0:
        raise nul_found(name, len(LINE_END.findall(text, 0, nul)) + 1)
    return text.removeprefix("\ufeff")


def check_beginning(content: bytes, name: str, encoding: str = UTF8) -> None:
    """Check the first bytes of a file. Raises ValueError for another encoding than the one
    that is named, for a gzipped file without `.gz`, and for an unknown encoding."""
    check_encoding(encoding)
    if content.startswith(GZIP_MARK):
        raise ValueError(
            f"{name}, line 1: the file is gzipped, so its name must end with {PACKED}."
        )
    for mark, marked in MARKS:
        if content.startswith(mark):
            if not shown(encoding).startswith(marked):
                shown_mark = " ".join(f"{byte:02X}" for byte in mark)
                raise ValueError(
                    f"{name}, line 1: the file is in {marked}, not in "
                    f"{shown(encoding)}: it begins with the bytes {shown_mark}. {REMEDY}"
                )
            return


def check_encoding(encoding: str) -> None:
    """Raises ValueError for an encoding that Python does not know."""
    try:
        "".encode(encoding)
    except (LookupError, ValueError) as error:
        raise ValueError(
            "`--encoding` (in a config, `encoding`) must be the name of an encoding, such "
            f"as utf8, cp1252 or utf-16, not {encoding!r}."
        ) from error


def shown(encoding: str) -> str:
    """The common name of an encoding, such as UTF-8."""
    return codecs.lookup(encoding).name.replace("_", "-").upper()


def nul_found(name: str, line: int) -> ValueError:
    """The error for a NUL character in a line."""
    return ValueError(
        f"{name}, line {line}: a NUL character. The file is not text, or in UTF-16. "
        f"{REMEDY}"
    )


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text, with their numbers from 1. A byte order mark at the beginning of
    a line is left out, as files that were joined may have one inside."""
    for number, line in enumerate(LINE_END.split(text), 1):
        yield number, line.removeprefix("\ufeff")


def line_of(text: str, at: int) -> int:
    """The number, from 1, of the line that holds this character."""
    return len(LINE_END.findall(text, 0, at)) + 1


def as_stream(file_: BinaryIO, encoding: str, newline: str) -> IO[str]:
    """The text of a file that is read in parts. Bytes that cannot be decoded become
    surrogates; see `undecoded`. newline: as Python's `open` takes it."""
    own = "utf-8-sig" if shown(encoding) == "UTF-8" else encoding
    return io.TextIOWrapper(
        file_, encoding=own, errors="surrogateescape", newline=newline
    )


def undecoded(text: str, encoding: str) -> str:
    """Why a text of `as_stream` cannot be used: the first byte that could not be decoded;
    "" if there is none."""
    found = SURROGATE.search(text)
    if found is None:
        return ""
    own = "utf-8" if shown(encoding).startswith("UTF-8") else encoding
    before = len(text[: found.start()].encode(own, "surrogateescape"))
    byte = ord(found.group()) & 0xFF
    return f"its byte {before + 1} (0x{byte:02X}) is not {shown(encoding)}. {REMEDY}"


def repaired(text: str) -> tuple[str, int]:
    """A text with U+FFFD in place of each surrogate, and how many there were."""
    return SURROGATE.subn(REPLACEMENT, text)


def read_json(path: Path, encoding: str = UTF8) -> Any:
    """The value of a JSON file. Raises OSError for a missing file, and ValueError, with the
    line, for a file that is not JSON."""
    text = read_text(path, encoding)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is not a JSON file: {error.msg}, in line {error.lineno}, column "
            f"{error.colno}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from error


def read_yaml(path: Path, encoding: str = UTF8) -> Any:
    """The value of a YAML file. Raises as `read_json`."""
    text = read_text(path, encoding)
    try:
        return srsly.yaml_loads(text)
    except Exception as error:
        # Whatever the parser raises; it names the line.
        raise ValueError(f"{path} is not a YAML file: {error}") from error
