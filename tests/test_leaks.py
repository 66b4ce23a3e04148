"""No sentence of the data sets stands in the repository: most may not be passed on."""

import gzip
import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import SHARED

import spacy_instructner

ROOT = Path(__file__).parents[1]
# A shorter sentence may be anybody's.
WORDS, SIGNS = 6, 24


def letters(text: str) -> str:
    """Letters and digits alone: cut into lines or tokens, or quoted, it is the same."""
    return re.sub(r"[\W_]+", "", text.lower())


def index(sentences: Iterable[str]) -> dict[str, list[str]]:
    """Sentences by how they begin."""
    found: dict[str, list[str]] = {}
    for sentence in sentences:
        bare = letters(sentence)
        if len(re.findall(r"\w+", sentence)) >= WORDS and len(bare) >= SIGNS:
            found.setdefault(bare[:SIGNS], []).append(bare)
    return found


def leaks(text: str, known: dict[str, list[str]]) -> list[str]:
    """The sentences that stand in a text."""
    bare = letters(text)
    return [
        sentence
        for at in range(len(bare))
        for sentence in known.get(bare[at : at + SIGNS], ())
        if bare.startswith(sentence, at)
    ]


def test_a_leak_is_found() -> None:
    known = index(["Anna 's friend met Bert in old Paris .", "It is an old place ."])
    assert sum(map(len, known.values())) == 1
    lines = 'x = "Was it so? Anna\'s friend met\n    # Bert in old PARIS, again"'
    assert leaks(lines, known) == ["annasfriendmetbertinoldparis"]
    assert leaks("Anna's friend met Bert in Paris, an old place", known) == []


@pytest.mark.long
def test_no_sentence_of_the_data_is_in_the_repository() -> None:
    files = sorted(SHARED.glob("*/*.jsonl.gz"))
    if not files:
        pytest.skip("needs the data sets")
    # What is tracked; without git, all of the sdist. And the package, where it is.
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    tracked = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    package = Path(spacy_instructner.__file__).parent
    paths = {*(tracked or ROOT.rglob("*")), *package.rglob("*")}
    sentences = [
        json.loads(line)["text"] for file in files for line in gzip.open(file, "rt")
    ]
    known = index(sentences)
    assert sum(map(len, known.values())) > len(sentences) / 2
    found, read = [], 0
    for path in sorted(paths):
        try:
            text = path.read_text(encoding="utf8")
        except (OSError, UnicodeDecodeError):
            # A folder, or no text.
            continue
        read += 1
        found += [f"{path}: {sentence}" for sentence in leaks(text, known)]
    assert read > 100
    assert not found, "\n".join(sorted(set(found)))
