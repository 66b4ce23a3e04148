"""Training: through `spacy train`, by hand, from missing annotation, and on."""

import gc
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import spacy
import torch
from conftest import on_every_kind
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_instructner.formats.docs import make_doc
from spacy_instructner.formats.rows import Row
from spacy_instructner.models.lora import adapter_state, lora_layers
from spacy_instructner.models.thinc_model import get_backbone

MakeNLP = Callable[..., Language]
CONFIGS = Path(__file__).parents[1] / "configs"
TRAIN = [
    ("Anna met Bert in Paris.", [(0, 1, "PERSON"), (2, 3, "PERSON"), (4, 5, "PLACE")]),
    ("Paris Brown lives in Rome.", [(0, 2, "PERSON"), (4, 5, "PLACE")]),
    ("It is an old place.", []),
    ("Rome, Paris and Anna", [(0, 1, "PLACE"), (2, 3, "PLACE"), (4, 5, "PERSON")]),
]
HELD_OUT = ["Bert lives in Paris.", "Anna and Bert met in Rome and Paris.", "", "None."]


def gold_docs(nlp: Language) -> list[Doc]:
    docs = []
    for text, entities in TRAIN:
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, *entity) for entity in entities], default="outside")
        docs.append(doc)
    return docs


def examples(nlp: Language) -> list[Example]:
    return [Example(nlp.make_doc(doc.text), doc) for doc in gold_docs(nlp)]


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True
    )


SPANS = """
import json, sys, torch, spacy
torch.set_num_threads(1)
nlp = spacy.load(sys.argv[1])
rows = []
for doc in nlp.pipe(json.loads(sys.argv[2])):
    group = doc.spans["instruction_ner"]
    scores = [float(score) for score in group.attrs["scores"]]
    rows.append([[s.start, s.end, s.label_, x] for s, x in zip(group, scores)])
print(json.dumps(rows))
"""


def spans_elsewhere(folder: Path, texts: list[str]) -> list:
    """What a pipeline on disk answers in a process of its own."""
    done = run("-c", SPANS, folder, json.dumps(texts))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=["causal", "t5", "bart"])
