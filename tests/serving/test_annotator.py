"""A pipeline that answers questions of several askers in one pass."""

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from helpers.serving import LABELS
from helpers.serving_api import load
from spacy_instructner.component import InstructionNERPipe
from spacy_instructner.corpus.entities import scored_entities_of
from spacy_instructner.corpus.piped import Failure
from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.serving.annotator import (
    AskedLabels,
    BatchAnnotator,
    RefusedLabels,
    TextQuestion,
)
from spacy_instructner.tasks.labels import LABELS_KEY

TOWNS: AskedLabels = (("TOWN", ""), ("animal", "a beast"))
PEOPLE: AskedLabels = (("PERSON", "somebody's name"), ("PLACE", ""))


@pytest.fixture(scope="module")
def annotator(folder: Path) -> BatchAnnotator:
    return load(folder)


def questions() -> list[TextQuestion]:
    """Many texts, short and long, each with one of three sets of labels."""
    names = ["Anna", "Bert", "Carl Brown", "old Paris", "Rome", "👩‍👩‍👧 Anna"]
    return [
        TextQuestion(
            " and ".join(
                f"{name} met {names[at % 5]}." for name in names[: 1 + at % 6]
            ),
            (None, TOWNS, PEOPLE)[at % 3],
        )
        for at in range(18)
    ]


def check_alike(one: list[Any], other: list[Any]) -> None:
    """Spans are the same, and scores but for the order of additions."""
    assert [each[:3] for each in one] == [each[:3] for each in other]
    assert [each[3] for each in one] == pytest.approx([e[3] for e in other], abs=1e-5)


def test_a_batch_is_answered_as_its_texts_are_one_by_one(
    annotator: BatchAnnotator, folder: Path
) -> None:
    asked = questions()
    together = annotator.annotate(asked).answers
    nlp = spacy.load(folder)
    found = 0
    for question, answer in zip(asked, together, strict=True):
        (alone,) = annotator.annotate([question]).answers
        assert isinstance(answer, list) and isinstance(alone, list)
        check_alike(answer, alone)
        doc = nlp.make_doc(question.text)
        if question.labels:
            doc.user_data[LABELS_KEY] = dict(question.labels)
        check_alike(answer, scored_entities_of(nlp(doc)))
        known = dict(question.labels) if question.labels else LABELS
        assert {label for _, _, label, _ in answer} <= set(known)
        found += len(answer)
    assert found >= 15


def test_labels_of_the_pipeline_are_asked_where_there_are_no_others(
    annotator: BatchAnnotator,
) -> None:
    assert annotator.labels() == LABELS
    texts = [each.text for each in questions()]
    own = annotator.annotate([TextQuestion(text) for text in texts]).answers
    given = annotator.annotate([TextQuestion(text, PEOPLE) for text in texts]).answers
    for one, other in zip(own, given, strict=True):
        assert isinstance(one, list) and isinstance(other, list)
        check_alike(one, other)


def test_texts_without_a_word_have_no_entities(annotator: BatchAnnotator) -> None:
    texts = ["", " ", "\n\n", "\0", "Anna"]
    answers = annotator.annotate([TextQuestion(text, PEOPLE) for text in texts]).answers
    assert answers[:3] == [[], [], []] and len(answers) == 5
    assert annotator.annotate([]).answers == []


