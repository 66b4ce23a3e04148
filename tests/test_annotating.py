"""A corpus from files to files: what is read, what is kept, what survives a kill."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, DocBin
from thinc.api import Model
from typer.testing import CliRunner

from spacy_instructner.cli import app
from spacy_instructner.corpus.chunk import OutputOptions, annotate_chunk
from spacy_instructner.corpus.output_folder import OutputFolder
from spacy_instructner.corpus.run import Job, annotate_corpus
from spacy_instructner.corpus.texts import (
    Item,
    TextSource,
    chunks,
    pack,
    pieces,
    repaired,
)
from spacy_instructner.files import write_whole

# A pipeline that needs no weights: towns, a component that cannot stand some texts, and
# one that takes its time.
CODE = """
import time
import warnings
from spacy.language import Language
from spacy.tokens import SpanGroup
from spacy_instructner.annotations import register_score

register_score("instruction_ner_score", "instruction_ner")

@Language.component("fussy")
def fussy(doc):
    if "BOOM" in doc.text:
        raise RuntimeError("no such text")
    return doc

@Language.component("scored")
def scored(doc):
    scores = [1 / (1 + ent.start) for ent in doc.ents]
    doc.spans["instruction_ner"] = SpanGroup(doc, spans=doc.ents, attrs={"scores": scores})
    return doc

@Language.component("keeps_thing")
def keeps_thing(doc):
    if "THING" in doc.text:
        doc.user_data["thing"] = object()
    return doc

@Language.component("warns")
def warns(doc):
    warnings.warn("have a care")
    return doc

@Language.component("slow")
def slow(doc):
    time.sleep(0.002)
    return doc
