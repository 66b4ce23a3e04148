"""Gradients, losses and dropout, against the models' own."""

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import spacy
import torch
from thinc.api import Adam, fix_random_seed

from helpers.pipelines import KINDS, MakeNLP, on_every_kind
from helpers.training import TRAIN, examples, initialized, train_by_hand
from spacy_instructner.models.lora import lora_layers
from spacy_instructner.models.thinc_model import get_backbone


@on_every_kind
def test_gradients_add_up_without_an_optimizer(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    pipe = nlp.get_pipe("instruction_ner")
    hf = get_backbone(pipe.model).hf
    grads = []
    for _ in range(2):
        pipe.update(examples(nlp))
        grads.append(
            torch.cat([p.grad.flatten() for p in hf.parameters() if p.grad is not None])
        )
    torch.testing.assert_close(grads[1], 2 * grads[0])
    pipe.finish_update(Adam(1e-2))
    assert all(p.grad is None for p in hf.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pack_tokens", [1, 150, 10_000])
def test_packs_do_not_change_the_gradient(
    make_nlp: MakeNLP, model_of: Callable, kind: str, pack_tokens: int
) -> None:
    """A record sees its own prompt alone, whatever stands beside it."""
    results = []
    for tokens in (400, pack_tokens):
        nlp = initialized(make_nlp, model={**model_of(kind), "pack_tokens": tokens})
        pipe = nlp.get_pipe("instruction_ner")
        hf = get_backbone(pipe.model).hf
        loss = pipe.update(examples(nlp))["instruction_ner"]
        results.append((loss, [p.grad for p in hf.parameters() if p.grad is not None]))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-5)
    for one, other in zip(results[0][1], results[1][1]):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_half_precision_hides_without_nan(make_nlp: MakeNLP) -> None:
    """A prefix sees nothing of itself as a shared one; float16 is small."""
    pipe = initialized(make_nlp).get_pipe("instruction_ner")
    backbone = get_backbone(pipe.model)
    records = pipe.records(examples(initialized(make_nlp)))
    with torch.no_grad():
        whole = backbone.forward_records(records).logits
        backbone.hf.half()
        half = backbone.forward_records(records).logits
    assert half.isfinite().all()
    assert float((half - whole).abs().max()) < 0.05 * float(whole.std())


@pytest.mark.parametrize("kind", KINDS)
def test_checkpointing_does_not_change_the_gradient(
    make_nlp: MakeNLP, model_of: Callable, kind: str
) -> None:
    results, passes = [], []
    for checkpointing in (False, True):
        nlp = initialized(
            make_nlp, model={**model_of(kind), "checkpointing": checkpointing}
        )
        pipe = nlp.get_pipe("instruction_ner")
        hf = get_backbone(pipe.model).hf
        layer = next(m for m in hf.modules() if isinstance(m, torch.nn.ModuleList))[-1]
        # Inside of a layer: what is hooked to the layer itself is not repeated by all
        # versions of transformers.
        inside = lora_layers(layer)[-1]
        calls: list[int] = []
        inside.register_forward_pre_hook(lambda *_: calls.append(1))  # noqa: B023
        loss = pipe.update(examples(nlp))["instruction_ner"]
        results.append((loss, [p.grad for p in hf.parameters() if p.grad is not None]))
        passes.append(len(calls))
    # Every layer was computed twice.
    assert passes[1] == 2 * passes[0] > 0
    # To float32's precision: without AVX-512, a product of T5's is rounded otherwise.
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-7)
    for one, other in zip(results[0][1], results[1][1]):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_models_own(
    make_nlp: MakeNLP, model_of: Callable, kind: str
) -> None:
    """Against one plain pass for each record, the whole vocabulary and no pack."""
    nlp = initialized(make_nlp, model=model_of(kind))
    pipe = nlp.get_pipe("instruction_ner")
    hf = get_backbone(pipe.model).hf
    total = count = 0.0
    for record in pipe.records(examples(nlp)):
        prompt = record.prefix + record.suffix
        said = record.answer
        with torch.no_grad():
            if kind == "causal":
                logits = hf(torch.tensor([prompt + said])).logits[0, len(prompt) - 1 :]
            else:
                start = hf.config.decoder_start_token_id
                logits = hf(
                    input_ids=torch.tensor([prompt]),
                    decoder_input_ids=torch.tensor([(start, *said)]),
                ).logits[0]
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        total -= sum(float(logprobs[at, token]) for at, token in enumerate(said))
        count += len(said)
    loss = pipe.update(examples(nlp))["instruction_ner"]
    assert loss == pytest.approx(total / count, abs=1e-4)


@on_every_kind
def test_dropout_is_off_while_answering(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    nlp.update(examples(nlp), drop=0.5, sgd=Adam(1e-2))
    one, other = nlp(TRAIN[0][0]), nlp(TRAIN[0][0])
    numpy.testing.assert_array_equal(
        one.spans["instruction_ner"].attrs["scores"],
        other.spans["instruction_ner"].attrs["scores"],
    )


@on_every_kind
def test_dropout_is_on_while_learning(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    pipe = nlp.get_pipe("instruction_ner")
    train_by_hand(nlp, 2, Adam(1e-2))
    plain = [pipe.update(examples(nlp))["instruction_ner"] for _ in range(2)]
    dropped = [
        pipe.update(examples(nlp), drop=0.5)["instruction_ner"] for _ in range(2)
    ]
    assert plain[0] == plain[1] and dropped[0] != dropped[1]


def test_dropout_is_that_of_the_adapters_input(make_nlp: MakeNLP) -> None:
    """A fresh adapter adds nothing, so that nothing can be dropped from it."""
    nlp = initialized(make_nlp)
    pipe = nlp.get_pipe("instruction_ner")
    layers = lora_layers(get_backbone(pipe.model).hf)
    plain = pipe.update(examples(nlp))["instruction_ner"]
    assert {layer.lora_dropout["default"].p for layer in layers} == {0.0}
    assert pipe.update(examples(nlp), drop=0.75)["instruction_ner"] == plain
    assert {layer.lora_dropout["default"].p for layer in layers} == {0.75}
    layer, seen = layers[0], []
    layer.lora_A["default"].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].detach())
    )
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    pipe.update(examples(nlp), drop=0.75)
    whole, dropped = seen[:2]
    kept = dropped != 0.0
    assert 0.2 < float(kept.float().mean()) < 0.3
    torch.testing.assert_close(dropped[kept], 4 * whole[kept])


@pytest.mark.parametrize("kind", KINDS)
def test_full_fine_tuning(
    make_nlp: MakeNLP, model_of: Callable, kind: str, tmp_path: Path
) -> None:
    fix_random_seed(0)
    nlp = make_nlp(labels=[], model={**model_of(kind), "adapter": None})
    nlp.initialize(lambda: examples(nlp))
    losses = train_by_hand(nlp, 25, Adam(2e-3))
    assert losses[-1] < 0.5 * losses[0]
    nlp.to_disk(tmp_path)
    text = TRAIN[0][0]
    again = spacy.load(tmp_path)
    assert [str(e) for e in again(text).ents] == [str(e) for e in nlp(text).ents]
