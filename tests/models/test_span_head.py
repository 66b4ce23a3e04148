"""The head that scores spans is saved, loaded, averaged and begun from with the adapter."""

from pathlib import Path

import pytest
import spacy
import srsly
import torch
from safetensors.torch import load_file
from spacy.language import Language
from thinc.api import Adam

from helpers.pipelines import LORA, MakeNLP
from helpers.scoring import TASK, trained_to_score
from helpers.training import examples, initialized, train_by_hand
from spacy_instructner.models.pretrained_adapters import average_starts, write_start
from spacy_instructner.models.span_head import RARE, SpanHead, head_state
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.scoring.scoring_request import SpanHeadConfig

TEXTS = ["Anna met Bert in Paris.", "Rome is an old place.", "Bert lives in Rome."]
MODEL = Path("instruction_ner") / "model"
WHOLE = {"@misc": "spacy-instructner.LoRA.v1", **{k: LORA[k] for k in ("r", "alpha")}}


def spans_of(nlp: Language) -> list:
    """All candidates with their scores."""
    found = []
    for doc in nlp.pipe(TEXTS):
        group = doc.spans["instruction_ner"]
        scores = group.attrs["scores"]
        found.append(
            [
                (s.start, s.end, s.label_, pytest.approx(x, abs=1e-5))
                for s, x in zip(group, scores)
            ]
        )
    return found


def head_of(nlp: Language) -> dict[str, torch.Tensor]:
    head = get_backbone(nlp.get_pipe("instruction_ner").model).head
    return {name: each.clone() for name, each in head_state(head).items()}


@pytest.mark.parametrize("width", [64, 576])
def test_logits_differ_from_the_start(width: int) -> None:
    """Around the bias, by about one: products of small numbers would take hundreds of steps
    to become larger."""
    torch.manual_seed(0)
    head = SpanHead(width, SpanHeadConfig())
    with torch.no_grad():
        logits = head(5 * torch.randn(200, width) + 1, torch.randn(40, width))
    for channel in range(3):
        own = logits[..., channel]
        assert 0.6 < own.std() < 1.5
        assert own.mean() == pytest.approx(RARE, abs=0.6)


@pytest.mark.parametrize("make_nlp", ["causal", "t5"], indirect=True)
@pytest.mark.parametrize("bundle", ["full", "adapter"])
def test_saved_and_loaded(make_nlp: MakeNLP, bundle: str, tmp_path: Path) -> None:
    nlp = trained_to_score(make_nlp, steps=5, bundle=bundle)
    nlp.to_disk(tmp_path)
    info = srsly.read_json(tmp_path / MODEL / "info.json")
    # Versions before heads refuse it by its format.
    assert info["format"] == 2 and info["head"] == {"size": 8, "hidden": 16}
    weights = load_file(tmp_path / MODEL / "adapter.safetensors")
    assert {n for n in weights if "lora_" not in n} == set(head_of(nlp))
    again = spacy.load(tmp_path)
    assert spans_of(again) == spans_of(nlp)
    data = again.to_bytes()
    other = spacy.load(tmp_path).from_bytes(data)
    assert spans_of(other) == spans_of(nlp)
    # Training goes on from the head that was saved.
    before = head_of(again)
    train_by_hand(again, 1, Adam(1e-2))
    after = head_of(again)
    assert all(not after[name].equal(each) for name, each in before.items())


