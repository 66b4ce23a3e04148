"""`python -m spacy instructner render`"""

import re
from collections.abc import Callable
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

import spacy_instructner.cli  # noqa: F401
from helpers.cli import fail, run


def test_render(make_nlp: Callable, tmp_path: Path) -> None:
    make_nlp().to_disk(tmp_path / "pipeline")
    (tmp_path / "texts.txt").write_text(
        'Anna said "no" & left <Rome>.\n\n$5 for Bert\n'
    )
    page = tmp_path / "pages" / "a.html"
    # fmt: off
    output = run(
        "render", tmp_path / "pipeline", page,
        "--input", tmp_path / "texts.txt", "--text", "Paris",
    )
    # fmt: on
    assert "Score" in output and '"no" & left' in output
    html = page.read_text()
    assert "&lt;Rome&gt;" in html and "Paris" in html and "PERSON 0." in html
    assert "Cannot load" in fail("render", tmp_path / "nothing", page, "-t", "x")
    assert "There is no text" in fail("render", tmp_path / "pipeline", page)


def test_render_without_labels_says_so(make_nlp: Callable, tmp_path: Path) -> None:
    make_nlp(labels=[]).to_disk(tmp_path / "pipeline")
    output = fail("render", tmp_path / "pipeline", tmp_path / "a.html", "-t", "x")
    assert "Cannot annotate with" in output and "has no labels" in output
    assert not (tmp_path / "a.html").exists()


@Language.component("fussy_in_a_command")
def fussy(doc: Doc) -> Doc:
    if "BOOM" in doc.text:
        raise RuntimeError("not <this> one")
    return doc


def test_render_shows_which_text_failed(make_nlp: Callable, tmp_path: Path) -> None:
    nlp = make_nlp()
    nlp.add_pipe("fussy_in_a_command")
    nlp.add_pipe("merge_entities")
    nlp.to_disk(tmp_path / "pipeline")
    page = tmp_path / "a.html"
    own = ["render", tmp_path / "pipeline", page]
    output = run(*own, "-t", "BOOM & <b>", "-t", "Anna met Bert in Paris.")
    assert "Not annotated" in output and "Score" in output
    html = page.read_text()
    assert "Not annotated: fussy_in_a_command: RuntimeError: not &lt;this&gt;" in html
    assert "BOOM &amp; &lt;b&gt;" in html and re.search("(PERSON|PLACE) 0[.]", html)
    page.unlink()
    assert "None of the texts" in fail(*own, "-t", "BOOM")
    assert not page.exists()


def test_render_reads_as_annotate_does(make_nlp: Callable, tmp_path: Path) -> None:
    pipeline, page = tmp_path / "pipeline", tmp_path / "a.html"
    make_nlp().to_disk(pipeline)
    texts = tmp_path / "a.txt"
    texts.write_bytes(b"\xef\xbb\xbfAnna in Rome\nRen\xe9 in Rome\n")
    output = run("render", pipeline, page, "--input", texts)
    why = "line 2: its byte 4 (0xE9) is not UTF-8"
    assert why in output and "Not annotated" in output
    html = page.read_text()
    assert "\ufeff" not in html and "Anna" in html and why in html
    texts.write_bytes(b"Ren\xe9 in Rome\n")
    told = fail("render", pipeline, page, "--input", texts)
    assert "None of the texts" in told and "its byte 4 (0xE9)" in told
    run("render", pipeline, page, "--input", texts, "--encoding", "cp1252")
    assert "René" in page.read_text()
    texts.write_text("Anna", encoding="utf-16")
    told = fail("render", pipeline, page, "--input", texts)
    assert "Cannot read the texts" in told and "UTF-16" in told
    assert "overwritten" in fail("render", pipeline, texts, "--input", texts)
    make_nlp(labels=[]).to_disk(pipeline)
    assert "has no labels" in fail("render", pipeline, page, "--text", "Anna")
