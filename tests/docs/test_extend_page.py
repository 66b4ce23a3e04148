"""The examples of the page on extending work."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, Config, fix_random_seed

from helpers import pages
from helpers.pages import EXTEND, blocks
from spacy_instructner.decoding.grammar import read_answer
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.tasks.base import Gold
from spacy_instructner.tasks.labels import make_label_set
from spacy_instructner.weights.sources import DEFAULT_MODEL

MakeNLP = Callable[..., Language]
TRAIN = [
    ("Anna met Bert in Paris.", [(0, 1, "PERSON"), (2, 3, "PERSON"), (4, 5, "CITY")]),
    ("It is an old place.", []),
    ("Rome, Paris and Anna", [(0, 1, "CITY"), (2, 3, "CITY"), (4, 5, "PERSON")]),
]


def run_example(section: str, model: Path) -> dict[str, Any]:
    """What a section's code leaves behind, with a model of the tests."""
    text = pages.text_of(EXTEND).split(f"\n## {section}\n")[1].split("\n## ")[0]
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    assert code.count(DEFAULT_MODEL) == 1
    left: dict[str, Any] = {}
    exec(code.replace(DEFAULT_MODEL, str(model)), left)
    return left


def examples(nlp: Language) -> list[Example]:
    made = []
    for text, entities in TRAIN:
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, *entity) for entity in entities], default="outside")
        made.append(Example(nlp.make_doc(text), doc))
    return made


def check_spans(doc: Doc) -> None:
    group = doc.spans["instruction_ner"]
    assert len(group) == len(group.attrs["scores"])
    for span, score in zip(group, group.attrs["scores"]):
        assert isinstance(span, Span) and span.doc is doc and len(span) > 0
        assert span.text in doc.text and span.label_ in ("PERSON", "CITY")
        assert 0.0 < score <= 1.0
    assert {(e.start, e.end, e.label) for e in doc.ents} <= {
        (span.start, span.end, span.label) for span in group
    }


def test_the_example_of_a_method_answers_and_learns(
    tiny_causal: Path, tmp_path: Path
) -> None:
    left = run_example("A method", tiny_causal)
    nlp = left["nlp"]
    check_spans(left["doc"])
    fix_random_seed(0)
    nlp.initialize(lambda: examples(nlp))
    sgd = Adam(1e-2)
    for _ in range(30):
        nlp.update(examples(nlp), sgd=sgd)
    assert nlp.evaluate(examples(nlp))["ents_f"] == 1.0
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    for text, entities in TRAIN:
        doc = again(text)
        check_spans(doc)
        assert [(ent.start, ent.end, ent.label_) for ent in doc.ents] == entities


def test_the_example_of_a_method_keeps_its_promises(tiny_causal: Path) -> None:
    left = run_example("A method", tiny_causal)
    backbone = get_backbone(left["nlp"].get_pipe("instruction_ner").model)
    encoder, decode = backbone.encoder, backbone.tokenizer.decode
    labels = make_label_set(["PERSON", "CITY"], {}, {"PERSON": "somebody's name"})
    bound = left["build_one_by_one"]().bind(
        encoder, labels, backbone.tokenizer.eos_token_id, 0, "text_last", ()
    )
    for text, entities in TRAIN:
        doc = left["nlp"].make_doc(text)
        spaces = [False, *(bool(token.whitespace_) for token in doc)][:-1]
        words = encoder.words([token.text for token in doc], spaces, 50)
        requests = bound.requests(words)
        records = bound.records(words, Gold(tuple(entities)), True)
        # Of a text without an entity nothing is learnt where one may be hidden; of others,
        # not which one comes next.
        torn = bound.records(words, Gold(tuple(entities), frozenset([1])))
        assert len(torn) == (2 if entities else 0)
        for whole, part in zip(records, torn):
            assert part.answer == whole.answer
            assert 0 < sum(map(bool, part.weights)) < sum(map(bool, whole.weights))
        for label, request, record in zip(labels.labels, requests, records):
            asked = request.prefix + request.suffix
            assert asked == record.prefix + record.suffix
            assert len(asked) <= bound.constant() + len(words.text)
            # What is learnt is an answer, and says what is annotated.
            said = read_answer(request.grammar, record.answer)
            assert said == [(s, e, 0) for s, e, of in entities if of == label]
            # What else could come: any word of the text, or that there is none.
            assert record.allowed is not None
            assert len(record.allowed) == len(record.answer)
            assert record.answer[0] in record.allowed[0]
            assert {ids[0] for ids in words.first} < set(record.allowed[0])
        assert len(requests) == len(records) == 2
        assert decode(requests[0].prefix + requests[0].suffix) == (
            f"Find every person (somebody's name)\nSentence: {text}\nAnswer:"
        )


def test_the_example_of_a_method_has_a_setting(
    make_nlp: MakeNLP, tiny_causal: Path
) -> None:
    run_example("A method", tiny_causal)
    above = "[components]\n[components.instruction_ner]\n"
    config = Config().from_str(above + blocks(EXTEND, "ini")[0])["components"]
    doc = make_nlp(save_io=True, **config["instruction_ner"])("Anna met Bert")
    prompt = doc.user_data["instruction_ner_io"]["instruction_ner"][0]["prompt"]
    assert prompt == "Name each person\nSentence: Anna met Bert\nAnswer:"


def test_the_example_of_a_loss_is_added(make_nlp: MakeNLP, tiny_causal: Path) -> None:
    nlp = run_example("A loss", tiny_causal)["nlp"]

    def loss(nlp: Language) -> float:
        fix_random_seed(0)
        nlp.initialize(lambda: examples(nlp))
        return nlp.get_pipe("instruction_ner").update(examples(nlp))["instruction_ner"]

    shared = {"@misc": "my.Smoothing.v1"}
    labels = ["PERSON", "CITY"]
    bare, none, twice = (
        loss(
            make_nlp(
                labels=labels,
                model={"precision": "auto"},
                task={"@misc": "spacy-instructner.CLLMFS.v1"},
                objectives=objectives,
            )
        )
        for objectives in (
            {},
            {"one": {**shared, "share": 0.0}},
            {"one": {**shared, "share": 0.04}, "two": {**shared, "share": 0.06}},
        )
    )
    added = loss(nlp) - bare
    assert none == bare
    assert twice - bare == pytest.approx(2 * added, rel=1e-3)
    # No prediction is less surprised by the whole vocabulary than an even one.
    backbone = get_backbone(nlp.get_pipe("instruction_ner").model)
    assert added > 0.05 * math.log(backbone.hf.config.vocab_size)
