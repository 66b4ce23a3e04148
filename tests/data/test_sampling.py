"""Drawing from annotated texts: protocols, episodes, what is never drawn."""

import random
from collections import Counter

import pytest
from spacy.language import Language

from helpers.draws import make_docs
from spacy_instructner.data.sampling import Protocol, draw, episode, label_counts


@pytest.mark.parametrize("k", [1, 3, 10])
def test_at_least_k(nlp: Language, k: int) -> None:
    docs = make_docs(nlp)
    drawn = draw(docs, "at-least-k", k, seed=5)
    counts = label_counts(drawn)
    assert all(counts[label] >= k for label in "XYZ")
    # Greedy: without its last sentence, some label has too few.
    short = Counter(label_counts(drawn[:-1]))
    assert any(short[label] < k for label in "XYZ")
    # Every sentence was worth keeping when it came.
    have: Counter = Counter()
    for doc in drawn:
        labels = [e.label_ for e in doc.ents]
        assert any(have[label] < k for label in labels)
        have.update(labels)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_at_most_k(nlp: Language, k: int) -> None:
    docs = make_docs(nlp, 200)
    drawn = draw(docs, "at-most-k", k, seed=5)
    counts = Counter(label_counts(drawn))
    assert all(doc.ents for doc in drawn)
    # There are sentences with one entity of each label, so each is filled up.
    assert counts == {"X": k, "Y": k, "Z": k}
    shuffled = list(docs)
    random.Random(5).shuffle(shuffled)
    assert drawn == [doc for doc in shuffled if doc in drawn]
    # Whatever was left out would have been too much when its turn came.
    have: Counter = Counter()
    for doc in shuffled:
        own = Counter(ent.label_ for ent in doc.ents)
        fits = bool(own) and all(have[label] + own[label] <= k for label in own)
        assert fits == (doc in drawn)
        have.update(own if fits else ())


@pytest.mark.parametrize("k", [1, 3, 10])
def test_k_sentences(nlp: Language, k: int) -> None:
    docs = make_docs(nlp)
    drawn = draw(docs, "k-sentences", k, seed=5)
    assert len(drawn) == len({doc[0].text for doc in drawn}) == 3 * k
    # Blocks of k, the rarest label's first.
    all_counts = label_counts(docs)
    rare_first = sorted(all_counts, key=lambda label: all_counts[label])
    for number, label in enumerate(rare_first):
        for doc in drawn[k * number : k * (number + 1)]:
            assert label in {ent.label_ for ent in doc.ents}
    # Of the rarest, the first ones of the shuffle.
    shuffled = list(docs)
    random.Random(5).shuffle(shuffled)
    has = [d for d in shuffled if rare_first[0] in {ent.label_ for ent in d.ents}]
    assert drawn[:k] == has[:k]


def test_an_episode_has_k_to_2k_of_each_of_its_labels_and_nothing_else(
    nlp: Language,
) -> None:
    docs = make_docs(nlp, 200)
    seen = set()
    for seed in range(20):
        found = episode(docs, ways=2, k=3, seed=seed)
        seen.add(found.labels)
        assert len(found.labels) == 2
        for part in (found.support, found.query):
            counts = label_counts(part)
            assert tuple(counts) == found.labels
            assert all(3 <= count <= 6 for count in counts.values())
        names = [doc[0].text for doc in (*found.support, *found.query)]
        assert len(names) == len(set(names))
    assert seen == {("X", "Y"), ("X", "Z"), ("Y", "Z")}
    assert episode(docs, 2, 3, seed=7) == episode(docs, 2, 3, seed=7)
    assert episode(docs, 2, 3, seed=7) != episode(docs, 2, 3, seed=8)


def test_episodes_that_cannot_be(nlp: Language) -> None:
    docs = make_docs(nlp, 20)
    with pytest.raises(ValueError, match="4 labels are asked for; the data have 3"):
        episode(docs, 4, 1)
    with pytest.raises(ValueError, match="too few entities of .* with 50 to 100"):
        episode(docs, 2, 50)
    with pytest.raises(ValueError, match="must be at least 1, not 0 and 1"):
        episode(docs, 0, 1)


# A draw must never change from one version to the next.
PINNED = {
    "at-least-k": ["w12", "w29", "w42"],
    "at-most-k": ["w12", "w29", "w0"],
    "k-sentences": ["w12", "w29", "w47", "w5", "w42", "w7"],
    "sentences": ["w12", "w33"],
}


@pytest.mark.parametrize("protocol", PINNED)
def test_a_draw_depends_on_data_protocol_k_and_seed(
    nlp: Language, protocol: Protocol
) -> None:
    docs = make_docs(nlp)
    names = [doc[0].text for doc in draw(docs, protocol, 2, seed=0)]
    assert names == PINNED[protocol]
    random.seed(123)
    assert [doc[0].text for doc in draw(docs, protocol, 2, seed=0)] == names
    assert [doc[0].text for doc in draw(docs, protocol, 2, seed=1)] != names


def test_an_episode_is_pinned(nlp: Language) -> None:
    found = episode(make_docs(nlp), ways=2, k=1, seed=0)
    assert found.labels == ("Y", "Z")
    assert [doc[0].text for doc in found.support] == ["w24"]
    assert [doc[0].text for doc in found.query] == ["w40"]


def test_sentences_and_all(nlp: Language) -> None:
    docs = make_docs(nlp)
    shuffled = list(docs)
    random.Random(0).shuffle(shuffled)
    assert draw(docs, "sentences", 7, 0) == shuffled[:7]
    assert draw(docs, "all") == docs


def test_test_sentences_are_never_drawn(nlp: Language) -> None:
    docs = make_docs(nlp)
    drawn = draw(docs, "at-least-k", 3, 0)
    barred = drawn[:2]
    again = draw(docs, "at-least-k", 3, 0, exclude=barred)
    assert not {d.text for d in barred} & {d.text for d in again}
    # The rest of the shuffle is as it was.
    assert [d.text for d in again][: len(drawn) - 2][:1] == [drawn[2].text]


def test_spacing_does_not_hide_a_test_sentence(nlp: Language) -> None:
    docs = [nlp.make_doc("Anna met Bert .")]
    assert draw(docs, "all", exclude=[nlp.make_doc("Anna met  Bert . ")]) == []


def test_bad_draws(nlp: Language) -> None:
    with pytest.raises(ValueError, match="no protocol 'k-shot'.*at-least-k"):
        draw([], "k-shot", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        draw([], "at-least-k", 0)