def trained(
    request: pytest.FixtureRequest,
    tiny_causal: Path,
    tiny_seq2seq: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """`spacy train` with the shipped configs, overfitted on a few sentences."""
    kind = request.param
    folder = tmp_path_factory.mktemp("train")
    name = tiny_causal if kind == "causal" else tiny_seq2seq(kind)
    config = CONFIGS / f"instructionner{'' if kind == 'causal' else '_t5'}.cfg"
    DocBin(docs=gold_docs(spacy.blank("en"))).to_disk(folder / "train.spacy")
    # fmt: off
    done = run(
        "-m", "spacy", "train", config, "--output", folder / "out",
        "--paths.train", folder / "train.spacy",
        "--corpora.train.protocol", "all",
        "--components.instruction_ner.model.name", name,
        "--components.instruction_ner.model.precision", "float32",
        "--training.max_steps", "150" if kind == "causal" else "300",
        "--training.eval_frequency", "75",
        # Twice this is the edge for the tiny T5: whether it converges then depends
        # on the machine's rounding.
        "--training.optimizer.learn_rate.initial_rate", "5e-3",
    )
    # fmt: on
    assert done.returncode == 0, done.stdout + done.stderr
    # Progress is shown: a row for each evaluation.
    assert "ENTS_F" in done.stdout and done.stdout.count("\n") > 8
    return folder


@pytest.mark.long
def test_overfits_to_f1_of_one(trained: Path) -> None:
    nlp = spacy.load(trained / "out" / "model-last")
    scores = nlp.evaluate(examples(nlp))
    assert scores["ents_f"] == 1.0
    assert nlp.get_pipe("instruction_ner").labels == ("PERSON", "PLACE")


@pytest.mark.long
def test_spacy_evaluate(trained: Path, tmp_path: Path) -> None:
    # fmt: off
    done = run(
        "-m", "spacy", "evaluate", trained / "out" / "model-last",
        trained / "train.spacy", "--output", tmp_path / "scores.json",
    )
    # fmt: on
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["ents_f"] == 1.0 and set(scores["ents_per_type"]) == {
        "PERSON",
        "PLACE",
    }


@pytest.mark.long
def test_another_process_answers_the_same(trained: Path) -> None:
    nlp = spacy.load(trained / "out" / "model-last")
    texts = [text for text, _ in TRAIN] + HELD_OUT
    here = []
    for doc in nlp.pipe(texts):
        group = doc.spans["instruction_ner"]
        scores = [pytest.approx(float(x), abs=1e-6) for x in group.attrs["scores"]]
        here.append([[s.start, s.end, s.label_, x] for s, x in zip(group, scores)])
    assert spans_elsewhere(trained / "out" / "model-last", texts) == here
    assert sum(map(len, here)) > 8


def train_by_hand(nlp: Language, steps: int, sgd: Adam) -> list[float]:
    losses = []
    for _ in range(steps):
        losses.append(nlp.update(examples(nlp), sgd=sgd)["instruction_ner"])
    return losses


def initialized(make_nlp: MakeNLP, **config: object) -> Language:
    fix_random_seed(0)
    nlp = make_nlp(
        labels=[], model={"adapter": LORA, **config.pop("model", {})}, **config
    )
    nlp.initialize(lambda: examples(nlp))
    return nlp


@pytest.fixture
def model_of(tiny_causal: Path, tiny_seq2seq: Callable[[str], Path]) -> Callable:
    """The model settings of a tiny model of each kind."""

    def settings(kind: str) -> dict:
        if kind == "causal":
            return {"name": str(tiny_causal)}
        return {
            "@architectures": "spacy-instructner.Seq2SeqLM.v1",
            "name": str(tiny_seq2seq(kind)),
        }

    return settings


KINDS = ["causal", "t5", "bart"]
LORA = {"@misc": "spacy-instructner.LoRA.v1", "r": 4, "alpha": 8}


def adapter(nlp: Language) -> dict[str, torch.Tensor]:
    hf = get_backbone(nlp.get_pipe("instruction_ner").model).hf
    return {name: tensor.clone() for name, tensor in adapter_state(hf).items()}


def test_labels_come_from_initialize_then_config_then_data(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    assert nlp.get_pipe("instruction_ner").labels == ("PERSON", "PLACE")
    nlp = make_nlp(labels=["PLACE", "PERSON"])
    nlp.initialize(lambda: examples(nlp))
    assert nlp.get_pipe("instruction_ner").labels == ("PLACE", "PERSON")
    nlp = make_nlp(labels=["A"])
    nlp.config["initialize"]["components"]["instruction_ner"] = {
        "labels": ["PLACE", "PERSON"]
    }
    nlp.initialize(lambda: examples(nlp))
    assert nlp.get_pipe("instruction_ner").labels == ("PLACE", "PERSON")


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


def test_labels_found_in_data_give_way_to_other_data(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=[])
    nlp.initialize(lambda: examples(nlp))
    doc = nlp.make_doc("Anna")
    doc.set_ents([Span(doc, 0, 1, label="NEW")], default="outside")
    nlp.initialize(lambda: [Example(nlp.make_doc("Anna"), doc)])
    assert nlp.get_pipe("instruction_ner").labels == ("NEW",)


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


def test_records_over_the_models_positions_are_reported(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=["PERSON"])
    nlp.initialize(lambda: examples(nlp))
    doc = nlp.make_doc(" ".join(["Anna"] * 90))
    doc.set_ents([Span(doc, i, i + 1, label="PERSON") for i in range(90)])
    pipe = nlp.get_pipe("instruction_ner")
    with pytest.warns(UserWarning, match="records are longer than the model's 512"):
        kept = pipe.records([Example(nlp.make_doc(doc.text), doc)])
    assert all(len(record) <= 512 for record in kept)


def test_gold_that_cannot_be_said_is_not_learnt_as_none(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(
        labels=["PERSON"],
        decoder={"@misc": "spacy-instructner.Decoder.v1", "max_span": 1},
    )
    nlp.initialize(lambda: examples(nlp))
    doc = nlp.make_doc("Anna Brown met Bert")
    doc.set_ents([Span(doc, 0, 2, label="PERSON"), Span(doc, 3, 4, label="PERSON")])
    pipe = nlp.get_pipe("instruction_ner")
    records = pipe.records([Example(nlp.make_doc(doc.text), doc)])
    backbone = get_backbone(pipe.model)
    for record in records:
        assert " Bert" in backbone.tokenizer.decode(record.answer)
        assert "Anna" not in backbone.tokenizer.decode(record.answer)
        # That nothing was said of Anna carries no loss.
        assert record.task == "typing" or record.weights[0] == 0.0


@on_every_kind
def test_labels_that_docs_bring_are_learned(make_nlp: MakeNLP) -> None:
    """Of each text the entities with its own labels, in its own words; the component
    needs no labels for that."""
    nlp = make_nlp(labels=[])
    given = examples(nlp)
    wanted = (["PLACE"], {"PERSON": "somebody"}, ["WORK"], ["PLACE", "PERSON"])
    for example, labels in zip(given, wanted):
        example.predicted.user_data["instruction_ner_labels"] = labels
    nlp.initialize(lambda: given)
    pipe = nlp.get_pipe("instruction_ner")
    assert pipe.labels == ()
    decode = get_backbone(pipe.model).tokenizer.decode
    for example, labels in zip(given, wanted):
        records = pipe.records([example])
        prompts = "".join(decode(record.prefix + record.suffix) for record in records)
        answers = "".join(decode(record.answer) for record in records)
        # Those of the other texts are not asked for.
        for word in {"PLACE", "PERSON", "WORK"} - set(labels):
            named = prompts.replace(example.text, "").lower()
            assert word.lower() not in named
        for entity in example.reference.ents:
            assert (entity.text in answers) == (entity.label_ in labels)
    assert pipe.learnable(given).entities == 1 + 1 + 0 + 3
    losses = nlp.update(given, sgd=Adam(1e-2))
    assert losses["instruction_ner"] > 0.0
    # Of one that brings none nobody knows what to ask.
    with pytest.raises(ValueError, match="no labels to look for"):
        nlp.initialize(
            lambda: [*given[:2], Example(nlp.make_doc(""), nlp.make_doc(""))]
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
        inside = [m for m in layer.modules() if isinstance(m, torch.nn.Linear)][-1]
        calls: list[int] = []
        inside.register_forward_pre_hook(lambda *_: calls.append(1))  # noqa: B023
        loss = pipe.update(examples(nlp))["instruction_ner"]
        results.append((loss, [p.grad for p in hf.parameters() if p.grad is not None]))
        passes.append(len(calls))
    # Every layer was computed twice.
    assert passes[1] == 2 * passes[0] > 0
    assert results[0][0] == results[1][0]
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
def test_without_annotation_nothing_is_learnt(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    pipe = nlp.get_pipe("instruction_ner")
    blank = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text, _ in TRAIN]
    assert pipe.update(blank) == {"instruction_ner": 0.0}
    hf = get_backbone(pipe.model).hf
    assert all(p.grad is None for p in hf.parameters())


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


def test_misaligned_and_unknown_labels_are_reported(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=["PERSON", "ABSENT"])
    reference = Doc(nlp.vocab, words=["Anna", "Brown"], spaces=[True, False])
    reference.set_ents([Span(reference, 0, 1, label="PERSON")], default="outside")
    predicted = Doc(nlp.vocab, words=["Anna Brown"])
    bad = [Example(predicted, reference), *examples(nlp)]
    with pytest.warns(UserWarning) as caught:
        nlp.initialize(lambda: bad)
    messages = " | ".join(str(warning.message) for warning in caught)
    assert "1 training entities do not fall on token borders" in messages
    assert "'Anna' (PERSON)" in messages
    assert "no example of ABSENT" in messages
    assert "not in `labels`: PLACE" in messages


def test_what_missing_annotation_costs_is_told(make_nlp: MakeNLP) -> None:
    """The same text as spaCy aligns it, and out of a file."""
    text = "Anna lives in Paris near noBert today"
    start = text.index("Bert")
    spans = [(0, 4, "PERSON"), (14, 19, "PLACE"), (start, start + 4, "PERSON")]
    task = {"@misc": "spacy-instructner.CLLMFS.v1"}
    nlp = make_nlp(labels=["PERSON", "PLACE"], task=task)
    of_file, _ = make_doc(Row("a", text, spans=tuple(spans)), nlp)
    with pytest.warns(UserWarning, match="W030"):
        offsets = Example.from_dict(nlp.make_doc(text), {"entities": spans})
    assert [t.ent_iob_ for t in of_file] == [t.ent_iob_ for t in offsets.reference]
    from_file = Example(nlp.make_doc(text), of_file)
    whole = Example.from_dict(nlp.make_doc(text), {"entities": spans[:2]})
    lost = []
    for example, said in (
        (
            from_file,
            "1 training entities do not fall on token borders.*'noBert' .PERSON",
        ),
        (offsets, "1 stretches of tokens have no annotation.*'noBert' in"),
    ):
        with pytest.warns(UserWarning, match=said) as caught:
            nlp.initialize(lambda example=example: [example])
        (message,) = [str(w.message) for w in caught if "answer ids" in str(w.message)]
        pipe = nlp.get_pipe("instruction_ner")
        ids = pipe.answer_ids([example])
        assert f"{ids.lost} of {ids.learnt + ids.lost} answer ids" in message
        assert ids.learnt == sum(
            bool(w) for r in pipe.records([example]) for w in r.weights
        )
        lost.append(ids.lost)
    learnt = pipe.answer_ids([whole])
    # Of PERSON, that no other follows; of PLACE, only where the label is not known.
    assert lost == [1, 2] and learnt.lost == 0
    state = random.getstate()
    pipe.answer_ids([from_file])
    assert random.getstate() == state


def test_no_labels_at_all(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=[])
    doc = nlp.make_doc("Nothing here")
    doc.set_ents([], default="outside")
    with pytest.raises(ValueError, match="has no labels"):
        nlp.initialize(lambda: [Example(nlp.make_doc(doc.text), doc)])


def test_no_record_shows_its_own_text(make_nlp: MakeNLP, tmp_path: Path) -> None:
    """The support set as examples, too: else the answer could be copied."""
    path = tmp_path / "support.spacy"
    DocBin(docs=gold_docs(spacy.blank("en"))).to_disk(path)
    reader = {"@readers": "spacy-instructner.FewShotCorpus.v1", "path": str(path)}
    task = {"@misc": "spacy-instructner.InstructionNER.v1", "examples": reader}
    nlp = initialized(make_nlp, task=task)
    pipe = nlp.get_pipe("instruction_ner")
    decode = get_backbone(pipe.model).tokenizer.decode
    texts = [text for text, _ in TRAIN]
    for text, example in zip(texts, examples(nlp)):
        (main,) = (r for r in pipe.records([example]) if r.task == "main")
        prompt = decode(main.prefix + main.suffix)
        seen = [prompt.count(f"Sentence: {each}\n") for each in texts]
        # Once each: as an example, or, the text itself, as what is asked.
        assert seen == [1] * len(texts)
        assert prompt.endswith(f"Sentence: {text}\nAnswer:")
    ((_, (request,)),) = pipe.requests([nlp.make_doc(texts[0])])
    assert decode(request.prefix + request.suffix).count(texts[0]) == 2


@pytest.mark.parametrize("kind", ["causal", "t5"])
def test_shuffled_options_follow_the_seed(
    make_nlp: MakeNLP, model_of: Callable, kind: str
) -> None:
    task = {"@misc": "spacy-instructner.InstructionNER.v1", "shuffle_options": True}
    runs = []
    for seed in (0, 0, 1):
        nlp = initialized(make_nlp, task=task, model=model_of(kind))
        fix_random_seed(seed)
        runs.append((train_by_hand(nlp, 4, Adam(1e-2)), adapter(nlp)))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    for name, weights in runs[0][1].items():
        assert torch.equal(weights, runs[1][1][name])


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
