"""Labels and the words that they bring."""

from typing import Any

import pytest

from helpers.instruction_ner import TEXT
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold
from spacy_instructner.tasks.instruction_ner import build_instruction_ner_v1
from spacy_instructner.tasks.labels import default_name, make_label_set, with_own_words


@pytest.mark.parametrize(
    "label,name",
    [
        ("CREATIVE_WORK", "creative work"),
        ("building-hotel", "building hotel"),
        ("ORG", "org"),
        ('say "hi",\nthen', 'say "hi", then'),
    ],
)
def test_default_name(label: str, name: str) -> None:
    assert default_name(label) == name


@pytest.mark.parametrize(
    "labels,names,message",
    [
        (["A", "A"], {}, "twice"),
        (["A", ""], {}, "at least one letter"),
        (["A", " \n"], {}, "at least one letter"),
        (["_-_"], {}, "no words"),
        (["BOOK_TITLE", "book-title"], {}, "both called 'book title'"),
        (["A", "B"], {"A": "thing", "B": "Thing"}, "both called"),
    ],
)
def test_bad_labels_are_refused(labels: list, names: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_label_set(labels, names, {})


def test_words_that_labels_bring_come_first() -> None:
    names, said = {"A": "alpha", "B": "beta"}, {"A": "first", "B": "second"}
    labels = {
        "B": {"name": "Bravo"},
        "A": "of all",
        "C": {"name": "Charlie", "definition": "third"},
        "D_E": "",
    }
    found = with_own_words(labels, names, said)
    assert found.labels == ("B", "A", "C", "D_E")
    assert found.names == ("Bravo", "alpha", "Charlie", "d e")
    assert found.definitions == ("second", "of all", "third", "")
    assert with_own_words(["A"], names, said) == make_label_set(["A"], names, said)


@pytest.mark.parametrize("said", [{"words": "x"}, 3, None, {"name": 3}])
def test_other_words_are_refused(said: Any) -> None:
    with pytest.raises(
        ValueError, match="The label 'A' can bring its meaning as a text"
    ):
        with_own_words({"A": said}, {}, {})


@pytest.mark.parametrize(
    "names", [{"A": "rock, pop"}, {"A": 'the "A" list'}, {"A": "two\nlines"}]
)
def test_awkward_label_names_are_handled(encoder: TextEncoder, names: dict) -> None:
    from spacy_instructner.decoding.grammar import Grammar, read_answer

    labels = make_label_set(["A", "B"], {**names, "B": "rock"}, {})
    end = encoder.tokenizer.eos_token_id
    task = build_instruction_ner_v1().bind(encoder, labels, end)
    words = encoder.words(TEXT, [bool(i) for i in range(len(TEXT))], 50)
    gold = Gold(((0, 1, "A"), (2, 4, "B"), (5, 6, "A")))
    record = task.records(words, gold)[0]
    grammar = Grammar(words, task.format)
    assert read_answer(grammar, record.answer) == [(0, 1, 0), (2, 4, 1), (5, 6, 0)]
    assert "\n" not in encoder.tokenizer.decode(record.answer)
