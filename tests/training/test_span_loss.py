"""The loss of spans that are scored, and training by it."""

import math

import pytest
import torch
from spacy.training import Example
from thinc.api import Adam

from helpers.objectives import examples as objective_examples
from helpers.pipelines import LORA, MakeNLP
from helpers.scoring import TASK, trained_to_score
from helpers.training import examples, initialized
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.models.forward_output import ForwardOutput, TokenPositions
from spacy_instructner.models.span_head import SpanHead
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.scoring.scoring_request import SpanHeadConfig
from spacy_instructner.scoring.span_scores import CHANNELS
from spacy_instructner.tasks.base import SpanTargets, TrainingRecord
from spacy_instructner.training.span_loss import span_loss, span_targets

on_every_model = pytest.mark.parametrize(
    "make_nlp", ["causal", "t5", "bart"], indirect=True
)


def test_what_the_logits_should_say() -> None:
    spans = SpanTargets((4, 5, 6), (1, 2), ((0, 2, 1),), frozenset({(2, 0), (2, 1)}))
    wanted, known = span_targets(spans)
    assert wanted[:, 0].sum() == 0
    assert wanted[:, 1].tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]
    assert known.tolist() == [[True, True], [True, True], [False, False]]
    assert spans.weight == 2.0


def plain_loss(head: SpanHead, states: torch.Tensor, record: TrainingRecord) -> float:
    """The definition, number by number. states: (ids of the prompt, width)."""
    spans = record.spans
    assert spans is not None
    total = 0.0
    for at, word in enumerate(spans.words):
        for channel in range(CHANNELS):
            # Of none first, then of each label that may be.
            odds, right = [0.0], []
            for number, label in enumerate(spans.labels):
                if (at, number) in spans.unknown:
                    continue
                logits = head(states[word][None], states[label][None])[0, 0]
                own = [(a, b) for a, b, which in spans.entities if which == number]
                should = (
                    any(at == a for a, _ in own),
                    any(at == b - 1 for _, b in own),
                    any(a <= at < b for a, b in own),
                )
                if should[channel]:
                    right.append(len(odds))
                odds.append(logits[channel].item())
            every = sum(map(math.exp, odds))
            total -= math.log(sum(math.exp(odds[n]) for n in right or [0]) / every)
    return total


def test_labels_compete_for_a_word() -> None:
    """What is not known does not compete; of two right labels, either will do."""
    torch.manual_seed(0)
    head = SpanHead(6, SpanHeadConfig(4, 5))
    ids = torch.randn(1, 9, 6)
    entities = ((0, 1, 0), (0, 1, 2), (1, 3, 1))
    for unknown in ((), ((1, 0),), ((3, 0), (3, 1), (3, 2))):
        spans = SpanTargets((5, 6, 7, 8), (1, 2, 3), entities, frozenset(unknown))
        record = TrainingRecord((), tuple(range(9)), (), (), "scored", spans=spans)
        output = ForwardOutput(
            logits=torch.empty(0),
            targets=torch.empty(0),
            weights=torch.empty(0),
            last=ids[0],
            states=(),
            positions=TokenPositions((0,), (0,), (0,)),
            allowed=None,
        )
        found = span_loss(head, [record], output)
        assert found is not None
        expected = plain_loss(head, ids[0], record)
        assert found.item() == pytest.approx(expected, rel=1e-5)
        found.backward()
        gradients = [each.grad for each in head.parameters()]
        assert all(each is not None and each.isfinite().all() for each in gradients)


@on_every_model
@pytest.mark.parametrize("both_ways", [False, True])
def test_it_is_the_cross_entropy_of_all_words_and_labels(
    make_nlp: MakeNLP, both_ways: bool
) -> None:
    nlp = initialized(make_nlp, task={**TASK, "both_ways": both_ways})
    pipe = nlp.get_pipe("instruction_ner")
    records = pipe.records(examples(nlp))
    backbone = get_backbone(pipe.model)
    backbone.eval()
    assert backbone.head is not None and len(records) == 4
    with torch.no_grad():
        output = backbone.forward_records(records)
        found = span_loss(backbone.head, records, output)
        expected = 0.0
        for record in records:
            prompt = record.prefix, record.suffix
            ids = range(len(record.prefix + record.suffix))
            states = backbone.states([prompt], [(0, at) for at in ids], [both_ways])
            expected += plain_loss(backbone.head, states, record)
    assert found is not None and float(found) == pytest.approx(expected, rel=1e-4)