def test_labels_that_cannot_be_asked_for_cost_the_others_nothing(
    annotator: BatchAnnotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    predict = InstructionNERPipe.predict

    def counting(self: Any, docs: Any, **more: Any) -> Any:
        passes.append(len(docs))
        return predict(self, docs, **more)

    monkeypatch.setattr(InstructionNERPipe, "predict", counting)
    long = tuple((f"label number {at}", "") for at in range(200))
    refused = {
        "both called 'a'": (("a", ""), ("A", "")),
        "no words": (("_", ""),),
        "at least one letter": ((" ", ""),),
        "no room for a text": long,
    }
    asked = [TextQuestion("Anna met Bert.", TOWNS)]
    asked += [TextQuestion("Anna met Bert.", own) for own in refused.values()]
    first, *others, last = annotator.annotate([*asked, asked[0]]).answers
    for why, answer in zip(refused, others, strict=True):
        assert isinstance(answer, RefusedLabels) and why in answer.why
    assert isinstance(first, list) and isinstance(last, list)
    check_alike(first, last)
    # In one pass, not one by one.
    assert passes == [2]


def test_a_pipeline_without_labels_needs_them_with_each_text(
    folder: Path, tmp_path: Path
) -> None:
    nlp = spacy.load(folder)
    nlp.get_pipe("instruction_ner").set_labels([])
    nlp.to_disk(tmp_path / "none")
    annotator = load(tmp_path / "none")
    assert annotator.labels() == {}
    none, some = annotator.annotate(
        [TextQuestion("Anna"), TextQuestion("Anna", PEOPLE)]
    ).answers
    assert isinstance(none, RefusedLabels) and "no labels of its own" in none.why
    assert isinstance(some, list)


def test_one_bad_text_fails_alone(folder: Path, tmp_path: Path) -> None:
    annotator = load(folder)

    @Language.component("fails_at_bert")
    def fails_at_bert(doc: Doc) -> Doc:
        if "Bert" in doc.text:
            raise RuntimeError("not Bert")
        return doc

    annotator.nlp.add_pipe("fails_at_bert", first=True)
    texts = ["Anna in Paris", "Bert in Paris", "Carl in Rome", "Anna in Paris"]
    asked = [TextQuestion(text, PEOPLE) for text in texts]
    first, bad, third, last = annotator.annotate(asked).answers
    assert isinstance(bad, Failure)
    assert bad.why == "fails_at_bert: RuntimeError: not Bert"
    assert isinstance(first, list) and isinstance(third, list)
    assert isinstance(last, list)
    check_alike(first, last)
    annotator.nlp.remove_pipe("fails_at_bert")
    for text, answer in ((texts[0], first), (texts[2], third)):
        (alone,) = annotator.annotate([TextQuestion(text, PEOPLE)]).answers
        assert isinstance(alone, list)
        check_alike(answer, alone)


def test_sentences_as_windows_are_no_reason_to_refuse_labels(
    folder: Path, tmp_path: Path
) -> None:
    nlp = spacy.load(
        folder,
        config={
            "components.instruction_ner.windows": {
                "@misc": "spacy-instructner.Sentences.v1"
            }
        },
    )
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(tmp_path / "sentences")
    annotator = load(tmp_path / "sentences")
    (answer,) = annotator.annotate([TextQuestion("Anna ran. Bert sat.", TOWNS)]).answers
    assert isinstance(answer, list)


def test_a_text_over_the_pipelines_limit_is_read_in_pieces(folder: Path) -> None:
    annotator = load(folder)
    annotator.nlp.max_length = 20
    text = "Anna met Bert in Paris and Rome and was gone, and Anna too."
    (answer,) = annotator.annotate([TextQuestion(text, PEOPLE)]).answers
    assert isinstance(answer, list) and answer
    for start, end, _, score in answer:
        assert text[start:end].strip() == text[start:end] and score is not None
    assert max(end for _, end, *_ in answer) > 20


def test_what_is_not_read_is_counted(annotator: BatchAnnotator) -> None:
    found = annotator.annotate([TextQuestion("x" * 3000, PEOPLE)])
    assert (found.unread, found.unfinished) == (1, 0) and found.answers == [[]]
    fine = annotator.annotate([TextQuestion("Anna", PEOPLE)])
    assert (fine.unread, fine.unfinished) == (0, 0)


def test_texts_leave_nothing_behind(folder: Path) -> None:
    annotator = load(folder)
    annotator.annotate([TextQuestion("Anna", TOWNS)])
    strings = len(annotator.nlp.vocab.strings)
    for at in range(5):
        own = ((f"L{at}", ""),)
        annotator.annotate([TextQuestion(f"Anna{at} met B{at}x", own)])
    assert len(annotator.nlp.vocab.strings) == strings


def test_what_cannot_be_served(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "other")
    with pytest.raises(ValueError, match="no instruction_ner .* are: sentencizer"):
        load(tmp_path / "other")
    with pytest.raises(OSError, match="E050"):
        BatchAnnotator(Pipeline(str(tmp_path / "nowhere")))
