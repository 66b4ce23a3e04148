"""Every reader, given files that went wrong in known ways: the right spans, or an error
that names the file and the line; no exception of Python's, and no silence."""

import gzip
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import spacy

from spacy_instructner.corpus.texts import TextSource
from spacy_instructner.data.corpora import read_docs

COUNT = 2000
LABELS = ["PART", "TOOL", "BIKE"]
VOCABULARY = (
    "the chain saddle René torque wrench broke yesterday Åsa rides 12 mm # old "
    "Größe 小 明 naïve no.7 e-mail B-52 today fork said"
).split()
Entities = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Text:
    """What a mutated file says: words, and entities by words."""

    words: tuple[str, ...]
    entities: Entities

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def spans(self) -> list[tuple[int, int, str]]:
        starts = [0]
        for word in self.words:
            starts.append(starts[-1] + len(word) + 1)
        return [(starts[a], starts[b] - 1, label) for a, b, label in self.entities]

    @property
    def truth(self) -> tuple:
        """Words of entities, as no tokenizer changes them."""
        return tuple(
            ("".join(self.words[start:end]), label)
            for start, end, label in self.entities
        )


def make_texts(rng: random.Random) -> list[Text]:
    texts = []
    for _ in range(rng.randint(2, 4)):
        words = tuple(rng.choices(VOCABULARY, k=rng.randint(2, 7)))
        borders = sorted(rng.sample(range(len(words) + 1), k=min(4, len(words))))
        entities = [
            (start, end, rng.choice(LABELS))
            for start, end in zip(borders[::2], borders[1::2])
        ]
        texts.append(Text(words, tuple(entities)))
    # Entities in the first and the last: most files have some.
    for at in (0, -1):
        words = texts[at].words
        texts[at] = Text(words, ((0, 1, "PART"), (1, 2, "TOOL")))
    return texts


# Each kind of file, as its tool writes it: a text as one value of JSON.

Row = Callable[[Text], Any]


def span(start: int, end: int, label: str) -> dict:
    return {"start": start, "end": end, "label": label}


def prodigy(text: Text) -> dict:
    spans = [{**span(*each), "answer": "accept"} for each in text.spans]
    return {"text": text.text, "spans": spans, "answer": "accept"}


def label_studio(text: Text) -> dict:
    result = [
        {
            "type": "labels",
            "value": {"start": a, "end": b, "text": text.text[a:b], "labels": [label]},
        }
        for a, b, label in text.spans
    ]
    return {"data": {"text": text.text}, "annotations": [{"id": 3, "result": result}]}


def label_studio_min(text: Text) -> dict:
    found = [
        {"start": a, "end": b, "text": text.text[a:b], "labels": [label]}
        for a, b, label in text.spans
    ]
    row = {"text": text.text, "annotator": 1, "annotation_id": 2}
    return {**row, "label": found} if found else row


def doccano_entities(text: Text) -> dict:
    entities = [
        {"label": label, "start_offset": a, "end_offset": b}
        for a, b, label in text.spans
    ]
    return {"text": text.text, "entities": entities, "relations": []}


def tags_of(text: Text, scheme: str) -> list[str]:
    letters = {"IOB2": "BIIB", "BIOES": "BIES", "BILUO": "BILU", "BMES": "BMES"}
    tags = ["O"] * len(text.words)
    for start, end, label in text.entities:
        for at in range(start, end):
            before = tags[at - 1][2:] if at and tags[at - 1] != "O" else ""
            if scheme == "IOB1":
                letter = "B" if at == start and before == label else "I"
            else:
                begin, inside, last, single = letters[scheme]
                letter = begin if at == start else inside
                if at == end - 1:
                    letter = single if end - start == 1 else last
            tags[at] = f"{letter}-{label}"
    return tags


def training_json(text: Text) -> dict:
    tokens = [
        {"orth": word, "ner": tag}
        for word, tag in zip(text.words, tags_of(text, "BILUO"))
    ]
    return {"id": 0, "paragraphs": [{"sentences": [{"tokens": tokens}]}]}


def gliner(text: Text) -> dict:
    ner = [[start, end - 1, label] for start, end, label in text.entities]
    return {"tokenized_text": list(text.words), "ner": ner}


