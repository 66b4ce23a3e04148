import random
import warnings

import pytest
from spacy.lang.en import English

from spacy_instructner.span_getters import sentences, whole_docs
from spacy_instructner.windows import cut, propose


def test_cut_by_hand() -> None:
    assert cut([1] * 10, 0, 10, budget=10, overlap=3) == [(0, 10)]
    assert cut([1] * 10, 0, 10, budget=4, overlap=0) == [(0, 4), (4, 8), (8, 10)]
    assert cut([1] * 10, 0, 10, budget=4, overlap=2) == [
        (0, 4), (2, 6), (4, 8), (6, 10),
    ]  # fmt: skip
    # A token over the budget stands alone; one without ids costs nothing.
    assert cut([1, 9, 1], 0, 3, budget=4, overlap=0) == [(0, 1), (1, 2), (2, 3)]
    assert cut([0, 0, 2, 0], 0, 4, budget=2, overlap=0) == [(0, 4)]
    assert cut([], 0, 0, budget=4, overlap=0) == []


@pytest.mark.parametrize("seed", range(300))
def test_cut_properties(seed: int) -> None:
    rng = random.Random(seed)
    lengths = [rng.randint(0, 6) for _ in range(rng.randint(1, 40))]
    start = rng.randint(0, len(lengths) - 1)
    end = rng.randint(start + 1, len(lengths))
    budget, overlap = rng.randint(1, 12), rng.randint(0, 5)
    windows = cut(lengths, start, end, budget, overlap)
    # Nothing is left out, nothing added.
    assert {i for a, b in windows for i in range(a, b)} == set(range(start, end))
    for a, b in windows:
        assert sum(lengths[a:b]) <= budget or b == a + 1
    for (a, b), (c, d) in zip(windows, windows[1:]):
        assert a < c <= b < d
        assert sum(lengths[c:b]) <= overlap


def test_proposals() -> None:
    nlp = English()
    nlp.add_pipe("sentencizer")
    docs = [nlp("One here. Two there."), nlp(""), nlp("Three.")]
    assert propose(whole_docs, docs) == [[(0, 6)], [], [(0, 2)]]
    assert propose(sentences, docs) == [[(0, 3), (3, 6)], [], [(0, 2)]]


@pytest.mark.spacy_transformers
def test_proposals_of_spacy_transformers() -> None:
    from spacy_transformers import span_getters as theirs

    nlp = English()
    nlp.add_pipe("sentencizer")
    docs = [nlp("One here. Two there."), nlp(""), nlp("Three."), nlp(" \n ")]
    for own, other in (
        (whole_docs, theirs.configure_get_doc_spans()),
        (sentences, theirs.configure_get_sent_spans()),
    ):
        assert propose(own, docs) == propose(other, docs)
    strides = theirs.configure_strided_spans(4, 2)
    assert propose(strides, docs)[:3] == [[(0, 4), (2, 6)], [], [(0, 2)]]


def test_sentences_without_boundaries_name_the_way_out() -> None:
    with pytest.raises(ValueError, match="sentencizer"):
        propose(sentences, [English()("No one set sentences.")])


def test_a_getter_that_leaves_tokens_out_is_reported() -> None:
    doc = English()("one two three four five")
    with pytest.warns(UserWarning, match="leave out 2 of 5 tokens.*'two'"):
        propose(lambda docs: [[d[0:1], d[2:4]] for d in docs], [doc])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        propose(whole_docs, [doc])
