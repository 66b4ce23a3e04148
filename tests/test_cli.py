"""`python -m spacy instructner …`"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.cli._util import app
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from typer.testing import CliRunner

import spacy_instructner.cli  # noqa: F401

ASSETS = Path(__file__).parents[1] / "assets" / "workshop"
RUNNER = CliRunner()


def run(*arguments: object) -> str:
    done = RUNNER.invoke(app, ["instructner", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def fail(*arguments: object) -> str:
    done = RUNNER.invoke(app, ["instructner", *map(str, arguments)])
    assert done.exit_code == 1, done.output
    return " ".join(done.output.split())


def docs(path: Path) -> list:
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def test_convert(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.spacy"
    output = run("convert", ASSETS / "test.jsonl", target)
    assert "90 sentences, 250 entities" in output
    assert "PART" in output and "left out" not in output
    assert sum(len(doc.ents) for doc in docs(target)) == 250


def test_convert_reports_every_misaligned_span(tmp_path: Path) -> None:
    rows = [
        {"text": "Anna met", "spans": [{"start": 0, "end": 2, "label": "PER"}]},
        {"text": "Bert met", "spans": [{"start": 1, "end": 4, "label": "PER"}]},
    ]
    source = tmp_path / "a.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    output = run("convert", source, tmp_path / "a.spacy")
    assert "line 1" in output and "line 2" in output
    assert "2 spans were left out" in output
    assert len(docs(tmp_path / "a.spacy")) == 2


def test_convert_a_folder(tmp_path: Path) -> None:
    output = run("convert", ASSETS, tmp_path)
    assert "150 sentences" in output and "90 sentences" in output
    assert [len(docs(tmp_path / f"{s}.spacy")) for s in ("train", "test")] == [150, 90]
    assert "has no JSON Lines" in fail("convert", ASSETS.parent, tmp_path)
    for name in ("a.jsonl", "a.jsonl.gz"):
        (tmp_path / name).write_text("")
    assert "one .spacy file" in fail("convert", tmp_path, tmp_path)


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


def test_convert_names_the_bad_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("nonsense")
    assert "line 1" in fail("convert", tmp_path / "a.jsonl", tmp_path / "a.spacy")


def test_convert_says_what_it_cannot_write(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    row = {"text": "Anna met", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
    source.write_text(json.dumps(row))
    before = source.read_bytes()
    (tmp_path / "corpus").mkdir()
    assert "1 sentences" in run("convert", source, tmp_path / "corpus")
    assert len(docs(tmp_path / "corpus" / "a.spacy")) == 1
    assert "neither a folder" in fail("convert", source, tmp_path / "new")
    assert "neither a folder" in fail("convert", source, source)
    own = tmp_path / "corpus" / "a.spacy"
    assert "would be overwritten" in fail("convert", own, own)
    assert "would be overwritten" in fail("sample", own, tmp_path / "corpus", "-k", 1)
    assert source.read_bytes() == before and len(docs(own)) == 1
    assert not (tmp_path / "new").exists()
    assert "is a file" in fail("convert", tmp_path, source)
    assert "There is no file" in fail("sample", tmp_path / "none", own)


def test_commands_read_other_encodings(tmp_path: Path) -> None:
    source, target = tmp_path / "a.JSONL", tmp_path / "a.spacy"
    row = {"text": "Åsa met", "spans": [{"start": 0, "end": 3, "label": "PER"}]}
    source.write_text(json.dumps(row, ensure_ascii=False), encoding="cp1252")
    told = fail("convert", source, target)
    assert "line 1" in told and "0xC5" in told and "--encoding cp1252" in told
    run("convert", source, target, "--encoding", "cp1252")
    assert [ent.text for ent in docs(target)[0].ents] == ["Åsa"]
    drawn = tmp_path / "b.spacy"
    assert "0xC5" in fail("sample", source, drawn, "-k", 1)
    run(
        "sample",
        source,
        drawn,
        "-k",
        1,
        "--encoding",
        "cp1252",
        "-x",
        target,
        "-p",
        "all",
    )
    assert docs(drawn) == []
    assert "not 'latin99'" in fail("convert", source, target, "--encoding", "latin99")


def test_convert_counts_what_was_rejected(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    row = {"text": "Anna met", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
    rows = [row, {**row, "answer": "reject"}, {**row, "answer": "ignore"}]
    source.write_text("\n".join(map(json.dumps, rows)))
    output = run("convert", source, tmp_path / "a.spacy")
    assert "2 texts were left out" in output and "1 sentences, 1 entities" in output
    source.write_text('{"tokens": ["Anna", "met"], "ner_tags": [1, 0]}')
    assert "--tag-names" in fail("convert", source, tmp_path / "a.spacy")
    output = run("convert", source, tmp_path / "a.spacy", "--tag-names", "O, B-PER")
    assert "1 sentences, 1 entities" in output


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


def debug(
    tiny: Path,
    tmp_path: Path,
    *arguments: object,
    fails: bool = False,
    task: str = "InstructionNER",
) -> str:
    config = tmp_path / "debug.cfg"
    config.write_text(
        "[paths]\ndefinitions = null\n"
        "[initialize]\n[initialize.components]\n"
        "[initialize.components.instruction_ner]\n"
        "[initialize.components.instruction_ner.definitions]\n"
        '@readers = "spacy-instructner.LabelWords.v1"\npath = ${paths.definitions}\n'
        '[nlp]\nlang = "en"\npipeline = ["instruction_ner"]\n'
        '[components]\n[components.instruction_ner]\nfactory = "instruction_ner"\n'
        "max_window = 60\nwindow_overlap = 10\n"
        "[components.instruction_ner.model]\n"
        '@architectures = "spacy-instructner.CausalLM.v1"\n'
        f'name = "{tiny}"\n'
        "[components.instruction_ner.task]\n"
        f'@misc = "spacy-instructner.{task}.v1"\n'
    )
    return (fail if fails else run)("debug-data", config, *arguments)


def test_debug_data_on_sound_data(tiny_causal: Path, tmp_path: Path) -> None:
    rows = [
        {"text": f"Anna {n} met", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
        for n in range(6)
    ]
    rows.append({"text": "No one", "spans": []})
    source = tmp_path / "a.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    output = debug(tiny_causal, tmp_path, source)
    assert (
        "Training is possible with these data" in output
        and "more than once" not in output
    )


def test_debug_data_finds_everything(tiny_causal: Path, tmp_path: Path) -> None:
    def row(text: str, *spans: tuple) -> dict:
        keys = ("start", "end", "label")
        return {"text": text, "spans": [dict(zip(keys, span)) for span in spans]}

    train = [
        row("Anna met", (0, 4, "PER")),
        row("Anna met", (0, 4, "PLACE")),  # the same text, in two ways
        row("Bert is in Rome", (0, 2, "PER"), (11, 15, "PLACE")),  # misaligned
        row("Rome or Paris", (0, 13, "PLACE"), (8, 13, "PLACE")),  # overlapping
        row("x" * 500 + " in Rome", (0, 500, "PER")),  # cannot be said
        row("Anna met Bert in Paris " * 20, (0, 4, "PER")),  # over the window
    ]
    test = [row("Anna  met", (0, 4, "PER")), row("Blue", (0, 4, "COLOR"))]
    for name, rows in (("train", train), ("test", test)):
        text = "\n".join(map(json.dumps, rows))
        (tmp_path / f"{name}.jsonl").write_text(text)
    files = (tmp_path / "train.jsonl", "--test", tmp_path / "test.jsonl")
    output = debug(tiny_causal, tmp_path, *files)
    for finding in (
        "line 3: PER at 0-2 ('Be') does not fall on token borders",
        "line 4: PLACE at 8-13 ('Paris') overlaps",
        "1 texts occur more than once",
        "1 texts are annotated in two ways",
        "1 test texts are in the training data",
        "Only the test data has these labels: COLOR",
        "Every text has an entity",
        "fewer than 5 examples of: PER, PLACE",
        "1 texts are cut into windows",
        "1 entities fit into no answer",
    ):
        assert finding in output, finding


def test_debug_data_knows_what_labels_mean(tiny_causal: Path, tmp_path: Path) -> None:
    spans = [
        {"start": 0, "end": 4, "label": "PER"},
        {"start": 9, "end": 13, "label": "PAL"},
    ]
    source, words = tmp_path / "a.jsonl", tmp_path / "words.json"
    source.write_text(json.dumps({"text": "Anna met Bert", "spans": spans}))
    words.write_text(json.dumps({"PER": "somebody's name"}))
    given = ("--paths.definitions", words)

    def without(*arguments: object, task: str = "CLLMFS") -> list[str]:
        output = debug(tiny_causal, tmp_path, source, *arguments, task=task)
        # An empty answer is learnt from every label that does not occur.
        assert ("Every text has an entity" in output) == (task == "InstructionNER")
        return re.findall(
            r"labels have no definition: ([\w, ]+)\.", " ".join(output.split())
        )

    assert without() == ["PAL, PER"]
    assert without(*given) == ["PAL"]
    assert without(task="InstructionNER") == []
    words.write_text(json.dumps({"PER": "somebody's name", "PAL": "a friend"}))
    assert without(*given) == []
    words.write_text("[]")
    output = debug(tiny_causal, tmp_path, source, *given, fails=True)
    assert "must hold one JSON object" in " ".join(output.split())


def test_debug_data_names_colliding_labels(tiny_causal: Path, tmp_path: Path) -> None:
    spans = [
        {"start": 0, "end": 4, "label": "A_B"},
        {"start": 9, "end": 13, "label": "A-B"},
    ]
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"text": "Anna met Bert", "spans": spans}))
    output = debug(tiny_causal, tmp_path, source, fails=True)
    assert "both called 'a b'" in output


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