"""
exec(CODE)


def make_pipeline(slow: bool = False) -> Language:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns(
        [{"label": "TOWN", "pattern": t} for t in ("Rome", "Paris", "Åre")]
    )
    nlp.add_pipe("fussy")
    if slow:
        nlp.add_pipe("slow")
    return nlp


def items_of(path: Path, **config: str) -> list[tuple[str, str, str]]:
    return [
        (item.id, item.text, item.problem) for item in TextSource(str(path), **config)
    ]


# What is read.


@pytest.mark.parametrize("packed", [False, True])
def test_kinds_of_input(tmp_path: Path, packed: bool) -> None:
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / (name + ".gz" * packed)
        path.write_bytes(gzip.compress(content) if packed else content)
        return path

    lines = "Rome, \u2028 old\r\n\n  \nÅre \x0b new".encode()
    # Other line separators than a line feed belong to the text.
    expected = [("1", "Rome, \u2028 old", ""), ("4", "Åre \x0b new", "")]
    assert items_of(write("a.txt", lines)) == expected
    assert items_of(write("b.txt", b"\xef\xbb\xbf" + lines)) == expected
    rows = b'{"id": 7, "text": "Rome"}\n\n{"text": "x\\nParis"}\n'
    assert items_of(write("c.jsonl", rows)) == [
        ("7", "Rome", ""),
        ("3", "x\nParis", ""),
    ]
    rows = b'{"n": "a", "body": "Rome"}'
    assert items_of(write("d.jsonl", rows), column="body", id_column="n") == [
        ("a", "Rome", "")
    ]
    table = b'id,text\n1,"Rome, ""old""\nand new"\n,Paris\n'
    assert items_of(write("e.csv", table)) == [
        ("1", 'Rome, "old"\nand new', ""),
        ("2", "Paris", ""),
    ]
    doc = Doc(spacy.blank("en").vocab, words=["Ro", "me"], spaces=[False, False])
    path = write("f.spacy", DocBin(docs=[doc]).to_bytes())
    assert items_of(path) == [("1", "Rome", "")]


def test_what_cannot_be_read_is_a_problem_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "Rome"}\nnothing\n{"text": 3}\n{"body": ""}\n[]\n')
    found = items_of(path)
    assert [(id_, text) for id_, text, _ in found] == [
        ("1", "Rome"),
        *[(str(n), "") for n in (2, 3, 4, 5)],
    ]
    assert [bool(problem) for _, _, problem in found] == [False, True, True, True, True]
    assert "line 2 is not a JSON object with a text 'text'" in found[1][2]
    path = tmp_path / "b.csv"
    path.write_text("id,text\n1\n2,Rome\n")
    assert items_of(path)[0] == ("1", "", "row 1 is too short")


def test_ids_are_the_files_own(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": null, "text": "a"}\n{"id": 0, "text": "b"}\n{"id": "x\\ud800"}\n'
        + '{"id": "deep", "text": '
        + "[" * 200_000
        + "\n"
    )
    found = items_of(path)
    assert [id_ for id_, _, _ in found] == ["1", "0", "x\ufffd", "4"]
    assert "KeyError" in found[2][2] and "nested too deeply" in found[3][2]
    (tmp_path / "b.csv").write_bytes(b"id,text\nx\xff,Rome\n")
    ((id_, text, problem),) = items_of(tmp_path / "b.csv")
    assert (id_, text) == ("x\ufffd", "") and "byte 2 (0xFF) is not UTF-8" in problem
    nlp = make_pipeline()
    items = [Item("own-7", "Rome"), Item("own-8", "\ud800")]
    done = annotate_chunk(nlp, items, OutputOptions(format="spacy"))
    (tmp_path / "c.spacy").write_bytes(done.content)
    assert [id_ for id_, _, _ in items_of(tmp_path / "c.spacy")] == ["own-7", "own-8"]


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"Rome\n" * 100_000)
    path = tmp_path / "a.txt.gz"
    for content in (whole[:-20], whole[:40] + b"garbage" * 9, b"no gzip"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a.txt.gz cannot be read any further"):
            items_of(path)


def test_inputs_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="There is no file"):
        TextSource(str(tmp_path / "a.txt"))
    (tmp_path / "a.pdf").touch()
    with pytest.raises(ValueError, match="must end with one of .txt, .jsonl"):
        TextSource(str(tmp_path / "a.pdf"))
    (tmp_path / "a.csv").write_text("id,body\n1,Rome\n")
    with pytest.raises(ValueError, match="no column 'text'. Its columns are: id, body"):
        items_of(tmp_path / "a.csv")
    (tmp_path / "a.spacy").write_bytes(b"no")
    with pytest.raises(ValueError, match="is not a .spacy file"):
        items_of(tmp_path / "a.spacy")


def test_an_undecodable_line_is_a_problem_of_its_own(tmp_path: Path) -> None:
    content = "Rome\nRené in Rome\nÅre".encode("cp1252")
    for name in ("a.txt", "a.TXT", "A.txt.GZ"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if "GZ" in name else content)
        found = items_of(path)
        assert [(id_, text) for id_, text, _ in found] == [
            ("1", "Rome"),
            ("2", ""),
            ("3", ""),
        ]
        assert "line 2: its byte 4 (0xE9) is not UTF-8" in found[1][2]
        assert "--encoding cp1252" in found[1][2]
        read = items_of(path, encoding="cp1252")
        assert [text for _, text, _ in read] == ["Rome", "René in Rome", "Åre"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_mark_of_the_encoding_is_no_text(tmp_path: Path, mark: bytes) -> None:
    for name, content in (
        ("a.txt", b"Rome\n"),
        ("a.jsonl", b'{"text": "Rome"}\n'),
        ("a.csv", b"text,id\nRome,1\n"),
    ):
        (tmp_path / name).write_bytes(mark + content)
        assert items_of(tmp_path / name) == [("1", "Rome", "")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.txt.gz"])
def test_utf16_is_refused_as_a_whole(tmp_path: Path, name: str, encoding: str) -> None:
    lines = {"a.csv": "text\nÅre\n", "a.jsonl": '{"text": "Åre"}\n'}
    content = lines.get(name, "Åre\n").encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ValueError, match=rf"{name}.*(in UTF-|NUL).*--encoding"):
        TextSource(str(path))
    assert [text for _, text, _ in items_of(path, encoding=encoding)] == ["Åre"]


def test_a_nul_far_into_a_file_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"Rome\n" * 20_000 + b"Ro\0me\n")
    with pytest.raises(ValueError, match="a.txt, line 20001: a NUL character"):
        items_of(path)
    with pytest.raises(ValueError, match="the name of an encoding.*not 'latin99'"):
        TextSource(str(path), encoding="latin99")


def test_halves_of_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "R\\udeadome"}')
    ((_, text, _),) = items_of(path)
    assert repaired(text) == ("R\ufffdome", 1)
    assert repaired("a\ud800b😀") == ("a\ufffdb😀", 1)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text("ab \n", max_size=60), st.integers(1, 25))
def test_pieces(text: str, longest: int) -> None:
    found = pieces(text, longest)
    assert "".join(found) == text and all(len(piece) <= longest for piece in found)
    assert len(found) == 1 or all(found)


def test_pieces_end_at_whitespace() -> None:
    text = "word " * 100
    assert all(piece.endswith(" ") for piece in pieces(text, 99))
    assert [len(piece) for piece in pieces("x" * 25, 10)] == [10, 10, 5]


def test_chunks() -> None:
    assert list(chunks(iter(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks(iter([]), 3)) == []


# One chunk.


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode("utf8").splitlines()]


def test_a_chunk() -> None:
    nlp = make_pipeline()
    items = [
        Item("a", "In Rome and Paris."),
        Item("b", "BOOM in Rome"),
        Item("c", "", problem="line 3 is not a JSON object"),
        Item("d", "\ud800 Rome"),
        # Ids are the file's own, and may come twice.
        Item("b", ""),
    ]
    handler = nlp.default_error_handler
    done = annotate_chunk(nlp, items, OutputOptions(with_text=True, batch_size=2))
    assert nlp.default_error_handler is handler
    one, two, three, four, five = rows_of(done.content)
    town = {"label": "TOWN", "score": None}
    assert one == {
        "id": "a",
        "pipeline": "en_pipeline-0.0.0",
        "spans": [{"start": 3, "end": 7, **town}, {"start": 12, "end": 17, **town}],
        "text": "In Rome and Paris.",
    }
    assert two["error"] == "fussy: RuntimeError: no such text" and "spans" not in two
    assert three["error"].endswith("line 3 is not a JSON object")
    assert four["spans"] == [{"start": 2, "end": 6, **town}]
    assert four["text"] == "\ufffd Rome" and five["spans"] == []
    report = done.report
    assert (report.texts, report.replaced, report.cut) == (5, 1, 0)
    assert report.spans == {"TOWN": 3}
    assert [problem["id"] for problem in report.problems] == ["b", "c"]


def test_a_text_over_the_limit_is_read_in_pieces() -> None:
    nlp = make_pipeline()
    nlp.max_length = 50
    text = "We went to Rome and then on to Paris, slowly. " * 20
    done = annotate_chunk(nlp, [Item("a", text)], OutputOptions(with_text=True))
    (row,) = rows_of(done.content)
    assert row["text"] == text and done.report.cut == 1
    towns = [text[span["start"] : span["end"]] for span in row["spans"]]
    assert towns == ["Rome", "Paris"] * 20
    # Scores of all pieces are there, and in their places.
    nlp.add_pipe("scored")
    done = annotate_chunk(nlp, [Item("a", text)], OutputOptions())
    (row,) = rows_of(done.content)
    expected = [
        round(1 / (1 + ent.start), 4)
        for piece in pieces(text, 50)
        for ent in nlp(piece).ents
    ]
    assert [span["score"] for span in row["spans"]] == expected and len(expected) == 40
    # One that fails in one of its pieces fails whole.
    done = annotate_chunk(nlp, [Item("a", text + "BOOM")], OutputOptions())
    assert "error" in rows_of(done.content)[0] and not done.report.spans


def test_what_was_not_read_is_counted(make_nlp: Callable[..., Language]) -> None:
    nlp = make_nlp(max_window=20, window_overlap=5)
    words = "Anna met Bert in Paris. " * 5
    items = [
        Item("1", words),
        Item("2", words + "x" * 400),
        Item("3", "x" * 300 + " a"),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = annotate_chunk(nlp, items, OutputOptions())
    assert not done.report.problems and done.report.unfinished_answers == 0
    assert done.report.unread_tokens == 2
    # Other warnings are heard outside as ever.
    for action, count in (("default", 1), ("always", 9), ("ignore", 0)):
        nlp = spacy.blank("en")
        nlp.add_pipe("warns")
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter(action)  # type: ignore[arg-type]
            for _ in range(3):
                assert (
                    annotate_chunk(nlp, items, OutputOptions()).report.unread_tokens
                    == 0
                )
        assert [str(each.message) for each in heard] == ["have a care"] * count


def test_a_chunk_leaves_nothing_behind(make_nlp: Callable[..., Language]) -> None:
    """Memory stays as it is, however many words there are."""
    nlp = make_nlp()
    annotate_chunk(nlp, [Item("0", "Anna met Bert in Paris.")], OutputOptions())
    strings = len(nlp.vocab.strings)
    lexemes = len(list(nlp.vocab))
    for chunk in range(3):
        items = [Item(str(n), f"Anna{chunk}x{n} met Bert{n}y") for n in range(10)]
        done = annotate_chunk(nlp, items, OutputOptions(format="spacy"))
        docs = list(DocBin().from_bytes(done.content).get_docs(spacy.blank("en").vocab))
        assert [doc.text for doc in docs] == [item.text for item in items]
    assert (len(nlp.vocab.strings), len(list(nlp.vocab))) == (strings, lexemes)
    assert nlp("Anna met Bert in Paris.").text == "Anna met Bert in Paris."


def test_ids_that_come_twice() -> None:
    items = [Item("a", "BOOM"), Item("a", "Rome"), Item("a", "", problem="torn")]
    rows = rows_of(annotate_chunk(make_pipeline(), items, OutputOptions()).content)
    assert [row.get("error", "").split(" ")[-1] for row in rows] == ["text", "", "torn"]
    assert len(rows[1]["spans"]) == 1


def test_docs_keep_their_tokens() -> None:
    nlp = make_pipeline()
    doc = Doc(nlp.vocab, words=["in", "Rome"], spaces=[True, False])
    item = Item("7", doc.text, pack(doc).to_bytes())
    done = annotate_chunk(nlp, [item], OutputOptions(format="spacy"))
    (again,) = DocBin().from_bytes(done.content).get_docs(nlp.vocab)
    assert again.user_data["id"] == "7"
    assert [token.text for token in again] == ["in", "Rome"]
    assert [ent.text for ent in again.ents] == ["Rome"]


class Batched(TrainablePipe):
    """As spaCy's own components: a batch at a time, and given up as one."""

    def __init__(self) -> None:
        self.name, self.model, self.vocab = (
            "batched",
            Model("none", lambda m, x, t: x),
            None,
        )
        self.cfg: dict[str, Any] = {}

    def predict(self, docs: list[Doc]) -> None:
        if any("THUD" in doc.text for doc in docs):
            raise RuntimeError("no such batch")

    def set_annotations(self, docs: list[Doc], scores: None) -> None:
        for doc in docs:
            doc.user_data["batched"] = True


