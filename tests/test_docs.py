"""What the documentation says can be done, is done."""

import importlib.util
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import pytest
import spacy
from spacy.cli._util import parse_config_overrides
from spacy.cli.init_config import fill_config
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config, load_model_from_config, registry
from test_config import GROUPS, declared
from test_serving import serve_briefly
from thinc.api import Adam, Config, fix_random_seed

import spacy_instructner
from spacy_instructner.decoding.grammar import read_answer
from spacy_instructner.factory import DEFAULT_CONFIG, make_instruction_ner
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.tasks.base import Gold
from spacy_instructner.tasks.labels import make_label_set
from spacy_instructner.tasks.prompts import FIELDS, LAYOUTS
from spacy_instructner.weights.sources import DEFAULT_MODEL

MakeNLP = Callable[..., Language]
ROOT = Path(__file__).parents[1]
PACKAGE = Path(spacy_instructner.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SETTINGS = ROOT / "docs" / "settings.md"
EXTENDING = ROOT / "docs" / "extending.md"
REGISTERED = [
    (GROUPS[group], name)
    for group, name in declared()
    if group in GROUPS and group != "spacy_factories"
]
TRAIN = [
    ("Anna met Bert in Paris.", [(0, 1, "PERSON"), (2, 3, "PERSON"), (4, 5, "CITY")]),
    ("It is an old place.", []),
    ("Rome, Paris and Anna", [(0, 1, "CITY"), (2, 3, "CITY"), (4, 5, "PERSON")]),
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def commands(page: Path) -> list[str]:
    """The spaCy commands of a page's shell blocks (and the folders they need),
    continued lines joined."""
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    lines = (line.split("  #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line.startswith(("python -m spacy ", "mkdir "))]


def spacy_command(line: str, folder: Path) -> str:
    arguments = shlex.split(line)
    if arguments[0] == "python":
        arguments[0] = sys.executable
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, line + done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in link:
            # The package is where it is installed.
            inside = link.partition("spacy_instructner/")[2]
            path = PACKAGE / inside if inside else page.parent / link
            assert path.exists(), link


def test_the_projects_page_is_up_to_date(tmp_path: Path) -> None:
    line = f"python -m spacy project document . --no-emoji --output {tmp_path}/p.md"
    spacy_command(line, ROOT)
    assert (tmp_path / "p.md").read_text() == (ROOT / "PROJECT.md").read_text()


def test_every_command_is_in_the_readme() -> None:
    import spacy_instructner.cli

    readme = (ROOT / "README.md").read_text()
    names = [c.name for c in spacy_instructner.cli.app.registered_commands]
    assert len(names) >= 5
    for name in names:
        assert f"python -m spacy instructner {name}" in readme


def test_every_setting_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name, value in DEFAULT_CONFIG.items():
        row = re.search(rf"^\| `{name}` \| `(.*?)` \|", readme, re.M)
        assert row, name
        if not isinstance(value, dict):
            assert row.group(1) == json.dumps(value), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "page,least,made",
    [("README.md", 6, "page.html"), ("docs/cli.md", 10, "pages/example.html")],
)
def test_commands_run(page: str, least: int, made: str, tmp_path: Path) -> None:
    """In order, with the real model, as a reader would."""
    for name in ("assets", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    lines = commands(ROOT / page)
    assert len(lines) >= least
    for line in lines:
        _, served, arguments = line.partition(" instructner serve ")
        if not served:
            spacy_command(line, tmp_path)
        elif importlib.util.find_spec("fastapi"):
            # It ends when somebody ends it.
            assert serve_briefly(*shlex.split(arguments), cwd=tmp_path)[0]["labels"]
    assert (tmp_path / made).is_file()
    assert len(list(tmp_path.glob("*/*/dist/*.whl"))) == 1


@pytest.mark.slow
def test_code_runs() -> None:
    """The README's code, in order, with the real model."""
    code = "\n".join(blocks(ROOT / "README.md", "python"))
    assert "set_labels" in code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# The reference of settings.


def settings_of(heading: str) -> list[tuple[str, str, str]]:
    """The rows under a heading: setting, default, meaning."""
    text = SETTINGS.read_text()
    begin = re.search(rf"^##+ {re.escape(heading)}$", text, re.M)
    assert begin, heading
    own = re.split(r"^##", text[begin.end() :], flags=re.M)[0]
    return re.findall(r"^\| `(\w+)` \| (.*?) \| (.+) \|$", own, re.M)


def choices(hint: Any) -> list[Any]:
    """The values that a type lists, also inside an Optional."""
    if hint is type(None) or getattr(hint, "__origin__", None) is Literal:
        return list(get_args(hint))
    return [choice for part in get_args(hint) for choice in choices(part)]


def check_settings(heading: str, function: Callable, defaults: dict[str, Any]) -> None:
    """defaults: of all settings, in order; Parameter.empty where there is none."""
    rows = settings_of(heading)
    # All of them, none besides.
    assert [(name, default) for name, default, _ in rows] == [
        (name, "required" if default is Parameter.empty else in_json(default))
        for name, default in defaults.items()
    ]
    hints = get_type_hints(function)
    for name, default, meaning in rows:
        for choice in choices(hints[name]):
            assert in_json(choice) in default + meaning, (name, choice)


def in_json(value: Any) -> str:
    return f"`{json.dumps(value, sort_keys=True)}`"


def test_every_setting_of_the_component_is_in_the_reference() -> None:
    names = [
        name
        for name in signature(make_instruction_ner).parameters
        if name not in ("nlp", "name")
    ]
    assert set(names) == set(DEFAULT_CONFIG)
    defaults = {name: DEFAULT_CONFIG[name] for name in names}
    check_settings("The component", make_instruction_ner, defaults)


@pytest.mark.parametrize("group,name", REGISTERED)
def test_every_setting_is_in_the_reference(group: str, name: str) -> None:
    function = registry.get(group, name)
    parameters = signature(function).parameters
    check_settings(name, function, {n: p.default for n, p in parameters.items()})


def test_every_prompt_and_placeholder_is_in_the_reference() -> None:
    demonstrations = [text.removesuffix("\n") for text in blocks(SETTINGS, "text")]
    layouts = ("text_last", "text_first")
    assert set(layouts) == set(LAYOUTS)
    assert demonstrations == [
        LAYOUTS[layout][task] for layout in layouts for task in FIELDS
    ]
    named = re.findall(r"^\| `\{(\w+)\}` \|", SETTINGS.read_text(), re.M)
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
    (line,) = commands(SETTINGS)
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
    said: dict[str, Any] = {}
    exec(code, said)
    assert said["pipe"].max_window == 256
    (asked,) = said["doc"].user_data["instruction_ner_io"]["instruction_ner"]
    assert "\nOptions: damage\n" in asked["prompt"]
    assert {span.label_ for span in said["doc"].spans["instruction_ner"]} <= {"FAULT"}
    exec(more, said)
    (asked,) = said["doc"].user_data["instruction_ner_io"]["instruction_ner"]
    assert "\nOptions: damage\n" in asked["prompt"]
    again = spacy.load("training/changed").get_pipe("instruction_ner")
    assert again.labels == ("PART", "TOOL") and again.cfg["threshold"] == 0.5
    assert again.cfg["label_names"] == {"PART": "bicycle part", "FAULT": "damage"}


def asked_with(make_nlp: MakeNLP, block: str) -> str:
    """The first prompt of a component with this block of a config."""
    above = "[components]\n[components.instruction_ner]\n"
    config = Config().from_str(above + block)["components"]["instruction_ner"]
    doc = make_nlp(save_io=True, **config)("Anna met Bert")
    return doc.user_data["instruction_ner_io"]["instruction_ner"][0]["prompt"]


def test_a_template_is_replaced(make_nlp: MakeNLP) -> None:
    prompt = asked_with(make_nlp, blocks(SETTINGS, "ini")[1])
    assert prompt == "Labels: person, place\nText: Anna met Bert\nEntities:"
    prompt = asked_with(make_nlp, blocks(SETTINGS, "ini")[2])
    assert prompt == (
        "Options: person, place\nMeanings: person: somebody's name; place: a town\n"
        "Sentence: Anna met Bert\nAnswer:"
    )


# The examples of extending.


def run_example(section: str, model: Path) -> dict[str, Any]:
    """What a section's code leaves behind, with a model of the tests."""
    text = EXTENDING.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    assert code.count(DEFAULT_MODEL) == 1
    left: dict[str, Any] = {}
    exec(code.replace(DEFAULT_MODEL, str(model)), left)
    return left


def examples(nlp: Language) -> list[Example]:
    made = []
    for text, entities in TRAIN:
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, *entity) for entity in entities], default="outside")
        made.append(Example(nlp.make_doc(text), doc))
    return made


def check_spans(doc: Doc) -> None:
    group = doc.spans["instruction_ner"]
    assert len(group) == len(group.attrs["scores"])
    for span, score in zip(group, group.attrs["scores"]):
        assert isinstance(span, Span) and span.doc is doc and len(span) > 0
        assert span.text in doc.text and span.label_ in ("PERSON", "CITY")
        assert 0.0 < score <= 1.0
    assert {(e.start, e.end, e.label) for e in doc.ents} <= {
        (span.start, span.end, span.label) for span in group
    }


def test_the_example_of_a_method_answers_and_learns(
    tiny_causal: Path, tmp_path: Path
) -> None:
    left = run_example("A method", tiny_causal)
    nlp = left["nlp"]
    check_spans(left["doc"])
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp))
    sgd = Adam(1e-2)
    for _ in range(30):
        nlp.update(examples(nlp), sgd=sgd)
    assert nlp.evaluate(examples(nlp))["ents_f"] == 1.0
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    for text, entities in TRAIN:
        doc = again(text)
        check_spans(doc)
        assert [(ent.start, ent.end, ent.label_) for ent in doc.ents] == entities


