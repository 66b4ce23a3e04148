"""The baselines that the project brings."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from spacy.tokens import Doc, Span
from thinc.api import fix_random_seed
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizerFast,
)

from benchmarks.baselines import (
    first_trained,
    free,
    prompted,
    span_marker_model,
    token_classifier,
)
from benchmarks.baselines.token_classifier import Tagger, spans_of, tags_of
from spacy_instructner.annotations import scores_on
from spacy_instructner.data.corpora import without_annotation
from spacy_instructner.resolve import Found

TEXTS = [
    ("Anna met Bert", [(0, 1, "PERSON"), (2, 3, "PERSON")]),
    ("Bert lives in Old Paris", [(0, 1, "PERSON"), (3, 5, "PLACE")]),
    ("nothing is here", []),
]


@pytest.fixture
def nlp() -> Any:
    return spacy.blank("en")


@pytest.fixture
def support(nlp: Any) -> list[Doc]:
    docs = []
    for text, entities in TEXTS:
        doc = nlp.make_doc(text)
        spans = [Span(doc, *entity) for entity in entities]
        doc.set_ents(spans, default="outside")
        docs.append(doc)
    return docs


def said(docs: Any) -> list[list[Any]]:
    return [[(e.start, e.end, e.label_) for e in doc.ents] for doc in docs]


@pytest.mark.parametrize("twice", [False, True])
def test_the_token_classifier_learns(
    nlp: Any, support: list[Doc], tiny_causal: Path, twice: bool
) -> None:
    # As before each cell of a benchmark: the classifier's first weights are drawn.
    fix_random_seed(0)
    settings = {"name": str(tiny_causal), "learn_rate": 0.02, "twice": twice}
    annotate = token_classifier.fit(nlp, support, 0, steps=150, **settings)
    docs = [without_annotation(doc) for doc in support] + [Doc(nlp.vocab)]
    found = list(annotate(docs))
    assert found == docs
    assert said(found) == [*(entities for _, entities in TEXTS), []]
    scores = [
        scores_on(doc, doc.spans).get((ent.start_char, ent.end_char, ent.label_))
        for doc in found
        for ent in doc.ents
    ]
    assert all(score is not None and 0.5 < score <= 1.0 for score in scores)
    before = token_classifier.fit(nlp, support, 0, steps=0, **settings)
    assert said(before([without_annotation(doc) for doc in support])) != said(found)[:3]


def test_a_text_is_read_alike_beside_others(
    support: list[Doc], tiny_causal: Path
) -> None:
    tags = ["O", "B-PERSON", "I-PERSON"]
    for twice in (False, True):
        tagger = Tagger(str(tiny_causal), tags, 4, twice).float().eval()
        reads = [tagger.read(doc) for doc in support]
        alone = torch.cat([tagger([read]) for read in reads])
        assert alone.shape == (sum(map(len, support)), 3)
        torch.testing.assert_close(tagger(reads), alone)
        once = Tagger(str(tiny_causal), tags, 4, False).read(support[0])
        # The last copy is classified.
        shift = len(once[0]) if twice else 0
        assert reads[0][1] == [place + shift for place in once[1]]
        assert reads[0][0] == once[0] * (1 + twice)


def test_tags_and_spans(support: list[Doc]) -> None:
    assert tags_of(support[1]) == ["B-PERSON", "O", "O", "B-PLACE", "I-PLACE"]
    tags = ["I-A", "I-A", "B-A", "I-B", "O", "B-B"]
    assert spans_of(tags, [0.5, 0.5, 1.0, 0.25, 1.0, 0.75]) == [
        Found(0, 2, "A", 0.25),
        Found(2, 3, "A", 1.0),
        Found(3, 4, "B", 0.25),
        Found(5, 6, "B", 0.75),
    ]


def test_spacy_llm_is_asked_for_the_labels_of_the_support_set(
    nlp: Any, support: list[Doc], tiny_causal: Path, tmp_path: Path
) -> None:
    pytest.importorskip("spacy_llm")
    folder = tmp_path / "chat"
    shutil.copytree(tiny_causal, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    annotate = prompted.fit(nlp, support, 0, name=str(folder), new_tokens=4)
    found = list(annotate([without_annotation(doc) for doc in support]))
    assert [doc.text for doc in found] == [text for text, _ in TEXTS]
    assert all(doc.vocab is nlp.vocab for doc in found)


def make_encoder(folder: Path) -> Path:
    """A tiny BERT that knows the words of the texts."""
    words = sorted({word.lower() for text, _ in TEXTS for word in text.split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=128)
    tokenizer.save_pretrained(folder / "encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertModel(config).save_pretrained(folder / "encoder")
    return folder / "encoder"


def test_span_marker_learns(nlp: Any, support: list[Doc], tmp_path: Path) -> None:
    pytest.importorskip("span_marker")
    encoder = make_encoder(tmp_path)
    annotate = span_marker_model.fit(
        nlp, support, 0, str(encoder), steps=200, learn_rate=5e-3
    )
    found = list(
        annotate([without_annotation(doc) for doc in support] + [Doc(nlp.vocab)])
    )
    assert said(found) == [*(entities for _, entities in TEXTS), []]


def test_span_marker_without_padding_is_the_same(
    nlp: Any, support: list[Doc], tmp_path: Path
) -> None:
    span_marker = pytest.importorskip("span_marker")
    model = span_marker.SpanMarkerModel.from_pretrained(
        str(make_encoder(tmp_path)),
        labels=["O", "PERSON", "PLACE"],
        model_max_length=32,
        entity_max_length=3,
    ).eval()
    words = {"tokens": [[word.text for word in doc] for doc in support]}
    read = model.tokenizer(words)
    features = [
        dict(zip(read, own, strict=True)) for own in zip(*read.values(), strict=True)
    ]
    for own in features:
        own["num_spans"] = len(own["start_position_ids"])
        own["labels"] = [number % 3 for number in range(own["num_spans"])]
    whole = model.data_collator(features)
    cut = span_marker_model.trimmed(model.data_collator, features)
    # Seven ids and the even number that follows; twelve spans of at most three words.
    assert cut["input_ids"].shape == (3, 8 + 2 * 12)
    assert whole["input_ids"].shape == (3, 32 + 2 * model.config.marker_max_length)
    with torch.inference_mode():
        long, short = model(**whole), model(**cut)
    assert short.loss == pytest.approx(float(long.loss), abs=1e-5)
    for row, pairs in enumerate(cut["num_marker_pairs"]):
        torch.testing.assert_close(short.logits[row, :pairs], long.logits[row, :pairs])


def test_an_encoder_learns_before_and_goes_on_where_it_was(
    support: list[Doc], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make_encoder(tmp_path)
    own = first_trained.tagged(support)
    assert own[1] == (
        ["Bert", "lives", "in", "Old", "Paris"],
        ["B-PERSON", "O", "O", "B-PLACE", "I-PLACE"],
    )
    # Texts of the second source are those of the first, with nothing annotated.
    none = [(words, ["O"] * len(words)) for words, _ in own]
    sources = {"some": own * 30, "none": none * 30}

    def train(output: Path) -> None:
        first_trained.first_train(encoder, sources, output, 5e-3, 6, every=10)

    train(tmp_path / "whole")
    record = json.loads((tmp_path / "whole" / "trained.json").read_text())
    assert record["texts"] == {"some": 90, "none": 90}
    assert [line["steps"] for line in record["log"]] == [10, 20, 30]
    assert record["log"][-1]["loss"] < 0.1 < 0.4 < record["log"][0]["loss"]
    save = torch.save

    def killed(state: Any, path: Path) -> None:
        if state["steps"] == 20:
            raise KeyboardInterrupt
        save(state, path)

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken")
    assert not (tmp_path / "broken" / "trained.json").exists()
    monkeypatch.setattr(torch, "save", save)
    train(tmp_path / "broken")
    weights = [
        AutoModel.from_pretrained(tmp_path / name).state_dict()
        for name in ("whole", "broken", "encoder")
    ]
    for name, values in weights[0].items():
        assert torch.equal(values, weights[1][name]), name
    changed = "encoder.layer.1.output.dense.weight"
    assert not torch.equal(weights[0][changed], weights[2][changed])
    # What is there is not made again.
    before = (tmp_path / "whole" / "trained.json").stat().st_mtime_ns
    train(tmp_path / "whole")
    assert (tmp_path / "whole" / "trained.json").stat().st_mtime_ns == before
    assert not list((tmp_path / "whole").glob("checkpoint*"))


def test_an_answer_is_read_as_a_string(nlp: Any) -> None:
    doc = nlp.make_doc("Anna met Anna in Old Paris, as Annabel is a person said")
    named = {"person": "PERSON", "old place": "PLACE"}
    said = " Anna is a person, Anna is an person, Bo is a person, Anna is a person"
    said += ", Old Paris is an old place, met is a verb, Old is a old place, hm."
    assert [(e.start, e.end, e.label_) for e in free.spans_of(doc, said, named)] == [
        (0, 1, "PERSON"),
        (2, 3, "PERSON"),
        (4, 6, "PLACE"),
    ]
    assert free.spans_of(doc, "none.", named) == []
    odd = "Annabel is a person is a person"
    assert [e.text for e in free.spans_of(doc, odd, named)] == ["Annabel is a person"]
