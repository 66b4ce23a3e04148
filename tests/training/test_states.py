"""Where the states of a contrast come from, what records point to, and how losses add up."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from spacy.lang.en import English

from helpers.objectives import (
    TRAIN,
    examples,
    gradients,
    on_every_model,
    on_every_task,
    pipe_of,
    plain_contrast,
    plain_pass,
    read_by,
    ready,
)
from helpers.pipelines import MakeNLP
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.models.forward_output import TokenPositions
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.tasks.base import TrainingRecord
from spacy_instructner.training.likelihood import likelihood

INFO_NCE = "spacy-instructner.InfoNCE.v1"


# Where the states come from, and what records point to.


def whole(record: TrainingRecord) -> tuple[int, ...]:
    return record.prefix + record.suffix + record.answer


def own_states(backbone: Backbone, record: TrainingRecord) -> Sequence[torch.Tensor]:
    """transformers' own hidden states, of this record alone."""
    if backbone.hf.config.is_encoder_decoder:
        ids = [*record.prefix, *record.suffix, *backbone.encoder.end]
        model = backbone.hf.get_encoder()
    else:
        ids = list(whole(record)[:-1])
        model = backbone.hf
    return model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states


@on_every_model
@on_every_task
def test_states_are_those_of_the_layer_at_the_places(
    make_nlp: MakeNLP, task: str
) -> None:
    nlp = ready(make_nlp, task)
    records = pipe_of(nlp).records(examples(nlp))
    backbone = get_backbone(pipe_of(nlp).model)
    # As T5's own tokenizer does; the tests' put nothing around an input.
    backbone.encoder.end = (backbone.tokenizer.eos_token_id,)
    backbone.hf.eval()
    (records,) = backbone.packs(records, 10**6)
    with torch.no_grad():
        learned = backbone.forward_records(records, layers=(0.0, 0.5, 1.0))
        for index, record in enumerate(records):
            expected = own_states(backbone, record)
            ids = range(read_by(backbone, record))
            where = [learned.positions.of(index, record, at) for at in ids]
            assert len(set(where)) == len(where)
            for share, layer in ((0.0, 0), (0.5, 1), (1.0, 2)):
                found = learned.states[share][where]
                wanted = expected[layer][0, : len(ids)]
                torch.testing.assert_close(found, wanted, rtol=0.0, atol=1e-4)
    assert len(records) > 6
    if backbone.layout == "text_last" and task == "instructionner":
        # A prefix that several have is there once.
        assert len(set(learned.positions.prefix_starts)) < len(records)
    if backbone.layout == "text_last" and task == "cllmfs":
        # So is a text of which several types are asked.
        assert len(set(learned.positions.own_starts)) < len(records)


@on_every_task
@pytest.mark.parametrize("tokens", [1, 90, 200, 10**6])
def test_packs_hold_all_records_and_what_they_may_read(
    make_nlp: MakeNLP, watch: Callable, task: str, tokens: int
) -> None:
    nlp = ready(make_nlp, task)
    backbone = get_backbone(pipe_of(nlp).model)
    records = pipe_of(nlp).records(examples(nlp))
    packs = backbone.packs(records, tokens)
    assert sorted(map(hash, (r for pack in packs for r in pack))) == sorted(
        map(hash, records)
    )
    read = 0
    for pack in packs:
        places = backbone.forward_records(pack).positions
        together = {
            places.of(index, record, at)
            for index, record in enumerate(pack)
            for at in range(len(record))
        }
        # Side by side, from the first on.
        assert together == set(range(len(together)))
        assert len(together) <= tokens or len(pack) == 1
        read += len(together)
    if tokens == 1:
        assert read == sum(map(len, records))
    if tokens == 10**6:
        alone = [replace(record, shared=0) for record in records]
        (places,) = (
            backbone.forward_records(p).positions for p in backbone.packs(alone, tokens)
        )
        apart = max(
            places.of(index, record, len(record) - 1)
            for index, record in enumerate(backbone.packs(alone, tokens)[0])
        )
        assert (read < apart + 1) == (task == "cllmfs")