def gradients_of(nlp, pack_tokens: int) -> dict[str, torch.Tensor]:  # type: ignore[no-untyped-def]
    pipe = nlp.get_pipe("instruction_ner")
    backbone: Backbone = get_backbone(pipe.model)
    backbone.zero_grad()
    object.__setattr__(pipe.model.attrs["config"], "pack_tokens", pack_tokens)
    losses: dict[str, float] = {}
    pipe.update(examples(nlp), sgd=None, losses=losses)
    return {
        "loss": torch.tensor(losses[pipe.name]),
        **{
            name: each.grad.clone()
            for name, each in backbone.named_parameters()
            if each.grad is not None
        },
    }


@on_every_model
def test_packs_change_nothing(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp, task=TASK)
    together, alone = gradients_of(nlp, 10_000), gradients_of(nlp, 1)
    assert any(name.startswith("head.") for name in together)
    assert any("lora_B" in name for name in together)
    assert together.keys() == alone.keys()
    for name, values in together.items():
        assert values.allclose(alone[name], rtol=1e-3, atol=1e-6), name


# The tests' T5 reads most words letter by letter, and would take longer.
@pytest.mark.long
@pytest.mark.parametrize("make_nlp", ["causal", "bart"], indirect=True)
def test_it_learns(make_nlp: MakeNLP) -> None:
    nlp = trained_to_score(make_nlp, steps=150)
    for example in examples(nlp):
        found = nlp(example.predicted).ents
        assert [(e.start, e.end, e.label_) for e in found] == [
            (e.start, e.end, e.label_) for e in example.reference.ents
        ]


def test_one_adapter_learns_both_ways(make_nlp: MakeNLP) -> None:
    """A mixture: some records are answered, some are scored; the same head serves."""
    tasks = {"asked": {"@misc": "spacy-instructner.CLLMFS.v1"}, "scored": TASK}
    mixture = {
        "@misc": "spacy-instructner.Mixture.v1",
        "tasks": tasks,
        "shares": {"asked": 1.0, "scored": 1.0},
        "asks": "scored",
    }
    nlp = initialized(make_nlp, task=mixture)
    pipe = nlp.get_pipe("instruction_ner")
    assert pipe.cfg["threshold"] == 0.4
    kinds = {
        bool(record.answer) for _ in range(8) for record in pipe.records(examples(nlp))
    }
    assert kinds == {True, False}
    before = {
        name: each.detach().clone()
        for name, each in get_backbone(pipe.model).named_parameters()
        if each.requires_grad
    }
    for _ in range(3):
        pipe.update(examples(nlp), sgd=Adam(1e-2))
    after = dict(get_backbone(pipe.model).named_parameters())
    assert not any(after[name].equal(each) for name, each in before.items())


def test_a_contrast_of_answers_needs_answers(make_nlp: MakeNLP) -> None:
    contrast = {"@misc": "spacy-instructner.InfoNCE.v1", "anchor": "opening"}
    with pytest.raises(ValueError, match='writes none. Take `anchor = "type"`'):
        initialized(make_nlp, task=TASK, objectives={"contrast": contrast})


@pytest.mark.parametrize(
    "objectives",
    [
        {"contrast": {"@misc": "spacy-instructner.InfoNCE.v1"}},
        {"adversarial": {"@misc": "spacy-instructner.FGM.v1"}},
    ],
)
def test_objectives_go_with_it(make_nlp: MakeNLP, objectives: dict) -> None:
    alone = initialized(make_nlp, task=TASK)
    nlp = initialized(make_nlp, task=TASK, objectives=objectives)
    found = [gradients_of(each, 10_000) for each in (alone, nlp)]
    assert found[0].keys() == found[1].keys()
    name = next(name for name in found[0] if "lora_B" in name)
    assert not found[0][name].allclose(found[1][name])


def test_missing_annotation_carries_no_loss(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp, task=TASK)
    pipe = nlp.get_pipe("instruction_ner")
    (example, *_) = examples(nlp)
    doc = example.reference.copy()
    doc.set_ents(list(doc.ents), missing=[doc[1:2]], default="outside")
    (record,) = pipe.records([Example(nlp.make_doc(doc.text), doc)])
    assert record.spans.unknown == {(1, 0), (1, 1)}
    doc.set_ents([], default="missing")
    assert pipe.records([Example(nlp.make_doc(doc.text), doc)]) == []


def test_the_counts_of_what_is_learnt_are_words(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp, task=TASK)
    ids = nlp.get_pipe("instruction_ner").answer_ids(objective_examples(nlp))
    words = sum(len(each.reference) for each in objective_examples(nlp))
    assert (ids.learnt, ids.lost) == (words, 0)


def test_dropout_reaches_the_head(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp, task=TASK, model={"adapter": LORA})
    backbone = get_backbone(nlp.get_pipe("instruction_ner").model)
    backbone.set_dropout(0.25)
    assert backbone.head is not None
    assert {backbone.head.words.dropout.p, backbone.head.labels.dropout.p} == {0.25}
    assert backbone.head.config == SpanHeadConfig(8, 16)