def test_one_text_does_not_fail_its_batch() -> None:
    nlp = make_pipeline()
    pipe = Batched()
    nlp.add_pipe("keeps_thing")
    nlp._components[-1] = ("batched", pipe)
    handler: Any = lambda *given: None  # noqa: E731
    pipe.set_error_handler(handler)
    items = [Item(str(n), "THUD" if n == 4 else "Rome") for n in range(10)]
    done = annotate_chunk(nlp, items, OutputOptions(batch_size=5))
    (problem,) = done.report.problems
    assert problem["id"] == "4" and "batched: RuntimeError" in problem["problem"]
    assert done.report.spans == {"TOWN": 9}
    # A component's own handler is its own again.
    assert pipe.get_error_handler() is handler


@Language.component("another_doc")
def another_doc(doc: Doc) -> Doc:
    return doc[:1].as_doc() if "OTHER" in doc.text else doc


class Harsh:
    """A component that asks no handler, and gives its stream up."""

    def __call__(self, doc: Doc) -> Doc:
        return doc

    def pipe(self, docs: Any, batch_size: int) -> Any:
        for doc in docs:
            if "THUD" in doc.text:
                raise RuntimeError("no such stream")
            yield doc


def test_whatever_a_component_does_is_told_of_its_text() -> None:
    nlp = make_pipeline()
    nlp.add_pipe("another_doc")
    nlp.add_pipe("keeps_thing")
    nlp._components[-1] = ("harsh", Harsh())  # type: ignore[arg-type]
    texts = ["Rome", "THUD", "BOOM", "OTHER Rome", "Paris", "", "Åre"]
    items = [Item(str(n), text) for n, text in enumerate(texts)]
    for size in (1, 3, 100):
        done = annotate_chunk(nlp, items, OutputOptions(batch_size=size))
        problems = {row["id"]: row["problem"] for row in done.report.problems}
        assert list(problems) == ["1", "2", "3"], size
        assert "RuntimeError: no such stream" in problems["1"]
        assert "fussy: RuntimeError: no such text" in problems["2"]
        assert "returns another Doc" in problems["3"]
        assert done.report.spans == {"TOWN": 3}


