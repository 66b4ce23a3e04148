"""CLLMFS through the pipe: random models of each kind, in every layout."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from spacy.tokens import Span

from helpers.cllmfs import DEFINED, TASK, asking, every_way, spans_of
from helpers.pipelines import MakeNLP
from spacy_instructner.decoding import token_bag
from spacy_instructner.decoding.answers import TokenizedWords
from spacy_instructner.decoding.beam_search import search
from spacy_instructner.decoding.request import Answer, DecodingRequest
from spacy_instructner.models.thinc_model import get_inference_backbone

on_every_model = pytest.mark.parametrize(
    "make_nlp", ["causal", "t5", "bart"], indirect=True
)


# Through the pipe.


DOCS = [
    "Anna met Bert in Paris.",
    "",
    "Rome",
    "  Anna's friend lives in Rome \n and Bert lives in Paris, an old place. ",
    "Rome",
    "Anna and Bert and Anna and Bert met in Rome and Paris and lived there. " * 2,
    "None.",
]


@pytest.fixture
def short_bags(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model seldom closes a bag of its own accord: after this many ids it must."""
    monkeypatch.setattr(token_bag, "LONGEST", 24)


@on_every_model
@every_way
@pytest.mark.usefixtures("short_bags")
def test_answers_are_spans_of_the_text_with_labels_of_the_set(
    make_nlp: MakeNLP, layout: str, grammar: str
) -> None:
    nlp = asking(make_nlp, layout, task={"grammar": grammar})
    count = 0
    # All at once: a random model says a lot, one step a token for all of them.
    for text, doc in zip(DOCS, nlp.pipe(DOCS)):
        group = doc.spans["instruction_ner"]
        assert doc.text == text and len(group.attrs["scores"]) == len(group)
        for span, score in zip(group, group.attrs["scores"]):
            assert span.label_ in DEFINED
            assert 0 <= span.start < span.end <= len(doc)
            assert not span[0].is_space and not span[-1].is_space
            assert 0.0 <= score <= 1.0
            count += 1
        if grammar == "spans":
            # Of one label in text order, without overlap.
            for label in DEFINED:
                own = [s for s in group if s.label_ == label]
                assert all(a.end <= b.start for a, b in zip(own, own[1:]))
    assert count > 5 or grammar == "bag"


@on_every_model
def test_spans_of_labels_may_overlap_and_the_best_are_entities(
    make_nlp: MakeNLP,
) -> None:
    nlp = asking(make_nlp)
    overlaps = 0
    for doc in nlp.pipe(DOCS):
        spans = doc.spans["instruction_ner"]
        ranked = sorted(
            zip(spans, map(float, spans.attrs["scores"])),
            key=lambda item: (-item[1], item[0].start - item[0].end, item[0].start),
        )
        chosen: list[Span] = []
        for span, _ in ranked:
            clash = [s for s in chosen if s.start < span.end and span.start < s.end]
            overlaps += any(other.label != span.label for other in clash)
            if not clash:
                chosen.append(span)
        expected = sorted((s.start, s.end, s.label_) for s in chosen)
        assert [(e.start, e.end, e.label_) for e in doc.ents] == expected
    assert overlaps > 2


@on_every_model
@every_way
@pytest.mark.usefixtures("short_bags")
def test_a_batch_is_as_good_as_one_by_one(
    make_nlp: MakeNLP, layout: str, grammar: str
) -> None:
    nlp = asking(make_nlp, layout, task={"grammar": grammar})
    together = [spans_of(doc) for doc in nlp.pipe(DOCS)]
    assert together == [spans_of(nlp(text)) for text in DOCS]


def folded(request: DecodingRequest) -> DecodingRequest:
    """The same, with nothing shared."""
    return DecodingRequest(request.prefix, request.own, request.grammar)


def assert_same(found: Sequence[Answer], expected: Sequence[Answer]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert one.ids == other.ids and one.complete == other.complete
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4 * len(other.ids))
        assert [(s.start, s.end, s.label) for s in one.spans] == [
            (s.start, s.end, s.label) for s in other.spans
        ]
        for a, b in zip(one.spans, other.spans):
            assert a.score == pytest.approx(b.score, abs=1e-4)


@on_every_model
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("batch_tokens", [1, 150, 10_000])
def test_sharing_changes_nothing(
    make_nlp: MakeNLP, width: int, batch_tokens: int
) -> None:
    nlp = asking(make_nlp)
    pipe = nlp.get_pipe("instruction_ner")
    backbone = get_inference_backbone(pipe.model)
    docs = [nlp.make_doc(text) for text in DOCS]
    requests = [q for _, asked in pipe.requests(docs) for q in asked]
    # Two of the texts are the same.
    assert len(requests) == 18 and len({q.shared for q in requests}) == 5
    alone = [search(backbone, [folded(q)], 1, width)[0] for q in requests]
    assert_same(search(backbone, requests, batch_tokens, width), alone)
    # Some share, some do not, some are far longer.
    mixed = [q if at % 3 else folded(q) for at, q in enumerate(requests)]
    assert_same(search(backbone, mixed, batch_tokens, width), alone)
    assert sum(len(answer.spans) for answer in alone) > 5


