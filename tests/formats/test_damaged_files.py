"""Every reader, given files that went wrong in known ways: the right spans, or an error
that names the place, and nothing in between."""

import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import spacy

from helpers.damage import Damaged, of_bytes, of_columns, of_json
from helpers.written_files import COLUMNS, COUNT, PIPES, ROWS, Text, make_texts, tags_of
from spacy_instructner.corpus.texts import TextSource
from spacy_instructner.data.corpora import read_docs


def read(path: Path, damaged: Damaged, nlp: Any) -> tuple[Any, str]:
    """What is read, by the letters of entities, and what is said."""
    try:
        docs, problems = read_docs(path, nlp, damaged.encoding)
    except (OSError, ValueError) as error:
        assert type(error) in (OSError, ValueError), repr(error)
        return None, str(error)
    found = [
        tuple(("".join(e.text.split()), e.label_) for e in doc.ents) for doc in docs
    ]
    told = [str(each) for each in problems if each.kind != "note"]
    return found, "\n".join(told)


def check(
    texts: Sequence[Text],
    damaged: Damaged,
    folder: Path,
    nlp: Any,
    structural: bool,
) -> str:
    """RETURNS: what became of the file, to count by."""
    path = folder / damaged.name
    path.write_bytes(damaged.content)
    found, said = read(path, damaged, nlp)
    path.unlink()
    truth = [text.truth for text in texts]
    if damaged.right:
        assert (found, said) == (truth, "")
        return "right"
    if said:
        torn = path.suffix.lower() == ".gz" and "cannot be read any further" in said
        assert said.startswith(str(path)) and (torn or re.search(r", line \d+", said))
        return "told"
    assert found is not None
    if structural:
        assert found == truth
    else:
        # Cut off: what is whole is right. Nobody can know of the last word's tag that
        # it went on, and that the entity before it did not end there.
        count = max(0, len(found) - 1)
        assert found[:count] == truth[:count] and len(found) <= len(truth)
        rest, whole = found[count:], truth[count : count + 1]
        assert [each[:-2] for each in rest] == [
            w[: max(0, len(each) - 2)] for w, each in zip(whole, rest)
        ]
    return "right"


def outcomes(run: Callable[[random.Random], str], seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    counts = {"right": 0, "told": 0}
    for _ in range(COUNT):
        counts[run(rng)] += 1
    return counts


@pytest.fixture(scope="module")
def nlp() -> Any:
    blank = spacy.blank("xx")
    # As texts are made here: the tokens are not what is tested.
    blank.tokenizer = spacy.tokenizer.Tokenizer(blank.vocab)
    return blank


@pytest.mark.parametrize("kind", ROWS)
def test_rows_of_json(kind: str, tmp_path: Path, nlp: Any) -> None:
    def run(rng: random.Random) -> str:
        texts = make_texts(rng)
        rows = [ROWS[kind](text) for text in texts]
        structural = rng.random() < 0.5
        if structural:
            of_json(rng.choice(rows), rng)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        name = "a.jsonl"
        if rng.random() < 0.3:
            name = "a.json"
            lines = json.dumps(rows, ensure_ascii=False, indent=rng.choice((None, 1)))
        if structural:
            damaged = Damaged(lines.encode(), name)
        else:
            damaged = of_bytes(name, lines, rng)
        return check(texts, damaged, tmp_path, nlp, structural)

    counts = outcomes(run, seed=len(kind))
    assert min(counts.values()) > COUNT / 4, counts


@pytest.mark.parametrize("kind", COLUMNS)
def test_lines_of_columns(kind: str, tmp_path: Path, nlp: Any) -> None:
    write, between = COLUMNS[kind]

    def run(rng: random.Random) -> str:
        texts = make_texts(rng)
        lines = write(texts)
        structural = rng.random() < 0.5
        if structural:
            of_columns(lines, rng, {"nested": 2, "ontonotes": 10}.get(kind, -1))
        text = "".join(between.join(line) + "\n" for line in lines)
        if rng.random() < 0.2 and not text.startswith("#"):
            text = between.join(["-DOCSTART-", "-X-", "O"]) + "\n\n" + text
        name = rng.choice(("a.conll", "a.tsv", "a.txt", "a.iob2"))
        damaged = Damaged(text.encode(), name)
        if not structural:
            damaged = of_bytes(name, text, rng)
        return check(texts, damaged, tmp_path, nlp, structural)

    counts = outcomes(run, seed=len(kind))
    assert min(counts.values()) > COUNT / 5, counts


@pytest.mark.parametrize("kind", PIPES)
def test_lines_of_pipes(kind: str, tmp_path: Path, nlp: Any) -> None:
    def run(rng: random.Random) -> str:
        texts = make_texts(rng)
        items = [
            [[w, *PIPES[kind], tag] for w, tag in zip(t.words, tags_of(t, "IOB2"))]
            for t in texts
        ]
        structural = rng.random() < 0.5
        if structural:
            of_columns([item for line in items for item in line], rng)
        text = "".join(" ".join(map("|".join, line)) + "\n" for line in items)
        damaged = Damaged(text.encode(), "a.iob")
        if not structural:
            damaged = of_bytes("a.iob", text, rng)
        return check(texts, damaged, tmp_path, nlp, structural)

    counts = outcomes(run, seed=len(kind))
    assert min(counts.values()) > COUNT / 5, counts


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv"])
def test_texts_to_annotate(kind: str, tmp_path: Path) -> None:
    def run(rng: random.Random) -> str:
        texts = [text.text for text in make_texts(rng)]
        lines = {
            "txt": "".join(f"{text}\n" for text in texts),
            "jsonl": "".join(
                f"{json.dumps({'text': t}, ensure_ascii=False)}\n" for t in texts
            ),
            "csv": "text,id\n" + "".join(f"{text},1\n" for text in texts),
        }[kind]
        # Of each line by itself, UTF-8 is what may be read as such.
        damaged = of_bytes(f"a.{kind}", lines, rng, chinese="utf-32-be")
        if b"\r" in damaged.content and b"\n" not in damaged.content:
            # Texts may hold it: only a line feed ends one.
            damaged = Damaged(lines.encode(), f"a.{kind}", right=True)
        path = tmp_path / damaged.name
        path.write_bytes(damaged.content)
        try:
            items = list(TextSource(str(path), encoding=damaged.encoding))
        except ValueError as error:
            assert type(error) is ValueError and str(error).startswith(str(path))
            assert not damaged.right
            return "told"
        finally:
            path.unlink()
        assert all(bool(item.text) is not bool(item.problem) for item in items)
        if damaged.right:
            assert [item.text for item in items] == texts
            return "right"
        # A damaged line may be two that became one: it is told, and the others are right.
        read = [item.text for item in items if not item.problem]
        assert set(read[:-1]) <= set(texts) and len(items) <= len(texts)
        assert not read or any(text.startswith(read[-1]) for text in texts)
        assert all("line" in item.problem for item in items if item.problem)
        return "told" if any(item.problem for item in items) else "right"

    counts = outcomes(run, seed=len(kind))
    assert min(counts.values()) > COUNT / 5, counts
