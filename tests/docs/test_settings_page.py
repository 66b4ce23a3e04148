"""The reference of settings says what the code says, and its examples work."""

import json
import shlex
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import pytest
import spacy
from spacy.cli._util import parse_config_overrides
from spacy.cli.init_config import fill_config
from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config, load_model_from_config, registry
from thinc.api import Config

from helpers import pages
from helpers.pages import NO_DEFAULT, ROOT, SETTINGS, blocks, settings_of
from spacy_instructner.factory import DEFAULT_CONFIG, make_instruction_ner
from spacy_instructner.tasks.prompts import FIELDS, LAYOUTS

MakeNLP = Callable[..., Language]


def choices(hint: Any) -> list[Any]:
    """The values that a type lists, also inside a union."""
    if hint is type(None) or getattr(hint, "__origin__", None) is Literal:
        return list(get_args(hint))
    return [choice for part in get_args(hint) for choice in choices(part)]


def in_json(value: Any) -> str:
    return f"`{json.dumps(value, sort_keys=True)}`"


def check_settings(heading: str, function: Callable, defaults: dict[str, Any]) -> None:
    """defaults: of all settings, in order; Parameter.empty where there is none."""
    rows = settings_of(heading)
    # All of them, none besides.
    assert [(name, default) for name, default, _ in rows] == [
        (name, "required" if default is NO_DEFAULT else in_json(default))
        for name, default in defaults.items()
    ]
    hints = get_type_hints(function)
    for name, default, meaning in rows:
        for choice in choices(hints[name]):
            assert in_json(choice) in default + meaning, (name, choice)


def test_every_setting_of_the_component_is_in_the_reference() -> None:
    names = [
        name
        for name in signature(make_instruction_ner).parameters
        if name not in ("nlp", "name")
    ]
    assert set(names) == set(DEFAULT_CONFIG)
    defaults = {name: DEFAULT_CONFIG[name] for name in names}
    check_settings("The component", make_instruction_ner, defaults)


@pytest.mark.parametrize("group,name", pages.registered())
def test_every_setting_is_in_the_reference(group: str, name: str) -> None:
    function = registry.get(group, name)
    parameters = signature(function).parameters
    check_settings(name, function, {n: p.default for n, p in parameters.items()})


def test_every_prompt_and_placeholder_is_in_the_reference() -> None:
    shown = [text.removesuffix("\n") for text in blocks(SETTINGS, "text")]
    layouts = ("text_last", "text_first")
    assert set(layouts) == set(LAYOUTS)
    assert shown == [LAYOUTS[layout][task] for layout in layouts for task in FIELDS]
    # Rows of the table of placeholders.
    named = [
        row[0].strip("`{}")
        for table in pages.tables(SETTINGS)
        for row in table
        if row[0].startswith("`{")
    ]
    fields = {field for of_task in FIELDS.values() for field in of_task}
    assert sorted(named) == sorted({*fields, "entity", "article", "type", "definition"})


def test_the_example_config_trains(
    tiny_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "base.cfg").write_text(blocks(SETTINGS, "ini")[0])
    fill_config(tmp_path / "config.cfg", tmp_path / "base.cfg")
    config = load_config(
        tmp_path / "config.cfg",
        overrides={
            "components.instruction_ner.model.name": str(tiny_causal),
            "corpora.train.k": 1,
            "training.max_steps": 1,
            "training.eval_frequency": 1,
        },
        interpolate=False,
    )
    (tmp_path / "training").mkdir()
    nlp, _ = train(init_nlp(config), tmp_path / "training")
    pipe = nlp.get_pipe("instruction_ner")
    assert "PART" in pipe.labels and len(pipe.labels) == 6
    assert pipe.cfg["threshold"] == 0.2 and pipe.decoder.beam_width == 4
    assert pipe.model.attrs["config"].adapter.r == 8
    saved = spacy.load(tmp_path / "training" / "model-last")
    assert saved.get_pipe("instruction_ner").labels == pipe.labels


def test_settings_are_changed_on_the_command_line() -> None:
    (line,) = pages.commands(SETTINGS)
    arguments = shlex.split(line)
    assert arguments[3] == "train"
    overrides = parse_config_overrides(arguments[arguments.index("--paths.train") :])
    assert len(overrides) >= 6
    config = load_config(ROOT / arguments[4], overrides=overrides)
    for path, value in overrides.items():
        node: Any = config
        for part in path.split("."):
            node = node[part]
        assert node == value, path
    pipe = load_model_from_config(config).get_pipe("instruction_ner")
    assert pipe.labels == ("PART", "TOOL") and pipe.decoder.beam_width == 4


def test_settings_are_changed_after_loading(
    make_nlp: MakeNLP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "training").mkdir()
    names = {"PART": "piece", "FAULT": "damage"}
    make_nlp(labels=["PART"], label_names=names).to_disk("training/model-last")
    code, more = blocks(SETTINGS, "python")
    left: dict[str, Any] = {}
    exec(code, left)
    assert left["pipe"].max_window == 256
    (asked,) = left["doc"].user_data["instruction_ner_io"]["instruction_ner"]
    assert "\nOptions: damage\n" in asked["prompt"]
    assert {span.label_ for span in left["doc"].spans["instruction_ner"]} <= {"FAULT"}
    exec(more, left)
    (asked,) = left["doc"].user_data["instruction_ner_io"]["instruction_ner"]
    assert "\nOptions: damage\n" in asked["prompt"]
    again = spacy.load("training/changed").get_pipe("instruction_ner")
    assert again.labels == ("PART", "TOOL") and again.cfg["threshold"] == 0.5
    assert again.cfg["label_names"] == {"PART": "bicycle part", "FAULT": "damage"}


def test_a_template_is_replaced(make_nlp: MakeNLP) -> None:
    def asked_with(block: str) -> str:
        above = "[components]\n[components.instruction_ner]\n"
        config = Config().from_str(above + block)["components"]["instruction_ner"]
        doc = make_nlp(save_io=True, **config)("Anna met Bert")
        return doc.user_data["instruction_ner_io"]["instruction_ner"][0]["prompt"]

    prompt = asked_with(blocks(SETTINGS, "ini")[1])
    assert prompt == "Labels: person, place\nText: Anna met Bert\nEntities:"
    prompt = asked_with(blocks(SETTINGS, "ini")[2])
    assert prompt == (
        "Options: person, place\nMeanings: person: somebody's name; place: a town\n"
        "Sentence: Anna met Bert\nAnswer:"
    )
