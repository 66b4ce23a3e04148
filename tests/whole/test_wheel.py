"""A trained pipeline as a wheel: installed from a wheelhouse into a new environment,
run without a network and without caches."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from thinc.api import Adam

from helpers.pipelines import LORA
from helpers.places import ROOT
from helpers.training import examples, initialized, train_by_hand

TEXTS = ["Anna met Bert in Paris.", "Rome, Paris and Anna", "", "It is an old place."]
ANSWER = """
import json, socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("a socket was opened")

socket.socket.connect = refuse
socket.create_connection = refuse
socket.getaddrinfo = refuse
import spacy, torch
torch.set_num_threads(1)
nlp = spacy.load(sys.argv[1])
rows = []
for doc in nlp.pipe(json.loads(sys.argv[2])):
    group = doc.spans["instruction_ner"]
    scores = [float(score) for score in group.attrs["scores"]]
    rows.append([[s.start, s.end, s.label_, x] for s, x in zip(group, scores)])
print(json.dumps(rows))
"""


def run(*arguments: object, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        # pip would take what lies on this path for installed.
        env={**os.environ, "PYTHONPATH": "", **environment},
        cwd=cwd or ("/" if environment else None),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def answers(python: object, pipeline: object, home: Path) -> list:
    """What a pipeline says in a process with no caches at hand."""
    out = run(
        python,
        "-c",
        ANSWER,
        pipeline,
        json.dumps(TEXTS),
        HOME=str(home),
        XDG_CACHE_HOME=str(home),
        HF_HOME=str(home),
        SPACY_INSTRUCTNER_CACHE=str(home / "none"),
    )
    return json.loads(out.splitlines()[-1])


def close(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        a[:3] == b[:3] and abs(a[3] - b[3]) <= 1e-6
        for mine, theirs in zip(one, other)
        for a, b in zip(mine, theirs, strict=True)
    )


@pytest.mark.slow
def test_wheel_in_a_new_environment(
    make_nlp: Callable[..., Language], tmp_path: Path
) -> None:
    nlp = initialized(make_nlp, model={"adapter": LORA})
    train_by_hand(nlp, 20, Adam(1e-2))
    # The source of the weights must not be missed.
    nlp.config["components"]["instruction_ner"]["model"]["name"] = "/gone/away"
    nlp.to_disk(tmp_path / "pipeline")
    expected = answers(sys.executable, tmp_path / "pipeline", tmp_path)
    assert sum(map(len, expected)) > 2

    # fmt: off
    run(
        sys.executable, "-m", "spacy", "package", tmp_path / "pipeline", tmp_path,
        "--name", "tiny", "--version", "1.2.3", "--build", "wheel",
    )
    house = tmp_path / "wheelhouse"
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", house, ROOT)
    (wheel,) = tmp_path.glob("en_tiny-1.2.3/dist/*.whl")
    # The requirement on this package is found by itself.
    run(
        sys.executable, "-m", "pip", "download", "-q", "--dest", house,
        "--constraint", ROOT / "constraints.txt", "--find-links", house, wheel,
    )
    run(sys.executable, "-m", "venv", tmp_path / "new")
    python = tmp_path / "new" / "bin" / "python"
    run(
        python, "-m", "pip", "install", "-q", "--no-index", "--find-links", house,
        "en-tiny",
    )
    # fmt: on
    installed = run(python, "-m", "pip", "list").lower()
    assert "spacy-instructner" in installed and "pytest" not in installed
    assert close(answers(python, "en_tiny", tmp_path), expected)


ASK = """
import json, socket, sys, time

def refuse(*args, **kwargs):
    raise AssertionError("a socket was opened")

socket.socket.connect = refuse
socket.create_connection = refuse
socket.getaddrinfo = refuse
import spacy, torch
torch.set_num_threads(1)
begin = time.perf_counter()
nlp = spacy.load("en_instruction_ner_smol")
seconds = time.perf_counter() - begin
asked = {"instruction_ner": {"labels": ["PERSON", "CITY"]}}
(doc,) = nlp.pipe(["Ada Lovelace moved from London to Paris."], component_cfg=asked)
assert "CITY" not in nlp.get_pipe("instruction_ner").labels
print(json.dumps([seconds, [[ent.text, ent.label_] for ent in doc.ents]]))
"""


@pytest.mark.slow
def test_wheel_of_the_base(tmp_path: Path) -> None:
    """`package-base`, in a copy of the project: it needs nothing but its wheelhouse, and
    looks for labels that a call brings."""
    project = tmp_path / "project"
    made = {"training", "packages", "corpus", "metrics", "demo", "benchmarks"}

    def left_out(folder: str, names: list[str]) -> list[str]:
        # The package has folders of these names, too.
        top = Path(folder) == ROOT
        return [each for each in names if each[0] == "." or (top and each in made)]

    shutil.copytree(ROOT, project, ignore=left_out)
    spacy_project = (sys.executable, "-m", "spacy", "project", "run")
    name = ("--vars.name", "instruction_ner_smol")
    run(*spacy_project, "package-base", cwd=project)
    run(*spacy_project, "wheelhouse", ".", *name, cwd=project)
    house = project / "packages" / "wheelhouse"
    run(sys.executable, "-m", "venv", tmp_path / "new")
    python = tmp_path / "new" / "bin" / "python"
    # fmt: off
    run(
        python, "-m", "pip", "install", "-q", "--no-index", "--find-links", house,
        "en-instruction-ner-smol",
    )
    # fmt: on
    home = {"HOME": str(tmp_path), "SPACY_INSTRUCTNER_CACHE": str(tmp_path / "none")}
    seconds, found = json.loads(run(python, "-c", ASK, **home).splitlines()[-1])
    assert ["Ada Lovelace", "PERSON"] in found and ["Paris", "CITY"] in found
    assert seconds < 20


@pytest.mark.long
def test_the_package_requires_this_one(
    make_nlp: Callable[..., Language], tmp_path: Path
) -> None:
    nlp = initialized(make_nlp)
    nlp.to_disk(tmp_path / "pipeline")
    # fmt: off
    run(
        sys.executable, "-m", "spacy", "package", tmp_path / "pipeline", tmp_path,
        "--name", "tiny", "--build", "none",
    )
    # fmt: on
    meta: dict = json.loads((tmp_path / "en_tiny-0.0.0" / "meta.json").read_text())
    required = {line.split(">")[0].split("=")[0] for line in meta["requirements"]}
    assert "spacy-instructner" in required
    inside = tmp_path / "en_tiny-0.0.0" / "en_tiny" / "en_tiny-0.0.0"
    again = spacy.load(inside)
    for example in examples(nlp):
        one, other = nlp(example.text), again(example.text)
        assert [str(e) for e in one.ents] == [str(e) for e in other.ents]
