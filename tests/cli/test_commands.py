"""`python -m spacy instructner …`: average, find-threshold, sample, fetch, and `--code`."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import spacy_instructner.cli  # noqa: F401
from helpers.cli import ASSETS, docs, fail, run


def test_average_tells_what_has_no_mean(tmp_path: Path) -> None:
    output = fail("average", tmp_path / "mean", tmp_path / "one", tmp_path / "two")
    assert "no saved model in" in output and "info.json is missing" in output


def test_average_does_not_write_over_what_it_reads(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "info.json").write_text(name)
    output = fail("average", tmp_path / "two", tmp_path / "one", tmp_path / "two")
    assert "would be overwritten" in output
    assert (tmp_path / "two" / "info.json").read_text() == "two"


def test_find_threshold_leaves_out_what_fails(
    make_nlp: Callable, tmp_path: Path
) -> None:
    nlp = make_nlp()
    nlp.add_pipe("fussy_in_a_command", first=True)
    nlp.to_disk(tmp_path / "pipeline")
    rows = [
        {"text": text, "spans": [{"start": 0, "end": 4, "label": "PERSON"}]}
        for text in ("Anna met Bert.", "BOOM", "Carl is in Rome.")
    ]
    for name, own in (("some", rows), ("good", rows[::2]), ("bad", rows[1:2])):
        text = "\n".join(map(json.dumps, own))
        (tmp_path / f"{name}.jsonl").write_text(text)
    own = ["find-threshold", tmp_path / "pipeline"]
    some = run(*own, tmp_path / "some.jsonl")
    assert "Text 2 does not count: fussy_in_a_command" in some
    assert run(*own, tmp_path / "good.jsonl") in some
    assert "None of the 1 texts" in fail(*own, tmp_path / "bad.jsonl")


def test_sample(tmp_path: Path) -> None:
    # fmt: off
    output = run(
        "sample", ASSETS / "train.jsonl", tmp_path / "a.spacy",
        "--k", 5, "--seed", 1, "--exclude", ASSETS / "test.jsonl",
    )
    # fmt: on
    drawn = docs(tmp_path / "a.spacy")
    assert f"{len(drawn)} sentences" in output
    assert 5 <= len(drawn) < 40
    again = tmp_path / "b.spacy"
    run("sample", ASSETS / "train.jsonl", again, "--k", 5, "--seed", 1)
    assert [doc.text for doc in docs(again)] == [doc.text for doc in drawn]


def test_sample_says_which_labels_fall_short(tmp_path: Path) -> None:
    source = ASSETS / "train.jsonl"
    output = run("sample", source, tmp_path / "a.spacy", "--k", 50)
    assert "Fewer than 50 entities of: BIKE, SIZE, SUPPLY, TOOL" in output


@pytest.mark.parametrize("arguments", [("--protocol", "best"), ("--k", "0")])
def test_sample_refuses(tmp_path: Path, arguments: tuple) -> None:
    source = ASSETS / "train.jsonl"
    assert "Cannot draw" in fail("sample", source, tmp_path / "a.spacy", *arguments)
    assert not (tmp_path / "a.spacy").exists()


def test_fetch_says_where_weights_lie(tiny_causal: Path) -> None:
    output = run("fetch", tiny_causal)
    assert str(tiny_causal) in output.replace(" ", "") and "SHA-256" in output


def test_fetch_says_why_not(tmp_path: Path) -> None:
    assert "no config.json" in fail("fetch", tmp_path)


OWN = """
from spacy.language import Language

@Language.component("own_of_test_cli")
def own(doc):
    return doc
"""


@pytest.mark.long
def test_code_that_a_pipeline_needs(make_nlp: Callable, tmp_path: Path) -> None:
    code = tmp_path / "own.py"
    code.write_text(OWN)
    script = (
        "import sys, spacy; exec(open(sys.argv[2]).read()); "
        "nlp = spacy.load(sys.argv[1]); nlp.add_pipe('own_of_test_cli'); "
        "nlp.to_disk(sys.argv[1] + '-own')"
    )
    folder = tmp_path / "pipeline"
    make_nlp().to_disk(folder)
    subprocess.run([sys.executable, "-c", script, folder, code], check=True)
    own = f"{folder}-own"
    (tmp_path / "data.jsonl").write_text('{"text": "Anna in Rome", "spans": []}\n')
    for line in (
        ("render", own, tmp_path / "a.html", "--text", "Anna"),
        ("evaluate", own, tmp_path / "data.jsonl"),
        ("debug-data", f"{own}/config.cfg", tmp_path / "data.jsonl"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "spacy", "instructner", *line, "--code", code],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
