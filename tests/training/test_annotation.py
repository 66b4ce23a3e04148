"""What is learned from which annotation: labels, missing and misaligned entities."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
import torch
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from helpers.pipelines import MakeNLP, on_every_kind
from helpers.training import (
    TRAIN,
    adapter,
    examples,
    gold_docs,
    initialized,
    train_by_hand,
)
from spacy_instructner.formats.docs import make_doc
from spacy_instructner.formats.rows import Row
from spacy_instructner.models.thinc_model import get_backbone


def test_labels_come_from_initialize_then_config_then_data(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    assert nlp.get_pipe("instruction_ner").labels == ("PERSON", "PLACE")
    nlp = make_nlp(labels=["PLACE", "PERSON"])
    nlp.initialize(lambda: examples(nlp))
    assert nlp.get_pipe("instruction_ner").labels == ("PLACE", "PERSON")
    nlp = make_nlp(labels=["A"])
    nlp.config["initialize"]["components"]["instruction_ner"] = {
        "labels": ["PLACE", "PERSON"]
    }
    nlp.initialize(lambda: examples(nlp))
    assert nlp.get_pipe("instruction_ner").labels == ("PLACE", "PERSON")


def test_labels_found_in_data_give_way_to_other_data(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=[])
    nlp.initialize(lambda: examples(nlp))
    doc = nlp.make_doc("Anna")
    doc.set_ents([Span(doc, 0, 1, label="NEW")], default="outside")
    nlp.initialize(lambda: [Example(nlp.make_doc("Anna"), doc)])
    assert nlp.get_pipe("instruction_ner").labels == ("NEW",)


def test_records_over_the_models_positions_are_reported(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=["PERSON"])
    nlp.initialize(lambda: examples(nlp))
    doc = nlp.make_doc(" ".join(["Anna"] * 90))
    doc.set_ents([Span(doc, i, i + 1, label="PERSON") for i in range(90)])
    pipe = nlp.get_pipe("instruction_ner")
    with pytest.warns(UserWarning, match="records are longer than the model's 512"):
        kept = pipe.records([Example(nlp.make_doc(doc.text), doc)])
    assert all(len(record) <= 512 for record in kept)


def test_gold_that_cannot_be_said_is_not_learnt_as_none(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(
        labels=["PERSON"],
        decoder={"@misc": "spacy-instructner.Decoder.v1", "max_span": 1},
    )
    nlp.initialize(lambda: examples(nlp))
    doc = nlp.make_doc("Anna Brown met Bert")
    doc.set_ents([Span(doc, 0, 2, label="PERSON"), Span(doc, 3, 4, label="PERSON")])
    pipe = nlp.get_pipe("instruction_ner")
    records = pipe.records([Example(nlp.make_doc(doc.text), doc)])
    backbone = get_backbone(pipe.model)
    for record in records:
        assert " Bert" in backbone.tokenizer.decode(record.answer)
        assert "Anna" not in backbone.tokenizer.decode(record.answer)
        # That nothing was said of Anna carries no loss.
        assert record.task == "typing" or record.weights[0] == 0.0


@on_every_kind
def test_labels_that_docs_bring_are_learned(make_nlp: MakeNLP) -> None:
    """Of each text the entities with its own labels, in its own words; the component
    needs no labels for that."""
    nlp = make_nlp(labels=[])
    given = examples(nlp)
    wanted = (["PLACE"], {"PERSON": "somebody"}, ["WORK"], ["PLACE", "PERSON"])
    for example, labels in zip(given, wanted):
        example.predicted.user_data["instruction_ner_labels"] = labels
    nlp.initialize(lambda: given)
    pipe = nlp.get_pipe("instruction_ner")
    assert pipe.labels == ()
    decode = get_backbone(pipe.model).tokenizer.decode
    for example, labels in zip(given, wanted):
        records = pipe.records([example])
        prompts = "".join(decode(record.prefix + record.suffix) for record in records)
        answers = "".join(decode(record.answer) for record in records)
        # Those of the other texts are not asked for.
        for word in {"PLACE", "PERSON", "WORK"} - set(labels):
            named = prompts.replace(example.text, "").lower()
            assert word.lower() not in named
        for entity in example.reference.ents:
            assert (entity.text in answers) == (entity.label_ in labels)
    assert pipe.learnable(given).entities == 1 + 1 + 0 + 3
    losses = nlp.update(given, sgd=Adam(1e-2))
    assert losses["instruction_ner"] > 0.0
    # Of one that brings none nobody knows what to ask.
    with pytest.raises(ValueError, match="no labels to look for"):
        nlp.initialize(
            lambda: [*given[:2], Example(nlp.make_doc(""), nlp.make_doc(""))]
        )


@on_every_kind
def test_without_annotation_nothing_is_learnt(make_nlp: MakeNLP) -> None:
    nlp = initialized(make_nlp)
    pipe = nlp.get_pipe("instruction_ner")
    blank = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text, _ in TRAIN]
    assert pipe.update(blank) == {"instruction_ner": 0.0}
    hf = get_backbone(pipe.model).hf
    assert all(p.grad is None for p in hf.parameters())


def test_misaligned_and_unknown_labels_are_reported(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=["PERSON", "ABSENT"])
    reference = Doc(nlp.vocab, words=["Anna", "Brown"], spaces=[True, False])
    reference.set_ents([Span(reference, 0, 1, label="PERSON")], default="outside")
    predicted = Doc(nlp.vocab, words=["Anna Brown"])
    bad = [Example(predicted, reference), *examples(nlp)]
    with pytest.warns(UserWarning) as caught:
        nlp.initialize(lambda: bad)
    messages = " | ".join(str(warning.message) for warning in caught)
    assert "1 training entities do not fall on token borders" in messages
    assert "'Anna' (PERSON)" in messages
    assert "no example of ABSENT" in messages
    assert "not in `labels`: PLACE" in messages


def test_what_missing_annotation_costs_is_told(make_nlp: MakeNLP) -> None:
    """The same text as spaCy aligns it, and out of a file."""
    text = "Anna lives in Paris near noBert today"
    start = text.index("Bert")
    spans = [(0, 4, "PERSON"), (14, 19, "PLACE"), (start, start + 4, "PERSON")]
    task = {"@misc": "spacy-instructner.CLLMFS.v1"}
    nlp = make_nlp(labels=["PERSON", "PLACE"], task=task)
    of_file, _ = make_doc(Row("a", text, spans=tuple(spans)), nlp)
    with pytest.warns(UserWarning, match="W030"):
        offsets = Example.from_dict(nlp.make_doc(text), {"entities": spans})
    assert [t.ent_iob_ for t in of_file] == [t.ent_iob_ for t in offsets.reference]
    from_file = Example(nlp.make_doc(text), of_file)
    whole = Example.from_dict(nlp.make_doc(text), {"entities": spans[:2]})
    lost = []
    for example, said in (
        (
            from_file,
            "1 training entities do not fall on token borders.*'noBert' .PERSON",
        ),
        (offsets, "1 stretches of tokens have no annotation.*'noBert' in"),
    ):
        with pytest.warns(UserWarning, match=said) as caught:
            nlp.initialize(lambda example=example: [example])
        (message,) = [str(w.message) for w in caught if "answer ids" in str(w.message)]
        pipe = nlp.get_pipe("instruction_ner")
        ids = pipe.answer_ids([example])
        assert f"{ids.lost} of {ids.learnt + ids.lost} answer ids" in message
        assert ids.learnt == sum(
            bool(w) for r in pipe.records([example]) for w in r.weights
        )
        lost.append(ids.lost)
    learnt = pipe.answer_ids([whole])
    # Of PERSON, that no other follows; of PLACE, only where the label is not known.
    assert lost == [1, 2] and learnt.lost == 0
    state = random.getstate()
    pipe.answer_ids([from_file])
    assert random.getstate() == state


def test_no_labels_at_all(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=[])
    doc = nlp.make_doc("Nothing here")
    doc.set_ents([], default="outside")
    with pytest.raises(ValueError, match="has no labels"):
        nlp.initialize(lambda: [Example(nlp.make_doc(doc.text), doc)])


def test_no_record_shows_its_own_text(make_nlp: MakeNLP, tmp_path: Path) -> None:
    """The support set as examples, too: else the answer could be copied."""
    path = tmp_path / "support.spacy"
    DocBin(docs=gold_docs(spacy.blank("en"))).to_disk(path)
    reader = {"@readers": "spacy-instructner.FewShotCorpus.v1", "path": str(path)}
    task = {"@misc": "spacy-instructner.InstructionNER.v1", "examples": reader}
    nlp = initialized(make_nlp, task=task)
    pipe = nlp.get_pipe("instruction_ner")
    decode = get_backbone(pipe.model).tokenizer.decode
    texts = [text for text, _ in TRAIN]
    for text, example in zip(texts, examples(nlp)):
        (main,) = (r for r in pipe.records([example]) if r.task == "main")
        prompt = decode(main.prefix + main.suffix)
        seen = [prompt.count(f"Sentence: {each}\n") for each in texts]
        # Once each: as an example, or, the text itself, as what is asked.
        assert seen == [1] * len(texts)
        assert prompt.endswith(f"Sentence: {text}\nAnswer:")
    ((_, (request,)),) = pipe.requests([nlp.make_doc(texts[0])])
    assert decode(request.prefix + request.suffix).count(texts[0]) == 2


@pytest.mark.parametrize("kind", ["causal", "t5"])
def test_shuffled_options_follow_the_seed(
    make_nlp: MakeNLP, model_of: Callable, kind: str
) -> None:
    task = {"@misc": "spacy-instructner.InstructionNER.v1", "shuffle_options": True}
    runs = []
    for seed in (0, 0, 1):
        nlp = initialized(make_nlp, task=task, model=model_of(kind))
        fix_random_seed(seed)
        runs.append((train_by_hand(nlp, 4, Adam(1e-2)), adapter(nlp)))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    for name, weights in runs[0][1].items():
        assert torch.equal(weights, runs[1][1][name])