def test_what_cannot_be_saved_is_a_problem_of_its_own() -> None:
    nlp = make_pipeline()
    nlp.add_pipe("keeps_thing")
    items = [Item("1", "A THING in Rome"), Item("2", "Rome")]
    done = annotate_chunk(nlp, items, OutputOptions(format="spacy"))
    (kept,) = DocBin().from_bytes(done.content).get_docs(nlp.vocab)
    assert (kept.text, kept.user_data["id"]) == ("Rome", "2")
    (problem,) = done.report.problems
    assert problem["id"] == "1" and "cannot be saved" in problem["problem"]
    assert done.report.spans == {"TOWN": 1}
    assert not annotate_chunk(nlp, items, OutputOptions()).report.problems


# Chunk by chunk.


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = random.Random(0)
    words = ("Rome", "Paris", "Åre", "and", "old", "towns", "of")
    lines = [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(95)]
    lines[40] = "BOOM"
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines), encoding="utf8")
    return path


def run(corpus: Path, output: Path, scored: bool = False, **more: Any) -> Any:
    nlp = make_pipeline()
    if scored:
        nlp.add_pipe("scored")
    options = OutputOptions(**more.pop("options", {}))
    job = Job(
        TextSource(str(corpus)),
        OutputFolder(output, f".{options.format}"),
        options,
        size=10,
        shard=more.pop("shard", (1, 1)),
        retry=more.pop("retry", False),
    )
    return annotate_corpus(nlp, job, **more)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_run(corpus: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = run(
        corpus,
        tmp_path / "out",
        on_progress=lambda p: seen.append((p.texts, p.position)),
    )
    assert report.texts == 95 and len(report.problems) == 1
    assert [texts for texts, _ in seen] == [*range(10, 91, 10), 95]
    assert seen[-1][1] == corpus.stat().st_size
    names = list(files(tmp_path / "out"))
    assert names == [
        "manifest.json",
        *[f"part-{n:06}.{kind}" for n in range(10) for kind in ("json", "jsonl")],
        "run.json",
    ]
    rows = [
        row
        for path in sorted((tmp_path / "out").glob("*.jsonl"))
        for row in rows_of(path.read_bytes())
    ]
    assert [row["id"] for row in rows] == [str(n) for n in range(1, 96)]
    texts = corpus.read_text(encoding="utf8").split("\n")
    for row, text in zip(rows, texts):
        towns = [text[s["start"] : s["end"]] for s in row.get("spans", [])]
        assert towns == [w for w in text.split() if w in ("Rome", "Paris", "Åre")]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["problems"] == [
        {"id": "41", "problem": "fussy: RuntimeError: no such text"}
    ]
    assert manifest["spans"]["TOWN"] == sum(len(row.get("spans", [])) for row in rows)
    assert manifest["pipeline"] == "en_pipeline-0.0.0"
    assert manifest["labels"]["entity_ruler"] == ["TOWN"]


def test_shards_share_a_folder(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "whole")
    for which in (3, 1, 2):
        run(corpus, tmp_path / "shared", shard=(which, 3))
        with pytest.raises(ValueError, match="Continue it with --resume"):
            run(corpus, tmp_path / "shared", shard=(which, 3))
    whole, shared = files(tmp_path / "whole"), files(tmp_path / "shared")
    parts = {name for name in whole if name.startswith("part")}
    assert len(parts) == 20
    assert {name: shared[name] for name in parts} == {
        name: whole[name] for name in parts
    }
    counts = [
        json.loads(shared[f"manifest-{which}-of-3.json"])["texts"]
        for which in (1, 2, 3)
    ]
    assert counts == [35, 30, 30]
    with pytest.raises(ValueError, match="no shard 4 of 3"):
        run(corpus, tmp_path / "shared", shard=(4, 3))


def test_a_folder_with_another_run_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "out")
    before = files(tmp_path / "out")
    with pytest.raises(ValueError, match="Continue it with --resume"):
        run(corpus, tmp_path / "out")
    with pytest.raises(ValueError, match="another run, which differs in with_text"):
        run(corpus, tmp_path / "out", resume=True, options={"with_text": True})
    corpus.write_text("Rome\n" + corpus.read_text(encoding="utf8"), encoding="utf8")
    with pytest.raises(ValueError, match="chunk 0 has other texts"):
        run(corpus, tmp_path / "out", resume=True)
    assert files(tmp_path / "out") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    with pytest.raises(ValueError, match="is not empty"):
        run(corpus, tmp_path / "mine")


