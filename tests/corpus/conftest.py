"""A corpus to annotate."""

import random
from pathlib import Path

import pytest

from helpers.towns import CODE, make_pipeline


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = random.Random(0)
    words = ("Rome", "Paris", "Åre", "and", "old", "towns", "of")
    lines = [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(95)]
    lines[40] = "BOOM"
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines), encoding="utf8")
    return path


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    make_pipeline(slow=True).to_disk(tmp_path / "pipeline")
    (tmp_path / "code.py").write_text(CODE)
    return tmp_path / "pipeline"
