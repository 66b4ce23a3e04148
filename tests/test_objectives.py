"""The objectives against plain loops, transformers' own passes and sums by hand."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.lang.en import English
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, fix_random_seed
from torch.nn.functional import cross_entropy

from spacy_instructner.models.backbone import Backbone, ForwardOutput, TokenPositions
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.tasks.base import MentionPositions, TrainingRecord
from spacy_instructner.training.adversarial import FGM, build_fgm_v1
from spacy_instructner.training.contrastive import InfoNCE, build_info_nce_v1
from spacy_instructner.training.likelihood import likelihood
from spacy_instructner.training.objective import Objective
from spacy_instructner.training.step import TrainingPack

MakeNLP = Callable[..., Language]
Entities = list[tuple[int, int, str]]
INFO_NCE = "spacy-instructner.InfoNCE.v1"
FAST_GRADIENT = "spacy-instructner.FGM.v1"
LORA = {"@misc": "spacy-instructner.LoRA.v1", "r": 4, "alpha": 8}
INSTRUCTION_NER = {"@misc": "spacy-instructner.InstructionNER.v1"}
# With signs that the tests' T5 can write.
CLLMFS = {
    "@misc": "spacy-instructner.CLLMFS.v1",
    "template": "Sentence: {sentence}\nentities of type {type}:",
    "separator": ",",
}
TASKS = {"instructionner": INSTRUCTION_NER, "cllmfs": CLLMFS}
TRAIN: list[tuple[str, Entities]] = [
    ("Anna met Bert in Paris.", [(0, 1, "PERSON"), (2, 3, "PERSON"), (4, 5, "PLACE")]),
    ("Paris Brown lives in Rome.", [(0, 2, "PERSON"), (4, 5, "PLACE")]),
    ("It is an old place.", []),
    # No space before the name.
    ("'Anna' lives in old Rome", [(1, 2, "PERSON"), (5, 6, "PLACE")]),
]

KINDS = ["causal", "t5", "bart"]
on_every_model = pytest.mark.parametrize("make_nlp", KINDS, indirect=True)
on_every_task = pytest.mark.parametrize("task", list(TASKS))


def examples(nlp: Language, train: Sequence[tuple[str, Entities]] = TRAIN) -> list:
    found = []
    for text, entities in train:
        doc: Doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, *entity) for entity in entities], default="outside")
        found.append(Example(nlp.make_doc(text), doc))
    return found


def ready(
    make_nlp: MakeNLP, task: str = "instructionner", **config: object
) -> Language:
    """With a fresh adapter whose both matrices count, or with all weights trained."""
    fix_random_seed(0)
    model = {"adapter": LORA, "pack_tokens": 4096, **config.pop("model", {})}  # type: ignore[dict-item]
    nlp = make_nlp(model=model, task=TASKS[task], **config)
    nlp.initialize(lambda: examples(nlp))
    with torch.no_grad():
        for name, weights in get_backbone(pipe_of(nlp).model).hf.named_parameters():
            if "lora_B" in name:
                weights.normal_(std=0.05)
    return nlp


def pipe_of(nlp: Language):  # type: ignore[no-untyped-def]
    return nlp.get_pipe("instruction_ner")


def gradients(nlp: Language) -> dict[str, torch.Tensor]:
    named = get_backbone(pipe_of(nlp).model).hf.named_parameters()
    return {n: p.grad.clone() for n, p in named if p.grad is not None}


# InfoNCE, on records and states made up on the spot.


def made_up(
    prefix: int,
    text: tuple[int, int],
    length: int,
    spans: Sequence[tuple[int, int]],
    answer: int = 5,
    type: int = 0,
) -> TrainingRecord:
    """A record of so many ids, the text and its entities at these places."""
    mentions = [
        MentionPositions(begin, end, length + (1 + at) % answer, type)
        for at, (begin, end) in enumerate(spans)
    ]
    return TrainingRecord(
        tuple(range(prefix)),
        tuple(range(length - prefix)),
        tuple(range(answer + 1)),
        (1.0,) * (answer + 1),
        "made up",
        text=text,
        mentions=tuple(mentions),
    )


def laid_out(
    records: Sequence[TrainingRecord], shares: Sequence[bool], gap: int
) -> TokenPositions:
    """Records one behind the other, with something between them; where `shares` says
    so, a record has the prefix of the one before."""
    prefixes: list[int] = []
    owns: list[int] = []
    end = gap
    for record, share in zip(records, shares):
        if not share:
            prefixes.append(end)
            end += len(record.prefix) + gap
        else:
            prefixes.append(prefixes[-1])
        owns.append(end)
        end += len(record) - len(record.prefix) + gap
    return TokenPositions(tuple(prefixes), tuple(owns))


def learned_of(
    states: torch.Tensor, layer: float, places: TokenPositions
) -> ForwardOutput:
    nothing = torch.zeros(0)
    other = torch.full_like(states, math.nan)
    return ForwardOutput(nothing, nothing, nothing, {0.3: other, layer: states}, places)


def plain_contrast(
    objective: InfoNCE,
    records: Sequence[TrainingRecord],
    states: torch.Tensor,
    places: TokenPositions,
) -> tuple[torch.Tensor, int]:
    """The definition, number by number: the sum of the losses, and how many."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for index, record in enumerate(records):
        mentions = record.mentions
        for mention in mentions[:1] if objective.entities == "first" else mentions:
            # Of the record's ids, one after the other.
            where = [
                places.prefix_starts[index] + at
                if at < len(record.prefix)
                else places.own_starts[index] + at - len(record.prefix)
                for at in range(len(record))
            ]
            if objective.anchor == "type":
                anchor = states[where[mention.type]].double()
            else:
                anchor = states[where[mention.opening]].double()

            def alike(at: int) -> torch.Tensor:
                other = states[where[at]].double()  # noqa: B023
                cosine = (anchor * other).sum() / anchor.norm() / other.norm()  # noqa: B023
                return cosine / objective.temperature

            positives = [alike(at) for at in range(mention.begin, mention.end)]
            if objective.positives == "edges":
                positives = [alike(mention.begin), alike(mention.end - 1)]
            negatives = []
            for step in range(1, objective.negatives + 1):
                for at in (mention.begin - step, mention.end - 1 + step):
                    inside = record.text[0] <= at < record.text[1]
                    if inside and not any(m.begin <= at < m.end for m in mentions):
                        negatives.append(alike(at))
            if objective.form == "logsigmoid":
                apart = sum(positives) - sum(negatives)
                total = total - torch.log(1 / (1 + torch.exp(-apart)))
                count += 1
            elif negatives:
                against = sum(torch.exp(n) for n in negatives)
                each = [torch.exp(p) / (torch.exp(p) + against) for p in positives]
                total = total - sum(torch.log(part) for part in each) / len(each)
                count += 1
    return objective.weight * total, count


