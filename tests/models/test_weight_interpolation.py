"""Between the weights that training began with and those that it has reached."""

from pathlib import Path

import pytest
import spacy
import torch
from spacy.language import Language
from thinc.api import Adam

from helpers.pipelines import MakeNLP
from helpers.training import adapter, examples, initialized, train_by_hand
from spacy_instructner.models.thinc_model import (
    get_backbone,
    get_inference_backbone,
    interpolate,
    shim_of,
)
from spacy_instructner.models.weight_interpolation import (
    WeightInterpolation,
    trained_weights,
)

NAME = "instruction_ner"


def learned(make_nlp: MakeNLP, share: float, steps: int = 3) -> Language:
    nlp = initialized(make_nlp)
    interpolate(nlp.get_pipe(NAME).model, share)
    train_by_hand(nlp, steps, Adam(0.01))
    return nlp


def saved(nlp: Language, folder: Path) -> dict[str, torch.Tensor]:
    """What another program loads."""
    nlp.to_disk(folder)
    return adapter(spacy.load(folder))


def test_what_is_saved_lies_between(make_nlp: MakeNLP, tmp_path: Path) -> None:
    begun = adapter(initialized(make_nlp))
    whole = adapter(learned(make_nlp, 1.0))
    assert any(not begun[name].equal(each) for name, each in whole.items())
    for share in (0.0, 0.3, 1.0):
        nlp = learned(make_nlp, share)
        # What learns goes its own way, and saving does not change it.
        for name, each in whole.items():
            assert torch.allclose(adapter(nlp)[name], each)
        found = saved(nlp, tmp_path / str(share))
        for name, each in whole.items():
            wanted = begun[name] + share * (each - begun[name])
            assert torch.allclose(found[name], wanted, atol=1e-6)
        for name, each in whole.items():
            assert torch.allclose(adapter(nlp)[name], each)


def test_answers_are_of_the_mixed_weights(make_nlp: MakeNLP, tmp_path: Path) -> None:
    def said(nlp: Language) -> list[list[tuple[int, int, str, float]]]:
        pipe = nlp.get_pipe(NAME)
        docs = [each.predicted for each in examples(nlp)]
        return [
            [(f.start, f.end, f.label, round(f.score, 5)) for f in prediction.found]
            for prediction in pipe.predict(docs)
        ]

    fresh = initialized(make_nlp)
    nothing, everything = learned(make_nlp, 0.0), learned(make_nlp, 1.0)
    assert said(nothing) == said(fresh) != said(everything)
    half = learned(make_nlp, 0.5)
    before = said(half)
    half.to_disk(tmp_path / "half")
    assert said(spacy.load(tmp_path / "half")) == before == said(half)
    # Another share counts at once, and training goes on meanwhile.
    interpolate(half.get_pipe(NAME).model, 1.0)
    assert said(half) == said(everything)


def test_the_start_is_kept_where_it_is_needed(make_nlp: MakeNLP) -> None:
    nlp = learned(make_nlp, 1.0)
    assert shim_of(nlp.get_pipe(NAME).model).interpolation.start is None
    nlp = learned(make_nlp, 0.5)
    model = nlp.get_pipe(NAME).model
    start = shim_of(model).interpolation.start
    assert start is not None
    assert set(start) == set(trained_weights(get_backbone(model)))
    # Those of another training are not mixed with it.
    nlp.initialize(lambda: examples(nlp))
    assert shim_of(model).interpolation.start is None
    assert shim_of(model).interpolation.share == 1.0


def test_averages_are_mixed_too(make_nlp: MakeNLP, tmp_path: Path) -> None:
    nlp = initialized(make_nlp)
    begun = adapter(nlp)
    interpolate(nlp.get_pipe(NAME).model, 0.5)
    sgd = Adam(0.01, use_averages=True)
    train_by_hand(nlp, 3, sgd)
    with nlp.use_params(sgd.averages):
        averaged = adapter(nlp)
        found = saved(nlp, tmp_path / "averaged")
    for name, each in averaged.items():
        assert torch.allclose(found[name], (begun[name] + each) / 2, atol=1e-6)


def test_what_learns_is_never_touched() -> None:
    model = torch.nn.Linear(2, 2)
    mixing = WeightInterpolation()
    mixing.keep_start(model)
    # All of it is wanted: nothing is kept.
    assert mixing.start is None and mixing.mixed(model) is None
    mixing.share = 0.5
    mixing.keep_start(model)
    with torch.no_grad():
        model.weight.add_(1.0)
    mixing.keep_start(model)
    own, values = model.weight, model.weight.clone()
    mixed = mixing.mixed(model)
    assert mixed is not None and set(mixed) == {"weight", "bias"}
    assert mixed["weight"].allclose(values - 0.5)
    assert model.weight is own and model.weight.equal(values)


def test_saving_draws_no_number(make_nlp: MakeNLP, tmp_path: Path) -> None:
    """So that training goes on as it would have, dropout and all."""
    nlp = learned(make_nlp, 0.5)
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    nlp.to_disk(tmp_path / "saved")
    assert torch.rand(3).equal(wanted)


def test_what_cannot_be_mixed_is_told(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match="from 0 to 1"):
            interpolate(nlp.get_pipe(NAME).model, share)
    whole = make_nlp(model={"adapter": None})
    with pytest.raises(ValueError, match="where an adapter is trained"):
        interpolate(whole.get_pipe(NAME).model, 0.5)
    assert get_inference_backbone(nlp.get_pipe(NAME).model) is not None