ROWS: dict[str, Row] = {
    "prodigy": prodigy,
    "doccano": lambda t: {"id": 1, "text": t.text, "label": [list(s) for s in t.spans]},
    "doccano-entities": doccano_entities,
    "spacy2": lambda t: [t.text, {"entities": [list(s) for s in t.spans]}],
    "spacy2-dict": lambda t: {"text": t.text, "entities": [list(s) for s in t.spans]},
    "doc-json": lambda t: {"text": t.text, "ents": [span(*s) for s in t.spans]},
    "label-studio": label_studio,
    "label-studio-min": label_studio_min,
    "hugging-face": lambda t: {
        "id": "0",
        "tokens": list(t.words),
        "ner_tags": tags_of(t, "IOB2"),
    },
    "gliner": gliner,
    "training-json": training_json,
}
# What a tool calls something that no reader needs: whatever becomes of it.
SPARE = {"id", "relations", "annotator", "annotation_id", "answer", "type", "sentences"}


# And as lines of columns.


def columns(scheme: str, *before: str, lower: bool = False, between: str = "\t") -> Any:
    def write(texts: Sequence[Text]) -> list[list[str]]:
        lines: list[list[str]] = []
        for text in texts:
            for word, tag in zip(text.words, tags_of(text, scheme)):
                tag = tag[0].lower() + tag[1:] if lower else tag
                lines.append([word, *before, tag])
            lines.append([])
        return lines

    return write, between


def nested(texts: Sequence[Text]) -> list[list[str]]:
    """As GermEval: numbered, the outer entities in front of the inner ones."""
    lines = [["#", "http://example.org", "[2009-10-17]"]]
    for text in texts:
        for at, (word, tag) in enumerate(zip(text.words, tags_of(text, "IOB2")), 1):
            lines.append([str(at), word, tag, "O"])
        lines.append([])
    return lines


def conllu(texts: Sequence[Text]) -> list[list[str]]:
    lines = [["# global.columns = ID FORM UPOS NER"]]
    for text in texts:
        lines.append(["# sent_id = 1"])
        for at, (word, tag) in enumerate(zip(text.words, tags_of(text, "IOB2")), 1):
            lines.append([str(at), word, "_", tag])
        lines.append([])
    return lines


def ontonotes(texts: Sequence[Text]) -> list[list[str]]:
    lines = [["#begin document (a); part 000"]]
    for text in texts:
        brackets = ["*"] * len(text.words)
        for start, end, label in text.entities:
            brackets[start] = f"({label}*"
            brackets[end - 1] = (brackets[end - 1] + ")").replace("*)", "*)")
            if end - start == 1:
                brackets[start] = f"({label})"
        for at, (word, bracket) in enumerate(zip(text.words, brackets)):
            parse = (
                "(TOP(S*" if at == 0 else "*))" if at == len(text.words) - 1 else "*"
            )
            own = ["a", "0", str(at), word, "NN", parse, *"----", bracket, "-"]
            lines.append(own)
        lines.append([])
    return [*lines, ["#end document"]]


COLUMNS: dict[str, tuple[Callable, str]] = {
    "iob1": columns("IOB1", between=" "),
    "iob2": columns("IOB2"),
    "iob2-lower": columns("IOB2", "NN", lower=True),
    "bioes": columns("BIOES", "NN", "B-NP", between=" "),
    "biluo": columns("BILUO"),
    "bmes": columns("BMES", between=" "),
    "nested": (nested, "\t"),
    "conllu-plus": (conllu, "\t"),
    "ontonotes": (ontonotes, "   "),
}
PIPES = {"pipes": (), "pipes-pos": ("NN",)}


# What goes wrong with a file. Each returns its bytes, and what may be read of them.


@dataclass(frozen=True)
class Damaged:
    """content: the file; name: what it is called now; encoding: what the reader is told;
    right: whether it must be read, all of it, and rightly."""

    content: bytes
    name: str
    encoding: str = "utf8"
    right: bool = False


def swapped_case(name: str, rng: random.Random) -> str:
    return "".join(rng.choice((c.lower(), c.upper())) for c in name)