def test_the_example_of_a_method_keeps_its_promises(tiny_causal: Path) -> None:
    left = run_example("A method", tiny_causal)
    backbone = get_backbone(left["nlp"].get_pipe("instruction_ner").model)
    encoder, decode = backbone.encoder, backbone.tokenizer.decode
    labels = make_label_set(["PERSON", "CITY"], {}, {"PERSON": "somebody's name"})
    bound = left["build_one_by_one"]().bind(
        encoder, labels, backbone.tokenizer.eos_token_id, 0, "text_last", ()
    )
    for text, entities in TRAIN:
        doc = left["nlp"].make_doc(text)
        spaces = [False, *(bool(token.whitespace_) for token in doc)][:-1]
        words = encoder.words([token.text for token in doc], spaces, 50)
        requests = bound.requests(words)
        records = bound.records(words, Gold(tuple(entities)), True)
        # Of a text without an entity nothing is learnt where one may be hidden; of others,
        # not which one comes next.
        torn = bound.records(words, Gold(tuple(entities), frozenset([1])))
        assert len(torn) == (2 if entities else 0)
        for whole, part in zip(records, torn):
            assert part.answer == whole.answer
            assert 0 < sum(map(bool, part.weights)) < sum(map(bool, whole.weights))
        for label, request, record in zip(labels.labels, requests, records):
            asked = request.prefix + request.suffix
            assert asked == record.prefix + record.suffix
            assert len(asked) <= bound.constant() + len(words.text)
            # What is learnt is an answer, and says what is annotated.
            said = read_answer(request.grammar, record.answer)
            assert said == [(s, e, 0) for s, e, of in entities if of == label]
            # What else could come: any word of the text, or that there is none.
            assert record.allowed is not None
            assert len(record.allowed) == len(record.answer)
            assert record.answer[0] in record.allowed[0]
            assert {ids[0] for ids in words.first} < set(record.allowed[0])
        assert len(requests) == len(records) == 2
        assert decode(requests[0].prefix + requests[0].suffix) == (
            f"Find every person (somebody's name)\nSentence: {text}\nAnswer:"
        )


