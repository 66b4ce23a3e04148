"""Reading annotated files, and drawing from them."""

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pytest
import spacy
from conftest import SHARED
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from spacy_instructner.data.corpora import build_few_shot_corpus_v1, read_docs
from spacy_instructner.data.sampling import Protocol, draw, episode, label_counts


@pytest.fixture(scope="module")
def nlp() -> Language:
    return spacy.blank("en")


def ents(doc: Doc) -> list:
    return [(e.start_char, e.end_char, e.label_) for e in doc.ents]


def write_jsonl(path: Path, rows: list) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf8")
    return path


def test_jsonl(nlp: Language, tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "a.jsonl",
        [
            {
                "text": "Anna met Bert.",
                "spans": [{"start": 9, "end": 13, "label": "PER"}],
            },
            {"text": "No one.", "spans": []},
            # As Prodigy writes it: tokens as objects, more keys.
            {
                "text": "Anna's",
                "tokens": [{"text": "Anna", "id": 0}, {"text": "'s", "id": 1}],
                "spans": [{"start": 0, "end": 4, "label": "PER", "token_start": 0}],
                "answer": "accept",
            },
        ],
    )
    docs, problems = read_docs(path, nlp)
    assert problems == []
    assert [doc.text for doc in docs] == ["Anna met Bert.", "No one.", "Anna's"]
    assert [ents(doc) for doc in docs] == [[(9, 13, "PER")], [], [(0, 4, "PER")]]
    # What is not marked is O, not missing: a false positive counts.
    assert all(t.ent_iob_ in "BIO" and t.ent_iob_ for doc in docs for t in doc)


def test_gzip_reads_the_same(nlp: Language, tmp_path: Path) -> None:
    row = {"text": "Anna", "spans": [{"start": 0, "end": 4, "label": "PER"}]}
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file_:
        file_.write(json.dumps(row) + "\n\n")
    docs, _ = read_docs(tmp_path / "a.jsonl.gz", nlp)
    assert [ents(doc) for doc in docs] == [[(0, 4, "PER")]]


def test_misaligned_and_overlapping_spans_are_all_reported(
    nlp: Language, tmp_path: Path
) -> None:
    spans = [
        {"start": 0, "end": 3, "label": "PER"},  # inside a token
        {"start": 9, "end": 99, "label": "PER"},  # past the end
        {"start": 5, "end": 8, "label": "ACT"},
        {"start": 5, "end": 13, "label": "PER"},  # overlaps the one before
    ]
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"text": "Anna met Bert", "spans": spans}]
    )
    docs, problems = read_docs(path, nlp)
    assert ents(docs[0]) == [(5, 8, "ACT")]
    assert len(problems) == 3
    assert all(str(p).startswith(f"{path}, line 1: PER at ") for p in problems)
    assert sum("token borders" in p.why for p in problems) == 2
    assert sum("overlaps ACT 'met'" in p.why for p in problems) == 1


