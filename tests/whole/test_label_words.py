"""Words for labels that are not there are told."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly

import spacy_instructner.cli  # noqa: F401
from helpers.pipelines import MakeNLP
from helpers.settings import WORDS, pipe_of
from helpers.shipped_configs import good, run
from helpers.training import gold_docs
from spacy_instructner.tasks.labels import unasked_words

NAME = "instruction_ner"


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
