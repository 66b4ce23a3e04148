"""Shipped configs and registered names."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import spacy
from confection import ConfigValidationError
from spacy.util import registry
from thinc.api import Config

from helpers.places import ROOT
from helpers.project import CONFIGS, GROUPS, declared
from helpers.shipped_configs import NER, good
from helpers.tiny_models import byte_level_tokenizer
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.labels import make_label_set


@pytest.mark.parametrize("group,name", declared())
def test_every_entry_point_resolves(group: str, name: str) -> None:
    (entry,) = entry_points(group=group, name=name)
    assert entry.value.startswith("spacy_instructner.")
    assert entry.load() is not None
    if group in GROUPS and group != "spacy_factories":
        assert registry.has(GROUPS[group], name)


def test_all_public_names_are_declared() -> None:
    names = {name for _, name in declared()}
    assert {
        "instruction_ner",
        "spacy-instructner.CausalLM.v1",
        "spacy-instructner.Seq2SeqLM.v1",
        "spacy-instructner.InstructionNER.v1",
        "spacy-instructner.LoRA.v1",
        "spacy-instructner.Decoder.v1",
        "spacy-instructner.FewShotCorpus.v1",
        "spacy-instructner.MentionSwap.v1",
        "instructner",
    } <= names


def spacy_command(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "spacy", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_debug_config(path: Path) -> None:
    # Ours take the support set where there is no development data.
    dev = ["--paths.dev", "dev.spacy"] if path.name in NER else []
    good("debug", "config", path, "--paths.train", "train.spacy", *dev)


def test_what_is_asked_by_default_is_what_the_configs_ask() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("instruction_ner", config={"labels": ["A"]})
    own, other, learned = (
        registry.resolve({"task": block["task"]})["task"]
        for block in (
            nlp.get_pipe_config("instruction_ner"),
            *(
                Config().from_disk(ROOT / "configs" / name)["components"][
                    "instruction_ner"
                ]
                for name in ("zeroshot.cfg", "base2.cfg")
            ),
        )
    )
    assert type(own).__name__ == "JustPassTwice"
    assert own == other == learned


# The wording by which the shipped adapter was trained, letter by letter.
DEFAULT_TEMPLATE = (
    "Please extract the entities of each type from the sentence.\n"
    "Types: {definitions}\n"
    "Sentence: {sentence}\n"
    "Sentence: {sentence}\n"
    "{type}:"
)


# The wording by which the shipped adapter was trained, letter by letter.
DEFAULT_TEMPLATE = (
    "Please extract the entities of each type from the sentence.\n"
    "Types: {definitions}\n"
    "Sentence: {sentence}\n"
    "Sentence: {sentence}\n"
    "{type}:"
)


@pytest.mark.parametrize("name", ["written.cfg", "base.cfg"])
def test_configs_name_the_default_layout_and_ask_as_the_adapter_learned(
    name: str,
) -> None:
    config = Config().from_disk(ROOT / "configs" / name, interpolate=False)
    block = config["components"]["instruction_ner"]["task"]
    block = block.get("tasks", {}).get("cllmfs", block)
    assert (block["layout"], block["template"]) == ("text_twice", None)
    worded = {**block, "layout": "text_first", "template": DEFAULT_TEMPLATE}
    encoder = TextEncoder(byte_level_tokenizer())
    labels = make_label_set(["A", "B_C"], {}, {"A": "the first letter"})
    words = encoder.words(["a", "text", "."], [False, True, False], 50)
    with pytest.warns(UserWarning, match="'B_C' has no definition"):
        asked, expected = (
            [
                (request.prefix, request.shared, request.suffix, request.grammar.format)
                for request in registry.resolve({"task": settings})["task"]
                .bind(encoder, labels, encoder.tokenizer.eos_token_id)
                .requests(words)
            ]
            for settings in (block, worded)
        )
    assert asked == expected and len(asked) == 2
    assert asked[0] != asked[1]


def test_a_few_shots_are_read_as_the_second_base_learns() -> None:
    """In one pass: an adapter with a head knows one prompt."""
    both = [
        Config().from_disk(ROOT / "configs" / name, interpolate=False)
        for name in ("base2.cfg", "fewshot.cfg")
    ]
    one, other = (each["components"]["instruction_ner"]["task"] for each in both)
    # Training on a task's own labels makes scores surer.
    assert {**one, "threshold": 0.5} == other and one["both_ways"]
    assert one["template"].index("{sentence}") < one["template"].index("{types}")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_fill_config_finds_nothing_to_fill(path: Path, tmp_path: Path) -> None:
    good("init", "fill-config", path, tmp_path / "filled.cfg")
    filled = Config().from_disk(tmp_path / "filled.cfg", interpolate=False)
    assert filled == Config().from_disk(path, interpolate=False)


@pytest.mark.long
def test_fill_config_from_next_to_nothing(tmp_path: Path) -> None:
    base = tmp_path / "base.cfg"
    base.write_text(
        '[nlp]\nlang = "en"\npipeline = ["instruction_ner"]\n'
        '[components]\n[components.instruction_ner]\nfactory = "instruction_ner"\n'
        'labels = ["A"]\n'
    )
    done = spacy_command("init", "fill-config", base, tmp_path / "filled.cfg")
    assert done.returncode == 0, done.stdout + done.stderr
    filled = Config().from_disk(tmp_path / "filled.cfg")
    component = filled["components"]["instruction_ner"]
    assert component["labels"] == ["A"] and component["threshold"] is None
    assert component["model"]["adapter"]["r"] == 16
    assert component["model"]["layers"] == "auto" and component["task"]["both_ways"]


@pytest.mark.parametrize(
    "config",
    [
        {"lables": ["A"]},
        {"model": {"@architectures": "spacy-instructner.CausalLM.v1", "nmae": "x"}},
        {"task": {"@misc": "spacy-instructner.InstructionNER.v1", "main": "x"}},
        {"decoder": {"@misc": "spacy-instructner.Decoder.v1", "beams": 4}},
        {
            "model": {
                "@architectures": "spacy-instructner.CausalLM.v1",
                "precision": "x",
            }
        },
        {"threshold": "high"},
        {"bundle": "half"},
        {"loss": "words"},
    ],
)
def test_unknown_keys_and_wrong_types_are_refused(config: dict) -> None:
    with pytest.raises(ConfigValidationError):
        spacy.blank("en").add_pipe("instruction_ner", config=config)


@pytest.mark.parametrize(
    "config,message",
    [
        ({"threshold": 1.5}, "`threshold` must be in"),
        ({"max_window": 10, "window_overlap": 10}, "window_overlap"),
        ({"labels": ["A", "A"]}, "twice"),
        ({"labels": ["A_B", "A-B"]}, "both called 'a b'"),
        ({"labels": [""]}, "at least one letter"),
        (
            {"decoder": {"@misc": "spacy-instructner.Decoder.v1", "max_span": -1}},
            "max_span",
        ),
        (
            {"decoder": {"@misc": "spacy-instructner.Decoder.v1", "batch_tokens": 0}},
            "batch_tokens",
        ),
        (
            {
                "model": {
                    "@architectures": "spacy-instructner.CausalLM.v1",
                    "adapter": {"@misc": "spacy-instructner.LoRA.v1", "r": 0},
                }
            },
            "rank",
        ),
        (
            {
                "model": {
                    "@architectures": "spacy-instructner.CausalLM.v1",
                    "pack_tokens": 0,
                }
            },
            "pack_tokens",
        ),
    ],
)
def test_impossible_settings_are_refused(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spacy.blank("en").add_pipe("instruction_ner", config=config)


def test_an_unknown_device_is_named() -> None:
    nlp = spacy.blank("en")
    config = {"labels": ["A"], "device": "cuda:99"}
    nlp.add_pipe("instruction_ner", config=config)
    from spacy_instructner.weights.devices import choose_device

    with pytest.raises(ValueError, match="`device` is 'cuda:99'.*\"cpu\""):
        choose_device("cuda:99")
    with pytest.raises(ValueError, match="`device` is 'tpu-9'"):
        choose_device("tpu-9")


def test_importing_is_quiet_and_light() -> None:
    """No warning, and the command line does not wait for transformers."""
    code = (
        "import sys, spacy_instructner, spacy_instructner.cli;"
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"
