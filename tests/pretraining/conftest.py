"""Words of labels, and a config that trains on them."""

import json
from pathlib import Path

import pytest
from thinc.api import Config

from helpers.places import ROOT
from helpers.pretraining import WORDING, WORKSHOP


@pytest.fixture
def wording(tmp_path: Path) -> Path:
    path = tmp_path / "wording.json"
    path.write_text(json.dumps(WORDING))
    return path


@pytest.fixture
def config(tiny_causal: Path, wording: Path) -> Config:
    """The project's own, on a tiny model and the workshop sentences."""
    config = Config().from_disk(ROOT / "configs" / "base.cfg", interpolate=False)
    config["paths"].update(data="", wording=str(wording))
    config["corpora"]["train"].update(
        sources={"workshop": str(WORKSHOP)},
        shares={"workshop": 1.0},
        held_out=["TOOL"],
    )
    config["corpora"]["dev"].update(sources={"workshop": str(WORKSHOP)}, texts=5)
    config["training"].update(max_steps=9, eval_frequency=2, dropout=0.1)
    config["training"]["batcher"]["size"] = 2
    config["training"]["optimizer"]["use_averages"] = True
    config["components"]["instruction_ner"]["model"]["name"] = str(tiny_causal)
    config["components"]["instruction_ner"]["model"]["precision"] = "float32"
    return config