@pytest.mark.parametrize("tokens", [60, 10**6])
def test_a_text_read_once_teaches_the_same(make_nlp: MakeNLP, tokens: int) -> None:
    """As the same text read again for each of its records."""
    nlp = ready(make_nlp, "cllmfs")
    backbone = get_backbone(pipe_of(nlp).model)
    records = pipe_of(nlp).records(examples(nlp))
    assert any(record.shared for record in records)
    found = []
    for own in (records, [replace(record, shared=0) for record in records]):
        backbone.zero_grad()
        backbone.hf.train()
        loss = sum(
            likelihood(backbone.forward_records(p)) for p in backbone.packs(own, tokens)
        )
        loss.backward()  # type: ignore[union-attr]
        found.append((float(loss.detach()), gradients(nlp)))
    (loss, ours), (wanted, theirs) = found
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert set(ours) == set(theirs) and len(ours) > 10
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-5)


@on_every_model
@on_every_task
def test_mentions_point_to_text_type_and_answer(make_nlp: MakeNLP, task: str) -> None:
    nlp = ready(make_nlp, task, label_names={"PLACE": "old place"})
    pipe = pipe_of(nlp)
    encoder = get_backbone(pipe.model).encoder
    decode = encoder.tokenizer.decode
    names = {"PERSON": " person", "PLACE": " old place"}
    seen: list[tuple[str, str]] = []
    for text, entities in TRAIN:
        (example,) = examples(nlp, [(text, entities)])
        doc = example.reference
        for record in pipe.records([example]):
            ids = whole(record)
            prompt = len(record.prefix) + len(record.suffix)
            read = decode(ids[slice(*record.text)]).replace(" ", "")
            assert read == text.replace(" ", "")
            if record.task in ("extraction", "typing"):
                assert record.mentions == ()
                continue
            said = [(start, end, name) for start, end, name in entities]
            if record.task == "present":
                said = [e for e in said if names[e[2]].strip() in decode(record.suffix)]
            assert len(record.mentions) == (0 if record.task == "absent" else len(said))
            for mention, (start, end, label) in zip(record.mentions, said):
                words = doc[start:end].text
                assert record.text[0] <= mention.begin < mention.end <= record.text[1]
                assert decode(ids[mention.begin : mention.end]).strip() == words
                assert mention.opening >= prompt - 1
                written = encoder.text(" " + words)
                after = mention.opening + 1
                assert ids[after : after + len(written)] == written
                # What stands before is a fixed piece, not the entity's.
                before = decode(ids[prompt:after]).strip()
                assert not before or before.endswith(",")
                name = encoder.written(names[label])
                assert mention.type is not None and mention.type < prompt
                assert ids[mention.type : mention.type + len(name)] == name
                assert not record.text[0] <= mention.type < record.text[1]
                seen.append((words, label))
    assert sorted(seen) == sorted(
        (English().make_doc(text)[start:end].text, label)
        for text, entities in TRAIN
        for start, end, label in entities
    )


@on_every_model
@on_every_task
@pytest.mark.parametrize("pack_tokens", [4096, 150])
def test_the_loss_is_likelihood_and_contrast_each_by_its_own_count(
    make_nlp: MakeNLP, task: str, pack_tokens: int
) -> None:
    """Whatever packs the records fall into."""
    contrast = {"@misc": INFO_NCE, "weight": 0.5, "layer": 0.5, "temperature": 0.5}
    nlp = ready(
        make_nlp,
        task,
        model={"pack_tokens": pack_tokens},
        objectives={"contrast": contrast},
    )
    pipe = pipe_of(nlp)
    backbone = get_backbone(pipe.model)
    objective = pipe.model.attrs["objectives"]["contrast"]
    random.seed(3)
    records = pipe.records(examples(nlp))
    random.seed(3)
    loss = pipe.update(examples(nlp))["instruction_ner"]
    total = sum(sum(record.weights) for record in records)
    expected, apart, terms = 0.0, 0.0, 0
    with torch.no_grad():
        for record in records:
            expected += float(plain_pass(backbone, record)[0]) / total
            states = own_states(backbone, record)[1][0]
            whole_row = TokenPositions((0,), (len(record.prefix),))
            own, count = plain_contrast(objective, [record], states, whole_row)
            apart, terms = apart + float(own), terms + count
    assert terms == 7 and apart > 0.5
    assert loss == pytest.approx(expected + apart / terms, abs=1e-4)