def test_a_shorter_input_is_another(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "out")
    lines = corpus.read_text(encoding="utf8").split("\n")
    corpus.write_text("\n".join(lines[:50]), encoding="utf8")
    with pytest.raises(ValueError, match="it has no chunk 5"):
        run(corpus, tmp_path / "out", resume=True)


def test_another_pipeline_of_the_same_name_is_another(
    corpus: Path, tmp_path: Path
) -> None:
    job = Job(
        TextSource(str(corpus)),
        OutputFolder(tmp_path / "out", ".jsonl"),
        OutputOptions(),
    )
    nlp = make_pipeline()
    nlp.to_disk(tmp_path / "pipeline")
    annotate_corpus(spacy.load(tmp_path / "pipeline"), job)
    annotate_corpus(spacy.load(tmp_path / "pipeline"), job, resume=True)
    nlp.get_pipe("entity_ruler").add_patterns([{"label": "TOWN", "pattern": "old"}])
    nlp.to_disk(tmp_path / "other")
    with pytest.raises(ValueError, match="differs in sha256"):
        annotate_corpus(spacy.load(tmp_path / "other"), job, resume=True)


def test_when_every_text_fails_nothing_counts_as_done(
    tmp_path: Path, make_nlp: Callable[..., Language]
) -> None:
    corpus = tmp_path / "a.txt"
    corpus.write_text("Rome\n" * 10 + "BOOM\n" * 10)
    with pytest.raises(
        ValueError, match="None of the 10 texts of chunk 1.*no such text"
    ):
        run(corpus, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("part-*.jsonl"))) == 1
    # What fails for every text fails before the first.
    job = Job(
        TextSource(str(corpus)),
        OutputFolder(tmp_path / "none", ".jsonl"),
        OutputOptions(),
    )
    with pytest.raises(ValueError, match="no labels"):
        annotate_corpus(make_nlp(labels=[]), job)
    lost = make_nlp(model={"name": str(tmp_path / "nowhere")})
    with pytest.raises(OSError, match="nowhere"):
        annotate_corpus(lost, job)
    assert not (tmp_path / "none").exists()


