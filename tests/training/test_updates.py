"""Updates by hand: what they change, what they leave alone, and how training goes on."""

import gc
from pathlib import Path

import numpy
import pytest
import spacy
import torch
from thinc.api import Adam, fix_random_seed

from helpers.pipelines import LORA, MakeNLP, on_every_kind
from helpers.training import TRAIN, adapter, examples, initialized, train_by_hand
from spacy_instructner.models.thinc_model import get_backbone


@on_every_kind
def test_same_seed_same_result(make_nlp: MakeNLP) -> None:
    runs = []
    for _ in range(2):
        nlp = initialized(make_nlp)
        losses = train_by_hand(nlp, 5, Adam(1e-2))
        runs.append((losses, adapter(nlp)))
    assert runs[0][0] == runs[1][0]
    for name, weights in runs[0][1].items():
        assert torch.equal(weights, runs[1][1][name])


@on_every_kind
def test_only_the_adapter_learns_and_the_loss_falls(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    backbone = get_backbone(nlp.get_pipe("instruction_ner").model)
    before = {
        name: tensor.clone()
        for name, tensor in backbone.hf.state_dict().items()
        if "lora_" not in name
    }
    fresh = adapter(nlp)
    losses = train_by_hand(nlp, 12, Adam(1e-2))
    list(nlp.pipe([text for text, _ in TRAIN]))
    assert losses[-1] < 0.6 * losses[0]
    after = backbone.hf.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(tensor.dtype == torch.float32 for tensor in adapter(nlp).values())
    assert not all(torch.equal(t, fresh[n]) for n, t in adapter(nlp).items())


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())


@on_every_kind
def test_updates_leave_nothing_behind(make_nlp: MakeNLP) -> None:
    """Not even the empty shells of tensors: between them the allocator cannot give
    back what is free, and memory grows by a step's share of it."""
    nlp = initialized(make_nlp)
    optimizer = Adam(1e-2)
    train_by_hand(nlp, 2, optimizer)
    before = tensors()
    train_by_hand(nlp, 8, optimizer)
    assert tensors() <= before


@on_every_kind
def test_a_fresh_adapter_changes_no_answer(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    plain = make_nlp()
    for text, _ in TRAIN:
        one, other = nlp(text), plain(text)
        scores = one.spans["instruction_ner"].attrs["scores"]
        expected = other.spans["instruction_ner"].attrs["scores"]
        assert [str(s) for s in one.ents] == [str(s) for s in other.ents]
        numpy.testing.assert_allclose(scores, expected, atol=1e-5)


@on_every_kind
def test_answers_in_between_do_not_disturb_training(make_nlp: MakeNLP) -> None:
    """Merged weights are dropped before the next update, bit for bit."""
    results = []
    for peek in (False, True):
        nlp = initialized(make_nlp)
        sgd = Adam(1e-2)
        for _ in range(4):
            train_by_hand(nlp, 1, sgd)
            if peek:
                nlp(TRAIN[0][0])
        results.append(adapter(nlp))
    assert all(torch.equal(t, results[1][n]) for n, t in results[0].items())


@on_every_kind
def test_initialize_again_begins_afresh(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    fresh = adapter(nlp)
    train_by_hand(nlp, 2, Adam(1e-2))
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp))
    again = adapter(nlp)
    assert all(
        torch.equal(again[n], t)
        for n, t in fresh.items()
        if n.endswith("lora_B.weight")
    )
    assert set(again) == set(fresh)


def test_another_adapter_setting_begins_afresh(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = initialized(make_nlp)
    train_by_hand(nlp, 3, Adam(1e-2))
    nlp.to_disk(tmp_path)
    config = {"components": {"instruction_ner": {"model": {"adapter": {"r": 2}}}}}
    again = spacy.load(tmp_path, config=config)
    again.initialize(lambda: examples(again))
    shapes = {t.shape[0] for n, t in adapter(again).items() if "lora_A" in n}
    assert shapes == {2}
    plain = make_nlp()
    for text, _ in TRAIN:
        one, other = again(text), plain(text)
        numpy.testing.assert_allclose(
            one.spans["instruction_ner"].attrs["scores"],
            other.spans["instruction_ner"].attrs["scores"],
            atol=1e-5,
        )


def test_full_fine_tuning_begins_afresh(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=[], model={"adapter": None})
    nlp.initialize(lambda: examples(nlp))
    pipe = nlp.get_pipe("instruction_ner")
    before = pipe.update(examples(nlp))["instruction_ner"]
    pipe.finish_update(Adam(1e-2))
    nlp.initialize(lambda: examples(nlp))
    assert pipe.update(examples(nlp))["instruction_ner"] == pytest.approx(before)


def test_answers_between_update_and_step_are_not_kept(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    """As `annotating_components` do: what is in memory is what is saved."""
    nlp = initialized(make_nlp)
    sgd = Adam(1e-2)
    for _ in range(4):
        nlp.update(examples(nlp), sgd=False)
        nlp(TRAIN[0][0])
        nlp.get_pipe("instruction_ner").finish_update(sgd)
    nlp.to_disk(tmp_path)
    one, other = nlp(TRAIN[0][0]), spacy.load(tmp_path)(TRAIN[0][0])
    numpy.testing.assert_allclose(
        one.spans["instruction_ner"].attrs["scores"],
        other.spans["instruction_ner"].attrs["scores"],
        atol=1e-6,
    )


def test_shared_weights_are_no_target(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(model={"adapter": {**LORA, "targets": ["lm_head"]}})
    with pytest.raises(ValueError, match="shared with the input embeddings"):
        nlp.initialize(lambda: examples(nlp))


def test_unknown_targets_are_named(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(model={"adapter": {**LORA, "targets": ["no_such_layer"]}})
    with pytest.raises(ValueError, match="adapter cannot be attached.*no_such_layer"):
        nlp.initialize(lambda: examples(nlp))


@on_every_kind
def test_training_goes_on_from_a_saved_pipeline(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = initialized(make_nlp)
    losses = train_by_hand(nlp, 8, Adam(1e-2))
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    kept = adapter(again)
    assert all(torch.equal(t, kept[n]) for n, t in adapter(nlp).items())
    sgd = again.resume_training()
    more = again.update(examples(again), sgd=sgd)["instruction_ner"]
    assert more < losses[-1] * 1.05
    assert set(adapter(again)) == set(kept)


@on_every_kind
def test_training_that_runs_astray_is_told(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    nlp.initialize(lambda: examples(nlp))
    wild = Adam(1e30, grad_clip=0.0)
    with pytest.raises(
        ValueError, match=r"'instruction_ner' is (nan|inf).*lower learn"
    ):
        for _ in range(3):
            nlp.update(examples(nlp), sgd=wild)
    # Nor does a pipeline answer that was saved so.
    with pytest.raises(ValueError, match="scores are not numbers.*lower learn rate"):
        nlp("Anna met Bert in Paris.")
    told: list[str] = []
    nlp.set_error_handler(lambda name, proc, docs, error: told.append(str(error)))
    assert list(nlp.pipe(["Anna met Bert."])) == [] and len(told) == 1
