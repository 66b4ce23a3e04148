"""Just Pass Twice on the tests' tiny models."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from spacy.language import Language
from thinc.api import Adam

from helpers.pipelines import MakeNLP
from helpers.training import initialized, train_by_hand
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.scoring.scoring_request import ScoringRequest, SpanHeadConfig
from spacy_instructner.tasks.just_pass_twice import (
    BoundJustPassTwice,
    build_just_pass_twice_v1,
)
from spacy_instructner.tasks.labels import LabelSet, make_label_set

SMALL = {"head_size": 8, "head_hidden": 16}
# As published: two copies, causal.
PUBLISHED = {
    "template": (
        "Please extract the entities of each type from the sentence.\n"
        "Types: {types}\nSentence: {sentence}\nSentence: {sentence}\n"
    ),
    "both_ways": False,
}
# With a sign that the tests' T5 can write.
TASK: dict[str, Any] = {
    "@misc": "spacy-instructner.JustPassTwice.v1",
    "separator": ",",
    **SMALL,
    **PUBLISHED,
}
LABELS = make_label_set(["PERSON", "OLD_PLACE"], {}, {"OLD_PLACE": "a place of old"})
WORDS = ["Anna", "Bert", "lives", "in", "Rome", "Paris", "is", "a", "person", " ", ","]


def bind_scoring(
    encoder: TextEncoder, labels: LabelSet = LABELS, max_span: int = 0, **config: Any
) -> BoundJustPassTwice:
    task = build_just_pass_twice_v1(
        **{"separator": ",", **SMALL, **PUBLISHED, **config}
    )
    return task.bind(encoder, labels, 0, max_span)


def with_head(backbone: Backbone) -> Backbone:
    """With a head that finds this and that."""
    torch.manual_seed(3)
    backbone.add_head(SpanHeadConfig(8, 16))
    assert backbone.head is not None
    with torch.no_grad():
        backbone.head.bias.zero_()
    return backbone.eval()


def scoring_requests(
    backbone: Backbone,
    count: int,
    seed: int,
    labels: Sequence[LabelSet] = (LABELS,),
    **config: Any,
) -> list[ScoringRequest]:
    rng = random.Random(seed)
    bound = [bind_scoring(backbone.encoder, each, **config) for each in labels]
    requests: list[ScoringRequest] = []
    for _ in range(count):
        words = [rng.choice(WORDS) for _ in range(rng.randint(0, 12))]
        spaces = [bool(i) and rng.random() < 0.8 for i in range(len(words))]
        encoded = backbone.encoder.words(words, spaces, 50)
        requests.extend(rng.choice(bound).requests(encoded))
    return requests


def own_span_logits(backbone: Backbone, request: ScoringRequest) -> torch.Tensor:
    """By transformers' own pass over the prompt alone."""
    ids = [*request.prefix, *request.suffix]
    if backbone.hf.config.is_encoder_decoder:
        ids = [*ids, *backbone.encoder.end]
        body = backbone.hf.get_encoder()
    else:
        body = backbone.hf.model
    mask = None
    if request.both_ways and not backbone.hf.config.is_encoder_decoder:
        at = torch.arange(len(ids))
        # What stands behind the prefix sees all that does; the prefix does not.
        seen = (at[None] <= at[:, None]) | (at[:, None] >= len(request.prefix))
        mask = torch.zeros(seen.shape).masked_fill(~seen, -1e9)[None, None]
    with torch.no_grad():
        output = body(input_ids=torch.tensor([ids]), attention_mask=mask)
        states = output.last_hidden_state[0].float()
        assert backbone.head is not None
        found: torch.Tensor = backbone.head(
            states[list(request.word_places)], states[list(request.label_places)]
        )
    return found


def trained_to_score(make_nlp: MakeNLP, steps: int = 60, **config: Any) -> Language:
    """A pipeline that knows the entities of `helpers.training.TRAIN`."""
    nlp = initialized(make_nlp, task=TASK, **config)
    train_by_hand(nlp, steps, Adam(1e-2))
    return nlp