def is_utf8(content: bytes) -> bool:
    """Is it good UTF-8, as which other encodings may be read too? Nobody can tell. (A
    reader that tells by NUL characters can.)"""
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def of_bytes(
    name: str, text: str, rng: random.Random, chinese: str = "gb18030"
) -> Damaged:
    """What may happen to any text file."""
    whole = text.encode()
    kind = rng.randrange(10)
    if kind == 0:
        return Damaged(whole, name, right=True)
    if kind == 1:
        return Damaged(b"\xef\xbb\xbf" + whole, swapped_case(name, rng), right=True)
    if kind == 2:
        packed = gzip.compress(whole, 1)
        name = swapped_case(f"{name}.gz", rng)
        if rng.random() < 0.5:
            return Damaged(packed, name, right=True)
        return Damaged(packed[: rng.randrange(len(packed) - 8)], name)
    if kind == 3:
        ends = text.replace("\n", rng.choice(("\r\n", "\r")))
        return Damaged(ends.encode(), name, right=True)
    if kind in (4, 5):
        encoding = rng.choice(("utf-16", "utf-32", "utf-16-le", chinese, "utf-16-be"))
        content = text.encode(encoding)
        if kind == 5:
            return Damaged(content, name, encoding, right=True)
        if is_utf8(content):
            content = whole
        return Damaged(content, name, right=content == whole)
    if kind == 6:
        content = text.encode("cp1252", "replace")
        if "?" in content.decode("cp1252") or is_utf8(content):
            content = whole
        return Damaged(content, name, right=content == whole)
    at = rng.randrange(len(whole))
    if kind == 7:
        return Damaged(whole[:at] + b"\0" + whole[at:], name)
    if kind == 8:
        return Damaged(whole[:at] + b"\xff" + whole[at + 1 :], name)
    return Damaged(whole[:at], name)


def dicts_of(value: Any) -> list[Any]:
    """All objects of a value, and all lists that are spans."""
    found = [value] if isinstance(value, dict) else []
    if isinstance(value, list):
        if any(isinstance(each, int) for each in value):
            found.append(value)
    inside = value.values() if isinstance(value, dict) else value
    if isinstance(value, (dict, list)):
        for each in inside:
            found.extend(dicts_of(each))
    return found


def of_json(row: Any, rng: random.Random) -> None:
    """Damage one row: a key is renamed or lost, two values change places, or one is of
    another kind."""
    own = rng.choice(dicts_of(row))
    keys = list(own) if isinstance(own, dict) else list(range(len(own)))
    kind = rng.randrange(4)
    key = rng.choice(keys)
    if key == "label" and "annotator" in own:
        # Without it, nobody has marked anything.
        kind = 3
    if kind == 0 and isinstance(own, dict):
        renamed = rng.choice((key.upper(), f"{key}s_", key[1:] + key[0], f"my_{key}"))
        own[renamed] = own.pop(key)
    elif kind == 1 and isinstance(own, dict):
        own.pop(key)
    elif kind == 2:
        other = rng.choice(keys)
        own[key], own[other] = own[other], own[key]
    else:
        wrong = {str: (7, [7], {}), int: ("7", None, 0.5), list: (7, "x", {})}
        own[key] = rng.choice(wrong.get(type(own[key]), ("x", 7)))


def of_columns(lines: list[list[str]], rng: random.Random, place: int = -1) -> None:
    """Damage lines of columns: the last one is elsewhere, in one line or in all, is
    missing, or of another scheme."""
    wordy = [
        line
        for line in lines
        # A word that looks like a tag could as well be one.
        if len(line) > 1 and line[0] != "#" and not re.search("^(B-5|e-m)", line[0])
    ]
    width = len(wordy[0])
    tag = place % width
    kind = rng.randrange(5)
    line = rng.choice(wordy)
    if kind == 0 and not any("-" in each[0] for each in wordy):
        other = 3 if width == 12 else rng.randrange(width)
        for each in lines:
            if len(each) == width and each[0] != "#begin document (a); part 000":
                each[tag], each[other] = each[other], each[tag]
    elif kind == 1:
        line[0], line[tag] = line[tag], line[0]
    elif kind == 2:
        line.pop(tag)
    elif kind == 3:
        tagged = [each for each in wordy if "-" in each[tag] or "(" in each[tag]]
        line = rng.choice(tagged)
        line[tag] = rng.choice(("Q", "?", "7")) + line[tag][1:]
    else:
        line[tag] = ""


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