def compare(
    objective: InfoNCE,
    records: Sequence[TrainingRecord],
    states: torch.Tensor,
    places: TokenPositions,
) -> float | None:
    """Loss and gradient are those of the definition. RETURNS: the loss."""
    states = states.requires_grad_()
    loss = objective.loss(records, learned_of(states, objective.layer, places))
    expected, count = plain_contrast(objective, records, states, places)
    assert objective.terms(records) == count
    if loss is None:
        assert count == 0 or not objective.weight
        return None
    assert float(loss.detach()) == pytest.approx(
        float(expected.detach()), rel=1e-4, abs=1e-5
    )
    (found,) = torch.autograd.grad(loss, states)
    wanted = torch.zeros_like(found)
    if expected.requires_grad:
        (wanted,) = torch.autograd.grad(expected, states)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)
    return float(loss.detach())


def random_states(count: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator, dtype=torch.float64).to(dtype)


@st.composite
def packs(draw: st.DrawFn) -> tuple[list[TrainingRecord], TokenPositions]:
    """A few records, some of them behind the same prefix."""
    records: list[TrainingRecord] = []
    shares: list[bool] = []
    for _ in range(draw(st.integers(1, 4))):
        share = bool(records) and draw(st.booleans())
        prefix = len(records[-1].prefix) if share else draw(st.integers(0, 3))
        # The text may begin in the prefix and end behind it.
        begin = draw(st.integers(0, prefix + 2))
        end = begin + draw(st.integers(1, 9))
        borders = draw(
            st.lists(st.integers(begin, end), max_size=6, unique=True).map(sorted)
        )
        spans = list(zip(borders[::2], borders[1::2]))
        length = max(prefix, end) + draw(st.integers(1, 3))
        kind = draw(st.integers(0, length - 1))
        records.append(made_up(prefix, (begin, end), length, spans, type=kind))
        shares.append(share)
    return records, laid_out(records, shares, draw(st.integers(0, 2)))


