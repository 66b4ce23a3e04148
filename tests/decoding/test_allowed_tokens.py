"""What a grammar allows at each token of an answer: against all answers there are."""

import itertools
from collections.abc import Iterator, Sequence

import pytest

from helpers.loss import LABELS, encoded
from spacy_instructner.decoding.allowed_tokens import (
    allowed_tokens_along,
    allowed_tokens_in_pieces,
)
from spacy_instructner.decoding.answers import (
    AnswerFormat,
    Clause,
    Ids,
    TokenizedWords,
    write_answer,
)
from spacy_instructner.decoding.grammar import Grammar
from spacy_instructner.decoding.trie import Trie
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold, TrainingRecord
from spacy_instructner.tasks.cllmfs import build_cllmfs_v1
from spacy_instructner.tasks.instruction_ner import build_instruction_ner_v1
from spacy_instructner.training.records import decisions


def all_clauses(words: int, labels: int, first: int = 0) -> Iterator[list[Clause]]:
    yield []
    for start in range(first, words):
        for end in range(start + 1, words + 1):
            for label in range(labels):
                for rest in all_clauses(words, labels, end):
                    yield [(start, end, label), *rest]


def all_answers(
    words: TokenizedWords, format: AnswerFormat, sets: Sequence
) -> list[Ids]:
    return [
        tuple(i for piece in write_answer(words, format, clauses) for i in piece.ids)
        for clauses in sets
    ]


def check_allowed(record: TrainingRecord, answers: Sequence[Ids]) -> None:
    """At each id: what the answers that begin like it go on with."""
    assert record.allowed is not None and len(record.allowed) == len(record.answer)
    for at, allowed in enumerate(record.allowed):
        alike = [ids for ids in answers if ids[:at] == record.answer[:at]]
        assert len(set(allowed)) == len(allowed)
        assert set(allowed) == {ids[at] for ids in alike if len(ids) > at}
        assert record.answer[at] in allowed


@pytest.mark.parametrize(
    "text,entities",
    [
        ("Anna met Anna", [(0, 1, "PERSON"), (2, 3, "OLD")]),
        ("Rome is Rome", [(2, 3, "PLACE")]),
        ("old Rome Paris", [(0, 2, "OLD"), (2, 3, "PLACE")]),
        # The text says what separates and connects, and what is said of none.
        (", is none", [(0, 1, "PLACE"), (1, 3, "PERSON")]),
        ("Anna met Bert", []),
    ],
)
def test_allowed_is_what_other_answers_go_on_with(
    encoder: TextEncoder, text: str, entities: list
) -> None:
    task = build_instruction_ner_v1().bind(
        encoder, LABELS, encoder.tokenizer.eos_token_id
    )
    words = encoded(encoder, text)
    made = task.records(words, Gold(tuple(entities)), choices=True)
    records = {record.task: record for record in made}
    assert set(records) == {"main", "extraction", *(["typing"] if entities else [])}
    sets = list(all_clauses(3, 3))
    check_allowed(records["main"], all_answers(words, task.format, sets))
    bare = list(all_clauses(3, 1))
    check_allowed(records["extraction"], all_answers(words, task.extraction, bare))
    if entities:
        typed = [
            [(start, end, label) for (start, end, _), label in zip(entities, labels)]
            for labels in itertools.product(range(3), repeat=len(entities))
        ]
        check_allowed(records["typing"], all_answers(words, task.format, typed))
    # Not asked for, nothing is different but this.
    for record in task.records(words, Gold(tuple(entities))):
        assert record.allowed is None
        assert record.answer == records[record.task].answer
        assert record.weights == records[record.task].weights


@pytest.mark.parametrize("layout", ["text_first", "text_last"])
def test_allowed_for_one_type(encoder: TextEncoder, layout: str) -> None:
    task = build_cllmfs_v1(
        layout=layout,  # type: ignore[arg-type]
        absent=9.0,
    ).bind(encoder, LABELS, encoder.tokenizer.eos_token_id)
    words = encoded(encoder, "Anna in Anna")
    gold = Gold(((0, 1, "PERSON"), (2, 3, "PERSON")))
    records = task.records(words, gold, choices=True)
    assert [record.task for record in records] == ["present", "absent", "absent"]
    for record in records:
        format = task.prompts["PERSON"].format
        check_allowed(record, all_answers(words, format, list(all_clauses(3, 1))))


def test_allowed_keeps_to_the_longest_span(encoder: TextEncoder) -> None:
    task = build_instruction_ner_v1().bind(
        encoder, LABELS, encoder.tokenizer.eos_token_id, max_span=2
    )
    words = encoded(encoder, "old Rome Paris")
    main, extraction, _ = task.records(words, Gold(((0, 2, "OLD"),)), choices=True)
    short = [
        clauses
        for clauses in all_clauses(3, 3)
        if all(end - start <= 2 for start, end, _ in clauses)
    ]
    check_allowed(main, all_answers(words, task.format, short))
    untyped = [each for each in short if not any(label for _, _, label in each)]
    check_allowed(extraction, all_answers(words, task.extraction, untyped))


def test_the_bag_allows_what_it_decodes(encoder: TextEncoder) -> None:
    task = build_cllmfs_v1(layout="text_last", grammar="bag", absent=0.0).bind(
        encoder, LABELS, encoder.tokenizer.eos_token_id
    )
    words = encoded(encoder, "Anna met Bert")
    gold = Gold(((0, 1, "PERSON"),))
    (record,) = task.records(words, gold, choices=True)
    request = task.requests(words)[0]
    state = request.grammar.start()
    for token, allowed in zip(record.answer, record.allowed or ()):
        assert allowed == state.allowed and token in allowed
        state = state.step(token)
    assert state.done


def test_what_the_bag_does_not_admit_is_learnt_among_all(encoder: TextEncoder) -> None:
    task = build_cllmfs_v1(layout="text_last", grammar="bag", absent=0.0).bind(
        encoder, LABELS, encoder.tokenizer.eos_token_id
    )
    words = encoded(encoder, " ".join(["Anna"] * 60))
    gold = Gold(tuple((at, at + 1, "PERSON") for at in range(60)))
    (record,) = task.records(words, gold, choices=True)
    assert len(record.answer) > 128 and record.allowed is None
    assert decisions(record) == record


def test_what_no_answer_says_is_refused(encoder: TextEncoder) -> None:
    words = encoded(encoder, "Anna met")
    format = AnswerFormat((), (7,), (("A", (8,)),), (9, 0), (6, 0))
    with pytest.raises(ValueError, match="not legal at answer id 0"):
        allowed_tokens_along(Grammar(words, format), (8,))
    with pytest.raises(ValueError, match="not legal at answer id 1"):
        allowed_tokens_in_pieces(
            [Trie([("", (1,))]), Trie([("a", (2,)), ("b", (3,))])], (1, 4)
        )
