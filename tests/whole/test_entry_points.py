"""Every shipped config through every entry point of spaCy that takes one, or takes the
pipeline that it makes: on tiny models, two steps of training."""

import copy
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.util import load_config, load_model_from_config
from thinc.api import Config, Optimizer

from helpers.shipped_configs import ALL, BASES, CONFIGS, NER, OURS, STEPS, good, run
from helpers.training import examples

ENCODERS = [
    name for name in NER if "spacy-transformers." in (CONFIGS / name).read_text()
]


def each(names: list[str]) -> list[Any]:
    return [
        pytest.param(
            name, marks=[pytest.mark.spacy_transformers] if name in ENCODERS else []
        )
        for name in names
    ]


@pytest.fixture(scope="module")
def trained(
    small: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """`spacy train` with a config, once."""
    made: dict[str, Path] = {}

    def train(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp("trained")
            # fmt: off
            said = good(
                "train", small(name), "--output", folder,
                "--training.max_steps", STEPS, "--training.eval_frequency", 1,
            )
            # fmt: on
            assert "ENTS_F" in said
            made[name] = folder / "model-last"
        return made[name]

    return train


@pytest.mark.parametrize("name", each(ALL))
def test_commands_that_look_at_a_config(
    small: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    path = small(name)
    good("debug", "config", path, "--show-functions", "--show-variables")
    good("debug", "diff-config", path)
    good("init", "fill-config", path, tmp_path / "filled.cfg")
    filled = Config().from_disk(tmp_path / "filled.cfg", interpolate=False)
    assert filled == Config().from_disk(path, interpolate=False)


@pytest.mark.parametrize("name", each(ALL))
def test_debug_data(
    small: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # It fails every set of fewer texts than this, by 1: a few shots always do.
    module = sys.modules["spacy.cli.debug_data"]
    monkeypatch.setattr(module, "BLANK_MODEL_MIN_THRESHOLD", 1)
    assert "Training pipeline: " in good("debug", "data", small(name))


@pytest.mark.parametrize("name", OURS)
def test_debug_model(small: Callable[[str], Path], name: str) -> None:
    shown = ["-DIM", "-PAR", "-GRAD", "-ATTR", "-P0", "-P1", "-P2", "-P3"]
    said = good("debug", "model", small(name), "instruction_ner", *shown)
    assert "Initialized the model with the training corpus" in said
    assert "model looks good" in said
    if name not in BASES:
        assert "STEP 3" in said and "Prediction(" in said


@pytest.mark.parametrize("name", each(ALL))
def test_init_labels_and_assemble(
    small: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    good("init", "labels", small(name), tmp_path / "labels")
    if name in OURS:
        labels = json.loads((tmp_path / "labels" / "instruction_ner.json").read_text())
        own = load_config(CONFIGS / name)["components"]["instruction_ner"]["labels"]
        # Texts of a base each bring their own.
        assert labels == ([] if name in BASES else own or ["PERSON", "PLACE"])
    done = run("assemble", small(name), tmp_path / "assembled")
    if name in ("zeroshot.cfg", *NER):
        assert done.exit_code == 0, done.output
        assert spacy.load(tmp_path / "assembled").pipe_names
    else:
        # It sees no data, in which labels could be.
        assert "has no labels to look for" in str(done.exception)


@pytest.mark.parametrize("name", each(ALL))
def test_pretrain_of_spacys_is_refused(
    small: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    done = run("pretrain", small(name), tmp_path)
    assert done.exit_code == 1 and "[pretraining] block" in done.output


def functions(block: Any) -> list[str]:
    """All registered functions that a config names, as "registry name"."""
    found = [f"{k[1:]} {v}" for k, v in block.items() if k.startswith("@")]
    for value in block.values():
        found += functions(value) if isinstance(value, dict) else []
    return found


@pytest.mark.parametrize("name", each(ALL))
def test_find_function(name: str) -> None:
    config = Config().from_disk(CONFIGS / name, interpolate=False)
    for each in sorted(set(functions(config))):
        registry, function = each.split()
        if function.startswith("spacy-instructner."):
            said = good("find-function", function, "--registry", registry)
            assert "spacy_instructner" in "".join(said.split())


def rates(optimizer: Optimizer, count: int) -> list[float]:
    """The learn rates of the first steps."""
    found = []
    for _ in range(count):
        found.append(float(optimizer.learn_rate))
        optimizer.step_schedules()
    return found


@pytest.mark.parametrize("name", each(ALL))
def test_a_pipeline_in_memory(small: Callable[[str], Path], name: str) -> None:
    config = load_config(small(name), overrides={"training.max_steps": 40})
    nlp = load_model_from_config(config, auto_fill=True)
    assert isinstance(nlp.create_optimizer(), Optimizer)
    assert nlp.create_optimizer.__name__ == "create_optimizer"
    for again in (pickle.loads(pickle.dumps(nlp)), copy.deepcopy(nlp)):
        assert isinstance(again.create_optimizer(), Optimizer)
    assert isinstance(nlp.resume_training(), Optimizer)
    nlp = load_model_from_config(config, auto_fill=True)
    assert isinstance(nlp.initialize(lambda: examples(nlp)), Optimizer)
    losses: dict[str, float] = {}
    nlp.update(examples(nlp), losses=losses)
    assert sum(losses.values()) > 0
    # The optimizer that training takes, and what stands in the config.
    assert rates(nlp.create_optimizer(), 41) == rates(
        init_nlp(config).create_optimizer(), 41
    )
    assert nlp.config["training"]["optimizer"] == config["training"]["optimizer"]


@pytest.mark.parametrize(
    "name", each([n for n in ALL if "total_steps" in (CONFIGS / n).read_text()])
)
def test_the_learn_rate_ends_with_training(
    small: Callable[[str], Path], name: str
) -> None:
    """Whatever `max_steps` says."""
    for steps in (25, 50):
        overrides = {"training.max_steps": steps}
        nlp = load_model_from_config(load_config(small(name), overrides=overrides))
        # The base's warm-up is longer.
        nlp.config["training"]["optimizer"]["learn_rate"]["warmup_steps"] = 5
        own = rates(nlp.create_optimizer(), steps + 1)
        assert own[-1] == 0.0 and min(own[1:-1]) > 0.0


@pytest.mark.parametrize("name", each(ALL))
def test_training_goes_on_from_a_trained_pipeline(
    trained: Callable[[str], Path], name: str
) -> None:
    for method in ("create_optimizer", "resume_training"):
        nlp = spacy.load(trained(name))
        optimizer = getattr(nlp, method)()
        losses: dict[str, float] = {}
        nlp.update(labelled(nlp, name), sgd=optimizer, losses=losses)
        assert sum(losses.values()) > 0
    reference = "${training.max_steps}"
    saved = (trained(name) / "config.cfg").read_text()
    assert (reference in saved) == (reference in (CONFIGS / name).read_text())


def labelled(nlp: Language, name: str) -> Any:
    own = examples(nlp)
    if name in BASES:
        for example in own:
            labels = ["PERSON", "PLACE"]
            example.predicted.user_data["instruction_ner_labels"] = labels
    return own


@pytest.mark.long
@pytest.mark.parametrize("name", each(ALL))
def test_commands_that_take_a_trained_pipeline(
    trained: Callable[[str], Path], data: Path, tmp_path: Path, name: str
) -> None:
    pipeline, texts = trained(name), data / "train.spacy"
    component = "ner" if name in NER else "instruction_ner"
    commands: list[list[object]] = [
        ["evaluate", pipeline, texts],
        ["benchmark", "accuracy", pipeline, texts],
        ["benchmark", "speed", pipeline, texts, "--batch-size", "1", "--warmup", "1"],
        ["apply", pipeline, texts, tmp_path / "applied.spacy"],
    ]
    if name not in NER:
        commands += [
            [
                "find-threshold",
                pipeline,
                texts,
                component,
                "threshold",
                "ents_f",
                "-n",
                "2",
            ]
        ]
    for command in commands:
        done = run(*command)
        if name in BASES:
            # It has no labels, until somebody gives it some.
            assert "has no labels to look for" in str(done.exception), command
        else:
            assert done.exit_code == 0, f"{command}: {done.output}{done.exception!r}"
    good("info", pipeline)
    (tmp_path / "wheels").mkdir()
    good("package", pipeline, tmp_path / "wheels", "--build", "none", "--name", "x")
    (packaged,) = (tmp_path / "wheels").glob("*/*/*/config.cfg")
    assert isinstance(spacy.load(packaged.parent).create_optimizer(), Optimizer)
    # On from there, as a part of a config.
    config = Config().from_disk(pipeline / "config.cfg", interpolate=False)
    config["components"] = {
        part: {"source": str(pipeline)} for part in config["nlp"]["pipeline"]
    }
    config.to_disk(tmp_path / "on.cfg")
    assert "ENTS_F" in good("train", tmp_path / "on.cfg", "--training.max_steps", "1")