def test_chunks_with_problems_can_be_done_again(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "out")
    seen: list[int] = []
    more: dict[str, Any] = {
        "on_progress": lambda p: seen.append(p.annotated),
        "resume": True,
    }
    run(corpus, tmp_path / "out", **more)
    assert seen[-1] == 0
    run(corpus, tmp_path / "out", retry=True, **more)
    assert seen[-1] == 10


def test_it_is_the_same_input_wherever_it_lies(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "out")
    elsewhere_ = corpus.rename(tmp_path / "elsewhere.txt")
    seen: list[int] = []
    options = {"batch_size": 3}
    more: dict[str, Any] = {
        "on_progress": lambda p: seen.append(p.annotated),
        "resume": True,
    }
    run(elsewhere_, tmp_path / "out", options=options, **more)
    assert seen[-1] == 0
    # A marker that a power cut emptied is none.
    (tmp_path / "out" / "part-000002.json").write_bytes(b"")
    run(elsewhere_, tmp_path / "out", **more)
    assert seen[-1] == 10


def test_many_may_write_a_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    contents = [str(n).encode() * 5000 for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda c: [write_whole(path, c) for _ in range(50)], contents))
    assert path.read_bytes() in contents and list(tmp_path.iterdir()) == [path]
    # Of a run that was killed at its first file nothing is lost.
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".run.json.abc").touch()
    OutputFolder(tmp_path / "out", ".jsonl").begin({}, False, (1, 1))


