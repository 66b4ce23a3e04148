"""Settings that are accepted are heard, and those that are not heard are refused."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.util import load_config, load_model_from_config
from test_config import CONFIGS
from test_entry_points import OURS, STEPS, data, encoder, good, run, small  # noqa: F401
from test_training import gold_docs
from thinc.api import Config

import spacy_instructner.cli  # noqa: F401
from spacy_instructner.component import InstructionNERPipe
from spacy_instructner.tasks.labels import unasked_words

MakeNLP = Callable[..., Language]
NAME = "instruction_ner"
TEXT = "Anna met Bert in Paris and Carl in Rome."
WORDS = {"label_names": {"PERSON": "human"}, "label_definitions": {"PLACE": "a town"}}


def pipe_of(nlp: Language) -> InstructionNERPipe:
    pipe = nlp.get_pipe(NAME)
    assert isinstance(pipe, InstructionNERPipe)
    return pipe


# Development data.


@pytest.mark.parametrize("name", OURS)
def test_development_data_is_read_or_refused(
    small: Callable[[str], Path],  # noqa: F811
    tmp_path: Path,
    name: str,
) -> None:
    done = run("train", small(name), "--paths.dev", tmp_path / "none.spacy")
    assert done.exit_code == 1
    if name == "base.cfg":
        assert "`paths.dev` is " in str(done.exception) + done.output
        assert "nothing in this config reads it" in str(done.exception)
    else:
        assert "none.spacy" in str(done.exception)


@pytest.mark.parametrize("name", ["fewshot.cfg", "zeroshot.cfg"])
def test_development_data_is_what_is_scored(
    small: Callable[[str], Path],  # noqa: F811
    tmp_path: Path,
    name: str,
) -> None:
    nlp = spacy.blank("en")
    docs = [*gold_docs(nlp), nlp("Anna"), nlp("Only here.")]
    for doc in docs:
        doc.set_ents(list(doc.ents), default="outside")
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    config = load_config(small(name), overrides={"paths.exclude": None})
    for dev in (str(tmp_path / "dev.spacy"), None):
        config["paths"]["dev"] = dev
        loaded = load_model_from_config(config)
        corpora = spacy.util.registry.resolve(loaded.config.interpolate()["corpora"])
        own, support = (
            [example.text for example in corpora[name](loaded)]
            for name in ("dev", "train")
        )
        assert 3 <= len(support) <= 4
        # All of it, in order; without any, the support set, as ever.
        assert own == ([doc.text for doc in docs] if dev else support)
    # fmt: off
    demonstrations = good(
        "train", small(name), "--paths.dev", tmp_path / "dev.spacy",
        "--training.max_steps", STEPS, "--training.eval_frequency", STEPS,
    )
    # fmt: on
    assert "ENTS_F" in demonstrations


def test_paths_that_nothing_reads_are_refused(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    nlp.initialize()
    nlp.config["corpora"].clear()
    for name in ("train", "dev", "exclude", "definitions"):
        nlp.config["paths"][name] = "some/file"
        with pytest.raises(ValueError, match=f"`paths.{name}` is 'some/file', but"):
            nlp.initialize()
        nlp.config["corpora"][f"of_{name}"] = {"path": f"${{paths.{name}}}"}
        nlp.initialize()
    # Written out, it is read as well; other names are the user's own.
    nlp.config["corpora"].clear()
    nlp.config["corpora"]["mine"] = {"path": "some/file"}
    nlp.config["paths"]["mine"] = "another"
    nlp.initialize()


# Words for labels that are not there.


@pytest.mark.parametrize(
    "label,meant",
    [
        ("Person", "PERSON"),
        ("PRESON", "PERSON"),
        ("creative-work", "CREATIVE_WORK"),
        ("Creative Work", "CREATIVE_WORK"),
        ("PERSONS", "PERSON"),
        ("ZEBRA", None),
    ],
)
def test_near_misses(label: str, meant: str | None) -> None:
    labels = ["PLACE", "PERSON", "CREATIVE_WORK"]
    (said,) = unasked_words(labels, names={label: "x", "PERSON": "y"}, other=None)
    assert said.startswith(f"`names` has {label!r}, which is none of the labels")
    assert said.endswith(f": is {meant!r} meant?" if meant else "labels.")


def heard(call: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
    return [str(each.message) for each in said if "none of the labels" in str(each)]


def test_words_for_labels_that_are_not_there(make_nlp: MakeNLP) -> None:
    wrong = {"label_names": {"PRESON": "human"}, "label_definitions": {"Place": "x"}}
    expected = [
        "`label_names` has 'PRESON', which is none of the labels: is 'PERSON' meant?",
        "`label_definitions` has 'Place', which is none of the labels: is 'PLACE' meant?",
    ]
    assert heard(lambda: make_nlp(**wrong)) == expected
    assert heard(lambda: make_nlp(**WORDS)) == []
    # Which labels there are is known once data were seen.
    nlp = make_nlp(labels=[], **wrong)
    assert heard(lambda: make_nlp(labels=[], **wrong)) == []
    docs = gold_docs(nlp)
    examples = [spacy.training.Example(nlp.make_doc(doc.text), doc) for doc in docs]
    assert heard(lambda: nlp.initialize(lambda: examples)) == expected
    nlp = make_nlp(labels=[], **wrong)
    given_ = {"labels": ["PERSON", "PLACE"]}
    nlp.config["initialize"]["components"][NAME] = given_
    assert heard(lambda: nlp.initialize(lambda: examples)) == expected
    pipe = pipe_of(make_nlp(**WORDS))
    more = {"names": {"PERSN": "human"}}
    own = "`label_names` has 'PERSN', which is none of the labels: is 'PERSON' meant?"
    assert heard(lambda: pipe.set_labels(["PERSON"], **more)) == [own]
    # What is kept of earlier labels was right once.
    assert heard(lambda: pipe.set_labels(["OTHER"])) == []


def test_initialize_says_so_of_a_file(make_nlp: MakeNLP, tmp_path: Path) -> None:
    nlp = make_nlp()
    srsly.write_json(tmp_path / "words.json", {"TOOLS": "x", "PLACE": "y"})
    reader = {"@readers": "spacy-instructner.LabelWords.v1"}
    reader["path"] = str(tmp_path / "words.json")
    nlp.config["initialize"]["components"][NAME] = {"definitions": reader}
    assert heard(nlp.initialize) == [
        "`label_definitions` has 'TOOLS', which is none of the labels."
    ]


def test_debug_data_names_them(
    small: Callable[[str], Path],  # noqa: F811
    data: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    words = {"person": "x", "TOOLS": "y", "PLACE": "z"}
    (tmp_path / "words.json").write_text(json.dumps(words))
    # fmt: off
    said = good(
        "instructner", "debug-data", small("fewshot.cfg"), data / "train.spacy",
        "--paths.definitions", tmp_path / "words.json",
    )
    # fmt: on
    flat = " ".join(said.split())
    assert "has 'person', which is none of the labels: is 'PERSON' meant?" in flat
    assert "has 'TOOLS', which is none of the labels." in flat
    # fmt: off
    refused = run(
        "instructner", "debug-data", small("base.cfg"), data / "train.spacy",
        "--paths.dev", "dev.spacy",
    )
    # fmt: on
    assert refused.exit_code == 1 and "nothing in this config" in refused.output


# Settings at load.

OVERRIDES: list[tuple[str, Any, Any]] = [
    ("threshold", 0.9, 0.9),
    ("labels", ["THING"], ["THING"]),
    ("label_names", {"PLACE": "spot"}, {"PERSON": "human", "PLACE": "spot"}),
    (
        "label_definitions",
        {"PLACE": "a spot"},
        {"PLACE": "a spot", "PERSON": "somebody"},
    ),
]


@pytest.fixture
def saved(make_nlp: MakeNLP, tmp_path: Path) -> Path:
    """Configured, then changed, then saved."""
    nlp = make_nlp(threshold=0.25, **WORDS)
    pipe = pipe_of(nlp)
    pipe.set_labels(["PLACE", "PERSON"], definitions={"PERSON": "somebody"})
    pipe.cfg["threshold"] = 0.5
    nlp.to_disk(tmp_path / "saved")
    return tmp_path / "saved"


KEPT = {
    "threshold": 0.5,
    "labels": ["PLACE", "PERSON"],
    "label_names": {"PERSON": "human"},
    "label_definitions": {"PLACE": "a town", "PERSON": "somebody"},
}


def settings_of(nlp: Language) -> dict[str, Any]:
    return {key: pipe_of(nlp).cfg[key] for key in KEPT}


@pytest.mark.parametrize("key,value,expected", OVERRIDES)
@pytest.mark.parametrize("dotted", [False, True])
def test_what_is_given_to_load_wins(
    saved: Path, tmp_path: Path, key: str, value: Any, expected: Any, dotted: bool
) -> None:
    assert settings_of(spacy.load(saved)) == KEPT
    config: dict[str, Any] = {"components": {NAME: {key: value}}}
    if dotted:
        own = value if isinstance(value, dict) else {"": value}
        path = f"components.{NAME}.{key}"
        config = {f"{path}.{k}".strip("."): said for k, said in own.items()}
    nlp = spacy.load(saved, config=config)
    assert settings_of(nlp) == {**KEPT, key: expected}
    # Saved anew, this is what is there; and it can be given anew.
    nlp.to_disk(tmp_path / "again")
    assert settings_of(spacy.load(tmp_path / "again")) == {**KEPT, key: expected}
    other = spacy.load(tmp_path / "again", config={f"components.{NAME}.threshold": 0.0})
    assert pipe_of(other).cfg["threshold"] == 0.0


def test_what_is_given_is_in_force(saved: Path) -> None:
    config = {"components": {NAME: {"threshold": 1.0, "labels": ["THING"]}}}
    doc = spacy.load(saved, config=config)(TEXT)
    assert {span.label_ for span in doc.spans[NAME]} == {"THING"}
    scores = doc.spans[NAME].attrs["scores"]
    assert len(doc.ents) == sum(score >= 1.0 for score in scores)


def test_what_is_given_is_checked(saved: Path) -> None:
    names = {"PLACE": "human"}
    config = {"components": {NAME: {"label_names": names}}}
    with pytest.raises(ValueError, match="both called 'human'"):
        spacy.load(saved, config=config)


def test_nothing_given_changes_nothing(
    make_nlp: MakeNLP, saved: Path, tmp_path: Path
) -> None:
    # Into a pipeline that has seen something, whatever its config says.
    for nlp in (make_nlp(threshold=0.75), make_nlp(labels=[])):
        pipe_of(nlp).set_labels(["X"])
        assert settings_of(nlp.from_disk(saved)) == KEPT
        nlp.to_disk(tmp_path / "again")
        assert settings_of(spacy.load(tmp_path / "again")) == KEPT
    blank = make_nlp(labels=[], threshold=0.75)
    assert settings_of(blank.from_bytes(spacy.load(saved).to_bytes())) == KEPT
    # Without labels and words of its own, it takes those that are saved.
    fresh = make_nlp(labels=[], threshold=0.25).from_disk(saved)
    assert settings_of(fresh) == KEPT
    # As a part of another pipeline.
    other = spacy.blank("en")
    other.add_pipe(NAME, source=spacy.load(saved))
    other.to_disk(tmp_path / "sourced")
    assert settings_of(spacy.load(tmp_path / "sourced")) == KEPT
    given_ = {"components": {NAME: {"threshold": 0.9}}}
    again = spacy.load(tmp_path / "sourced", config=given_)
    assert settings_of(again) == {**KEPT, "threshold": 0.9}


def test_folders_from_before_go_on_to_load(saved: Path) -> None:
    path = saved / NAME / "cfg"
    cfg = srsly.read_json(path)
    del cfg["configured"]
    srsly.write_json(path, cfg)
    (saved / NAME / "checksums.json").unlink()
    assert settings_of(spacy.load(saved)) == KEPT


def test_a_threshold_that_was_found_can_be_taken_back(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "saved")
    docs = gold_docs(nlp)
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    # fmt: off
    good(
        "instructner", "find-threshold", tmp_path / "saved", tmp_path / "dev.spacy",
        "--output", tmp_path / "found",
    )
    # fmt: on
    found = pipe_of(spacy.load(tmp_path / "found")).cfg["threshold"]
    assert found > 0.0
    config = {"components": {NAME: {"threshold": 0.0}}}
    nlp = spacy.load(tmp_path / "found", config=config)
    assert pipe_of(nlp).cfg["threshold"] == 0.0


# What a config file can hold.

HARD = st.sampled_from(
    list(":=#;@$%{}[]()\\\"'` \t\n\r.,*!<>|&~^\u00a0\u2028\u00df")
    + ["${", "$$", "%(a)s"]
)
LABELS = st.lists(st.one_of(HARD, st.characters(codec="utf-8")), max_size=5).map(
    "".join
)


@pytest.mark.long
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    label=LABELS,
    words=LABELS,
    kind=st.sampled_from(["label_names", "label_definitions"]),
)
def test_any_label_survives_or_is_refused(
    tmp_path: Path, label: str, words: str, kind: str
) -> None:
    nlp = spacy.blank("en")
    config = {"labels": [label, "OTHER"], kind: {label: words}}
    try:
        nlp.add_pipe(NAME, config={**config, "model": NO_WEIGHTS})
    except ValueError:
        # Refused when given; what `set_labels` takes is saved beside the config.
        nlp.add_pipe(NAME, config={"model": NO_WEIGHTS})
        try:
            pipe_of(nlp).set_labels(
                [label, "OTHER"], **{kind.removeprefix("label_"): {label: words}}
            )
        except ValueError:
            return
    text = nlp.config.to_str()
    assert Config().from_str(text)["components"] == nlp.config["components"]
    with warnings.catch_warnings():
        # There are no weights.
        warnings.simplefilter("ignore")
        nlp.to_disk(tmp_path / "saved")
        again = spacy.load(tmp_path / "saved")
        other = spacy.blank("en").from_config(Config().from_str(text))
    assert pipe_of(again).cfg["labels"] == [label, "OTHER"]
    assert pipe_of(again).cfg[kind] == {label: words}
    assert again.config["components"] == nlp.config["components"]
    assert other.config["components"] == nlp.config["components"]


NO_WEIGHTS = {"@architectures": "spacy-instructner.CausalLM.v1", "name": "/none/here"}


@pytest.mark.parametrize(
    "label", ["A:B", "A=B", "#A", ";A", "@A", "A\nB", "A ", " A", "${A}"]
)
def test_keys_that_a_config_cannot_hold_say_what_to_do(label: str) -> None:
    nlp = spacy.blank("en")
    with pytest.raises(ValueError) as error:
        nlp.add_pipe(
            NAME, config={"labels": [label], "label_definitions": {label: "what"}}
        )
    if not label.startswith("@"):
        # (Of those spaCy says itself that it knows no such registry.)
        assert "A config file cannot hold" in str(error.value)
        assert "set_labels" in str(error.value) and repr(label) in str(error.value)


def test_labels_that_only_the_component_holds_go_into_a_package(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp()
    labels = ["A:B", "C = D", "#E", ";F", "@G", "${H}", "I.J"]
    words = {label: f"thing {at}" for at, label in enumerate(labels)}
    pipe_of(nlp).set_labels(labels, names=words, definitions=words)
    nlp.to_disk(tmp_path / "saved")
    (tmp_path / "out").mkdir()
    # fmt: off
    good(
        "package", tmp_path / "saved", tmp_path / "out", "--build", "none",
        "--name", "hard",
    )
    # fmt: on
    (config,) = (tmp_path / "out").glob("*/*/*/config.cfg")
    for folder in (tmp_path / "saved", config.parent):
        again = spacy.load(folder)
        assert pipe_of(again).labels == tuple(labels)
        assert pipe_of(again).cfg["label_definitions"] == words
        doc = again(TEXT)
        assert {span.label_ for span in doc.spans[NAME]} <= set(labels)


# One span group for two.


def test_two_components_of_one_span_group_are_refused(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp()
    with pytest.raises(ValueError, match="'instruction_ner' and 'second' would both"):
        nlp.add_pipe(NAME, name="second", config={"labels": ["THING"]})
    assert nlp.pipe_names == [NAME]
    model = nlp.get_pipe_config(NAME)["model"]
    more = {"labels": ["THING"], "model": model}
    nlp.add_pipe(NAME, name="second", config={**more, "spans_key": "second"})
    doc = nlp(TEXT)
    expected = [span.label_ for span in doc.spans["second"]]
    nlp.rename_pipe("second", "third")
    nlp.to_disk(tmp_path / "both")
    again = spacy.load(tmp_path / "both")
    doc = again(TEXT)
    assert [span.label_ for span in doc.spans["second"]] == expected
    # Edited by hand.
    path = tmp_path / "both" / "config.cfg"
    text = path.read_text().replace('spans_key = "second"', f'spans_key = "{NAME}"')
    path.write_text(text)
    with pytest.raises(ValueError, match="'instruction_ner' and 'third' would both"):
        spacy.load(tmp_path / "both")


def test_sourced_components_of_one_span_group_are_refused(make_nlp: MakeNLP) -> None:
    nlp = spacy.blank("en")
    for name in ("one", "two"):
        nlp.add_pipe(NAME, source=make_nlp(), name=name)
    with pytest.raises(ValueError, match="'one' and 'two' would both"):
        nlp(TEXT)
    said: list[str] = []
    nlp.set_error_handler(
        lambda name, proc, docs, error: said.append(f"{name} {error}")
    )
    assert list(nlp.pipe([TEXT, "Rome"])) == []
    assert len(said) == 2 and all(each.startswith("two The comp") for each in said)


def test_pipelines_of_one_process_may_share_a_span_group(make_nlp: MakeNLP) -> None:
    one, two = make_nlp(), make_nlp(labels=["THING"])
    doc = one(TEXT)
    first = [(s.text, s.label_) for s in doc.spans[NAME]]
    # Also on the same Doc, again and again.
    for _ in range(2):
        assert {span.label_ for span in two(doc).spans[NAME]} == {"THING"}
        assert [(s.text, s.label_) for s in one(doc).spans[NAME]] == first


def test_the_shipped_configs_read_all_their_paths() -> None:
    for path in CONFIGS:
        text = path.read_text()
        config = Config().from_str(text, interpolate=False)
        unread = {name for name in config["paths"] if f"${{paths.{name}}}" not in text}
        # spaCy's defaults, which a base does not read, and refuses.
        assert unread <= ({"train", "dev"} if path.name == "base.cfg" else set()), path