@pytest.mark.parametrize(
    "content,message",
    [
        ("{", "line 2: not a JSON object"),
        ('{"spans": []}', "line 2: not a JSON object"),
        ('{"text": 5, "spans": []}', "line 2: not a JSON object"),
        ('{"text": "a", "spans": [{"start": 0, "end": 1, "label": null}]}', "line 2"),
        ('{"text": "a", "spans": [{"start": 0}]}', "line 2: not a JSON object"),
        ('{"text": "a b", "tokens": ["a", "c"], "spans": []}', "not the words"),
    ],
)
def test_bad_lines_are_named(
    nlp: Language, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine", "spans": []}\n' + content)
    with pytest.raises(ValueError, match=message):
        read_docs(path, nlp)


@pytest.mark.parametrize(
    "tags",
    [
        ["B-PER", "I-PER", "O", "B-PER", "B-LOC", "O"],  # IOB2
        ["I-PER", "I-PER", "O", "I-PER", "I-LOC", "O"],  # IOB1
        ["B-PER", "E-PER", "O", "S-PER", "S-LOC", "O"],  # BIOES
        ["B-PER", "L-PER", "O", "U-PER", "U-LOC", "O"],  # BILUO
        ["PER", "PER", "O", "PER", "LOC", "O"],  # bare types
    ],
)
def test_conll_schemes(nlp: Language, tmp_path: Path, tags: list) -> None:
    words = ["Anna", "Brown", "met", "Bert", "Rome", "."]
    lines = [f"{word} NN x {tag}" for word, tag in zip(words, tags)]
    text = "-DOCSTART- -X- O O\n\n" + "\n".join(lines) + "\n\n\nNone NN x O\n"
    path = tmp_path / "a.conll"
    path.write_text(text)
    docs, _ = read_docs(path, nlp)
    assert [doc.text for doc in docs] == ["Anna Brown met Bert Rome . ", "None "]
    assert [(e.text, e.label_) for e in docs[0].ents] == [
        ("Anna Brown", "PER"),
        ("Bert", "PER"),
        ("Rome", "LOC"),
    ]
    assert docs[1].ents == ()


def test_entities_that_touch(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "a.iob"
    for text, found in (
        # B begins anew, S and E end.
        ("a B-X\nb B-X\nc I-X\nd O\n", ["a", "b c"]),
        ("a S-X\nb B-X\nc E-X\nd S-X\n", ["a", "b c", "d"]),
    ):
        path.write_text(text)
        docs, _ = read_docs(path, nlp)
        assert [e.text for e in docs[0].ents] == found
    path.write_text("a B-X\nb E-X\nc I-X\nd S-X\n")
    with pytest.raises(ValueError, match="line 3: 'I-X' does not begin an entity"):
        read_docs(path, nlp)


def test_conll_words_comments_and_types_with_hyphens(
    nlp: Language, tmp_path: Path
) -> None:
    path = tmp_path / "a.conll"
    path.write_text("# id = 12\n1\xa0000\tB-NUM\nmona\tO\n")
    docs, _ = read_docs(path, nlp)
    assert [(e.text, e.label_) for e in docs[0].ents] == [("1\xa0000", "NUM")]
    path.write_text("# id = 12\nthe\tO\nmona\tart-work\nlisa\tart-work\n")
    docs, _ = read_docs(path, nlp)
    assert [(e.text, e.label_) for e in docs[0].ents] == [("mona lisa", "art-work")]
    path.write_text("the\tO\nyear\tB-NUM\nmona\tart-work\n")
    with pytest.raises(
        ValueError, match="line 3: .*'art-work' is not a tag like 'B-NUM'"
    ):
        read_docs(path, nlp)


def test_conll_without_a_tag(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("Anna B-PER\nmet\n")
    with pytest.raises(ValueError, match="line 2: the word has no tag"):
        read_docs(path, nlp)


def test_unknown_and_missing_files(nlp: Language, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no file"):
        read_docs(tmp_path / "a.jsonl", nlp)
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(ValueError, match="must end with .spacy or one of"):
        read_docs(tmp_path / "a.csv", nlp)
    (tmp_path / "a.spacy").write_text("no")
    with pytest.raises(ValueError, match="not a .spacy file"):
        read_docs(tmp_path / "a.spacy", nlp)


def make_docs(nlp: Language, count: int = 60) -> list[Doc]:
    rng = random.Random(1)
    docs = []
    for number in range(count):
        words = [f"w{number}", "a", "b", "c"]
        doc = Doc(nlp.vocab, words=words)
        labels = [rng.choice("XYZ") for _ in range(rng.randint(0, 3))]
        spans = [doc.char_span(*_at(doc, i + 1), label=x) for i, x in enumerate(labels)]
        doc.set_ents(spans, default="outside")
        docs.append(doc)
    return docs


def _at(doc: Doc, token: int) -> tuple:
    return doc[token].idx, doc[token].idx + len(doc[token])


@pytest.mark.parametrize("k", [1, 3, 10])
def test_at_least_k(nlp: Language, k: int) -> None:
    docs = make_docs(nlp)
    drawn = draw(docs, "at-least-k", k, seed=5)
    counts = label_counts(drawn)
    assert all(counts[label] >= k for label in "XYZ")
    # Greedy: without its last sentence, some label has too few.
    short = Counter(label_counts(drawn[:-1]))
    assert any(short[label] < k for label in "XYZ")
    # Every sentence was worth keeping when it came.
    have: Counter = Counter()
    for doc in drawn:
        labels = [e.label_ for e in doc.ents]
        assert any(have[label] < k for label in labels)
        have.update(labels)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_at_most_k(nlp: Language, k: int) -> None:
    docs = make_docs(nlp, 200)
    drawn = draw(docs, "at-most-k", k, seed=5)
    counts = Counter(label_counts(drawn))
    assert all(doc.ents for doc in drawn)
    # There are sentences with one entity of each label, so each is filled up.
    assert counts == {"X": k, "Y": k, "Z": k}
    shuffled = list(docs)
    random.Random(5).shuffle(shuffled)
    assert drawn == [doc for doc in shuffled if doc in drawn]
    # Whatever was left out would have been too much when its turn came.
    have: Counter = Counter()
    for doc in shuffled:
        own = Counter(ent.label_ for ent in doc.ents)
        fits = bool(own) and all(have[label] + own[label] <= k for label in own)
        assert fits == (doc in drawn)
        have.update(own if fits else ())


@pytest.mark.parametrize("k", [1, 3, 10])
def test_k_sentences(nlp: Language, k: int) -> None:
    docs = make_docs(nlp)
    drawn = draw(docs, "k-sentences", k, seed=5)
    assert len(drawn) == len({doc[0].text for doc in drawn}) == 3 * k
    # Blocks of k, the rarest label's first.
    all_counts = label_counts(docs)
    rare_first = sorted(all_counts, key=lambda label: all_counts[label])
    for number, label in enumerate(rare_first):
        for doc in drawn[k * number : k * (number + 1)]:
            assert label in {ent.label_ for ent in doc.ents}
    # Of the rarest, the first ones of the shuffle.
    shuffled = list(docs)
    random.Random(5).shuffle(shuffled)
    has = [d for d in shuffled if rare_first[0] in {ent.label_ for ent in d.ents}]
    assert drawn[:k] == has[:k]


def test_an_episode_has_k_to_2k_of_each_of_its_labels_and_nothing_else(
    nlp: Language,
) -> None:
    docs = make_docs(nlp, 200)
    seen = set()
    for seed in range(20):
        found = episode(docs, ways=2, k=3, seed=seed)
        seen.add(found.labels)
        assert len(found.labels) == 2
        for part in (found.support, found.query):
            counts = label_counts(part)
            assert tuple(counts) == found.labels
            assert all(3 <= count <= 6 for count in counts.values())
        names = [doc[0].text for doc in (*found.support, *found.query)]
        assert len(names) == len(set(names))
    assert seen == {("X", "Y"), ("X", "Z"), ("Y", "Z")}
    assert episode(docs, 2, 3, seed=7) == episode(docs, 2, 3, seed=7)
    assert episode(docs, 2, 3, seed=7) != episode(docs, 2, 3, seed=8)


def test_episodes_that_cannot_be(nlp: Language) -> None:
    docs = make_docs(nlp, 20)
    with pytest.raises(ValueError, match="4 labels are asked for; the data have 3"):
        episode(docs, 4, 1)
    with pytest.raises(ValueError, match="too few entities of .* with 50 to 100"):
        episode(docs, 2, 50)
    with pytest.raises(ValueError, match="must be at least 1, not 0 and 1"):
        episode(docs, 0, 1)


# A draw must never change from one version to the next.
PINNED = {
    "at-least-k": ["w12", "w29", "w42"],
    "at-most-k": ["w12", "w29", "w0"],
    "k-sentences": ["w12", "w29", "w47", "w5", "w42", "w7"],
    "sentences": ["w12", "w33"],
}


@pytest.mark.parametrize("protocol", PINNED)
def test_a_draw_depends_on_data_protocol_k_and_seed(
    nlp: Language, protocol: Protocol
) -> None:
    docs = make_docs(nlp)
    names = [doc[0].text for doc in draw(docs, protocol, 2, seed=0)]
    assert names == PINNED[protocol]
    random.seed(123)
    assert [doc[0].text for doc in draw(docs, protocol, 2, seed=0)] == names
    assert [doc[0].text for doc in draw(docs, protocol, 2, seed=1)] != names


def test_an_episode_is_pinned(nlp: Language) -> None:
    found = episode(make_docs(nlp), ways=2, k=1, seed=0)
    assert found.labels == ("Y", "Z")
    assert [doc[0].text for doc in found.support] == ["w24"]
    assert [doc[0].text for doc in found.query] == ["w40"]


def test_sentences_and_all(nlp: Language) -> None:
    docs = make_docs(nlp)
    shuffled = list(docs)
    random.Random(0).shuffle(shuffled)
    assert draw(docs, "sentences", 7, 0) == shuffled[:7]
    assert draw(docs, "all") == docs


def test_test_sentences_are_never_drawn(nlp: Language) -> None:
    docs = make_docs(nlp)
    drawn = draw(docs, "at-least-k", 3, 0)
    barred = drawn[:2]
    again = draw(docs, "at-least-k", 3, 0, exclude=barred)
    assert not {d.text for d in barred} & {d.text for d in again}
    # The rest of the shuffle is as it was.
    assert [d.text for d in again][: len(drawn) - 2][:1] == [drawn[2].text]


def test_spacing_does_not_hide_a_test_sentence(nlp: Language) -> None:
    docs = [nlp.make_doc("Anna met Bert .")]
    assert draw(docs, "all", exclude=[nlp.make_doc("Anna met  Bert . ")]) == []


def test_bad_draws(nlp: Language) -> None:
    with pytest.raises(ValueError, match="no protocol 'k-shot'.*at-least-k"):
        draw([], "k-shot", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        draw([], "at-least-k", 0)


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
