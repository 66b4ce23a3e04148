"""A model of which the first layers alone are read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Span
from spacy.training import Example
from thinc.api import Adam

from helpers.pipelines import LORA, MakeNLP
from helpers.scoring import TASK, trained_to_score
from spacy_instructner.models.lora import adapter_state
from spacy_instructner.models.pretrained_adapters import average_starts
from spacy_instructner.models.thinc_model import get_backbone

TEXT = "Anna met Bert in Paris ."


def beside_one_layer(
    make_nlp: MakeNLP, tmp_path: Path
) -> tuple[Language, dict[str, Any]]:
    """A pipeline whose adapter stands beside one layer, and a model that begins from it."""
    few = trained_to_score(
        make_nlp, 2, model={"layers": 1, "adapter": LORA}, bundle="adapter"
    )
    few.to_disk(tmp_path / "few")
    start = tmp_path / "few" / "instruction_ner" / "model"
    return few, {"adapter": LORA, "start": str(start)}


@pytest.mark.parametrize("bundle", ["full", "adapter"])
def test_they_learn_and_are_saved(
    make_nlp: MakeNLP, tmp_path: Path, bundle: str
) -> None:
    nlp = trained_to_score(
        make_nlp, model={"layers": 1, "adapter": LORA}, bundle=bundle
    )
    pipe = nlp.get_pipe("instruction_ner")
    backbone = get_backbone(pipe.model)  # type: ignore[attr-defined]
    assert len(backbone.hf.model.layers) == 1
    nlp.to_disk(tmp_path / "nlp")
    model = tmp_path / "nlp" / "instruction_ner" / "model"
    if bundle == "full":
        config = srsly.read_json(model / "base" / "config.json")
        assert config["num_hidden_layers"] == 1
    again = spacy.load(tmp_path / "nlp")
    doc, other = nlp(TEXT), again(TEXT)
    assert doc.spans["instruction_ner"]
    assert [
        (s.start, s.end, s.label_, pytest.approx(float(x), abs=1e-5))
        for s, x in zip(
            doc.spans["instruction_ner"], doc.spans["instruction_ner"].attrs["scores"]
        )
    ] == [
        (s.start, s.end, s.label_, float(x))
        for s, x in zip(
            other.spans["instruction_ner"],
            other.spans["instruction_ner"].attrs["scores"],
        )
    ]


def test_an_adapter_beside_more_layers_begins_one_beside_fewer(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp(labels=["PERSON"], model={"adapter": LORA}, bundle="adapter")
    examples = [Example(nlp.make_doc(TEXT), doc) for doc in [nlp.make_doc(TEXT)]]
    examples[0].reference.set_ents([Span(examples[0].reference, 0, 1, "PERSON")])
    nlp.initialize(lambda: examples)
    for _ in range(3):
        nlp.update(examples, sgd=Adam(0.1))
    nlp.to_disk(tmp_path / "nlp")
    start = tmp_path / "nlp" / "instruction_ner" / "model"
    few = make_nlp(model={"adapter": LORA, "start": str(start), "layers": 1})
    state = adapter_state(get_backbone(few.get_pipe("instruction_ner").model).hf)
    whole = adapter_state(get_backbone(nlp.get_pipe("instruction_ner").model).hf)
    assert set(state) == {name for name in whole if ".layers.0." in name}
    assert all(values.equal(whole[name]) for name, values in state.items())
    # The other way round there is nothing for the layers behind.
    few.get_pipe("instruction_ner").bundle = "adapter"  # type: ignore[attr-defined]
    few.to_disk(tmp_path / "few")
    start.rename(tmp_path / "whole")
    (tmp_path / "few" / "instruction_ner" / "model").rename(start)
    own = {"adapter": LORA, "start": str(start)}
    with pytest.raises(ValueError, match=r"first 1 layers.*`layers = 1`"):
        make_nlp(model={**own, "layers": None})(TEXT)
    with pytest.raises(
        ValueError, match="first 1 layers alone, and .* Begin from anoth"
    ):
        make_nlp(model=own)(TEXT)
    # Nor does it have a mean with one of all layers.
    with pytest.raises(ValueError, match="no mean: they are of all and 1 layers"):
        average_starts([tmp_path / "whole", start], tmp_path / "mean")


def test_as_many_as_the_adapter_stands_beside(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    """`layers = "auto"`: what the adapter decides goes with the saved pipeline."""
    few, own = beside_one_layer(make_nlp, tmp_path)

    def depth(nlp: Any) -> int:
        pipe = nlp.get_pipe("instruction_ner")
        return len(get_backbone(pipe.model).hf.model.layers)

    labels = list(few.get_pipe("instruction_ner").labels)  # type: ignore[attr-defined]
    nlp = make_nlp(labels=labels, task=TASK, model=own, bundle="adapter")
    assert depth(nlp) == 1
    doc, other = nlp(TEXT), few(TEXT)
    assert doc.spans["instruction_ner"].attrs["scores"] == pytest.approx(
        other.spans["instruction_ner"].attrs["scores"]
    )
    nlp.to_disk(tmp_path / "auto")
    again = spacy.load(tmp_path / "auto")
    assert again.config["components"]["instruction_ner"]["model"]["layers"] == "auto"
    assert depth(again) == 1
    # Trained from another start, of all layers.
    pipe = again.get_pipe("instruction_ner")
    config = pipe.model.attrs["config"]  # type: ignore[attr-defined]
    pipe.model.attrs["config"] = replace(config, start=None)  # type: ignore[attr-defined]
    doc = again.make_doc(TEXT)
    doc.set_ents([Span(doc, 0, 1, "PERSON")])
    again.initialize(lambda: [Example(again.make_doc(TEXT), doc)])
    assert depth(again) == 2
    assert depth(make_nlp(task=TASK, model={"adapter": LORA})) == 2


def test_a_model_of_other_layers_is_not_loaded(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = trained_to_score(
        make_nlp, 2, model={"layers": 1, "adapter": LORA}, bundle="adapter"
    )
    nlp.to_disk(tmp_path)
    with pytest.raises(
        ValueError, match="of `layers = 1`, but the config has `layers = n"
    ):
        spacy.load(tmp_path, config={"components.instruction_ner.model.layers": None})
    info = tmp_path / "instruction_ner" / "model" / "info.json"
    assert srsly.read_json(info)["layers"] == 1


@pytest.mark.parametrize(
    ("layers", "said"),
    [(0, "must be at least 1"), (3, "is 3, but the model in .* has 2")],
)
def test_layers_that_there_are_not(make_nlp: MakeNLP, layers: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_nlp(model={"layers": layers})(TEXT)


MIXTURE = {
    "@misc": "spacy-instructner.Mixture.v1",
    "tasks": {"scored": TASK, "written": {"@misc": "spacy-instructner.CLLMFS.v1"}},
    "shares": {"scored": 1.0, "written": 1.0},
    "asks": "scored",
}


@pytest.mark.parametrize("config", [{}, {"task": MIXTURE}])
def test_what_writes_answers_needs_all_layers(
    make_nlp: MakeNLP, config: dict[str, Any]
) -> None:
    with pytest.warns(UserWarning, match="1` leaves out .* needs what it writes"):
        make_nlp(model={"layers": 1}, **config)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("config", [{}, {"task": TASK}, {"task": MIXTURE}])
def test_none_is_left_out_by_default(make_nlp: MakeNLP, config: dict[str, Any]) -> None:
    nlp = make_nlp(model={"adapter": LORA}, **config)
    doc = nlp.make_doc(TEXT)
    nlp.initialize(lambda: [Example(nlp.make_doc(TEXT), doc)])
    pipe = nlp.get_pipe("instruction_ner")
    assert len(get_backbone(pipe.model).hf.model.layers) == 2  # type: ignore[attr-defined]


def test_no_labels_are_typed_where_nothing_is_written(make_nlp: MakeNLP) -> None:
    with pytest.raises(ValueError, match="compete already.*Leave `typing` out"):
        make_nlp(task=TASK, typing=True)
    assert make_nlp(task=MIXTURE, typing=True).pipe_names


@pytest.mark.parametrize("task", ["CLLMFS", "Mixture"])
def test_a_cut_model_is_not_loaded_to_write(
    make_nlp: MakeNLP, tmp_path: Path, task: str
) -> None:
    _, own = beside_one_layer(make_nlp, tmp_path)
    nlp = make_nlp(labels=["PERSON"], task=TASK, model=own, bundle="adapter")
    nlp(TEXT)
    nlp.to_disk(tmp_path / "auto")
    other = MIXTURE if task == "Mixture" else {"@misc": f"spacy-instructner.{task}.v1"}
    with pytest.raises(
        ValueError, match="first 1 layers alone, and the task of the co"
    ):
        spacy.load(tmp_path / "auto", config={"components.instruction_ner.task": other})
