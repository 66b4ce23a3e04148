"""Data sets of Hugging Face as Docs, and Docs as data sets."""

import random
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training.initialize import init_nlp
from spacy.util import load_config, registry

from helpers.places import ROOT

pytest.importorskip("datasets")

import datasets

from integrations.huggingface.dataset_reader import (
    build_hugging_face_dataset_v1,
    dataset_docs,
    docs_dataset,
    load_local,
)

FILE = ROOT / "integrations" / "huggingface" / "dataset_reader.py"
STRING, NUMBER = datasets.Value("string"), datasets.Value("int64")
WORDS = ["Anna", "Bo", "lives", "in", "Rome", "."]
ENTITIES = [("Anna Bo", "PER"), ("Rome", "LOC")]


def entities(doc: Doc) -> list[tuple[str, str]]:
    return [(ent.text, ent.label_) for ent in doc.ents]


def tagged(names: list[str], tags: list[int], **more: Any) -> Any:
    features = {
        "id": STRING,
        "tokens": datasets.Sequence(STRING),
        "pos_tags": datasets.Sequence(datasets.ClassLabel(names=["X", "Y"])),
        "ner_tags": datasets.Sequence(datasets.ClassLabel(names=names)),
        **dict.fromkeys(more, STRING),
    }
    row = {"id": "7", "tokens": WORDS, "pos_tags": [0] * 6, "ner_tags": tags, **more}
    rows = {key: [value] for key, value in row.items()}
    return datasets.Dataset.from_dict(rows, datasets.Features(features))


