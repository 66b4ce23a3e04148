"""The loss over decisions: against plain loops and the search."""

import math
import random
from collections.abc import Sequence

import pytest
import torch
from spacy.language import Language
from thinc.api import Adam, fix_random_seed

from helpers.loss import LABELS, encoded
from helpers.pipelines import LORA, MakeNLP, on_every_kind
from helpers.training import TRAIN, examples
from spacy_instructner.decoding.beam_search import search
from spacy_instructner.decoding.grammar import Grammar
from spacy_instructner.decoding.request import Answer
from spacy_instructner.models.forward_output import (
    ForwardOutput,
    TokenPositions,
    among_allowed,
)
from spacy_instructner.models.thinc_model import get_backbone, get_inference_backbone
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold, TrainingRecord
from spacy_instructner.tasks.instruction_ner import build_instruction_ner_v1
from spacy_instructner.tasks.labels import make_label_set
from spacy_instructner.training.likelihood import likelihood
from spacy_instructner.training.records import GoldWindow, decisions, make_records
from spacy_instructner.windows import Window

OBJECTIVES = {
    "contrast": {"@misc": "spacy-instructner.InfoNCE.v1", "weight": 0.1},
    "attack": {"@misc": "spacy-instructner.FGM.v1"},
}


def ready(make_nlp: MakeNLP, **config: object) -> Language:
    """On the loss over decisions, with an adapter that does something."""
    fix_random_seed(0)
    model = {"adapter": LORA, **config.pop("model", {})}  # type: ignore[dict-item]
    nlp = make_nlp(model=model, **{"loss": "grammar", **config})
    nlp.initialize(lambda: examples(nlp))
    pipe = nlp.get_pipe("instruction_ner")
    with torch.no_grad():
        for name, weights in get_backbone(pipe.model).hf.named_parameters():
            if "lora_B" in name:
                weights.normal_(std=0.05)
    return nlp


# The loss itself.


def learned_of(
    logits: torch.Tensor,
    targets: Sequence[int],
    weights: Sequence[float],
    allowed: tuple,
) -> ForwardOutput:
    return ForwardOutput(
        logits,
        torch.tensor(targets),
        torch.tensor(weights),
        torch.empty(0),
        {},
        TokenPositions((), ()),
        allowed,
    )


def test_loss_and_gradient_are_the_definitions() -> None:
    """Row by row, in plain numbers; one row of three is over the whole vocabulary."""
    torch.manual_seed(0)
    logits = (3 * torch.randn(4, 6)).requires_grad_()
    targets, weights = [4, 0, 3, 2], [1.0, 0.5, 2.0, 1.0]
    allowed = ((1, 4), (5, 0, 2), None, (2,))
    loss = likelihood(learned_of(logits, targets, weights, allowed))
    (gradient,) = torch.autograd.grad(loss, logits)
    expected = 0.0
    for row, (target, weight, ids) in enumerate(zip(targets, weights, allowed)):
        odds = {i: math.exp(float(logits.detach()[row, i])) for i in ids or range(6)}
        expected -= weight * math.log(odds[target] / sum(odds.values()))
        for i in range(6):
            slope = odds.get(i, 0.0) / sum(odds.values()) - (i == target)
            assert float(gradient[row, i]) == pytest.approx(weight * slope, abs=1e-5)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_without_a_grammar_it_is_cross_entropy() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    expected = -logits.log_softmax(1)[[0, 1, 2], [4, 0, 2]].sum()
    for allowed in ((), (None, None, None)):
        found = likelihood(learned_of(logits, [4, 0, 2], [1.0] * 3, allowed))
        torch.testing.assert_close(found, expected)


def test_probabilities_of_what_is_allowed_sum_to_one() -> None:
    logits = 4 * torch.randn(7, 30, generator=torch.Generator().manual_seed(2))
    rng = random.Random(0)
    allowed = [tuple(rng.sample(range(30), rng.randint(1, 9))) for _ in range(7)]
    total = torch.zeros(7)
    for at in range(9):
        targets = torch.tensor([ids[at % len(ids)] for ids in allowed])
        counts = torch.tensor([float(at < len(ids)) for ids in allowed])
        total += counts * among_allowed(logits, targets, allowed).neg().exp()
    torch.testing.assert_close(total, torch.ones(7))


