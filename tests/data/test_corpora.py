"""The reader of a config: it reads files and draws from them."""

from pathlib import Path

import pytest
from spacy.language import Language
from spacy.tokens import DocBin

from helpers.draws import ents, make_docs, write_jsonl
from helpers.places import SHARED
from spacy_instructner.data.corpora import build_few_shot_corpus_v1, read_docs
from spacy_instructner.data.sampling import draw, label_counts


def test_reader_gives_unannotated_docs_with_the_datas_tokens(
    nlp: Language, tmp_path: Path
) -> None:
    docs = make_docs(nlp)
    DocBin(docs=docs).to_disk(tmp_path / "a.spacy")
    DocBin(docs=docs[:5]).to_disk(tmp_path / "test.spacy")
    reader = build_few_shot_corpus_v1(
        tmp_path / "a.spacy", "at-least-k", 2, 0, tmp_path / "test.spacy"
    )
    examples = list(reader(nlp))
    expected = draw(docs, "at-least-k", 2, 0, docs[:5])
    assert [eg.reference.text for eg in examples] == [doc.text for doc in expected]
    assert [ents(eg.reference) for eg in examples] == [ents(doc) for doc in expected]
    for eg in examples:
        assert [t.text for t in eg.predicted] == [t.text for t in eg.reference]
        assert not eg.predicted.has_annotation("ENT_IOB")
    assert [eg.text for eg in reader(nlp)] == [eg.text for eg in examples]


def test_reader_without_a_path_says_where_to_give_one(nlp: Language) -> None:
    with pytest.raises(ValueError, match="--paths.train"):
        list(build_few_shot_corpus_v1(None)(nlp))


def test_reader_says_which_labels_fall_short(nlp: Language, tmp_path: Path) -> None:
    DocBin(docs=make_docs(nlp, 9)).to_disk(tmp_path / "a.spacy")
    reader = build_few_shot_corpus_v1(tmp_path / "a.spacy", "at-least-k", 50)
    with pytest.warns(UserWarning, match="fewer than 50 entities of: X, Y, Z"):
        list(reader(nlp))


def test_reader_reports_what_it_leaves_out(nlp: Language, tmp_path: Path) -> None:
    row = {"text": "Anna", "spans": [{"start": 0, "end": 3, "label": "PER"}]}
    path = write_jsonl(tmp_path / "a.jsonl", [row])
    with pytest.warns(UserWarning, match="1 spans of .* instructner convert"):
        list(build_few_shot_corpus_v1(path)(nlp))


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real data here")
@pytest.mark.parametrize(
    "name,sentences,entities",
    [("mit_restaurant", 1521, 3151), ("wnut2017", 1287, 1079), ("gum", 1000, 3439)],
)
def test_real_data(nlp: Language, name: str, sentences: int, entities: int) -> None:
    docs, problems = read_docs(SHARED / name / "test.jsonl.gz", nlp)
    assert problems == []
    assert len(docs) == sentences
    assert sum(label_counts(docs).values()) == entities