@pytest.mark.parametrize(
    "names,tags",
    [
        # As CoNLL-2003 has them; IOB1; BIOES; BILUO; types alone.
        (["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], [1, 2, 0, 0, 3, 0]),
        (["O", "I-PER", "I-LOC"], [1, 1, 0, 0, 2, 0]),
        (["O", "B-PER", "E-PER", "S-LOC"], [1, 2, 0, 0, 3, 0]),
        (["O", "B-PER", "L-PER", "U-LOC"], [1, 2, 0, 0, 3, 0]),
        (["PER", "O", "LOC"], [0, 0, 1, 1, 2, 1]),
    ],
)
def test_tags_of_every_scheme(nlp: Language, names: list[str], tags: list[int]) -> None:
    (doc,), problems = dataset_docs(tagged(names, tags), nlp)
    assert not problems
    assert [token.text for token in doc] == WORDS and entities(doc) == ENTITIES
    assert doc.text == "Anna Bo lives in Rome . "
    # With the text, spaces are those of the text.
    text = "Anna Bo lives in Rome."
    (doc,), _ = dataset_docs(tagged(names, tags, text=text), nlp)
    assert doc.text == text and entities(doc) == ENTITIES
    # However rows are given out.
    shaped = tagged(names, tags).with_format("numpy")
    (doc,), _ = dataset_docs(shaped, nlp)
    assert entities(doc) == ENTITIES


def test_spans_as_lists_of_objects_and_objects_of_lists(nlp: Language) -> None:
    text = "😀 Anna Bo lives in Rome."
    places = [(2, 9, 0), (19, 23, 1)]
    kinds = datasets.ClassLabel(names=["PER", "LOC"])
    listed = [{"start": a, "end": b, "label": c} for a, b, c in places]
    by_key = {key: [each[key] for each in listed] for key in ("start", "end", "label")}
    each = {"start": NUMBER, "end": NUMBER, "label": kinds}
    for spans, feature in (
        (listed, [each]),
        (by_key, datasets.Sequence(each)),
        (by_key, {key: datasets.Sequence(value) for key, value in each.items()}),
    ):
        features = datasets.Features({"text": STRING, "spans": feature})
        rows = {"text": [text, "Nothing."], "spans": [spans, type(spans)()]}
        if isinstance(spans, dict):
            rows["spans"][1] = {key: [] for key in spans}
        made = datasets.Dataset.from_dict(rows, features)
        (doc, empty), problems = dataset_docs(made, nlp)
        assert not problems and entities(doc) == ENTITIES
        assert entities(empty) == [] and all(token.ent_iob == 2 for token in empty)


def test_what_cannot_be_kept_or_read_is_told(nlp: Language) -> None:
    text = "Anna lives."
    half = [{"start": 0, "end": 2, "label": "PER"}]
    made = datasets.Dataset.from_dict({"text": [text], "spans": [half]})
    (doc,), (problem,) = dataset_docs(made, nlp, "towns")
    assert "towns, line 1" in str(problem) and "token borders" in str(problem)
    assert doc[0].ent_iob == 0
    for rows, why in (
        ({"text": [text]}, "towns, line 1: not a JSON object with annotation"),
        ({"tokens": [["Anna"]], "ner_tags": [[1, 2]]}, "the tags are numbers"),
        ({"tokens": [["Anna"]], "ner_tags": [["B-A", "O"]]}, "2 tags for 1 words"),
        ({"tokens": [["A", "b"]], "ner_tags": [["E-A", "O"]]}, "towns, line 1"),
    ):
        with pytest.raises(ValueError, match=why):
            dataset_docs(datasets.Dataset.from_dict(rows), nlp, "towns")
    secret = tagged(["O", "B-PER"], [-1] * 6)
    with pytest.raises(ValueError, match="towns, line 1: .*-1"):
        dataset_docs(secret, nlp, "towns")
    several = datasets.DatasetDict({"train": made, "test": made})
    with pytest.raises(ValueError, match="Choose one: train, test"):
        dataset_docs(several, nlp)


def random_docs(nlp: Language, seed: int, missing: bool) -> list[Doc]:
    """Docs with all kinds of words, spaces and entities, cut by the tokenizer."""
    rng = random.Random(seed)
    parts = ["Anna", "😀", ".", "東京", "\n", "a", "-", "\r\n", "  ", "\t", "don't"]
    docs = []
    for _ in range(20):
        chosen = [rng.choice(parts) for _ in range(rng.randrange(9))]
        doc = nlp.make_doc(
            "".join(f"{each}{' ' * rng.randrange(2)}" for each in chosen)
        )
        ents, gaps, at = list[Span](), list[Span](), 0
        while at < len(doc):
            label = rng.choice(["PER", "B-x", "é e"])
            span = Span(doc, at, min(at + rng.randrange(1, 4), len(doc)), label)
            if not span[0].is_space and not span[-1].is_space:
                kind = rng.randrange(3)
                ents += [span] if kind == 0 else []
                gaps += [span] if kind == 1 and missing else []
            at = span.end
        doc.set_ents(ents, missing=gaps, default="outside")
        docs.append(doc)
    return docs


@pytest.mark.parametrize("form", ["IOB2", "BIOES", "spans"])
@pytest.mark.parametrize("seed", range(4))
def test_there_and_back_again(nlp: Language, form: Any, seed: int) -> None:
    docs = random_docs(nlp, seed, missing=form != "spans")
    made = docs_dataset(docs, form)
    assert any(doc.ents for doc in docs)
    again, problems = dataset_docs(made, nlp)
    assert not problems
    for one, other in zip(docs, again, strict=True):
        assert one.text == other.text
        assert [t.text for t in one] == [t.text for t in other]
        assert [(e.start, e.end, e.label_) for e in one.ents] == [
            (e.start, e.end, e.label_) for e in other.ents
        ]
        pairs = [(a, b) for a, b in zip(one, other) if not a.is_space]
        assert all((a.ent_iob == 0) == (b.ent_iob == 0) for a, b in pairs)
    if form != "spans":
        names = made.features["ner_tags"].feature.names
        assert names[0] == "O" and len(names) == len(set(names))


def test_spans_cannot_say_that_nobody_looked(nlp: Language) -> None:
    doc = nlp("Anna lives in Rome.")
    with pytest.raises(ValueError, match="Text 1 .*without annotation"):
        docs_dataset([doc], "spans")
    made = docs_dataset([doc])
    assert made.features["ner_tags"].feature.names == ["O", "-"]


def test_an_entity_without_a_word_is_refused(nlp: Language) -> None:
    doc = nlp("Anna\n\nlives")
    doc.set_ents([Span(doc, 1, 2, "GAP")], default="outside")
    with pytest.raises(ValueError, match="has no word"):
        docs_dataset([doc])


def test_data_sets_of_this_machine(nlp: Language, tmp_path: Path) -> None:
    made = tagged(["O", "B-PER", "I-PER", "B-LOC"], [1, 2, 0, 0, 3, 0])
    made.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(tmp_path / "two")
    made.to_parquet(tmp_path / "rows.parquet")
    for found in (
        load_local(tmp_path / "one"),
        load_local(tmp_path / "two", "test"),
        load_local(tmp_path / "rows.parquet"),
    ):
        assert found.features == made.features
        (doc,), _ = dataset_docs(found, nlp)
        assert entities(doc) == ENTITIES
    for split in (None, "dev"):
        with pytest.raises(ValueError, match="no split .*Choose one: train, test"):
            load_local(tmp_path / "two", split)
    with pytest.raises(OSError, match="no data set"):
        load_local(tmp_path / "none")
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(ValueError, match="FewShotCorpus"):
        load_local(tmp_path / "rows.jsonl")


def test_examples_are_drawn_and_what_is_left_out_is_warned_of(
    nlp: Language, tmp_path: Path
) -> None:
    texts = [f"Anna met Bo in Rome {at}." for at in range(9)]
    spans = [[{"start": 0, "end": 4, "label": "PER"}] for _ in texts]
    spans[3] = [{"start": 0, "end": 2, "label": "PER"}]
    rows = {"text": texts, "spans": spans}
    datasets.Dataset.from_dict(rows).save_to_disk(tmp_path / "rows")
    read = build_hugging_face_dataset_v1(tmp_path / "rows")
    with pytest.warns(UserWarning, match="1 spans of .*rows are left out, the first"):
        examples = list(read(nlp))
    assert [example.text for example in examples] == texts
    assert not any(example.predicted.ents for example in examples)
    few = build_hugging_face_dataset_v1(tmp_path / "rows", None, "at-least-k", 2, 1)
    with pytest.warns(UserWarning):
        drawn = list(few(nlp))
    assert len(drawn) == 2 and all(example.reference.ents for example in drawn)


def test_the_reader_of_a_config(tiny_causal: Path, tmp_path: Path) -> None:
    """As `spacy train --code` loads it: the file alone, by another name."""
    from spacy.cli._util import import_code

    made = tagged(["O", "B-PER", "I-PER", "B-LOC"], [1, 2, 0, 0, 3, 0])
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "rows")
    import_code(FILE)
    assert registry.has("readers", "integrations.HuggingFaceDataset.v1")
    block = {
        "@readers": "integrations.HuggingFaceDataset.v1",
        "path": str(tmp_path / "rows"),
        "split": "train",
    }
    config = load_config(ROOT / "configs" / "fewshot.cfg")
    config["corpora"]["train"] = config["corpora"]["dev"] = block
    config["initialize"]["components"] = {}
    model = config["components"]["instruction_ner"]["model"]
    model["name"], model["precision"] = str(tiny_causal), "float32"
    model.pop("layers", None)
    ner: Any = init_nlp(config).get_pipe("instruction_ner")
    assert ner.labels == ("LOC", "PER")
    assert spacy.registry.readers.get("integrations.HuggingFaceDataset.v1")
