"""A corpus, chunk by chunk: from files to files, whatever is there already."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language

from helpers.towns import files, make_pipeline, rows_of
from spacy_instructner.corpus.chunk import OutputOptions
from spacy_instructner.corpus.output_folder import OutputFolder
from spacy_instructner.corpus.run import Job, annotate_corpus
from spacy_instructner.corpus.texts import TextSource
from spacy_instructner.files import write_whole


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
