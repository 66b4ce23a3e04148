"""InfoNCE against plain loops, on records and states made up on the spot."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.objectives import (
    laid_out,
    learned_of,
    made_up,
    plain_contrast,
    random_states,
)
from spacy_instructner.models.forward_output import TokenPositions
from spacy_instructner.tasks.base import TrainingRecord
from spacy_instructner.training.contrastive import InfoNCE, build_info_nce_v1


def compare(
    objective: InfoNCE,
    records: Sequence[TrainingRecord],
    states: torch.Tensor,
    places: TokenPositions,
) -> float | None:
    """Loss and gradient are those of the definition. RETURNS: the loss."""
    states = states.requires_grad_()
    loss = objective.loss(records, learned_of(states, objective.layer, places))
    expected, count = plain_contrast(objective, records, states, places)
    assert objective.terms(records) == count
    if loss is None:
        assert count == 0 or not objective.weight
        return None
    assert float(loss.detach()) == pytest.approx(
        float(expected.detach()), rel=1e-4, abs=1e-5
    )
    (found,) = torch.autograd.grad(loss, states)
    wanted = torch.zeros_like(found)
    if expected.requires_grad:
        (wanted,) = torch.autograd.grad(expected, states)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)
    return float(loss.detach())


@st.composite
def packs(draw: st.DrawFn) -> tuple[list[TrainingRecord], TokenPositions]:
    """A few records, some of them behind the same prefix."""
    records: list[TrainingRecord] = []
    shares: list[bool] = []
    for _ in range(draw(st.integers(1, 4))):
        share = bool(records) and draw(st.booleans())
        prefix = len(records[-1].prefix) if share else draw(st.integers(0, 3))
        # The text may begin in the prefix and end behind it.
        begin = draw(st.integers(0, prefix + 2))
        end = begin + draw(st.integers(1, 9))
        borders = draw(
            st.lists(st.integers(begin, end), max_size=6, unique=True).map(sorted)
        )
        spans = list(zip(borders[::2], borders[1::2]))
        length = max(prefix, end) + draw(st.integers(1, 3))
        kind = draw(st.integers(0, length - 1))
        records.append(made_up(prefix, (begin, end), length, spans, type=kind))
        shares.append(share)
    return records, laid_out(records, shares, draw(st.integers(0, 2)))


contrasts = st.builds(
    build_info_nce_v1,
    weight=st.sampled_from([0.001, 1.0, 3.0]),
    layer=st.just(0.8125),
    anchor=st.sampled_from(["type", "opening"]),
    positives=st.sampled_from(["edges", "all"]),
    negatives=st.integers(1, 3),
    entities=st.sampled_from(["all", "first"]),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    form=st.sampled_from(["infonce", "logsigmoid"]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(contrasts, packs(), st.integers(0, 99), st.sampled_from(["float32", "float64"]))
def test_contrast_and_its_gradient_are_the_definitions(
    objective: InfoNCE,
    pack: tuple[list[TrainingRecord], TokenPositions],
    seed: int,
    dtype: str,
) -> None:
    records, places = pack
    size = places.own_starts[-1] + len(records[-1]) + 2
    compare(
        objective, records, random_states(size, seed, getattr(torch, dtype)), places
    )


EVERYWHERE = TokenPositions((0,), (2,))


@pytest.mark.parametrize("form", ["infonce", "logsigmoid"])
@pytest.mark.parametrize(
    "spans,positives,near,far",
    [
        # In the middle, at the start, at the end of the text (ids 2 to 9).
        ([(5, 7)], "edges", [[5, 6]], [[3, 4, 7, 8]]),
        ([(2, 5)], "edges", [[2, 4]], [[5, 6]]),
        ([(2, 5)], "all", [[2, 3, 4]], [[5, 6]]),
        ([(8, 10)], "all", [[8, 9]], [[6, 7]]),
        # One token is both the first and the last.
        ([(5, 6)], "edges", [[5, 5]], [[3, 4, 6, 7]]),
        ([(5, 6)], "all", [[5]], [[3, 4, 6, 7]]),
        # The whole text: nothing around it.
        ([(2, 10)], "edges", [[2, 9]], [[]]),
        # Neighbours are no negatives of each other.
        ([(3, 5), (5, 6)], "edges", [[3, 4], [5, 5]], [[2, 6], [6, 7]]),
        ([(2, 6), (6, 10)], "edges", [[2, 5], [6, 9]], [[], []]),
    ],
)
def test_which_tokens_are_drawn_and_pushed(
    form: str,
    spans: list[tuple[int, int]],
    positives: str,
    near: list[list[int]],
    far: list[list[int]],
) -> None:
    """With the anchor along the first axis, its cosine with a state is the state's
    first number."""
    record = made_up(2, (2, 10), 12, spans)
    angles = torch.rand(17, generator=torch.Generator().manual_seed(1)) * math.pi
    states = torch.stack([angles.cos(), angles.sin()], dim=1)
    states[0] = torch.tensor([4.0, 0.0])
    objective = build_info_nce_v1(
        weight=1.0,
        form=form,  # type: ignore[arg-type]
        positives=positives,  # type: ignore[arg-type]
    )
    cosines = angles.cos().tolist()
    expected = 0.0
    terms = 0
    for inside, outside in zip(near, far):
        drawn = [cosines[at] for at in inside]
        pushed = [cosines[at] for at in outside]
        if form == "logsigmoid":
            expected += math.log1p(math.exp(sum(pushed) - sum(drawn)))
            terms += 1
        elif pushed:
            others = sum(map(math.exp, pushed))
            losses = [math.log(1 + others / math.exp(each)) for each in drawn]
            expected += sum(losses) / len(losses)
            terms += 1
    assert objective.terms([record]) == terms
    found = compare(objective, [record], states, EVERYWHERE)
    assert found == (pytest.approx(expected, abs=1e-5) if terms else None)


@pytest.mark.parametrize("anchor", ["type", "opening"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_against_one_is_the_same_in_both_forms(
    anchor: str, dtype: torch.dtype
) -> None:
    record = made_up(0, (3, 5), 7, [(3, 4)])
    states = random_states(12, 0, dtype)
    losses = [
        compare(
            build_info_nce_v1(
                weight=1.0,
                form=form,  # type: ignore[arg-type]
                anchor=anchor,  # type: ignore[arg-type]
                positives="all",
            ),
            [record],
            states.clone(),
            TokenPositions((0,), (0,)),
        )
        for form in ("infonce", "logsigmoid")
    ]
    one, other, middle = (
        states[at] / states[at].norm() for at in (3, 4, 0 if anchor == "type" else 8)
    )
    apart = float(one @ middle - other @ middle)
    assert losses == [pytest.approx(math.log1p(math.exp(-apart)), abs=1e-5)] * 2


def test_the_first_entity_alone_counts_once() -> None:
    records = [
        made_up(0, (1, 9), 10, [(1, 2), (4, 6), (7, 8)]),
        made_up(0, (1, 5), 6, []),
    ]
    every, first = (
        build_info_nce_v1(entities=which)
        for which in ("all", "first")  # type: ignore[arg-type]
    )
    assert every.terms(records) == 3 and first.terms(records) == 1
    states, places = (
        random_states(40, 0, torch.float32),
        TokenPositions((0, 20), (0, 20)),
    )
    losses = [compare(each, records, states.clone(), places) for each in (every, first)]
    assert losses[0] != losses[1]
    # A first entity with nothing around it is not replaced by the second.
    full = [made_up(0, (1, 5), 6, [(1, 3), (3, 5)])]
    assert first.terms(full) == 0 and compare(first, full, states, places) is None


def test_the_weight_scales_and_nothing_to_compare_is_no_loss() -> None:
    record = made_up(0, (2, 8), 9, [(3, 5)])
    states, places = random_states(20, 3, torch.float32), TokenPositions((0,), (0,))
    one, three, none = (build_info_nce_v1(weight=weight) for weight in (1.0, 3.0, 0.0))
    loss = compare(one, [record], states.clone(), places)
    assert loss and loss > 0.1
    assert compare(three, [record], states.clone(), places) == pytest.approx(3 * loss)
    assert compare(none, [record], states.clone(), places) == 0.0
    assert compare(one, [replace(record, mentions=())], states, places) is None


def test_a_prompt_that_names_no_type_has_no_anchor() -> None:
    record = made_up(0, (2, 8), 9, [(3, 5)])
    (mention,) = record.mentions
    record = replace(record, mentions=(replace(mention, type=None),))
    learned = learned_of(
        random_states(20, 0, torch.float32), 0.8125, TokenPositions((0,), (0,))
    )
    with pytest.raises(ValueError, match="records whose prompts name the types"):
        build_info_nce_v1().loss([record], learned)
    assert build_info_nce_v1(anchor="opening").loss([record], learned) is not None