def test_what_is_done_is_not_done_again(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "out")
    before = files(tmp_path / "out")
    (tmp_path / "out" / "part-000003.json").unlink()
    (tmp_path / "out" / "part-000007.jsonl").write_bytes(b"half")
    (tmp_path / "out" / "manifest.json").unlink()
    seen: list[int] = []
    run(
        corpus,
        tmp_path / "out",
        resume=True,
        on_progress=lambda progress: seen.append(progress.annotated),
    )
    assert seen[-1] == 20 and files(tmp_path / "out") == before


def test_the_least_certain_texts_are_collected(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "out", scored=True, options={"uncertain": 7})
    tasks = rows_of((tmp_path / "out" / "correct.jsonl").read_bytes())
    scores = [task["meta"]["score"] for task in tasks]
    assert len(tasks) == 7 and scores == sorted(scores)
    lowest = []
    for path in (tmp_path / "out").glob("part-??????.jsonl"):
        for row in rows_of(path.read_bytes()):
            lowest += [min((s["score"] for s in row.get("spans", [])), default=1.0)]
    assert scores == sorted(lowest)[:7]
    for task in tasks:
        for span in task["spans"]:
            first = task["tokens"][span["token_start"]]
            last = task["tokens"][span["token_end"]]
            assert (first["start"], last["end"]) == (span["start"], span["end"])
            assert first["id"] == span["token_start"]


# The command.


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    make_pipeline(slow=True).to_disk(tmp_path / "pipeline")
    (tmp_path / "code.py").write_text(CODE)
    return tmp_path / "pipeline"


def line(pipeline: Path, corpus: Path, output: Path, *more: str) -> list[str]:
    own = ["annotate", str(pipeline), str(corpus), str(output), "--chunk", "5"]
    return [*own, *more]


def elsewhere(pipeline: Path, command: list[str]) -> list[str]:
    """The command for another process, which has yet to learn the components."""
    code = str(pipeline.parent / "code.py")
    return [sys.executable, "-m", "spacy", "instructner", *command, "--code", code]


def test_the_command(pipeline: Path, corpus: Path, tmp_path: Path) -> None:
    def run_it(*more: str) -> Any:
        return CliRunner().invoke(app, line(pipeline, corpus, tmp_path / "out", *more))

    done = run_it("--text")
    assert done.exit_code == 0, done.output
    assert "95 texts" in done.output and "1 texts could not be annot" in done.output
    assert len(list((tmp_path / "out").glob("part-*.jsonl"))) == 19
    again = run_it("--text")
    assert again.exit_code == 1 and "--resume" in again.output
    assert run_it("--text", "--resume").exit_code == 0
    for wrong, said in (
        (["--shard", "x"], "i/n"),
        (["--format", "xml"], "jsonl"),
        (["--chunk", "0"], "at least 1"),
        (["--engine", "steam"], '"plain" or "ray"'),
        (["--label", "TOWN"], "has no instruction_ner"),
    ):
        failed = run_it(*wrong)
        # Messages are wrapped, by what the path to the pipeline leaves of a line.
        assert failed.exit_code == 1 and said in " ".join(failed.output.split())


