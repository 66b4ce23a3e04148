"""From a trained pipeline to a small one that has learned from it: the workflow `distil`."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly

from helpers import pages
from helpers.cli import docs
from helpers.pipelines import MakeNLP
from helpers.places import ROOT
from helpers.shipped_configs import good

PROJECT = srsly.read_yaml(ROOT / "project.yml")
STEPS = ("shots", "annotate", "collect", "train-student", "compare")
# Made by commands that this workflow shares with others.
BEFORE = ("fetch", "convert", "train")


def commands() -> dict[str, Any]:
    own = {command["name"]: command for command in PROJECT["commands"]}
    return {name: own[name] for name in PROJECT["workflows"]["distil"]}


def filled(text: str, **settings: object) -> str:
    for name, value in {**PROJECT["vars"], **settings}.items():
        text = text.replace(f"${{vars.{name}}}", str(value))
    return text


def test_every_input_is_declared_and_made_before() -> None:
    found = commands()
    assert tuple(found) == (*BEFORE, *STEPS)
    made: set[str] = set()
    for name, command in found.items():
        for path in map(filled, command.get("deps", ())):
            shipped = (ROOT / path).exists()
            assert shipped or path in made, (name, path)
        made |= set(map(filled, command.get("outputs", ())))
        script = filled(" ".join(command["script"]))
        if name in STEPS:
            # What a script reads of what was made is a dependency, or its folder is.
            deps = " ".join(map(filled, command["deps"]))
            read = [w for w in script.split() if w.startswith(("corpus/", "training/"))]
            assert all(w in deps or any(w in out for out in made) for w in read), name
            assert command["outputs"], name


@pytest.mark.long
def test_the_commands_on_a_tiny_teacher(
    make_nlp: MakeNLP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each script as it stands in project.yml, with a teacher that has learned nothing."""
    monkeypatch.chdir(tmp_path)
    for name in ("assets/workshop", "configs"):
        shutil.copytree(ROOT / name, name)
    teacher = make_nlp(labels=["PART", "TOOL"])
    teacher.initialize()
    Path("training").mkdir()
    teacher.to_disk("training/model-last")
    good("instructner", "convert", "assets/workshop", "corpus")
    # Of the rows that nobody annotated, few: decoding is slow where nothing is learned.
    lines = Path("assets/workshop/train.jsonl").read_text().splitlines()[:12]
    Path("few.jsonl").write_text("\n".join(lines))
    settings = {"k": 1, "unlabelled": "few.jsonl", "student_steps": 200}
    for name in STEPS:
        for line in commands()[name]["script"]:
            good(*shlex.split(filled(line, **settings))[3:])
        for output in commands()[name]["outputs"]:
            assert Path(filled(output)).is_file(), output
    shots, train = (
        docs(Path("corpus/shots.spacy")),
        docs(Path("corpus/distil/train.spacy")),
    )
    dev, test = docs(Path("corpus/distil/dev.spacy")), docs(Path("corpus/test.spacy"))
    learned = {doc.text for doc in [*train, *dev]}
    assert {doc.text for doc in shots} <= {doc.text for doc in train}
    assert not learned & {doc.text for doc in test}
    assert learned == {doc.text for doc in shots} | {
        json.loads(x)["text"] for x in lines
    }
    rows = json.loads(Path("metrics/distil.json").read_text())
    assert [row["pipeline"] for row in rows] == [
        "training/model-last",
        "training/student/model-best",
    ]
    assert [row["texts"] for row in rows] == [90, 90]
    student = spacy.load("training/student/model-best")
    assert student.pipe_names == ["tok2vec", "ner"]
    # The labels of the shots are learned, too.
    assert set(student.get_pipe("ner").labels) >= {"PART", "FAULT", "BIKE"}


@pytest.mark.slow
def test_the_workflow(tmp_path: Path) -> None:
    """From a clean checkout, with the real weights; the teacher learns for two steps."""
    for name in ("assets", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "project.yml", tmp_path)
    line = (
        "python -m spacy project run distil . --vars.steps 2 --vars.student_steps 400"
    )
    pages.run(line, tmp_path)
    rows = json.loads((tmp_path / "metrics" / "distil.json").read_text())
    teacher, student = rows
    assert teacher["f1"] > 0.2 and 0.1 < student["f1"] <= 1.0
    assert student["words"] == teacher["words"] > 500
    # Faster by far, and smaller.
    assert student["cpu_seconds"] < teacher["cpu_seconds"] / 10
    assert student["megabytes"] < teacher["megabytes"] / 10
    # A second time there is nothing to do.
    said = pages.run(line, tmp_path)
    for name in ("shots", "collect", "train-student", "compare"):
        assert f"Skipping '{name}': nothing changed" in said, name
