"""Adversarial passes against transformers' own and sums by hand."""

from collections.abc import Callable, Sequence

import pytest
import torch
from spacy.language import Language

from helpers.objectives import (
    Seen,
    assert_gradients_close,
    disturbed_groups,
    examples,
    gradients,
    on_every_model,
    on_every_task,
    pipe_of,
    places_of,
    plain_pass,
    read_by,
    ready,
)
from helpers.pipelines import KINDS, LORA, MakeNLP
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.models.thinc_model import get_backbone

FAST_GRADIENT = "spacy-instructner.FGM.v1"


# Disturbed embeddings.


def plain_gradient(backbone: Backbone, seen: Seen) -> torch.Tensor:
    """The gradient of the summed likelihood in the embeddings of a pass."""
    found = torch.zeros_like(seen.before)
    for index, record in enumerate(seen.records):
        loss, embedded = plain_pass(backbone, record)
        (own,) = torch.autograd.grad(loss, embedded)
        ids = range(read_by(backbone, record))
        found[places_of(seen, index, ids)] += own[: len(ids)]
    return found


@pytest.mark.parametrize(
    "make_nlp,positions",
    [
        *[(kind, where) for kind in KINDS for where in ("text", "prompt")],
        ("causal", "all"),
    ],
    indirect=["make_nlp"],
)
@on_every_task
def test_the_disturbance_is_along_the_gradient_and_as_long_as_asked(
    make_nlp: MakeNLP, watch: Callable, task: str, positions: str
) -> None:
    attack = {"@misc": FAST_GRADIENT, "strength": 0.25, "positions": positions}
    nlp = ready(make_nlp, task, objectives={"attack": attack})
    backbone = get_backbone(pipe_of(nlp).model)
    passes = watch(nlp)
    nlp.update(examples(nlp), sgd=False)
    first, second = passes
    assert torch.equal(first.before, first.after)
    assert torch.equal(first.before, second.before)
    assert first.positions == second.positions
    gradient = plain_gradient(backbone, first)
    groups = disturbed_groups(first, positions)
    assert len(groups) >= len(set(first.positions.own_starts))
    assert len(first.records) > 6
    for group in groups:
        added, own, along = (
            table[group] for table in (second.added, first.before, gradient)
        )
        assert float(added.norm()) == pytest.approx(0.25 * float(own.norm()), rel=1e-3)
        cosine = (added * along).sum() / added.norm() / along.norm()
        assert float(cosine) == pytest.approx(1.0, abs=1e-4)
    touched = sorted(place for group in groups for place in group)
    assert len(set(touched)) == len(touched)
    others = sorted(set(range(len(second.added))) - set(touched))
    assert others or positions == "all"
    assert not second.added[others].any()


@on_every_model
@pytest.mark.parametrize("positions", ["text", "prompt"])
def test_uniform_noise_takes_one_pass(
    make_nlp: MakeNLP, watch: Callable, positions: str
) -> None:
    noise = {
        "@misc": FAST_GRADIENT,
        "kind": "uniform",
        "strength": 0.5,
        "positions": positions,
    }
    nlp = ready(make_nlp, objectives={"noise": noise})
    passes = watch(nlp)
    nlp.update(examples(nlp), sgd=False)
    (seen,) = passes
    groups = disturbed_groups(seen, positions)
    parts = []
    for group in groups:
        added, own = seen.added[group], seen.before[group]
        assert float(added.norm()) == pytest.approx(0.5 * float(own.norm()), rel=1e-3)
        parts.append((added / added.abs().max()).flatten())
    # Even between minus one and one.
    noise = torch.cat(parts)
    assert abs(float(noise.mean())) < 5 * len(noise) ** -0.5
    assert float(noise.square().mean()) == pytest.approx(1 / 3, abs=0.05)
    touched = [place for group in groups for place in group]
    others = sorted(set(range(len(seen.added))) - set(touched))
    assert others and not seen.added[others].any()
    # The likelihood is that of the disturbed embeddings, and of them alone.
    backbone = get_backbone(pipe_of(nlp).model)
    found = gradients(nlp)
    expected = gradients_by_hand(nlp, [(seen, 1.0)])
    assert_gradients_close(found, expected)
    assert backbone.hf.training
    nlp.update(examples(nlp), sgd=False)
    assert not torch.equal(passes[1].added, seen.added)


