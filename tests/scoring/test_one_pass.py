"""Windows that are scored: the same alone and together, as transformers itself reads them."""

from dataclasses import replace
from unittest import mock

import pytest
import torch

from helpers.scoring import LABELS, own_span_logits, scoring_requests, with_head
from helpers.search import make_backbone
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.scoring.one_pass import batches, score
from spacy_instructner.tasks.labels import make_label_set

KINDS = ["llama", "gemma2", "t5", "bart"]
OTHERS = make_label_set(["A", "B", "C"], {"A": "place", "B": "person"}, {"C": "old"})


@pytest.fixture(scope="module", params=KINDS)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return with_head(make_backbone(request.param))


def test_logits_are_those_of_a_plain_pass(backbone: Backbone) -> None:
    requests = scoring_requests(backbone, 20, 0, (LABELS, OTHERS))
    with torch.inference_mode():
        found = backbone.span_logits(requests)
    assert len(found) == len(requests) == 20
    for request, logits in zip(requests, found):
        assert logits.shape == (len(request.words), len(request.labels), 3)
        assert logits.allclose(own_span_logits(backbone, request), atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_both_ways(kind: str) -> None:
    """With one copy of the text, whose words see what follows them."""
    backbone = with_head(make_backbone(kind))
    once = {"template": "Types: {types}\n{sentence}\n", "both_ways": True}
    requests = scoring_requests(backbone, 12, 0, (LABELS, OTHERS), **once)
    with torch.inference_mode():
        found = backbone.span_logits(requests)
        for request, logits in zip(requests, found):
            assert logits.allclose(own_span_logits(backbone, request), atol=1e-4)
        forward = [replace(request, both_ways=False) for request in requests]
        others = backbone.span_logits(forward)
    same = [one.allclose(other, atol=1e-4) for one, other in zip(found, others)]
    empty = [not request.words for request in requests]
    # An encoder reads both ways anyway.
    assert sum(empty) < 4
    assert same == ([True] * 12 if kind == "t5" else empty)


def test_together_as_one_by_one(backbone: Backbone) -> None:
    requests = scoring_requests(backbone, 20, 1, (LABELS, OTHERS))
    together = score(backbone, requests)
    assert sum(len(answer.spans) for answer in together) > 20
    few = score(backbone, requests, batch_tokens=40)
    alone = [score(backbone, [request])[0] for request in requests]
    for answers in (few, alone):
        for one, other in zip(answers, together):
            assert [(s.start, s.end, s.label) for s in one.spans] == [
                (s.start, s.end, s.label) for s in other.spans
            ]
            assert [s.score for s in one.spans] == pytest.approx(
                [s.score for s in other.spans], abs=1e-4
            )
    for request, answer in zip(requests, together):
        for span in answer.spans:
            assert span.start in request.words and span.end - 1 in request.words
            assert span.label in request.labels
            assert request.floor <= span.score <= 1.0


def test_batches_hold_so_many_ids_and_all_requests(backbone: Backbone) -> None:
    requests = scoring_requests(backbone, 20, 2)
    lengths = [backbone.ids_to_read(request) for request in requests]
    # An encoder-decoder model keeps nothing of a prefix.
    whole = [len(request.prefix + request.suffix) for request in requests]
    assert (lengths == whole) == backbone.hf.config.is_encoder_decoder
    some = [at for at, request in enumerate(requests) if request.words]
    assert 10 < len(some) < 20
    room = 2 * max(lengths)
    cut = list(batches(backbone, requests, room))
    assert len(cut) > 3
    assert sorted(at for batch in cut for at in batch) == some
    assert all(len(own) * max(lengths[at] for at in own) <= room for own in cut)
    # One that is longer than all there is room for is read alone.
    assert [len(own) for own in batches(backbone, requests, 1)] == [1] * len(some)
    assert list(batches(backbone, [], 100)) == []


def test_a_text_without_words_takes_no_pass(backbone: Backbone) -> None:
    """Also where nothing of the prompt stands behind it."""
    once = {"template": "Types: {types}\n{sentence}", "both_ways": True}
    requests = scoring_requests(backbone, 20, 2, **once)
    empty = [request for request in requests if not request.words]
    assert empty
    with mock.patch.object(backbone, "span_logits") as read:
        assert [answer.spans for answer in score(backbone, empty)] == [()] * len(empty)
    assert not read.called
    for request, answer in zip(requests, score(backbone, requests)):
        assert bool(answer.spans) <= bool(request.words)


def test_scores_that_are_no_numbers_are_refused() -> None:
    backbone = with_head(make_backbone("llama"))
    assert backbone.head is not None
    with torch.no_grad():
        backbone.head.bias[1] = float("nan")
    with pytest.raises(ValueError, match="scores of spans are no finite numbers"):
        score(backbone, scoring_requests(backbone, 5, 1))


def test_a_prefix_is_read_once() -> None:
    backbone = with_head(make_backbone("llama"))
    requests = scoring_requests(backbone, 20, 3, (LABELS, OTHERS))
    with mock.patch.object(
        backbone, "prefill_prefix", side_effect=backbone.prefill_prefix
    ) as read:
        score(backbone, requests, batch_tokens=60)
        score(backbone, requests)
    assert read.call_count == 2


def test_without_a_head_it_says_so() -> None:
    backbone = make_backbone("llama")
    with pytest.raises(ValueError, match="no head to score spans with. Train one"):
        score(backbone, scoring_requests(backbone, 1, 0))
