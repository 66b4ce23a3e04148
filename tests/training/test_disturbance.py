"""How often, how far and where embeddings are disturbed, and where they are not."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from helpers.objectives import (
    Seen,
    disturbed_groups,
    examples,
    gradients,
    laid_out,
    learned_of,
    made_up,
    on_every_model,
    on_every_task,
    pipe_of,
    random_states,
    ready,
)
from helpers.pipelines import MakeNLP
from spacy_instructner.models.forward_output import TokenPositions
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.tasks.base import TrainingRecord
from spacy_instructner.training.adversarial import FGM, build_fgm_v1
from spacy_instructner.training.contrastive import build_info_nce_v1
from spacy_instructner.training.objective import Objective
from spacy_instructner.training.step import TrainingPack

INFO_NCE = "spacy-instructner.InfoNCE.v1"
FAST_GRADIENT = "spacy-instructner.FGM.v1"


def batch() -> tuple[list[TrainingRecord], TokenPositions, torch.Tensor]:
    records = [
        made_up(3, (4, 8), 10, []),
        made_up(3, (5, 6), 9, []),
        made_up(0, (2, 7), 8, []),
    ]
    places = laid_out(records, [False, True, False], gap=1)
    size = places.own_starts[-1] + len(records[-1]) + 3
    return records, places, random_states(size, 0, torch.float32)


@pytest.mark.parametrize("kind", ["gradient", "uniform"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_a_share_of_passes_is_disturbed(kind: str, share: float) -> None:
    records, places, embedded = batch()
    gradient = random_states(len(embedded), 1, torch.float32)
    objective = build_fgm_v1(kind=kind, share=share)  # type: ignore[arg-type]
    attacks = kind == "gradient"
    torch.manual_seed(0)
    found = [
        objective.perturb(records, places, embedded, gradient if attacks else None)
        for _ in range(1000)
    ]
    disturbed = sum(each is not None for each in found)
    assert disturbed == 1000 if share == 1.0 else abs(disturbed - 1000 * share) < 50
    # Each kind has its moment: before the first pass, or after it.
    other = objective.perturb(records, places, embedded, None if attacks else gradient)
    assert other is None


def test_a_seed_gives_the_same_passes(make_nlp: MakeNLP, watch: Callable) -> None:
    attack = {"@misc": FAST_GRADIENT, "share": 0.5}
    nlp = ready(make_nlp, objectives={"attack": attack})
    passes = watch(nlp)
    counts = []
    for _ in range(2):
        torch.manual_seed(1)
        for _ in range(8):
            before = len(passes)
            nlp.update(examples(nlp)[:1], sgd=False)
            counts.append(len(passes) - before)
    assert counts[:8] == counts[8:] and set(counts) == {1, 2}


@pytest.mark.parametrize("positions", ["text", "prompt", "all"])
@pytest.mark.parametrize("kind", ["gradient", "uniform"])
def test_the_length_is_a_share_of_each_records_own(kind: str, positions: str) -> None:
    records, places, embedded = batch()
    gradient = random_states(len(embedded), 1, torch.float32) * 1e-6
    objective = build_fgm_v1(kind=kind, strength=2.0, positions=positions)  # type: ignore[arg-type]
    given = gradient if kind == "gradient" else None
    added = objective.perturb(records, places, embedded, given)
    assert added is not None
    seen = Seen(records, places, embedded, embedded + added)
    groups = disturbed_groups(seen, positions)
    # Three records, and the prefix that two of them share.
    assert len(groups) == (3 if positions == "text" else 4)
    for group in groups:
        wanted = 2.0 * float(embedded[group].norm())
        assert float(added[group].norm()) == pytest.approx(wanted, rel=1e-4)
        if kind == "gradient":
            torch.testing.assert_close(
                added[group] / added[group].norm(),
                gradient[group] / gradient[group].norm(),
            )
    others = set(range(len(embedded))) - {at for group in groups for at in group}
    assert not added[sorted(others)].any()


def test_where_there_is_no_gradient_nothing_is_added() -> None:
    """As after an answer that is certain: the others go on, and nothing is NaN."""
    records, places, embedded = batch()
    embedded = 10 * embedded
    gradient = random_states(len(embedded), 1, torch.float32)
    seen = Seen(records, places, embedded, embedded)
    certain, other, _ = disturbed_groups(seen, "text")
    gradient[certain] = 0.0
    added = build_fgm_v1().perturb(records, places, embedded, gradient)
    assert added is not None and added.isfinite().all()
    assert not added[certain].any() and added[other].any()


def test_records_without_a_text_are_left_alone() -> None:
    records, places, embedded = batch()
    bare = [replace(record, text=(0, 0)) for record in records]
    gradient = torch.ones_like(embedded)
    assert build_fgm_v1().perturb(bare, places, embedded, gradient) is None
    one = [bare[0], records[1], bare[2]]
    added = build_fgm_v1().perturb(one, places, embedded, gradient)
    assert added is not None and int(added.any(dim=1).sum()) == 1


@on_every_model
@on_every_task
def test_objectives_that_do_nothing_cost_and_change_nothing(
    make_nlp: MakeNLP, watch: Callable, task: str
) -> None:
    found = []
    for objectives in (
        {},
        {"contrast": {"@misc": INFO_NCE, "weight": 0.0}},
        # The draw is never under this share.
        {"attack": {"@misc": FAST_GRADIENT, "share": 1e-12}},
        {"noise": {"@misc": FAST_GRADIENT, "share": 1e-12, "kind": "uniform"}},
    ):
        nlp = ready(make_nlp, task, objectives=objectives)
        passes = watch(nlp)
        random.seed(0)
        loss = pipe_of(nlp).update(examples(nlp))["instruction_ner"]
        assert len(passes) == 1 and not passes[0].added.any()
        found.append((loss, gradients(nlp)))
    for loss, gradient in found[1:]:
        assert loss == found[0][0]
        assert set(gradient) == set(found[0][1])
        for name, own in gradient.items():
            torch.testing.assert_close(own, found[0][1][name], rtol=1e-6, atol=0.0)


@on_every_model
def test_nothing_is_disturbed_outside_of_training(
    make_nlp: MakeNLP, watch: Callable
) -> None:
    objectives = {
        "attack": {"@misc": FAST_GRADIENT, "strength": 1.0},
        "noise": {"@misc": FAST_GRADIENT, "strength": 1.0, "kind": "uniform"},
    }
    nlp = ready(make_nlp, objectives=objectives)
    records = pipe_of(nlp).records(examples(nlp))
    (records,) = get_backbone(pipe_of(nlp).model).packs(records, 10**6)
    passes = watch(nlp)
    pack = TrainingPack(records, 1.0, {"attack": 1.0, "noise": 1.0})
    losses = [pipe_of(nlp).model.predict(pack) for _ in range(2)]
    assert losses[0] == losses[1] and len(passes) == 2
    assert not any(seen.added.any() for seen in passes)


def test_an_objective_of_ones_own_does_nothing_by_default() -> None:
    records, places, embedded = batch()
    own = Objective()
    own.check("causal", None)  # type: ignore[arg-type]
    assert own.terms(records) == sum(len(record.answer) for record in records)
    assert own.loss(records, learned_of(embedded, 0.5, places)) is None
    assert own.perturb(records, places, embedded, None) is None
    assert (own.layers, own.second_pass_weight) == ((), 0.0)
    assert build_info_nce_v1(layer=0.5).layers == (0.5,)
    assert build_fgm_v1(weight=0.5).second_pass_weight == 0.5
    assert build_fgm_v1(kind="uniform").second_pass_weight == 0.0
    assert isinstance(build_fgm_v1(), FGM)