def gradients_by_hand(
    nlp: Language, weighted: Sequence[tuple[Seen, float]]
) -> dict[str, torch.Tensor]:
    """The gradient of the likelihood of these passes' records, each with what was
    added to it, record by record through transformers' own pass."""
    backbone = get_backbone(pipe_of(nlp).model)
    backbone.hf.zero_grad()
    for seen, weight in weighted:
        total = sum(sum(record.weights) for record in seen.records)
        for index, record in enumerate(seen.records):
            ids = range(read_by(backbone, record))
            more = seen.added[places_of(seen, index, ids)]
            longer = len(backbone.encoder.end)
            if longer and backbone.hf.config.is_encoder_decoder:
                more = torch.cat([more, more.new_zeros(longer, more.shape[1])])
            loss, _ = plain_pass(backbone, record, more)
            (weight * loss / total).backward()
    return gradients(nlp)


@on_every_model
@on_every_task
@pytest.mark.parametrize("adapter", [None, LORA], ids=["all weights", "adapter"])
def test_a_step_is_the_clean_gradient_and_the_disturbed_one(
    make_nlp: MakeNLP, watch: Callable, task: str, adapter: dict | None
) -> None:
    attack = {"@misc": FAST_GRADIENT, "strength": 0.2, "weight": 0.7}
    nlp = ready(
        make_nlp, task, model={"adapter": adapter}, objectives={"attack": attack}
    )
    passes = watch(nlp)
    nlp.update(examples(nlp), sgd=False)
    found = gradients(nlp)
    first, second = passes
    assert not first.added.any() and second.added.any()
    expected = gradients_by_hand(nlp, [(first, 1.0), (second, 0.7)])
    assert_gradients_close(found, expected)
    # The disturbance makes a difference.
    clean = gradients_by_hand(nlp, [(first, 1.7)])
    assert any((found[n] - clean[n]).norm() > 0.01 * found[n].norm() for n in found)


@on_every_model
@pytest.mark.parametrize("adapter", [None, LORA], ids=["all weights", "adapter"])
def test_noise_and_attack_go_together(
    make_nlp: MakeNLP, watch: Callable, adapter: dict | None
) -> None:
    """The second pass has the first's noise, and goes from there."""
    noise = {"@misc": FAST_GRADIENT, "kind": "uniform", "strength": 0.2}
    attack = {"@misc": FAST_GRADIENT, "strength": 0.1, "weight": 0.5}
    nlp = ready(
        make_nlp,
        model={"adapter": adapter},
        objectives={"attack": attack, "noise": noise},
    )
    passes = watch(nlp)
    nlp.update(examples(nlp), sgd=False)
    found = gradients(nlp)
    first, second = passes
    more = second.after - first.after
    for group in disturbed_groups(first, "text"):
        noisy = 0.2 * float(first.before[group].norm())
        assert float(first.added[group].norm()) == pytest.approx(noisy, rel=1e-3)
        attacked = 0.1 * float(first.after[group].norm())
        assert float(more[group].norm()) == pytest.approx(attacked, rel=1e-3)
    expected = gradients_by_hand(nlp, [(first, 1.0), (second, 0.5)])
    assert_gradients_close(found, expected)


@on_every_model
@pytest.mark.parametrize("kind", ["gradient", "uniform"])
@pytest.mark.parametrize("adapter", [None, LORA], ids=["all weights", "adapter"])
def test_weights_are_as_before_and_gradients_are_there(
    make_nlp: MakeNLP, kind: str, adapter: dict | None
) -> None:
    attack = {"@misc": FAST_GRADIENT, "kind": kind, "strength": 1.0}
    nlp = ready(make_nlp, model={"adapter": adapter}, objectives={"attack": attack})
    hf = get_backbone(pipe_of(nlp).model).hf
    before = {name: tensor.clone() for name, tensor in hf.state_dict().items()}
    nlp.update(examples(nlp), sgd=False)
    after = hf.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    found = gradients(nlp)
    assert set(found) == {n for n, p in hf.named_parameters() if p.requires_grad}
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in found.values())