@on_every_model
@every_way
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.usefixtures("short_bags")
def test_the_same_text_twice_is_answered_twice(
    make_nlp: MakeNLP, layout: str, grammar: str, width: int
) -> None:
    """Also where the text is the last of the prompt, and all that there is to share."""
    task = {"template": "Find {type}: {sentence}", "grammar": grammar}
    nlp = asking(make_nlp, layout, labels=["PERSON"], task=task)
    pipe = nlp.get_pipe("instruction_ner")
    backbone = get_inference_backbone(pipe.model)
    docs = [nlp.make_doc(text) for text in ("Rome", "Anna in Rome", "Rome", "Rome")]
    requests = [q for _, asked in pipe.requests(docs) for q in asked]
    alone = [search(backbone, [q], width=width)[0] for q in requests]
    assert_same(search(backbone, requests, width=width), alone)


@on_every_model
def test_a_text_given_twice_is_read_once_for_all_labels(make_nlp: MakeNLP) -> None:
    task = {"template": "{sentence} / {sentence}\n{type}:"}
    nlp = asking(make_nlp, task=task)
    pipe = nlp.get_pipe("instruction_ner")
    backbone = get_inference_backbone(pipe.model)
    requests = [
        request
        for _, asked in pipe.requests([nlp.make_doc(text) for text in DOCS])
        for request in asked
    ]
    apart = [replace(request, shared=(), suffix=request.own) for request in requests]
    assert_same(search(backbone, requests), search(backbone, apart))


# What does not fit.


@pytest.mark.long
@every_way
@pytest.mark.parametrize("width", [1, 3])
def test_an_answer_that_does_not_fit_is_broken_off(
    make_nlp: MakeNLP, layout: str, grammar: str, width: int
) -> None:
    """Too long even for the prompt, for the prompt's end, for the answer; the others
    go on."""
    nlp = asking(make_nlp, layout, task={"grammar": grammar})
    pipe = nlp.get_pipe("instruction_ner")
    backbone = get_inference_backbone(pipe.model)
    bound = pipe._bind(backbone, pipe._label_set(None))
    room = backbone.positions - bound.constant()
    (one,) = backbone.encoder.text(" in")
    requests: list[DecodingRequest] = []
    for size in (3, room + 100, room + 1, room, room - 1, room - 20, 5):
        words = TokenizedWords(((one,),) * size, ((one,),) * size)
        requests.extend(bound.requests(words))
    found = search(backbone, requests, width=width)
    alone = [search(backbone, [folded(q)], width=width)[0] for q in requests]
    assert_same(found, alone)
    complete = [answer.complete for answer in found]
    assert all(complete[:3]) and all(complete[-3:])
    # The longest do not fit themselves; of the others, some have room to answer.
    assert not any(complete[3:6]) and complete.count(False) > 5
    for request, answer in zip(requests, found):
        length = len(request.grammar.words)
        assert all(0 <= s.start < s.end <= length for s in answer.spans)
        if not answer.complete:
            asked = len(request.prefix + request.own)
            assert asked + len(answer.ids) > backbone.positions - 16


@pytest.mark.parametrize("grammar", ["spans", "bag"])
def test_a_long_text_is_cut_and_what_does_not_fit_is_told(
    make_nlp: MakeNLP, grammar: str
) -> None:
    """Markers take more room than is kept for an answer."""
    nlp = make_nlp(
        task={**TASK, "layout": "text_last", "grammar": grammar},
        labels=["PERSON"],
        label_definitions={"PERSON": "a human being " * 25},
        window_overlap=8,
    )
    pipe = nlp.get_pipe("instruction_ner")
    text = " ".join(["Anna met Bert in Paris"] * 40)
    asked = pipe.requests([nlp.make_doc(text)])
    assert len(asked) > 3
    with pytest.warns(UserWarning) as caught:
        doc = nlp(text)
    requests = [request for _, of_window in asked for request in of_window]
    found = search(get_inference_backbone(pipe.model), requests)
    broken = sum(not answer.complete for answer in found)
    assert broken > 3
    message = f"{broken} answers did not fit into the model's 512 positions"
    assert message in str(caught[0].message)
    spans = doc.spans["instruction_ner"]
    assert all(0 <= span.start < span.end <= len(doc) for span in spans)
    # What they said before is kept.
    assert len(spans) > 5 or grammar == "bag"


def test_a_prompt_without_room_for_a_text_is_refused(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(
        task=TASK, labels=["A"], label_definitions={"A": "a human being " * 200}
    )
    with pytest.raises(ValueError, match="no room for a text"):
        nlp("Anna")