@pytest.mark.long
def test_standard_input(pipeline: Path, corpus: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        elsewhere(pipeline, line(pipeline, Path("-"), tmp_path / "out")),
        input=corpus.read_bytes(),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    CliRunner().invoke(app, line(pipeline, corpus, tmp_path / "other"))
    found, other = files(tmp_path / "out"), files(tmp_path / "other")
    parts = [name for name in found if name.startswith("part")]
    assert parts and all(found[name] == other[name] for name in parts)


@pytest.mark.long
def test_what_a_component_warns_of_is_heard_once(
    pipeline: Path, corpus: Path, tmp_path: Path
) -> None:
    nlp = spacy.load(pipeline)
    nlp.add_pipe("warns")
    nlp.to_disk(pipeline)
    command = elsewhere(pipeline, line(pipeline, corpus, tmp_path / "out"))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count("Warning: have a care") == 1
    command[1:1] = ["-W", "error"]
    command[command.index(str(tmp_path / "out"))] = str(tmp_path / "strict")
    strict = subprocess.run(command, capture_output=True, text=True)
    assert "have a care" in strict.stdout + strict.stderr


def kill_at(command: list[str], output: Path, share: float, chunks_: int) -> float:
    """Start a command, kill it when about this share of the chunks is done. RETURNS:
    the share that was."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    def done() -> int:
        return len(list(output.glob("part-??????.json")))

    while process.poll() is None and done() < share * chunks_:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return done() / chunks_


@pytest.mark.long
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_a_killed_run_is_resumed(
    pipeline: Path, corpus: Path, tmp_path: Path, share: float
) -> None:
    CliRunner().invoke(app, line(pipeline, corpus, tmp_path / "whole"))
    out = tmp_path / "out"
    command = line(pipeline, corpus, out)
    done = kill_at(elsewhere(pipeline, command), out, share, 19)
    assert share <= done < 1.0
    result = CliRunner().invoke(app, [*command, "--resume"])
    assert result.exit_code == 0, result.output
    found, whole = files(out), files(tmp_path / "whole")
    # A file that was being written when the end came is not one of the output.
    assert {n: c for n, c in found.items() if not n.startswith(".")} == whole


# On Ray.

DIES = """
import os
import signal
from pathlib import Path
from spacy.language import Language

@Language.factory("dies_once", default_config={"marker": ""})
def make_dies_once(nlp, name, marker: str):
    def dies_once(doc):
        # Only once over, and never in the process that only reads the pipeline.
        if "Paris and Paris" in doc.text and not Path(marker).exists():
            Path(marker).write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return doc
    return dies_once
"""


def test_ray_does_the_same_and_survives_the_loss_of_a_worker(
    corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    (tmp_path / "code.py").write_text(CODE + DIES)
    marker = tmp_path / "died"
    exec(DIES, {})
    nlp = make_pipeline()
    nlp.add_pipe("dies_once", config={"marker": str(marker)})
    nlp.to_disk(tmp_path / "pipeline")
    command = [
        *("annotate", str(tmp_path / "pipeline"), str(corpus)),
        *("--chunk", "5", "--text"),
    ]
    on_ray = [*command, str(tmp_path / "ray"), "--engine", "ray", "--workers", "2"]
    done = subprocess.run(
        elsewhere(tmp_path / "pipeline", on_ray),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(marker.read_text()) > 0
    # What goes wrong there is told as here.
    (tmp_path / "bad.txt").write_text("BOOM\n" * 20)
    other = [
        *command[:2],
        str(tmp_path / "bad.txt"),
        str(tmp_path / "bad"),
        *command[3:],
    ]
    failed = subprocess.run(
        elsewhere(tmp_path / "pipeline", [*other, "--chunk", "10", "--engine", "ray"]),
        capture_output=True,
        text=True,
    )
    told = " ".join((failed.stdout + failed.stderr).split())
    assert failed.returncode == 1 and "None of the 10 texts of chunk 0" in told
    plain = CliRunner().invoke(app, [*command, str(tmp_path / "plain")])
    assert plain.exit_code == 0, plain.output
    assert files(tmp_path / "ray") == files(tmp_path / "plain")