contrasts = st.builds(
    build_info_nce_v1,
    weight=st.sampled_from([0.001, 1.0, 3.0]),
    layer=st.just(0.8125),
    anchor=st.sampled_from(["type", "opening"]),
    positives=st.sampled_from(["edges", "all"]),
    negatives=st.integers(1, 3),
    entities=st.sampled_from(["all", "first"]),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    form=st.sampled_from(["infonce", "logsigmoid"]),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(contrasts, packs(), st.integers(0, 99), st.sampled_from(["float32", "float64"]))
def test_contrast_and_its_gradient_are_the_definitions(
    objective: InfoNCE,
    pack: tuple[list[TrainingRecord], TokenPositions],
    seed: int,
    dtype: str,
) -> None:
    records, places = pack
    size = places.own_starts[-1] + len(records[-1]) + 2
    compare(
        objective, records, random_states(size, seed, getattr(torch, dtype)), places
    )


EVERYWHERE = TokenPositions((0,), (2,))


@pytest.mark.parametrize("form", ["infonce", "logsigmoid"])
@pytest.mark.parametrize(
    "spans,positives,near,far",
    [
        # In the middle, at the start, at the end of the text (ids 2 to 9).
        ([(5, 7)], "edges", [[5, 6]], [[3, 4, 7, 8]]),
        ([(2, 5)], "edges", [[2, 4]], [[5, 6]]),
        ([(2, 5)], "all", [[2, 3, 4]], [[5, 6]]),
        ([(8, 10)], "all", [[8, 9]], [[6, 7]]),
        # One token is both the first and the last.
        ([(5, 6)], "edges", [[5, 5]], [[3, 4, 6, 7]]),
        ([(5, 6)], "all", [[5]], [[3, 4, 6, 7]]),
        # The whole text: nothing around it.
        ([(2, 10)], "edges", [[2, 9]], [[]]),
        # Neighbours are no negatives of each other.
        ([(3, 5), (5, 6)], "edges", [[3, 4], [5, 5]], [[2, 6], [6, 7]]),
        ([(2, 6), (6, 10)], "edges", [[2, 5], [6, 9]], [[], []]),
    ],
)
def test_which_tokens_are_drawn_and_pushed(
    form: str,
    spans: list[tuple[int, int]],
    positives: str,
    near: list[list[int]],
    far: list[list[int]],
) -> None:
    """With the anchor along the first axis, its cosine with a state is the state's
    first number."""
    record = made_up(2, (2, 10), 12, spans)
    angles = torch.rand(17, generator=torch.Generator().manual_seed(1)) * math.pi
    states = torch.stack([angles.cos(), angles.sin()], dim=1)
    states[0] = torch.tensor([4.0, 0.0])
    objective = build_info_nce_v1(
        weight=1.0,
        form=form,  # type: ignore[arg-type]
        positives=positives,  # type: ignore[arg-type]
    )
    cosines = angles.cos().tolist()
    expected = 0.0
    terms = 0
    for inside, outside in zip(near, far):
        drawn = [cosines[at] for at in inside]
        pushed = [cosines[at] for at in outside]
        if form == "logsigmoid":
            expected += math.log1p(math.exp(sum(pushed) - sum(drawn)))
            terms += 1
        elif pushed:
            others = sum(map(math.exp, pushed))
            losses = [math.log(1 + others / math.exp(each)) for each in drawn]
            expected += sum(losses) / len(losses)
            terms += 1
    assert objective.terms([record]) == terms
    found = compare(objective, [record], states, EVERYWHERE)
    assert found == (pytest.approx(expected, abs=1e-5) if terms else None)


@pytest.mark.parametrize("anchor", ["type", "opening"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_against_one_is_the_same_in_both_forms(
    anchor: str, dtype: torch.dtype
) -> None:
    record = made_up(0, (3, 5), 7, [(3, 4)])
    states = random_states(12, 0, dtype)
    losses = [
        compare(
            build_info_nce_v1(
                weight=1.0,
                form=form,  # type: ignore[arg-type]
                anchor=anchor,  # type: ignore[arg-type]
                positives="all",
            ),
            [record],
            states.clone(),
            TokenPositions((0,), (0,)),
        )
        for form in ("infonce", "logsigmoid")
    ]
    one, other, middle = (
        states[at] / states[at].norm() for at in (3, 4, 0 if anchor == "type" else 8)
    )
    apart = float(one @ middle - other @ middle)
    assert losses == [pytest.approx(math.log1p(math.exp(-apart)), abs=1e-5)] * 2


def test_the_first_entity_alone_counts_once() -> None:
    records = [
        made_up(0, (1, 9), 10, [(1, 2), (4, 6), (7, 8)]),
        made_up(0, (1, 5), 6, []),
    ]
    every, first = (
        build_info_nce_v1(entities=which)
        for which in ("all", "first")  # type: ignore[arg-type]
    )
    assert every.terms(records) == 3 and first.terms(records) == 1
    states, places = (
        random_states(40, 0, torch.float32),
        TokenPositions((0, 20), (0, 20)),
    )
    losses = [compare(each, records, states.clone(), places) for each in (every, first)]
    assert losses[0] != losses[1]
    # A first entity with nothing around it is not replaced by the second.
    full = [made_up(0, (1, 5), 6, [(1, 3), (3, 5)])]
    assert first.terms(full) == 0 and compare(first, full, states, places) is None


def test_the_weight_scales_and_nothing_to_compare_is_no_loss() -> None:
    record = made_up(0, (2, 8), 9, [(3, 5)])
    states, places = random_states(20, 3, torch.float32), TokenPositions((0,), (0,))
    one, three, none = (build_info_nce_v1(weight=weight) for weight in (1.0, 3.0, 0.0))
    loss = compare(one, [record], states.clone(), places)
    assert loss and loss > 0.1
    assert compare(three, [record], states.clone(), places) == pytest.approx(3 * loss)
    assert compare(none, [record], states.clone(), places) == 0.0
    assert compare(one, [replace(record, mentions=())], states, places) is None


def test_a_prompt_that_names_no_type_has_no_anchor() -> None:
    record = made_up(0, (2, 8), 9, [(3, 5)])
    (mention,) = record.mentions
    record = replace(record, mentions=(replace(mention, type=None),))
    learned = learned_of(
        random_states(20, 0, torch.float32), 0.8125, TokenPositions((0,), (0,))
    )
    with pytest.raises(ValueError, match="records whose prompts name the types"):
        build_info_nce_v1().loss([record], learned)
    assert build_info_nce_v1(anchor="opening").loss([record], learned) is not None


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


def read_by(backbone: Backbone, record: TrainingRecord) -> int:
    """How many of a record's ids have states."""
    if backbone.hf.config.is_encoder_decoder:
        return len(record.prefix) + len(record.suffix)
    return len(record)


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
    if not backbone.text_first and task == "instructionner":
        # A prefix that several have is there once.
        assert len(set(learned.positions.prefix_starts)) < len(records)
    if not backbone.text_first and task == "cllmfs":
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


# Disturbed embeddings.


def plain_pass(
    backbone: Backbone, record: TrainingRecord, more: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """transformers' own pass over this record alone: its likelihood, summed, and the
    (ids, width) embeddings. more: what to add to these."""
    prompt = [*record.prefix, *record.suffix]
    hf = backbone.hf
    said = torch.tensor([record.answer])
    encodes = hf.config.is_encoder_decoder
    ids = [*prompt, *(backbone.encoder.end if encodes else record.answer[:-1])]
    embedded = hf.get_input_embeddings()(torch.tensor([ids]))[0]
    if torch.is_grad_enabled():
        embedded.requires_grad_().retain_grad()
    given = (embedded if more is None else embedded + more)[None]
    if encodes:
        before = torch.tensor([[backbone.decoder_start, *record.answer[:-1]]])  # type: ignore[attr-defined]
        logits = hf(inputs_embeds=given, decoder_input_ids=before).logits[0]
    else:
        logits = hf(inputs_embeds=given).logits[0, len(prompt) - 1 :]
    losses = cross_entropy(logits, said[0], reduction="none")
    return (losses * torch.tensor(record.weights)).sum(), embedded


@dataclass
class Seen:
    """One pass of training: its records, their places, and the embeddings as they were
    and as the model got them."""

    records: Sequence[TrainingRecord]
    places: TokenPositions
    before: torch.Tensor
    after: torch.Tensor

    @property
    def added(self) -> torch.Tensor:
        return self.after - self.before


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Language], list[Seen]]:
    """Begin to note down the passes of a pipeline."""

    def begin(nlp: Language) -> list[Seen]:
        passes: list[Seen] = []
        backbone = get_backbone(pipe_of(nlp).model)
        forward_records = backbone.forward_records

        def noted(records, layers=(), hook=None):  # type: ignore[no-untyped-def]
            def noting(embedded: torch.Tensor, places: TokenPositions) -> torch.Tensor:
                before = embedded.detach().clone()
                given = embedded if hook is None else hook(embedded, places)
                after = given.detach().clone()
                passes.append(Seen(list(records), places, before, after))
                return given

            return forward_records(records, layers, noting)

        monkeypatch.setattr(backbone, "forward_records", noted)
        return passes

    return begin


def places_of(seen: Seen, index: int, ids: Sequence[int]) -> list[int]:
    return [seen.places.of(index, seen.records[index], at) for at in ids]


def plain_gradient(backbone: Backbone, seen: Seen) -> torch.Tensor:
    """The gradient of the summed likelihood in the embeddings of a pass."""
    found = torch.zeros_like(seen.before)
    for index, record in enumerate(seen.records):
        loss, embedded = plain_pass(backbone, record)
        (own,) = torch.autograd.grad(loss, embedded)
        ids = range(read_by(backbone, record))
        found[places_of(seen, index, ids)] += own[: len(ids)]
    return found


def disturbed_groups(seen: Seen, positions: str) -> list[list[int]]:
    """What is disturbed together: of a record what is its own, each prefix, and what
    the records of a window share."""
    groups: dict[tuple[str, int], list[int]] = {}
    for index, record in enumerate(seen.records):
        prompt = len(record.prefix) + len(record.suffix)
        ids = {"text": range(*record.text), "prompt": range(prompt)}.get(
            positions, range(len(record))
        )
        for at in ids:
            behind = at - len(record.prefix)
            key = ("own", index)
            if behind < 0:
                key = ("prefix", seen.places.prefix_starts[index])
            elif seen.places.branch_starts and behind < record.shared:
                key = ("window", seen.places.own_starts[index])
            (place,) = places_of(seen, index, [at])
            if place not in groups.setdefault(key, []):
                groups[key].append(place)
    return list(groups.values())


@pytest.mark.parametrize(
    "make_nlp,positions",
    [
        *[(kind, where) for kind in KINDS for where in ("text", "prompt")],
        ("causal", "all"),
    ],
    indirect=["make_nlp"],
)
@on_every_task
def test_the_disturbance_is_along_the_gradient_and_as_long_as_asked(
    make_nlp: MakeNLP, watch: Callable, task: str, positions: str
) -> None:
    attack = {"@misc": FAST_GRADIENT, "strength": 0.25, "positions": positions}
    nlp = ready(make_nlp, task, objectives={"attack": attack})
    backbone = get_backbone(pipe_of(nlp).model)
    passes = watch(nlp)
    nlp.update(examples(nlp), sgd=False)
    first, second = passes
    assert torch.equal(first.before, first.after)
    assert torch.equal(first.before, second.before)
    assert first.positions == second.positions
    gradient = plain_gradient(backbone, first)
    groups = disturbed_groups(first, positions)
    assert len(groups) >= len(set(first.positions.own_starts))
    assert len(first.records) > 6
    for group in groups:
        added, own, along = (
            table[group] for table in (second.added, first.before, gradient)
        )
        assert float(added.norm()) == pytest.approx(0.25 * float(own.norm()), rel=1e-3)
        cosine = (added * along).sum() / added.norm() / along.norm()
        assert float(cosine) == pytest.approx(1.0, abs=1e-4)
    touched = sorted(place for group in groups for place in group)
    assert len(set(touched)) == len(touched)
    others = sorted(set(range(len(second.added))) - set(touched))
    assert others or positions == "all"
    assert not second.added[others].any()


@on_every_model
@pytest.mark.parametrize("positions", ["text", "prompt"])
def test_uniform_noise_takes_one_pass(
    make_nlp: MakeNLP, watch: Callable, positions: str
) -> None:
    noise = {
        "@misc": FAST_GRADIENT,
        "kind": "uniform",
        "strength": 0.5,
        "positions": positions,
    }
    nlp = ready(make_nlp, objectives={"noise": noise})
    passes = watch(nlp)
    nlp.update(examples(nlp), sgd=False)
    (seen,) = passes
    groups = disturbed_groups(seen, positions)
    parts = []
    for group in groups:
        added, own = seen.added[group], seen.before[group]
        assert float(added.norm()) == pytest.approx(0.5 * float(own.norm()), rel=1e-3)
        parts.append((added / added.abs().max()).flatten())
    # Even between minus one and one.
    noise = torch.cat(parts)
    assert abs(float(noise.mean())) < 5 * len(noise) ** -0.5
    assert float(noise.square().mean()) == pytest.approx(1 / 3, abs=0.05)
    touched = [place for group in groups for place in group]
    others = sorted(set(range(len(seen.added))) - set(touched))
    assert others and not seen.added[others].any()
    # The likelihood is that of the disturbed embeddings, and of them alone.
    backbone = get_backbone(pipe_of(nlp).model)
    found = gradients(nlp)
    expected = gradients_by_hand(nlp, [(seen, 1.0)])
    assert_gradients_close(found, expected)
    assert backbone.hf.training
    nlp.update(examples(nlp), sgd=False)
    assert not torch.equal(passes[1].added, seen.added)


def gradients_by_hand(
    nlp: Language, weighted: Sequence[tuple[Seen, float]]
) -> dict[str, torch.Tensor]:
    """The gradient of the likelihood of these passes' records, each with what was
    added to it, record by record through transformers' own pass."""
    backbone = get_backbone(pipe_of(nlp).model)
    backbone.hf.zero_grad()
    for seen, weight in weighted:
        total = sum(sum(record.weights) for record in seen.records)
        for index, record in enumerate(seen.records):
            ids = range(read_by(backbone, record))
            more = seen.added[places_of(seen, index, ids)]
            longer = len(backbone.encoder.end)
            if longer and backbone.hf.config.is_encoder_decoder:
                more = torch.cat([more, more.new_zeros(longer, more.shape[1])])
            loss, _ = plain_pass(backbone, record, more)
            (weight * loss / total).backward()
    return gradients(nlp)


def assert_gradients_close(
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]
) -> None:
    assert found and set(found) == set(expected)
    assert any(gradient.abs().max() > 1e-3 for gradient in found.values())
    for name, gradient in found.items():
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(
            gradient, expected[name], rtol=1e-3, atol=1e-4 * scale + 1e-7
        )


@on_every_model
@on_every_task
@pytest.mark.parametrize("adapter", [None, LORA], ids=["all weights", "adapter"])
def test_a_step_is_the_clean_gradient_and_the_disturbed_one(
    make_nlp: MakeNLP, watch: Callable, task: str, adapter: dict | None
) -> None:
    attack = {"@misc": FAST_GRADIENT, "strength": 0.2, "weight": 0.7}
    nlp = ready(
        make_nlp, task, model={"adapter": adapter}, objectives={"attack": attack}
    )
    passes = watch(nlp)
    nlp.update(examples(nlp), sgd=False)
    found = gradients(nlp)
    first, second = passes
    assert not first.added.any() and second.added.any()
    expected = gradients_by_hand(nlp, [(first, 1.0), (second, 0.7)])
    assert_gradients_close(found, expected)
    # The disturbance makes a difference.
    clean = gradients_by_hand(nlp, [(first, 1.7)])
    assert any((found[n] - clean[n]).norm() > 0.01 * found[n].norm() for n in found)


@on_every_model
@pytest.mark.parametrize("adapter", [None, LORA], ids=["all weights", "adapter"])
def test_noise_and_attack_go_together(
    make_nlp: MakeNLP, watch: Callable, adapter: dict | None
) -> None:
    """The second pass has the first's noise, and goes from there."""
    noise = {"@misc": FAST_GRADIENT, "kind": "uniform", "strength": 0.2}
    attack = {"@misc": FAST_GRADIENT, "strength": 0.1, "weight": 0.5}
    nlp = ready(
        make_nlp,
        model={"adapter": adapter},
        objectives={"attack": attack, "noise": noise},
    )
    passes = watch(nlp)
    nlp.update(examples(nlp), sgd=False)
    found = gradients(nlp)
    first, second = passes
    more = second.after - first.after
    for group in disturbed_groups(first, "text"):
        noisy = 0.2 * float(first.before[group].norm())
        assert float(first.added[group].norm()) == pytest.approx(noisy, rel=1e-3)
        attacked = 0.1 * float(first.after[group].norm())
        assert float(more[group].norm()) == pytest.approx(attacked, rel=1e-3)
    expected = gradients_by_hand(nlp, [(first, 1.0), (second, 0.5)])
    assert_gradients_close(found, expected)


@on_every_model
@pytest.mark.parametrize("kind", ["gradient", "uniform"])
@pytest.mark.parametrize("adapter", [None, LORA], ids=["all weights", "adapter"])
def test_weights_are_as_before_and_gradients_are_there(
    make_nlp: MakeNLP, kind: str, adapter: dict | None
) -> None:
    attack = {"@misc": FAST_GRADIENT, "kind": kind, "strength": 1.0}
    nlp = ready(make_nlp, model={"adapter": adapter}, objectives={"attack": attack})
    hf = get_backbone(pipe_of(nlp).model).hf
    before = {name: tensor.clone() for name, tensor in hf.state_dict().items()}
    nlp.update(examples(nlp), sgd=False)
    after = hf.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    found = gradients(nlp)
    assert set(found) == {n for n, p in hf.named_parameters() if p.requires_grad}
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in found.values())