def test_one_way_out_is_no_loss_at_all() -> None:
    logits = 50 * torch.randn(5, 9, generator=torch.Generator().manual_seed(3))
    targets = torch.tensor([0, 8, 3, 3, 1])
    # Beside a row with a choice, which the others are padded to.
    allowed = [*((t,) for t in targets.tolist()[:4]), (0, 1, 2)]
    found = among_allowed(logits, targets, allowed)
    assert found[:4].tolist() == [0.0] * 4 and found[4] > 0.0


# Only decisions carry loss.


def test_only_decisions_count(encoder: TextEncoder) -> None:
    task = build_instruction_ner_v1(extraction_weight=0.5).bind(
        encoder, LABELS, encoder.tokenizer.eos_token_id
    )
    words = encoded(encoder, "old Rome and Paris")
    gold = Gold(((0, 2, "OLD"), (3, 4, "PLACE")))
    counted: dict[str, str] = {}
    for record in task.records(words, gold, choices=True):
        weight = 0.5 if record.task == "extraction" else 1.0
        weights = decisions(record).weights
        assert set(record.weights) == {weight} and set(weights) == {0.0, weight}
        counted[record.task] = "|".join(
            encoder.tokenizer.decode([token])
            for token, each in zip(record.answer, weights)
            if each
        )
    assert counted == {
        # Where it begins, that it goes on, that it ends; that it is a place, and one
        # "of old"; that another follows; which, of what kind, that this is all.
        "main": " old| Rome| is| place| o|,| Paris| place|.",
        # Behind the last word nothing can follow.
        "extraction": " old| Rome|,| Paris",
        # "a place" and "a place of old" begin alike.
        "typing": " place| o| place|.",
    }


def test_one_label_leaves_nothing_to_type(encoder: TextEncoder) -> None:
    labels = make_label_set(["PERSON"], {}, {})
    task = build_instruction_ner_v1().bind(
        encoder, labels, encoder.tokenizer.eos_token_id
    )
    words = encoded(encoder, "Anna met Bert")
    window = GoldWindow(Window(0, 0, 3), words, Gold(((0, 1, "PERSON"),)), task)
    for choices, tasks in (
        (False, ["main", "extraction", "typing"]),
        (True, ["main", "extraction"]),
    ):
        made = make_records([window], 512, choices)
        assert [record.task for record in made] == tasks


def test_missing_annotation_stays_without_loss(encoder: TextEncoder) -> None:
    task = build_instruction_ner_v1().bind(
        encoder, LABELS, encoder.tokenizer.eos_token_id
    )
    words = encoded(encoder, "old Rome and Paris")
    gold = Gold(((0, 2, "OLD"),), frozenset({3}))
    for record in task.records(words, gold, choices=True):
        plain = record.weights
        assert all(
            w == 0.0 or p > 0.0 for w, p in zip(decisions(record).weights, plain)
        )
        if record.task != "typing":
            # Whether another one follows is not learnt; that the first is one, is.
            assert any(decisions(record).weights)
            assert record.weights[0] > 0.0 == record.weights[-1]


# With models.


@on_every_kind
def test_the_loss_is_that_of_the_searchs_answer(make_nlp: MakeNLP) -> None:
    """What greedy search answered, taken for gold: the same probabilities."""
    nlp = ready(make_nlp)
    pipe = nlp.get_pipe("instruction_ner")
    backbone, reader = get_backbone(pipe.model), get_inference_backbone(pipe.model)
    docs = [nlp.make_doc(text) for text, _ in TRAIN]
    windows = pipe._bound_windows(backbone, docs, None)
    compared = spans = 0
    for window in windows:
        requests, task, of_window = window.requests(), window.task, window.words
        for request, answer in zip(requests, search(reader, requests)):
            gold = Gold(tuple((s.start, s.end, s.label) for s in answer.spans))
            records = [
                decisions(record)
                for record in task.records(of_window, gold, choices=True)
                if record.prefix + record.suffix == request.prefix + request.own
            ]
            if not records or records[0].answer != answer.ids:
                # A type that was not drawn; another way to write the same spans.
                continue
            (record,) = records
            with torch.no_grad():
                learned = backbone.forward_records([record])
            losses = among_allowed(learned.logits, learned.targets, learned.allowed)  # type: ignore[arg-type]
            assert float(losses.sum()) == pytest.approx(-answer.logprob, abs=1e-3)
            spans += check_scores(request.grammar, record, answer, learned.logits)
            compared += 1
    assert compared >= 4 and spans >= 2


