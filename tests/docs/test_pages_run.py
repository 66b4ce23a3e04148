"""What the pages say can be done, is done: in order, with the real model."""

import gzip
import importlib.util
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import spacy
from typer.testing import CliRunner

import spacy_instructner.cli
from helpers import pages
from helpers.pages import COMMANDS, DOCS, HOW_TO, README, ROOT, TUTORIAL, blocks

# What is not on this machine: other weights, GPUs, clusters, other data.
ELSEWHERE = (
    *("Qwen/", "google/", "t5.cfg", "models/", "cuda:0", "--gpu-id 0", "--engine ray"),
    *("DATA", "my-data/", "spacy project"),
)
# The page of commands runs the same.
AT_LENGTH = "--only"
IMPORT = DOCS / "how-to" / "import-annotations.md"


def copy_assets(folder: Path) -> None:
    for name in ("assets", "configs"):
        shutil.copytree(ROOT / name, folder / name)


def run_line(line: str, folder: Path, **settings: str) -> None:
    served = line.partition(" instructner serve ")[2]
    if not served:
        pages.run(line, folder, **settings)
    elif importlib.util.find_spec("fastapi"):
        # It ends when somebody ends it.
        pages.serve_briefly(shlex.split(served), folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page,least,made",
    [(README, 6, "page.html"), (COMMANDS, 10, "pages/example.html")],
    ids=["readme", "commands"],
)
def test_commands_run(page: Path, least: int, made: str, tmp_path: Path) -> None:
    copy_assets(tmp_path)
    lines = pages.commands(page)
    assert len(lines) >= least
    for line in lines:
        run_line(line, tmp_path)
    assert (tmp_path / made).is_file()
    assert len(list(tmp_path.glob("*/*/dist/*.whl"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("page", [README, DOCS / "index.md"], ids=pages.name_of)
def test_code_runs(page: Path, tmp_path: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    assert "set_labels" in code or page != README
    (tmp_path / "code.py").write_text(code)
    pages.run("python -m spacy instructner fetch", tmp_path)
    pages.run("python code.py", tmp_path)


def parts(page: Path) -> Iterator[tuple[str, str, str]]:
    """Blocks to run, those of Python that follow one another as one."""
    waiting: list[str] = []
    for mark, language, text in pages.fences(page):
        if language == "python" and not mark:
            waiting.append(text)
        elif language in ("bash", "python"):
            if waiting:
                yield "", "python", "\n".join(waiting)
            waiting = []
            yield mark, language, text
    if waiting:
        yield "", "python", "\n".join(waiting)


@pytest.mark.slow
def test_the_tutorial(tmp_path: Path) -> None:
    """From sentences to a wheel that is installed, in a folder beside the environment."""
    copy_assets(tmp_path)
    found = ["installed", os.environ.get("PYTHONPATH", "")]
    installed = {"PYTHONPATH": os.pathsep.join(filter(None, found))}
    for mark, language, text in parts(TUTORIAL):
        if mark.startswith("file: "):
            (tmp_path / mark.removeprefix("file: ")).write_text(text)
        elif language == "python":
            (tmp_path / "code.py").write_text(text)
            pages.run("python code.py", tmp_path, **(installed if mark else {}))
        else:
            for line in pages.lines_of(text):
                if line == 'python -m pip install ".[wheels]"':
                    continue
                if line.startswith("python -m pip install packages/"):
                    line += " --no-deps --target installed"
                run_line(line, tmp_path)
    assert (tmp_path / "page.html").is_file()
    assert list((tmp_path / "installed").glob("en_garden/__init__.py"))


def shorten(path: Path, count: int) -> None:
    with path.open(encoding="utf8") as lines:
        kept = list(islice(lines, count))
    path.write_text("".join(kept), encoding="utf8")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What how-to pages begin with: a pipeline, its data, and a corpus to annotate."""
    folder = tmp_path_factory.mktemp("workshop")
    copy_assets(folder)
    sentences = folder / "assets" / "workshop"
    shorten(sentences / "train.jsonl", 24)
    shorten(sentences / "test.jsonl", 8)
    pages.run("python -m spacy instructner fetch", folder)
    pages.run("python -m spacy instructner convert assets/workshop corpus", folder)
    (folder / "training").mkdir()
    line = "python -m spacy init nlp configs/fewshot.cfg training/model-last"
    paths = "--paths.train corpus/train.spacy --paths.exclude corpus/test.spacy"
    pages.run(f"{line} {paths} --corpora.train.protocol all", folder)
    with gzip.open(folder / "corpus.jsonl.gz", "wt", encoding="utf8") as corpus:
        corpus.write((sentences / "test.jsonl").read_text(encoding="utf8"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TO, ids=pages.name_of)
def test_how_to(page: Path, workshop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "workshop"
    shutil.copytree(workshop, folder, copy_function=os.link)
    for line in pages.commands(page):
        if any(part in line for part in (*ELSEWHERE, AT_LENGTH)):
            continue
        if " spacy train " in line:
            line += " --training.max_steps 2 --training.eval_frequency 2"
            # Plain spaCy draws nothing.
            line += "" if "distil.cfg" in line else " --corpora.train.protocol all"
        run_line(line, folder)
    if page == pages.EXTEND:
        # Its examples have tests of their own.
        return
    (folder / "code.py").write_text("\n".join(blocks(page, "python")))
    if page.name == "annotation-tools.md":
        pytest.importorskip("datasets")
    # What is no part of the package lies in the project's folder.
    found = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    pages.run("python code.py", folder, PYTHONPATH=os.pathsep.join(found))


def test_little_of_how_to_pages_is_left_out() -> None:
    lines = [line for page in HOW_TO for line in pages.commands(page)]
    run = [line for line in lines if not any(part in line for part in ELSEWHERE)]
    assert len(run) >= 15 and len(run) / len(lines) > 0.6


def rows_of(page: Path) -> Iterator[tuple[str, str, str]]:
    """Blocks of annotations: the section, the end of the name, the text."""
    for section in re.split(r"^## ", pages.text_of(page), flags=re.M)[1:]:
        title = section.partition("\n")[0]
        found = re.findall(r"^```(json|conll)\n(.*?)^```", section, re.M | re.S)
        for language, text in found:
            ends = {"json": "json" if text.startswith('[{"data"') else "jsonl"}
            yield title, ends.get(language, language), text


@pytest.mark.parametrize("title,end,text", rows_of(IMPORT))
def test_annotations_are_imported(
    title: str, end: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / f"train.{end}").write_text(text)
    app = spacy_instructner.cli.app
    arguments = [str(tmp_path / f"train.{end}"), str(tmp_path / "train.spacy")]
    done = CliRunner().invoke(app, ["convert", *arguments])
    assert done.exit_code == 0, done.output
    docs = spacy.tokens.DocBin().from_disk(tmp_path / "train.spacy")
    (doc,) = docs.get_docs(spacy.blank("en").vocab)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("chain", "PART")]
    assert doc.text.startswith("The chain broke")


def test_numbers_of_tags_are_imported(tmp_path: Path) -> None:
    (line,) = [each for each in pages.commands(IMPORT) if "--tag-names" in each]
    arguments = shlex.split(line)[4:]
    row = {"tokens": ["The", "chain", "broke"], "ner_tags": [0, 1, 0]}
    (tmp_path / "numbers.jsonl").write_text(json.dumps(row))
    paths = [str(tmp_path / Path(each).name) for each in arguments[1:3]]
    done = CliRunner().invoke(
        spacy_instructner.cli.app, ["convert", *paths, *arguments[3:]]
    )
    assert done.exit_code == 0, done.output
    docs = spacy.tokens.DocBin().from_disk(tmp_path / "numbers.spacy")
    (doc,) = docs.get_docs(spacy.blank("en").vocab)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("chain", "PART")]
