"""Starting from what was learned."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from safetensors.torch import load_file
from spacy.language import Language
from spacy.tokens import Span
from spacy.training import Example
from thinc.api import Adam, Config

from helpers.pipelines import MakeNLP
from spacy_instructner.models import pretrained_adapters
from spacy_instructner.models.lora import LoRA, adapter_state
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.pretraining.loop import ADAPTER_FOLDER, MODEL, pretrain
from spacy_instructner.scoring.scoring_request import SpanHeadConfig
from spacy_instructner.weights.sources import Identity


@pytest.fixture
def start(config: Config, tmp_path: Path) -> Path:
    config["training"]["optimizer"]["learn_rate"].update(initial_rate=0.05)
    config["training"].update(max_steps=4, eval_frequency=4)
    assert pretrain(config, tmp_path / "base")
    return tmp_path / "base" / ADAPTER_FOLDER


def state_of(nlp: Language) -> dict[str, torch.Tensor]:
    return adapter_state(get_backbone(nlp.get_pipe("instruction_ner").model).hf)


def lora(**config: Any) -> dict[str, Any]:
    return {"@misc": "spacy-instructner.LoRA.v1", **config}


TEXTS = ["Anna met Bert in Paris.", "Rome is an old place.", "Bert lives in Rome."]


def said(nlp: Language) -> list:
    return [
        [
            (s.start, s.end, s.label_, pytest.approx(float(x), abs=0.02))
            for s, x in zip(
                doc.spans["instruction_ner"],
                doc.spans["instruction_ner"].attrs["scores"],
            )
        ]
        for doc in nlp.pipe(TEXTS)
    ]


def test_an_adapter_begins_where_another_ended(
    make_nlp: MakeNLP, start: Path, tmp_path: Path
) -> None:
    model = {"start": str(start), "adapter": lora(r=16, alpha=32)}
    bare, nlp = make_nlp(), make_nlp(model=model)
    assert said(nlp) != said(bare)
    kept = load_file(start / "adapter.safetensors")
    assert {values.dtype for values in kept.values()} == {torch.bfloat16}
    full = load_file(next((start.parent / MODEL).rglob("adapter.safetensors")))
    for name, values in state_of(nlp).items():
        assert values.equal(kept[name].float())
        assert values.allclose(full[name], rtol=0.01, atol=1e-6)
    # Trained, it goes on from there; begun afresh, it is there again.
    before = said(nlp)
    docs = [nlp.make_doc(text) for text in TEXTS]
    for doc in docs:
        doc.set_ents([Span(doc, 0, 1, label="PERSON")], default="outside")
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs]
    nlp.initialize(lambda: examples)
    assert said(nlp) == before
    nlp.update(examples, sgd=Adam(1e-2))
    assert said(nlp) != before
    nlp.to_disk(tmp_path / "trained")
    learned = said(nlp)
    nlp.initialize(lambda: examples)
    assert said(nlp) == before
    # What is saved needs the start no more.
    shutil.rmtree(start)
    assert said(spacy.load(tmp_path / "trained")) == learned


def test_another_scale_means_the_same(make_nlp: MakeNLP, start: Path) -> None:
    one = make_nlp(model={"start": str(start), "adapter": lora(r=16, alpha=32)})
    other = make_nlp(model={"start": str(start), "adapter": lora(r=16, alpha=8)})
    assert said(other) == said(one)
    assert not state_of(other)[sorted(state_of(other))[1]].equal(
        state_of(one)[sorted(state_of(one))[1]]
    )


def assert_the_best_is_found(shipped: Path, identity: Identity) -> None:
    """Among adapters of one shape: with and without a head, of all and of few layers."""
    head = SpanHeadConfig(8, 8)
    for name, own in (
        ("few", {"layers": 1}),
        ("head", {"head": head.to_dict()}),
        ("headed-few", {"head": head.to_dict(), "layers": 1}),
    ):
        folder = shutil.copytree(shipped / "tiny", shipped / name)
        info = json.loads((folder / "info.json").read_text())
        (folder / "info.json").write_text(json.dumps({**info, **own}))
    shape = LoRA(16, 32, "all-linear")
    for layers, asked, best in (
        (None, None, "tiny"),
        (1, None, "few"),
        (2, None, "tiny"),
        (None, head, "head"),
        (1, head, "headed-few"),
        (2, head, "head"),
        ("auto", None, "tiny"),
        ("auto", head, "head"),
        # Without one that fits: what has learned to score words.
        (1, SpanHeadConfig(4, 8), "headed-few"),
        ("auto", SpanHeadConfig(4, 8), "head"),
    ):
        found = pretrained_adapters.find_shipped(
            "causal", identity, shape, layers, asked, writes=asked is None
        )
        assert found == shipped / best, (layers, asked)
    for name in ("few", "head", "headed-few"):
        shutil.rmtree(shipped / name)


def test_the_start_that_comes_with_the_package(
    make_nlp: MakeNLP, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = said(make_nlp(model={"start": str(start)}))
    bare = said(make_nlp())
    shutil.copytree(start, tmp_path / "shipped" / "tiny")
    monkeypatch.setattr(pretrained_adapters, "SHIPPED", tmp_path / "shipped")
    assert said(make_nlp()) == given
    # It can be switched off, and is not for other weights, nor for other shapes.
    assert said(make_nlp(model={"start": None})) == bare
    with pytest.warns(UserWarning, match="r = 16 .*cannot begin from it and begins w"):
        assert said(make_nlp(model={"adapter": lora(r=4)})) == bare
    nlp = make_nlp(model={"adapter": None})
    assert said(nlp) == bare
    # Of several the one that fits.
    other = tmp_path / "shipped" / "another"
    shutil.copytree(start, other)
    own = json.loads((other / "info.json").read_text())
    own["adapter"]["r"] = 4
    (other / "info.json").write_text(json.dumps(own))
    assert said(make_nlp()) == given
    shutil.rmtree(other)
    info = json.loads((tmp_path / "shipped" / "tiny" / "info.json").read_text())
    identity = Identity(**info["identity"])
    assert_the_best_is_found(tmp_path / "shipped", identity)
    info["identity"]["sha256"] = "0" * 64
    (tmp_path / "shipped" / "tiny" / "info.json").write_text(json.dumps(info))
    assert said(make_nlp()) == bare


def test_the_mean_of_starts(config: Config, make_nlp: MakeNLP, tmp_path: Path) -> None:
    config["training"].update(max_steps=2, eval_frequency=2)
    config["training"]["optimizer"]["learn_rate"].update(initial_rate=0.05)
    assert pretrain(config, tmp_path / "one")
    first, second = tmp_path / "one" / ADAPTER_FOLDER, tmp_path / "two" / ADAPTER_FOLDER
    config["components"]["instruction_ner"]["model"]["start"] = str(first)
    assert pretrain(config, tmp_path / "two")
    pretrained_adapters.average_starts([first, second], tmp_path / "mean")
    kept, one, two = (
        load_file(path / "adapter.safetensors")
        for path in (tmp_path / "mean", first, second)
    )
    assert any(not one[name].equal(two[name]) for name in one)
    for name, values in kept.items():
        mean = (one[name].float() + two[name].float()) / 2
        assert values.equal(mean.to(torch.bfloat16))
    model = {"start": str(tmp_path / "mean"), "adapter": lora(r=16, alpha=32)}
    for name, values in state_of(make_nlp(model=model)).items():
        assert values.equal(kept[name].float())
    # The mean of equal ones is what they are; their order is no matter.
    pretrained_adapters.average_starts([first, first], tmp_path / "same")
    assert all(
        values.equal(one[name])
        for name, values in load_file(tmp_path / "same" / "adapter.safetensors").items()
    )
    pretrained_adapters.average_starts([second, first], tmp_path / "turned")
    digests = [
        json.loads((tmp_path / name / "info.json").read_text())["files"]
        for name in ("mean", "turned")
    ]
    assert digests[0] == digests[1]


def test_starts_without_a_mean_are_told(start: Path, tmp_path: Path) -> None:
    target = tmp_path / "mean"
    with pytest.raises(ValueError, match="two adapters or more, not 1"):
        pretrained_adapters.average_starts([start], target)
    with pytest.raises(ValueError, match="no saved model in .*nowhere"):
        pretrained_adapters.average_starts([start, tmp_path / "nowhere"], target)
    other = tmp_path / "other"
    shutil.copytree(start, other)
    info = json.loads((start / "info.json").read_text())
    for part, message in [
        ({"kind": "seq2seq"}, "different base weights"),
        ({"identity": {**info["identity"], "sha256": "0" * 64}}, "different base"),
        ({"adapter": {**info["adapter"], "alpha": 8}}, "settings are .*'alpha': 8"),
        ({"adapter": None}, "other has no adapter"),
        ({"files": {"adapter.safetensors": "0" * 64}}, "damaged"),
    ]:
        (other / "info.json").write_text(json.dumps({**info, **part}))
        with pytest.raises(ValueError, match=message):
            pretrained_adapters.average_starts([start, other], target)
    assert not target.exists()


def test_starts_that_do_not_fit_are_told(
    make_nlp: MakeNLP, start: Path, tmp_path: Path
) -> None:
    def begun(**model: Any) -> list:
        return said(make_nlp(model={"start": str(start), **model}))

    with pytest.raises(ValueError, match="r = 4 .* cannot begin from it. Make them"):
        begun(adapter=lora(r=4))
    with pytest.raises(ValueError, match="targets = 'all-linear'; one with .*q_proj"):
        begun(adapter=lora(targets=["q_proj"]))
    with pytest.raises(
        ValueError, match="no adapter that could begin from .*start = n"
    ):
        begun(adapter=None)
    with pytest.raises(ValueError, match="no saved model in .*nowhere"):
        begun(start=str(tmp_path / "nowhere"))
    info = json.loads((start / "info.json").read_text())
    other = {**info, "identity": {**info["identity"], "sha256": "0" * 64}}
    (start / "info.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match="was made on .*any_base = true"):
        begun()
    expected = begun(any_base=True)
    (start / "info.json").write_text(json.dumps(info))
    assert begun() == expected
    with (start / "adapter.safetensors").open("ab") as file_:
        file_.write(b"x")
    with pytest.raises(ValueError, match="adapter.safetensors is damaged"):
        begun()
