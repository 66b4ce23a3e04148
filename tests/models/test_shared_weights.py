"""Components of one process have base weights in one memory, and nothing else."""

import gc
import shutil
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam

from spacy_instructner.models import shared_weights
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.models.thinc_model import get_backbone, get_inference_backbone

TEXT = "Anna met Bert in Paris ."
LORA = {"@misc": "spacy-instructner.LoRA.v1", "r": 4, "alpha": 8}


def two(folder: Path, *, adapters: tuple[Any, Any] = (LORA, LORA)) -> Language:
    """A pipeline of two components over one model."""
    nlp = spacy.blank("en")
    for name, label, adapter in zip(("one", "other"), ("person", "city"), adapters):
        model = {"name": str(folder), "start": None, "adapter": adapter}
        config = {"labels": [label], "model": model, "spans_key": name}
        config["score_extension"] = f"{name}_score"
        config["task"] = {"@misc": "spacy-instructner.CLLMFS.v1"}
        nlp.add_pipe("instruction_ner", name=name, config=config)
    return nlp


def example(nlp: Language, label: str, start: int) -> Example:
    doc = nlp.make_doc(TEXT)
    doc.set_ents([spacy.tokens.Span(doc, start, start + 1, label)], default="outside")
    return Example(nlp.make_doc(TEXT), doc)


def backbones(nlp: Language) -> tuple[Backbone, Backbone]:
    one, other = (get_backbone(nlp.get_pipe(n).model) for n in ("one", "other"))  # type: ignore[attr-defined]
    return one, other


def places(backbone: Backbone) -> dict[str, int]:
    """Where each weight of the base lies in memory."""
    return {
        name.replace(".base_layer", ""): parameter.data_ptr()
        for name, parameter in backbone.hf.named_parameters()
        if "lora_" not in name
    }


def train(nlp: Language, name: str, label: str, start: int) -> None:
    pipe: Any = nlp.get_pipe(name)
    examples = [example(nlp, label, start)]
    pipe.initialize(lambda: examples, nlp=nlp)
    sgd = Adam(0.01)
    for _ in range(5):
        pipe.update(examples, sgd=sgd, drop=0.0)


def test_the_base_is_shared_and_adapters_are_not(tiny_causal: Path) -> None:
    nlp = two(tiny_causal)
    one, other = backbones(nlp)
    assert one is not other and places(one) == places(other)
    before = {name: p.clone() for name, p in other.hf.named_parameters()}
    text = nlp.make_doc(TEXT)
    nlp.get_pipe("other")(text)
    train(nlp, "one", "person", 0)
    one, again = backbones(nlp)
    assert again is other and places(one) == places(other)
    assert one.lora and not other.lora
    for name, parameter in other.hf.named_parameters():
        assert torch.equal(parameter, before[name])
    # Merged weights are of each alone.
    merged = [
        get_inference_backbone(nlp.get_pipe(name).model)  # type: ignore[attr-defined]
        for name in ("one", "other")
    ]
    assert merged[0].hf.get_input_embeddings().weight.data_ptr() == (
        merged[1].hf.get_input_embeddings().weight.data_ptr()
    )
    names = [n for n, p in one.hf.named_parameters() if "lora_B" in n and p.any()]
    assert names
    layer = names[0].partition(".lora_B")[0]
    weights = [each.hf.get_submodule(layer).weight for each in merged]
    assert not torch.equal(weights[0], weights[1])


@pytest.mark.parametrize("bundle", ["full", "adapter"])
def test_saved_pipelines_share_them_too(
    tiny_causal: Path, tmp_path: Path, bundle: str
) -> None:
    nlp = two(tiny_causal)
    train(nlp, "one", "person", 0)
    train(nlp, "other", "city", 4)
    for name in ("one", "other"):
        nlp.get_pipe(name).bundle = bundle  # type: ignore[attr-defined]
    nlp.to_disk(tmp_path / "nlp")
    doc = nlp(TEXT)
    again = spacy.load(tmp_path / "nlp")
    one, other = backbones(again)
    assert places(one) == places(other)
    found = again(TEXT)
    for key in ("one", "other"):
        assert [(s.start, s.end, s.label_) for s in found.spans[key]] == [
            (s.start, s.end, s.label_) for s in doc.spans[key]
        ]


def test_all_weights_that_are_trained_are_shared_with_nobody(tiny_causal: Path) -> None:
    nlp = two(tiny_causal, adapters=(None, LORA))
    one, other = backbones(nlp)
    assert not set(places(one).values()) & set(places(other).values())
    before = {name: p.clone() for name, p in other.hf.named_parameters()}
    train(nlp, "one", "person", 0)
    for name, parameter in other.hf.named_parameters():
        assert torch.equal(parameter, before[name])
    both = two(tiny_causal, adapters=(None, None))
    one, other = backbones(both)
    assert not set(places(one).values()) & set(places(other).values())


def test_folders_that_differ_in_settings_share_nothing(
    tiny_causal: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_causal, tmp_path / "copy")
    key = shared_weights.content_key(tiny_causal, "0")
    assert shared_weights.content_key(tmp_path / "copy", "0") == key
    assert shared_weights.content_key(tmp_path / "copy", "1") != key
    (tmp_path / "copy" / "more").mkdir()
    (tmp_path / "copy" / "more" / "code.py").write_text("")
    # Which is looked at, and refused.
    assert shared_weights.content_key(tmp_path / "copy", "0") != key
    shutil.rmtree(tmp_path / "copy" / "more")
    config = tmp_path / "copy" / "config.json"
    config.write_text(config.read_text() + " ")
    assert shared_weights.content_key(tmp_path / "copy", "0") != key


def test_they_go_with_the_last_that_uses_them(
    tiny_causal: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(tiny_causal, tmp_path / "own")
    (own / "README.md").write_text("weights that no other test has")

    def there() -> int:
        gc.collect()
        return len(shared_weights._bases)

    before = there()
    nlp = two(own)
    backbones(nlp)
    assert there() == before + 1
    # A fresh beginning keeps them, also when the other component is gone.
    train(nlp, "one", "person", 0)
    nlp.remove_pipe("other")
    assert there() == before + 1
    again = two(own)
    assert places(backbones(again)[0]) == places(
        get_backbone(nlp.get_pipe("one").model)
    )  # type: ignore[attr-defined]
    del nlp
    assert there() == before + 1
    del again
    assert there() == before
