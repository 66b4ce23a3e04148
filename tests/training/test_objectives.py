"""Which objectives are refused when a config is read, and training by all of them."""

import math
import random
from collections.abc import Iterator

import pytest
import torch
from spacy.language import Language
from thinc.api import Adam

from helpers.objectives import (
    CLLMFS,
    INSTRUCTION_NER,
    assert_gradients_close,
    examples,
    gradients,
    on_every_model,
    on_every_task,
    pipe_of,
    ready,
)
from helpers.pipelines import LORA, MakeNLP
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.training.contrastive import build_info_nce_v1

INFO_NCE = "spacy-instructner.InfoNCE.v1"
FAST_GRADIENT = "spacy-instructner.FGM.v1"


# What is refused when the config is read.

NAMELESS = {**INSTRUCTION_NER, "main_template": "Sentence: {sentence}"}


@pytest.mark.parametrize(
    "make_nlp,objective,task,message",
    [
        ("t5", {"anchor": "opening"}, {}, "opening.*encoder-decoder"),
        ("bart", {"anchor": "opening"}, CLLMFS, "opening.*encoder-decoder"),
        ("causal", {"anchor": "type"}, NAMELESS, "type.*names the types"),
        ("t5", {"anchor": "type"}, NAMELESS, "type.*names the types"),
        ("causal", {"layer": 1.01}, {}, "layer.*from 0 to 1, not 1.01"),
        ("causal", {"layer": -0.1}, {}, "layer.*from 0 to 1, not -0.1"),
        ("causal", {"weight": -0.001}, {}, "weight.*negative.*-0.001"),
        ("causal", {"temperature": 0.0}, {}, "temperature.*above 0, not 0.0"),
        ("causal", {"temperature": -1.0}, {}, "temperature.*above 0, not -1.0"),
        ("causal", {"negatives": 0}, {}, "negatives.*at least 1.*0"),
        ("t5", {"positions": "all"}, {}, "positions.*all.*encoder-decoder"),
        ("bart", {"positions": "all"}, CLLMFS, "positions.*all.*encoder-decoder"),
        ("causal", {"strength": 0.0}, {}, "strength.*0.0.*above 0"),
        ("causal", {"strength": -0.1}, {}, "strength.*-0.1.*above 0"),
        ("causal", {"weight": 0.0, "strength": 0.1}, {}, "weight.*0.0.*above 0"),
        ("causal", {"share": 0.0}, {}, "share.*above 0 and up to 1, not 0.0"),
        ("causal", {"share": 1.1}, {}, "share.*above 0 and up to 1, not 1.1"),
    ],
    indirect=["make_nlp"],
)
def test_what_cannot_work_is_refused_when_the_config_is_read(
    make_nlp: MakeNLP, objective: dict, task: dict, message: str
) -> None:
    attacks = {"positions", "strength", "share"} & set(objective)
    name = FAST_GRADIENT if attacks else INFO_NCE
    with pytest.raises(ValueError, match=message):
        make_nlp(
            task={**INSTRUCTION_NER, **task},
            objectives={"mine": {"@misc": name, **objective}},
        )


@pytest.mark.parametrize(
    "make_nlp,objective,task",
    [
        ("causal", {"@misc": INFO_NCE, "anchor": "opening"}, NAMELESS),
        ("causal", {"@misc": INFO_NCE, "layer": 0.0}, INSTRUCTION_NER),
        ("t5", {"@misc": INFO_NCE, "layer": 1.0}, INSTRUCTION_NER),
        ("t5", {"@misc": FAST_GRADIENT, "positions": "prompt"}, NAMELESS),
        ("causal", {"@misc": FAST_GRADIENT, "positions": "all"}, NAMELESS),
    ],
    indirect=["make_nlp"],
)
def test_what_can_work_is_not_refused(
    make_nlp: MakeNLP, objective: dict, task: dict
) -> None:
    nlp = make_nlp(task=task, objectives={"mine": objective})
    nlp.initialize(lambda: examples(nlp))
    assert nlp.update(examples(nlp), sgd=False)["instruction_ner"] > 0.0


# Training.

EVERYTHING = {
    "contrast": {"@misc": INFO_NCE, "weight": 0.05},
    "attack": {"@misc": FAST_GRADIENT},
}


def losses_of(nlp: Language, steps: int = 12) -> Iterator[float]:
    sgd = Adam(1e-2)
    for _ in range(steps):
        yield nlp.update(examples(nlp), sgd=sgd)["instruction_ner"]


@on_every_model
@on_every_task
def test_all_objectives_together_learn(make_nlp: MakeNLP, task: str) -> None:
    nlp = ready(make_nlp, task, objectives=EVERYTHING)
    losses = list(losses_of(nlp))
    assert all(map(math.isfinite, losses))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    "objective",
    [
        {"@misc": INFO_NCE, "weight": 0.5, "anchor": "opening", "form": "logsigmoid"},
        {"@misc": INFO_NCE, "weight": 0.5, "positives": "all", "temperature": 0.5},
        {"@misc": FAST_GRADIENT, "positions": "all", "strength": 0.3},
        {"@misc": FAST_GRADIENT, "kind": "uniform", "share": 0.5},
    ],
)
@on_every_task
def test_each_objective_learns(make_nlp: MakeNLP, objective: dict, task: str) -> None:
    nlp = ready(make_nlp, task, objectives={"mine": objective})
    losses = list(losses_of(nlp))
    assert all(map(math.isfinite, losses))
    assert losses[-1] < 0.7 * losses[0]


@on_every_task
@pytest.mark.parametrize("adapter", [None, LORA], ids=["all weights", "adapter"])
def test_computing_layers_again_changes_nothing(
    make_nlp: MakeNLP, task: str, adapter: dict | None
) -> None:
    found = []
    for checkpointing in (False, True):
        nlp = ready(
            make_nlp,
            task,
            model={"checkpointing": checkpointing, "adapter": adapter},
            objectives=EVERYTHING,
        )
        random.seed(0)
        nlp.update(examples(nlp), sgd=False)
        own = gradients(nlp)
        losses = list(losses_of(nlp, 6))
        assert all(map(math.isfinite, losses)) and losses[-1] < losses[0]
        found.append(own)
    assert_gradients_close(found[1], found[0])


def test_the_contrast_falls_when_it_counts(make_nlp: MakeNLP) -> None:
    """Not only the likelihood is learned."""
    contrast = {"@misc": INFO_NCE, "weight": 5.0, "temperature": 0.2}
    nlp = ready(make_nlp, objectives={"contrast": contrast})
    pipe = pipe_of(nlp)
    backbone = get_backbone(pipe.model)
    objective = build_info_nce_v1(temperature=0.2, weight=1.0)

    def contrast_now() -> float:
        records = pipe.records(examples(nlp))
        with torch.no_grad():
            learned = backbone.forward_records(records, (objective.layer,))
            loss = objective.loss(records, learned)
        assert loss is not None
        return float(loss) / objective.terms(records)

    before = contrast_now()
    list(losses_of(nlp))
    assert contrast_now() < 0.7 * before
