"""CLLMFS learns, and its settings are refused where they make no sense."""

import re

import pytest
import torch
from thinc.api import Adam, fix_random_seed

from helpers.cllmfs import DEFINED, TASK, asking, every_layout, every_way, spans_of
from helpers.pipelines import MakeNLP
from helpers.training import TRAIN, examples
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.tasks.cllmfs import build_cllmfs_v1

# Learning.


@every_way
def test_a_few_sentences_are_learned_by_heart(
    make_nlp: MakeNLP, layout: str, grammar: str
) -> None:
    fix_random_seed(0)
    nlp = asking(
        make_nlp,
        layout,
        labels=["PERSON", "PLACE"],
        task={"grammar": grammar},
        model={"adapter": None, "pack_tokens": 4096},
    )
    nlp.initialize(lambda: examples(nlp))
    sgd = Adam(2e-3)
    losses = [nlp.update(examples(nlp), sgd=sgd)["instruction_ner"] for _ in range(60)]
    assert losses[-1] < 0.2 * losses[0]
    assert nlp.evaluate(examples(nlp))["ents_f"] == 1.0
    for text, entities in TRAIN:
        found = [span[:3] for span in spans_of(nlp(text))]
        assert sorted(found) == sorted(entities)


# What is refused.


@pytest.mark.parametrize(
    "config,message",
    [
        ({"template": "{type}:"}, "`template` must have the field {sentence}."),
        ({"template": "{sentence}: {definitions}"}, "must have the field {type}"),
        ({"template": "{sentence} {type} {options}"}, "{options} that means nothing"),
        ({"template": "{sentence} {type!r}"}, "{type} that means nothing"),
        ({"template": "{sentence} {type"}, "`template` is not a template"),
        ({"default_definition": "a {label}"}, "default_definition.*{label}"),
        ({"absent": -0.5}, "`absent` must not be negative: -0.5"),
        ({"no_entity": " \n"}, "`no_entity` must not be empty"),
        ({"separator": " "}, "must say where an entity ends"),
        ({"layout": "text_last", "after_entity": ""}, "must say where an entity ends"),
        ({"grammar": "bag"}, "grammar.*bag.*markers"),
        ({"grammar": "bag", "before_entity": "["}, "grammar.*bag.*markers"),
        ({"grammar": "bag", "after_entity": "]"}, "grammar.*bag.*markers"),
    ],
)
def test_bad_settings_are_refused_when_read(
    make_nlp: MakeNLP, config: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_cllmfs_v1(**config)
    with pytest.raises(ValueError, match=message):
        make_nlp(task={**TASK, **config})


@pytest.mark.parametrize("config", [{"layout": "wrong"}, {"grammar": "wrong"}])
def test_unknown_choices_are_refused_when_read(make_nlp: MakeNLP, config: dict) -> None:
    with pytest.raises(ValueError, match="'wrong' is not typing.Literal"):
        make_nlp(task={**TASK, **config})


@pytest.mark.parametrize("make_nlp", ["t5"], indirect=True)
@every_layout
def test_signs_that_the_tokenizer_has_not_are_named(
    make_nlp: MakeNLP, layout: str
) -> None:
    """When the weights are there, and with them the tokenizer."""
    task = {**TASK, "layout": layout}
    nlp = make_nlp(task=task, labels=list(DEFINED), label_definitions=DEFINED)
    with pytest.raises(ValueError, match="other signs, such as letters and") as caught:
        nlp("Anna")
    said = re.search(
        "tokenizer cannot write '(.)', which stands in '(.*)', a part of the task's "
        "templates",
        str(caught.value),
    )
    assert said and said[1] in said[2]
    assert said[1] in ("<>_#" if layout == "text_last" else ";")


def test_the_tests_models_run_in_float32(make_nlp: MakeNLP) -> None:
    """What the comparisons above rest on."""
    nlp = asking(make_nlp)
    nlp("Anna")
    assert get_backbone(nlp.get_pipe("instruction_ner").model).hf.dtype == torch.float32