def test_without_an_adapter_the_head_is_saved_alone(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = initialized(make_nlp, task=TASK, model={"adapter": None})
    train_by_hand(nlp, 2, Adam(1e-3))
    nlp.to_disk(tmp_path)
    weights = load_file(tmp_path / MODEL / "adapter.safetensors")
    assert set(weights) == set(head_of(nlp))
    assert spans_of(spacy.load(tmp_path)) == spans_of(nlp)


def test_a_task_that_writes_has_no_head(make_nlp: MakeNLP, tmp_path: Path) -> None:
    nlp = initialized(make_nlp)
    nlp.to_disk(tmp_path)
    info = srsly.read_json(tmp_path / MODEL / "info.json")
    assert info["format"] == 1 and info["head"] is None
    assert head_of(nlp) == {}


def test_begun_from_with_the_adapter(make_nlp: MakeNLP, tmp_path: Path) -> None:
    nlp = trained_to_score(make_nlp, steps=5)
    nlp.to_disk(tmp_path / "saved")
    write_start(tmp_path / "saved" / MODEL, tmp_path / "start")
    model = {"start": str(tmp_path / "start"), "adapter": WHOLE}
    again = make_nlp(task=TASK, model=model)
    again(TEXTS[0])
    for name, values in head_of(again).items():
        assert values.equal(head_of(nlp)[name].bfloat16().float())
    # Begun afresh, it is there again.
    train_by_hand(again, 1, Adam(1e-2))
    again.initialize(lambda: examples(again))
    for name, values in head_of(again).items():
        assert values.equal(head_of(nlp)[name].bfloat16().float())
    # A task that writes answers begins from the adapter alone.
    plain = make_nlp(model=model)
    plain(TEXTS[0])
    assert head_of(plain) == {}
    with pytest.warns(
        UserWarning, match="of the task has head_size = 4 and .* Make them equal"
    ):
        other = make_nlp(task={**TASK, "head_size": 4}, model=model)
        other.initialize(lambda: examples(other))
    assert head_of(other)["span_head.bias"].eq(-3.0).all()


def test_means_are_of_heads_too(make_nlp: MakeNLP, tmp_path: Path) -> None:
    nlp = trained_to_score(make_nlp, steps=2)
    heads = []
    for name in ("one", "other"):
        train_by_hand(nlp, 1, Adam(1e-2))
        nlp.to_disk(tmp_path / name)
        heads.append(head_of(nlp))
    folders = [tmp_path / name / MODEL for name in ("one", "other")]
    average_starts(folders, tmp_path / "mean")
    mean = load_file(tmp_path / "mean" / "adapter.safetensors")
    for name in heads[0]:
        expected = (heads[0][name] + heads[1][name]) / 2
        assert mean[name].float().allclose(expected, rtol=0.01, atol=1e-6)
    info = srsly.read_json(folders[1] / "info.json")
    info["head"] = None
    srsly.write_json(folders[1] / "info.json", info)
    with pytest.raises(ValueError, match="the settings of their heads are"):
        average_starts(folders, tmp_path / "no")


def test_a_head_that_does_not_fit_is_refused(make_nlp: MakeNLP, tmp_path: Path) -> None:
    trained_to_score(make_nlp, steps=1).to_disk(tmp_path)
    info = srsly.read_json(tmp_path / MODEL / "info.json")
    info["head"]["size"] = 4
    srsly.write_json(tmp_path / MODEL / "info.json", info)
    config = {"components.instruction_ner.task.head_size": 4}
    with pytest.raises(ValueError, match="weights of the head do not fit the model"):
        spacy.load(tmp_path, config=config)


def test_a_head_of_other_settings_is_refused(make_nlp: MakeNLP, tmp_path: Path) -> None:
    trained_to_score(make_nlp, steps=1).to_disk(tmp_path)
    config = {"components.instruction_ner.task.head_size": 4}
    with pytest.raises(
        ValueError, match="a head with head_size = 8 and .* head_size = 4"
    ):
        spacy.load(tmp_path, config=config)


def test_a_head_that_comes_with_training_is_used_at_once(make_nlp: MakeNLP) -> None:
    """Also while gradients add up."""
    nlp = make_nlp(task=TASK, model={"adapter": LORA})
    with pytest.raises(ValueError, match="no head to score spans with"):
        nlp("Anna met Bert.")
    nlp.get_pipe("instruction_ner").update(examples(nlp), sgd=None)
    assert "instruction_ner" in nlp("Anna met Bert.").spans


def test_without_training_there_is_nothing_to_score_by(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(task=TASK)
    with pytest.raises(ValueError, match="no head to score spans with. Train one"):
        nlp("Anna met Bert.")


def test_what_decodes_does_not_see_what_is_learned_meanwhile(make_nlp: MakeNLP) -> None:
    nlp = trained_to_score(make_nlp, steps=1)
    backbone = get_backbone(nlp.get_pipe("instruction_ner").model)
    copy = backbone.inference_copy()
    assert copy.head is not None and backbone.head is not None
    before = {name: each.clone() for name, each in head_state(copy.head).items()}
    train_by_hand(nlp, 1, Adam(1e-2))
    assert all(each.equal(before[name]) for name, each in head_state(copy.head).items())
    assert not head_of(nlp)["span_head.bias"].equal(before["span_head.bias"])
    assert backbone.without_adapter().head is None
