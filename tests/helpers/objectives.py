"""Tasks and examples for the objectives, and passes that are watched."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import fix_random_seed
from torch.nn.functional import cross_entropy

from helpers.pipelines import KINDS, LORA, MakeNLP
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.models.forward_output import ForwardOutput, TokenPositions
from spacy_instructner.models.thinc_model import get_backbone
from spacy_instructner.tasks.base import MentionPositions, TrainingRecord
from spacy_instructner.training.contrastive import InfoNCE

Entities = list[tuple[int, int, str]]
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
    return ForwardOutput(
        nothing, nothing, nothing, other, {0.3: other, layer: states}, places
    )


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


def random_states(count: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator, dtype=torch.float64).to(dtype)


def read_by(backbone: Backbone, record: TrainingRecord) -> int:
    """How many of a record's ids have states."""
    if backbone.hf.config.is_encoder_decoder:
        return len(record.prefix) + len(record.suffix)
    return len(record)


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
    positions: TokenPositions
    before: torch.Tensor
    after: torch.Tensor

    @property
    def added(self) -> torch.Tensor:
        return self.after - self.before


def places_of(seen: Seen, index: int, ids: Sequence[int]) -> list[int]:
    return [seen.positions.of(index, seen.records[index], at) for at in ids]


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
                key = ("prefix", seen.positions.prefix_starts[index])
            elif seen.positions.branch_starts and behind < record.shared:
                key = ("window", seen.positions.own_starts[index])
            (place,) = places_of(seen, index, [at])
            if place not in groups.setdefault(key, []):
                groups[key].append(place)
    return list(groups.values())


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
