"""Two components that would write one span group are refused."""

from pathlib import Path

import pytest
import spacy

import spacy_instructner.cli  # noqa: F401
from helpers.pipelines import MakeNLP

NAME = "instruction_ner"
TEXT = "Anna met Bert in Paris and Carl in Rome."


# One span group for two.


def test_two_components_of_one_span_group_are_refused(
    make_nlp: MakeNLP, tmp_path: Path
) -> None:
    nlp = make_nlp()
    with pytest.raises(ValueError, match="'instruction_ner' and 'second' would both"):
        nlp.add_pipe(NAME, name="second", config={"labels": ["THING"]})
    assert nlp.pipe_names == [NAME]
    own = nlp.get_pipe_config(NAME)
    more = {"labels": ["THING"], "model": own["model"], "task": own["task"]}
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
