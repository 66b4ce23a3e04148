"""Shipped configs on tiny models."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from thinc.api import Config

from helpers.encoders import make_encoder
from helpers.shipped_configs import BASES, CONFIGS, NER, WORDS
from helpers.training import gold_docs


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    docs = gold_docs(spacy.blank("en"))
    DocBin(docs=docs).to_disk(folder / "train.spacy")
    # Texts of a base: one label is learned, the other held out.
    rows = [
        {"text": "Anna sleeps.", "spans": [{"start": 0, "end": 4, "label": "PERSON"}]},
        {"text": "Rome is old.", "spans": [{"start": 0, "end": 4, "label": "PLACE"}]},
    ]
    (folder / "base.jsonl").write_text("\n".join(map(json.dumps, rows)))
    wording = dict.fromkeys(("PERSON", "PLACE"), WORDS)
    wording["PLACE"] = {
        key: [f"{x} of it" for x in said] for key, said in WORDS.items()
    }
    (folder / "wording.json").write_text(json.dumps(wording))
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def small(
    data: Path,
    encoder: Path,
    tiny_causal: Path,
    tiny_seq2seq: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """A shipped config with a tiny model, a small data set and nothing else changed."""
    folder = tmp_path_factory.mktemp("configs")

    def make(name: str) -> Path:
        config = Config().from_disk(CONFIGS / name, interpolate=False)
        if name not in BASES:
            config["paths"]["train"] = str(data / "train.spacy")
        components = config["components"]
        if name == "baselines/transformer.cfg":
            components["transformer"]["model"]["name"] = str(encoder)
        elif name == "instructionner_t5.cfg":
            model = components["instruction_ner"]["model"]
            model["name"] = str(tiny_seq2seq("t5"))
        elif name not in NER:
            model = components["instruction_ner"]["model"]
            model["name"] = str(tiny_causal)
            # Of two.
            if isinstance(model["layers"], int):
                model["layers"] = 1
            # An adapter of the default weights.
            model["start"] = "auto"
        if name in NER:
            config["paths"]["dev"] = str(data / "train.spacy")
        elif name == "base.cfg":
            config["paths"].update(data="", wording=str(data / "wording.json"))
            sources = {"sources": {"one": str(data / "base.jsonl")}}
            own = {**sources, "shares": {"one": 1.0}, "rules": None}
            config["corpora"]["train"].update(**own, held_out=["PLACE"], texts=8)
            config["corpora"]["dev"].update(**sources, texts=3)
            config["paths"]["rules"] = None
        elif name == "base2.cfg":
            held_out = {"labels": {"one": ["PLACE"]}}
            (data / "held_out.json").write_text(json.dumps(held_out))
            config["paths"].update(data="", wording=str(data / "wording.json"))
            config["paths"].update(rules=None, catalog=None)
            config["paths"]["held_out"] = str(data / "held_out.json")
            sources = {"base": None, "sources": {"one": str(data / "base.jsonl")}}
            config["corpora"]["train"].update(**sources, texts=8)
            config["corpora"]["dev"].update(**sources, texts=3)
        path = folder / name.replace("/", "-")
        config.to_disk(path)
        return path

    return make
