"""What a pipeline annotated, as training data of another."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import Doc, Span, SpanGroup

from helpers.cli import docs, fail, run
from helpers.towns import make_pipeline
from spacy_instructner.corpus.distillation import (
    annotated_texts,
    student_texts,
    with_entities_alone,
)
from spacy_instructner.formats.outputs import write_docs

NLP = spacy.blank("en")


def text(*words: str, label: str = "") -> Doc:
    """label: of the first word, where it is an entity."""
    doc = Doc(NLP.vocab, words=list(words))
    doc.set_ents([Span(doc, 0, 1, label)] if label else [], default="outside")
    return doc


def words_of(found: list[Doc]) -> set[str]:
    return {doc.text.strip() for doc in found}


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Forty texts, annotated by a pipeline that needs no weights."""
    make_pipeline().to_disk(tmp_path / "pipeline")
    lines = [f"Rome and village {n}" for n in range(39)] + ["no town at all"]
    (tmp_path / "texts.txt").write_text("\n".join(lines))
    folder = tmp_path / "annotated"
    options = ("--format", "spacy", "--chunk", "15")
    run("annotate", tmp_path / "pipeline", tmp_path / "texts.txt", folder, *options)
    return folder


def test_from_texts_to_training_data(annotated: Path, tmp_path: Path) -> None:
    gold = text("Rome", "and", "village", "3", label="CITY")
    barred = text("Rome", "and", "village", "7", label="TOWN")
    write_docs([gold, text("Bert", label="PERSON")], tmp_path / "gold.spacy")
    write_docs([barred], tmp_path / "test.spacy")
    given = ("--gold", tmp_path / "gold.spacy", "--exclude", tmp_path / "test.spacy")
    said = run("collect", annotated, tmp_path / "out", *given)
    assert "2 texts were annotated by people" in said
    assert "1 excluded texts, 1 with the words of another" in said
    train, dev = (docs(tmp_path / "out" / f"{of}.spacy") for of in ("train", "dev"))
    # Of 38 that are left, a tenth.
    assert (len(train), len(dev)) == (2 + 34, 4)
    assert not words_of(train) & words_of(dev)
    assert barred.text.strip() not in words_of([*train, *dev])
    labels = [(ent.text, ent.label_) for doc in [*train, *dev] for ent in doc.ents]
    assert labels.count(("Rome", "CITY")) == labels.count(("Bert", "PERSON")) == 1
    assert labels.count(("Rome", "TOWN")) == 37 and len(labels) == 39
    # The same again; another seed divides anew.
    before = words_of(dev)
    run("collect", annotated, tmp_path / "out", *given)
    assert words_of(docs(tmp_path / "out" / "dev.spacy")) == before
    run("collect", annotated, tmp_path / "out", *given, "--seed", "1")
    assert words_of(docs(tmp_path / "out" / "dev.spacy")) != before


def test_of_an_annotated_text_only_the_entities_are_kept() -> None:
    doc = text("Rome", "is", "old", label="TOWN")
    doc.spans["instruction_ner"] = SpanGroup(doc, spans=doc.ents)
    doc.user_data["id"] = "7"
    own = with_entities_alone(doc)
    assert own.text == doc.text and not own.spans and not own.user_data
    assert [(ent.text, ent.label_) for ent in own.ents] == [("Rome", "TOWN")]
    # The rest is known to be outside, not unknown.
    assert [token.ent_iob_ for token in own] == ["B", "O", "O"]


def test_what_annotate_has_not_finished_is_refused(
    annotated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    manifest = annotated / "manifest.json"
    assert len(list(annotated_texts(annotated, NLP.vocab))) == 40
    for at in (1, 2):
        shutil.copy(manifest, annotated / f"manifest-{at}-of-3.json")
    manifest.unlink()
    assert "a manifest is missing. Go on" in fail("collect", annotated, out)
    (annotated / "manifest-3-of-3.json").write_text("{}")
    assert len(list(annotated_texts(annotated, NLP.vocab))) == 40
    for part in annotated.glob("part-*.spacy"):
        part.unlink()
    assert "with --format spacy, into another" in fail("collect", annotated, out)
    (tmp_path / "empty").mkdir()
    assert "nothing that `annotate` wrote" in fail("collect", tmp_path / "empty", out)
    assert not out.exists()


def test_an_input_is_not_overwritten(annotated: Path, tmp_path: Path) -> None:
    gold = tmp_path / "out" / "train.spacy"
    write_docs([text("Bert", label="PERSON")], gold)
    before = gold.read_bytes()
    assert "is an input" in fail("collect", annotated, gold.parent, "--gold", gold)
    assert gold.read_bytes() == before
    assert "is an input" in fail("collect", annotated, annotated)


@pytest.mark.parametrize(
    "annotated,options,message",
    [
        ([text("Rome", label="TOWN")], {}, "1 annotated texts are left"),
        ([text("a"), text("b"), text("c")], {}, "No text to learn from has an entity"),
        ([text("a"), text("b")], {"dev_share": 0.0}, "between 0 and 1, not 0.0"),
        ([text("a"), text("b")], {"dev_share": 1.0}, "between 0 and 1, not 1.0"),
        ([text("a")] * 9, {}, "0 are excluded, 8 have the words of another"),
        ([text("a"), text("b")], {"exclude": [text("a")]}, "1 are excluded, 0 have"),
    ],
)
def test_texts_that_nothing_can_be_learned_from(
    annotated: list[Doc], options: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        student_texts(annotated, **options)


@pytest.mark.parametrize("share,count", [(0.01, 1), (0.5, 5), (0.99, 9)])
def test_both_parts_have_a_text(share: float, count: int) -> None:
    texts = [text(f"town{n}", label="TOWN") for n in range(10)]
    found = student_texts(texts, dev_share=share)
    assert (len(found.train), len(found.dev)) == (10 - count, count)
    assert (found.gold, found.excluded, found.repeated) == (0, 0, 0)


def test_a_test_text_among_the_gold_ones_is_left_out() -> None:
    texts = [text(f"town{n}", label="TOWN") for n in range(4)]
    barred = text("Bert", label="PERSON")
    found = student_texts(texts, [barred, text("Anna", label="PERSON")], [barred])
    assert found.gold == 1 and "Bert" not in words_of(found.train)