def batch() -> tuple[list[TrainingRecord], TokenPositions, torch.Tensor]:
    records = [
        made_up(3, (4, 8), 10, []),
        made_up(3, (5, 6), 9, []),
        made_up(0, (2, 7), 8, []),
    ]
    places = laid_out(records, [False, True, False], gap=1)
    size = places.own_starts[-1] + len(records[-1]) + 3
    return records, places, random_states(size, 0, torch.float32)


@pytest.mark.parametrize("kind", ["gradient", "uniform"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_a_share_of_passes_is_disturbed(kind: str, share: float) -> None:
    records, places, embedded = batch()
    gradient = random_states(len(embedded), 1, torch.float32)
    objective = build_fgm_v1(kind=kind, share=share)  # type: ignore[arg-type]
    attacks = kind == "gradient"
    torch.manual_seed(0)
    found = [
        objective.perturb(records, places, embedded, gradient if attacks else None)
        for _ in range(1000)
    ]
    disturbed = sum(each is not None for each in found)
    assert disturbed == 1000 if share == 1.0 else abs(disturbed - 1000 * share) < 50
    # Each kind has its moment: before the first pass, or after it.
    other = objective.perturb(records, places, embedded, None if attacks else gradient)
    assert other is None


def test_a_seed_gives_the_same_passes(make_nlp: MakeNLP, watch: Callable) -> None:
    attack = {"@misc": FAST_GRADIENT, "share": 0.5}
    nlp = ready(make_nlp, objectives={"attack": attack})
    passes = watch(nlp)
    counts = []
    for _ in range(2):
        torch.manual_seed(1)
        for _ in range(8):
            before = len(passes)
            nlp.update(examples(nlp)[:1], sgd=False)
            counts.append(len(passes) - before)
    assert counts[:8] == counts[8:] and set(counts) == {1, 2}


@pytest.mark.parametrize("positions", ["text", "prompt", "all"])
@pytest.mark.parametrize("kind", ["gradient", "uniform"])
def test_the_length_is_a_share_of_each_records_own(kind: str, positions: str) -> None:
    records, places, embedded = batch()
    gradient = random_states(len(embedded), 1, torch.float32) * 1e-6
    objective = build_fgm_v1(kind=kind, strength=2.0, positions=positions)  # type: ignore[arg-type]
    given = gradient if kind == "gradient" else None
    added = objective.perturb(records, places, embedded, given)
    assert added is not None
    seen = Seen(records, places, embedded, embedded + added)
    groups = disturbed_groups(seen, positions)
    # Three records, and the prefix that two of them share.
    assert len(groups) == (3 if positions == "text" else 4)
    for group in groups:
        wanted = 2.0 * float(embedded[group].norm())
        assert float(added[group].norm()) == pytest.approx(wanted, rel=1e-4)
        if kind == "gradient":
            torch.testing.assert_close(
                added[group] / added[group].norm(),
                gradient[group] / gradient[group].norm(),
            )
    others = set(range(len(embedded))) - {at for group in groups for at in group}
    assert not added[sorted(others)].any()


def test_where_there_is_no_gradient_nothing_is_added() -> None:
    """As after an answer that is certain: the others go on, and nothing is NaN."""
    records, places, embedded = batch()
    embedded = 10 * embedded
    gradient = random_states(len(embedded), 1, torch.float32)
    seen = Seen(records, places, embedded, embedded)
    certain, other, _ = disturbed_groups(seen, "text")
    gradient[certain] = 0.0
    added = build_fgm_v1().perturb(records, places, embedded, gradient)
    assert added is not None and added.isfinite().all()
    assert not added[certain].any() and added[other].any()


def test_records_without_a_text_are_left_alone() -> None:
    records, places, embedded = batch()
    bare = [replace(record, text=(0, 0)) for record in records]
    gradient = torch.ones_like(embedded)
    assert build_fgm_v1().perturb(bare, places, embedded, gradient) is None
    one = [bare[0], records[1], bare[2]]
    added = build_fgm_v1().perturb(one, places, embedded, gradient)
    assert added is not None and int(added.any(dim=1).sum()) == 1


@on_every_model
@on_every_task
def test_objectives_that_do_nothing_cost_and_change_nothing(
    make_nlp: MakeNLP, watch: Callable, task: str
) -> None:
    found = []
    for objectives in (
        {},
        {"contrast": {"@misc": INFO_NCE, "weight": 0.0}},
        # The draw is never under this share.
        {"attack": {"@misc": FAST_GRADIENT, "share": 1e-12}},
        {"noise": {"@misc": FAST_GRADIENT, "share": 1e-12, "kind": "uniform"}},
    ):
        nlp = ready(make_nlp, task, objectives=objectives)
        passes = watch(nlp)
        random.seed(0)
        loss = pipe_of(nlp).update(examples(nlp))["instruction_ner"]
        assert len(passes) == 1 and not passes[0].added.any()
        found.append((loss, gradients(nlp)))
    for loss, gradient in found[1:]:
        assert loss == found[0][0]
        assert set(gradient) == set(found[0][1])
        for name, own in gradient.items():
            torch.testing.assert_close(own, found[0][1][name], rtol=1e-6, atol=0.0)


@on_every_model
def test_nothing_is_disturbed_outside_of_training(
    make_nlp: MakeNLP, watch: Callable
) -> None:
    objectives = {
        "attack": {"@misc": FAST_GRADIENT, "strength": 1.0},
        "noise": {"@misc": FAST_GRADIENT, "strength": 1.0, "kind": "uniform"},
    }
    nlp = ready(make_nlp, objectives=objectives)
    records = pipe_of(nlp).records(examples(nlp))
    (records,) = get_backbone(pipe_of(nlp).model).packs(records, 10**6)
    passes = watch(nlp)
    pack = TrainingPack(records, 1.0, {"attack": 1.0, "noise": 1.0})
    losses = [pipe_of(nlp).model.predict(pack) for _ in range(2)]
    assert losses[0] == losses[1] and len(passes) == 2
    assert not any(seen.added.any() for seen in passes)


def test_an_objective_of_ones_own_does_nothing_by_default() -> None:
    records, places, embedded = batch()
    own = Objective()
    own.check("causal", None)  # type: ignore[arg-type]
    assert own.terms(records) == sum(len(record.answer) for record in records)
    assert own.loss(records, learned_of(embedded, 0.5, places)) is None
    assert own.perturb(records, places, embedded, None) is None
    assert (own.layers, own.second_pass_weight) == ((), 0.0)
    assert build_info_nce_v1(layer=0.5).layers == (0.5,)
    assert build_fgm_v1(weight=0.5).second_pass_weight == 0.5
    assert build_fgm_v1(kind="uniform").second_pass_weight == 0.0
    assert isinstance(build_fgm_v1(), FGM)


# What is refused when the config is read.

NAMELESS = {**INSTRUCTION_NER, "main_template": "Sentence: {sentence}"}


@pytest.mark.parametrize(
    "make_nlp,objective,task,message",
    [
        ("t5", {"anchor": "opening"}, {}, "opening.*encoder-decoder"),
        ("bart", {"anchor": "opening"}, CLLMFS, "opening.*encoder-decoder"),
        ("causal", {"anchor": "type"}, NAMELESS, "type.*names the types"),
        ("t5", {"anchor": "type"}, NAMELESS, "type.*names the types"),
        ("causal", {"layer": 1.01}, {}, "layer.*from 0 to 1, not 1.01"),
        ("causal", {"layer": -0.1}, {}, "layer.*from 0 to 1, not -0.1"),
        ("causal", {"weight": -0.001}, {}, "weight.*negative.*-0.001"),
        ("causal", {"temperature": 0.0}, {}, "temperature.*above 0, not 0.0"),
        ("causal", {"temperature": -1.0}, {}, "temperature.*above 0, not -1.0"),
        ("causal", {"negatives": 0}, {}, "negatives.*at least 1.*0"),
        ("t5", {"positions": "all"}, {}, "positions.*all.*encoder-decoder"),
        ("bart", {"positions": "all"}, CLLMFS, "positions.*all.*encoder-decoder"),
        ("causal", {"strength": 0.0}, {}, "strength.*0.0.*above 0"),
        ("causal", {"strength": -0.1}, {}, "strength.*-0.1.*above 0"),
        ("causal", {"weight": 0.0, "strength": 0.1}, {}, "weight.*0.0.*above 0"),
        ("causal", {"share": 0.0}, {}, "share.*above 0 and up to 1, not 0.0"),
        ("causal", {"share": 1.1}, {}, "share.*above 0 and up to 1, not 1.1"),
    ],
    indirect=["make_nlp"],
)
def test_what_cannot_work_is_refused_when_the_config_is_read(
    make_nlp: MakeNLP, objective: dict, task: dict, message: str
) -> None:
    attacks = {"positions", "strength", "share"} & set(objective)
    name = FAST_GRADIENT if attacks else INFO_NCE
    with pytest.raises(ValueError, match=message):
        make_nlp(
            task={**INSTRUCTION_NER, **task},
            objectives={"mine": {"@misc": name, **objective}},
        )


@pytest.mark.parametrize(
    "make_nlp,objective,task",
    [
        ("causal", {"@misc": INFO_NCE, "anchor": "opening"}, NAMELESS),
        ("causal", {"@misc": INFO_NCE, "layer": 0.0}, INSTRUCTION_NER),
        ("t5", {"@misc": INFO_NCE, "layer": 1.0}, INSTRUCTION_NER),
        ("t5", {"@misc": FAST_GRADIENT, "positions": "prompt"}, NAMELESS),
        ("causal", {"@misc": FAST_GRADIENT, "positions": "all"}, NAMELESS),
    ],
    indirect=["make_nlp"],
)
def test_what_can_work_is_not_refused(
    make_nlp: MakeNLP, objective: dict, task: dict
) -> None:
    nlp = make_nlp(task=task, objectives={"mine": objective})
    nlp.initialize(lambda: examples(nlp))
    assert nlp.update(examples(nlp), sgd=False)["instruction_ner"] > 0.0


# Training.

EVERYTHING = {
    "contrast": {"@misc": INFO_NCE, "weight": 0.05},
    "attack": {"@misc": FAST_GRADIENT},
}


def losses_of(nlp: Language, steps: int = 12) -> Iterator[float]:
    sgd = Adam(1e-2)
    for _ in range(steps):
        yield nlp.update(examples(nlp), sgd=sgd)["instruction_ner"]


@on_every_model
@on_every_task
def test_all_objectives_together_learn(make_nlp: MakeNLP, task: str) -> None:
    nlp = ready(make_nlp, task, objectives=EVERYTHING)
    losses = list(losses_of(nlp))
    assert all(map(math.isfinite, losses))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    "objective",
    [
        {"@misc": INFO_NCE, "weight": 0.5, "anchor": "opening", "form": "logsigmoid"},
        {"@misc": INFO_NCE, "weight": 0.5, "positives": "all", "temperature": 0.5},
        {"@misc": FAST_GRADIENT, "positions": "all", "strength": 0.3},
        {"@misc": FAST_GRADIENT, "kind": "uniform", "share": 0.5},
    ],
)
@on_every_task
def test_each_objective_learns(make_nlp: MakeNLP, objective: dict, task: str) -> None:
    nlp = ready(make_nlp, task, objectives={"mine": objective})
    losses = list(losses_of(nlp))
    assert all(map(math.isfinite, losses))
    assert losses[-1] < 0.7 * losses[0]


@on_every_task
@pytest.mark.parametrize("adapter", [None, LORA], ids=["all weights", "adapter"])
def test_computing_layers_again_changes_nothing(
    make_nlp: MakeNLP, task: str, adapter: dict | None
) -> None:
    found = []
    for checkpointing in (False, True):
        nlp = ready(
            make_nlp,
            task,
            model={"checkpointing": checkpointing, "adapter": adapter},
            objectives=EVERYTHING,
        )
        random.seed(0)
        nlp.update(examples(nlp), sgd=False)
        own = gradients(nlp)
        losses = list(losses_of(nlp, 6))
        assert all(map(math.isfinite, losses)) and losses[-1] < losses[0]
        found.append(own)
    assert_gradients_close(found[1], found[0])


def test_the_contrast_falls_when_it_counts(make_nlp: MakeNLP) -> None:
    """Not only the likelihood is learned."""
    contrast = {"@misc": INFO_NCE, "weight": 5.0, "temperature": 0.2}
    nlp = ready(make_nlp, objectives={"contrast": contrast})
    pipe = pipe_of(nlp)
    backbone = get_backbone(pipe.model)
    objective = build_info_nce_v1(temperature=0.2, weight=1.0)

    def contrast_now() -> float:
        records = pipe.records(examples(nlp))
        with torch.no_grad():
            learned = backbone.forward_records(records, (objective.layer,))
            loss = objective.loss(records, learned)
        assert loss is not None
        return float(loss) / objective.terms(records)

    before = contrast_now()
    list(losses_of(nlp))
    assert contrast_now() < 0.7 * before
