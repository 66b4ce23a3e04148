"""`[training.optimizer] use_averages`: what is measured and saved is the average."""

from pathlib import Path

import numpy
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config
from thinc.api import Adam, fix_random_seed

from helpers.pipelines import MakeNLP, on_every_kind
from helpers.places import ROOT
from helpers.training import TRAIN, adapter, examples, gold_docs, initialized
from spacy_instructner.models.thinc_model import get_backbone


def learned(nlp: Language) -> dict[str, torch.Tensor]:
    """All that the optimizer moves."""
    hf = get_backbone(nlp.get_pipe("instruction_ner").model).hf
    named = hf.named_parameters()
    return {f"hf.{n}": p.detach().clone() for n, p in named if p.requires_grad}


CONFIGS = ROOT / "configs"


def scores(nlp: Language) -> list[float]:
    docs = nlp.pipe([text for text, _ in TRAIN])
    return [float(x) for d in docs for x in d.spans["instruction_ner"].attrs["scores"]]


def by_definition(steps: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """thinc's moving average: it begins at nothing and soon forgets that."""
    mean = {name: torch.zeros_like(weights) for name, weights in steps[0].items()}
    for number, step in enumerate(steps, 1):
        keep = min(0.9999, (1 + number) / (10 + number))
        mean = {name: keep * mean[name] + (1 - keep) * step[name] for name in mean}
    return mean


@on_every_kind
@pytest.mark.parametrize("adapted", [True, False], ids=["adapter", "all weights"])
def test_averages_take_the_weights_place_for_a_while(
    make_nlp: MakeNLP, adapted: bool, tmp_path: Path
) -> None:
    fix_random_seed(0)
    if adapted:
        nlp = initialized(make_nlp)
    else:
        nlp = make_nlp(model={"adapter": None})
        nlp.initialize(lambda: examples(nlp))
    sgd = Adam(1e-2 if adapted else 2e-3, use_averages=True)
    steps = []
    for _ in range(8):
        nlp.update(examples(nlp), sgd=sgd)
        # Merged weights are there when the average comes.
        list(nlp.pipe([TRAIN[0][0]]))
        steps.append(learned(nlp))
    before = scores(nlp)
    expected = by_definition(steps)
    with nlp.use_params(sgd.averages):
        found = learned(nlp)
        assert set(found) == set(expected)
        for name, weights in found.items():
            torch.testing.assert_close(weights, expected[name], rtol=1e-4, atol=1e-6)
        averaged = scores(nlp)
        nlp.to_disk(tmp_path)
    # As it was, to the last bit.
    assert all(torch.equal(t, steps[-1][n]) for n, t in learned(nlp).items())
    assert scores(nlp) == before != averaged
    again = spacy.load(tmp_path)
    numpy.testing.assert_allclose(scores(again), averaged, atol=1e-5)
    # Training goes on from the weights themselves.
    nlp.update(examples(nlp), sgd=sgd)
    last = learned(nlp)
    assert max(float((last[n] - steps[-1][n]).abs().max()) for n in last) < 0.02


def test_an_error_under_averages_leaves_the_weights(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    sgd = Adam(1e-2, use_averages=True)
    for _ in range(3):
        nlp.update(examples(nlp), sgd=sgd)
    shim = nlp.get_pipe("instruction_ner").model.shims[0]
    before = learned(nlp)
    with pytest.raises(RuntimeError, match="stop"), shim.use_params(sgd.averages):
        raise RuntimeError("stop")
    assert all(torch.equal(t, before[n]) for n, t in learned(nlp).items())


def test_without_weights_there_is_nothing_to_exchange(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    with nlp.use_params({(1, "hf.nothing"): numpy.zeros(1, dtype="f")}):
        assert nlp.get_pipe("instruction_ner").model.shims[0]._model is None


@pytest.mark.long
def test_spacy_train_measures_and_saves_averages(
    tiny_causal: Path, tmp_path: Path
) -> None:
    path = tmp_path / "train.spacy"
    DocBin(docs=gold_docs(spacy.blank("en"))).to_disk(path)
    runs = []
    for averages in (False, True):
        config = load_config(
            CONFIGS / "instructionner.cfg",
            overrides={
                "paths.train": str(path),
                "corpora.train.protocol": "all",
                "components.instruction_ner.model.name": str(tiny_causal),
                "components.instruction_ner.model.precision": "float32",
                "training.max_steps": 6,
                "training.eval_frequency": 6,
                "training.optimizer.use_averages": averages,
            },
            interpolate=False,
        )
        out = tmp_path / str(averages)
        out.mkdir()
        nlp, _ = train(init_nlp(config), out)
        saved = [spacy.load(out / name) for name in ("model-last", "model-best")]
        runs.append((adapter(nlp), *map(adapter, saved)))
        score = saved[1].evaluate(examples(nlp))["ents_f"]
        assert saved[1].meta["performance"]["ents_f"] == pytest.approx(score or 0.0)
    (plain, *of_plain), (raw, *of_raw) = runs
    for name, weights in plain.items():
        # The way of the weights is the same; saved is what they came to, or the mean.
        assert torch.equal(weights, raw[name])
        assert all(torch.equal(weights, each[name]) for each in of_plain)
        assert torch.equal(of_raw[0][name], of_raw[1][name])
    assert not any(torch.equal(raw[name], of_raw[0][name]) for name in raw)
