"""The texts for rehearsal that come with the package, and which labels are asked for."""

import random
from collections import Counter

from spacy.language import Language

from benchmarks.rehearsal_texts import rehearsal_texts
from spacy_instructner.adaptation.rehearsal_set import (
    SHIPPED,
    AskedLabel,
    draw_labels,
    folded,
    names_of,
    read_sources,
    shipped_docs,
    without_names,
)
from spacy_instructner.tasks.labels import make_label_set


def test_the_file_is_what_the_command_makes_and_small() -> None:
    content = SHIPPED.read_text(encoding="utf8")
    assert content == rehearsal_texts()
    assert SHIPPED.stat().st_size < 1_000_000
    sources = read_sources()
    assert len(sources) == 20 == len({each.source for each in sources})
    assert all(len(each.texts) == 60 for each in sources)


def test_labels_that_are_called_alike_are_left_out() -> None:
    assert folded("PAYMENT_Purposes") == folded("payment-purpose") == "payment purpose"
    labels = make_label_set(["Sums", "X"], {"X": "who wrote it"}, {})
    barred = names_of(labels)
    assert barred == {"sum", "x", "who wrote it"}
    everything = {each.source: each for each in read_sources()}
    kept = {each.source: each for each in without_names(read_sources(), barred)}
    # One of its names is "sum", one of an author's "who wrote it".
    assert "amount" in everything["banking"].labels
    assert set(everything["banking"].labels) - set(kept["banking"].labels) == {"amount"}
    assert "author" not in kept["books"].labels
    for source in kept.values():
        used = {label for _, spans in source.texts for _, _, label in spans}
        assert used <= set(source.labels)
    assert len(kept["banking"].texts) < 60
    assert without_names(read_sources(), set()) == list(everything.values())


def test_drawn_labels_are_told_apart_and_the_first_come_first() -> None:
    first = [AskedLabel("Old", "old thing", "")]
    others = [AskedLabel(f"L{at}", f"name {at}", "what") for at in range(9)]
    others += [AskedLabel("L99", "old things", ""), AskedLabel("l 3", "more", "")]
    seen: Counter[str] = Counter()
    for seed in range(60):
        drawn = draw_labels(first, others, 4, random.Random(seed))
        assert len(drawn) == 4 and drawn["Old"]["name"] == "old thing"
        assert "L99" not in drawn
        seen.update(list(drawn))
    assert set(seen) == {"Old", "l 3", *(f"L{at}" for at in range(9))}
    assert draw_labels([], others[:2], 9, random.Random(0)).keys() == {"L0", "L1"}
    assert draw_labels([], [], 9, random.Random(0)) == {}


def test_shipped_texts_ask_for_what_they_have_first(nlp: Language) -> None:
    sources = {each.source: each for each in read_sources()}
    docs = shipped_docs(sources.values(), nlp, 3, 300, random.Random(0))
    # Few texts have an entity that does not fall on spaCy's tokens.
    assert 280 < len(docs) <= 300
    known = {text for own in sources.values() for text, _ in own.texts}
    for doc in docs:
        asked = doc.user_data["instruction_ner_labels"]
        own = {ent.label_ for ent in doc.ents}
        assert doc.text in known and 1 <= len(asked) <= 3
        assert own <= set(asked) or set(asked) <= own
    defined = [
        bool(words["definition"])
        for doc in docs
        for words in doc.user_data["instruction_ner_labels"].values()
    ]
    assert 0.4 < sum(defined) / len(defined) < 0.6
    again = shipped_docs(sources.values(), nlp, 3, 300, random.Random(0))
    assert [doc.user_data for doc in again] == [doc.user_data for doc in docs]