def test_the_example_of_a_method_has_a_setting(
    make_nlp: MakeNLP, tiny_causal: Path
) -> None:
    run_example("A method", tiny_causal)
    prompt = asked_with(make_nlp, blocks(EXTENDING, "ini")[0])
    assert prompt == "Name each person\nSentence: Anna met Bert\nAnswer:"


def test_the_example_of_a_loss_is_added(make_nlp: MakeNLP, tiny_causal: Path) -> None:
    nlp = run_example("A loss", tiny_causal)["nlp"]

    def loss(nlp: Language) -> float:
        fix_random_seed(0)
        nlp.initialize(lambda: examples(nlp))
        return nlp.get_pipe("instruction_ner").update(examples(nlp))["instruction_ner"]

    shared = {"@misc": "my.Smoothing.v1"}
    labels = ["PERSON", "CITY"]
    bare, none, twice = (
        loss(
            make_nlp(
                labels=labels,
                model={"precision": "auto"},
                task={"@misc": "spacy-instructner.CLLMFS.v1"},
                objectives=objectives,
            )
        )
        for objectives in (
            {},
            {"one": {**shared, "share": 0.0}},
            {"one": {**shared, "share": 0.04}, "two": {**shared, "share": 0.06}},
        )
    )
    added = loss(nlp) - bare
    assert none == bare
    assert twice - bare == pytest.approx(2 * added, rel=1e-3)
    # No prediction is less surprised by the whole vocabulary than an even one.
    backbone = get_backbone(nlp.get_pipe("instruction_ner").model)
    assert added > 0.05 * math.log(backbone.hf.config.vocab_size)