def check_scores(
    grammar: Grammar, record: TrainingRecord, answer: Answer, logits: torch.Tensor
) -> int:
    """A span's score is the product over its decisions, that its label has ended among
    them. RETURNS: how many spans."""
    rows = iter(logits.double())
    # By place: the probability of the choice, and its part that ends a label.
    chances: dict[int, tuple[float, float]] = {}
    state = grammar.start()
    for place, (token, weight) in enumerate(zip(record.answer, record.weights)):
        if weight:
            row = next(rows)
            odds = {i: math.exp(float(row[i])) for i in state.allowed}
            whole = sum(odds.values())
            ends = sum(odds[i] for i in state.ended) if token in state.ended else whole
            chances[place] = odds[token] / ends, ends / whole
        state = state.step(token)
    begin = 0
    for (*_, stop), span in zip(state.read(), answer.spans):
        score = chances.get(begin, (1.0, 1.0))[0]
        for place in range(begin + 1, stop):
            score *= math.prod(chances.get(place, (1.0, 1.0)))
        score *= chances.get(stop, (1.0, 1.0))[1]
        if not begin:
            score *= chances.get(begin, (1.0, 1.0))[1]
        assert span.score == pytest.approx(score, abs=1e-4)
        begin = stop
    return len(answer.spans)


@on_every_kind
@pytest.mark.parametrize("pack_tokens", [1, 150])
def test_packs_change_nothing(make_nlp: MakeNLP, pack_tokens: int) -> None:
    results = []
    for tokens in (4096, pack_tokens):
        nlp = ready(make_nlp, model={"pack_tokens": tokens})
        pipe = nlp.get_pipe("instruction_ner")
        hf = get_backbone(pipe.model).hf
        fix_random_seed(0)
        loss = pipe.update(examples(nlp))["instruction_ner"]
        grads = [p.grad for p in hf.parameters() if p.grad is not None]
        results.append((loss, grads))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-5)
    assert results[0][0] > 0.0 and len(results[0][1]) == len(results[1][1]) > 0
    for one, other in zip(results[0][1], results[1][1]):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@on_every_kind
def test_the_loss_is_a_mean_over_decisions(make_nlp: MakeNLP) -> None:
    """Against a plain loop: one record a pass, probabilities added up one by one."""
    nlp = ready(make_nlp)
    pipe = nlp.get_pipe("instruction_ner")
    backbone = get_backbone(pipe.model)
    fix_random_seed(0)
    total = count = 0.0
    for record in pipe.records(examples(nlp)):
        with torch.no_grad():
            rows = iter(backbone.forward_records([record]).logits.double())
        for token, allowed, weight in zip(
            record.answer, record.allowed or (), record.weights
        ):
            assert (weight > 0.0) == (len(allowed) > 1)
            if weight:
                row = next(rows)
                every = sum(math.exp(float(row[i])) for i in allowed)
                total -= weight * math.log(math.exp(float(row[token])) / every)
                count += weight
    fix_random_seed(0)
    loss = pipe.update(examples(nlp))["instruction_ner"]
    assert loss == pytest.approx(total / count, abs=1e-4)
    over_all = ready(make_nlp, loss="vocabulary").get_pipe("instruction_ner")
    fix_random_seed(0)
    assert over_all.update(examples(nlp))["instruction_ner"] > 1.5 * loss


@pytest.mark.parametrize("make_nlp", ["causal", "causal cllmfs"], indirect=True)
@pytest.mark.parametrize("objectives", [{}, OBJECTIVES], ids=["alone", "together"])
def test_decisions_alone_are_learned_by_heart(
    make_nlp: MakeNLP, objectives: dict
) -> None:
    nlp = ready(make_nlp, objectives=objectives)
    sgd = Adam(1e-2)
    for _ in range(40):
        nlp.update(examples(nlp), sgd=sgd)
    assert nlp.evaluate(examples(nlp))["ents_f"] == 1.0
