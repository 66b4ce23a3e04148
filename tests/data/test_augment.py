"""Mentions in each other's places, in the texts of a draw."""

import random
from collections import Counter
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Corpus, Example
from spacy.training.augment import create_lower_casing_augmenter
from spacy.util import load_config, registry
from thinc.api import fix_random_seed

from helpers.pipelines import MakeNLP
from helpers.places import ROOT
from spacy_instructner.data.augment import MentionSwap, build_mention_swap_v1
from spacy_instructner.data.corpora import build_few_shot_corpus_v1, without_annotation

Entities = list[tuple[int, int, str]]
NAME = "spacy-instructner.MentionSwap.v1"
CONFIG = ROOT / "configs" / "instructionner.cfg"


@pytest.fixture
def registered() -> None:
    """Also where this version is not installed."""
    if not registry.has("augmenters", NAME):
        registry.augmenters.register(NAME, func=build_mention_swap_v1)


def gold(nlp: Language, text: str, entities: Entities) -> Example:
    doc = nlp.make_doc(text)
    doc.set_ents([Span(doc, *entity) for entity in entities], default="outside")
    return Example(without_annotation(doc), doc)


def support(nlp: Language) -> list[Example]:
    return [
        gold(nlp, "Anna lives in New  York.", [(0, 1, "PER"), (3, 6, "LOC")]),
        gold(nlp, "('Bert Brown' met Anna)", [(2, 4, "PER"), (6, 7, "PER")]),
        gold(nlp, "It is Rome", [(2, 3, "LOC")]),
        gold(nlp, "No one at the ACME", [(4, 5, "ORG")]),
        gold(nlp, "Nothing", []),
    ]


def said(doc: Doc) -> list[tuple[str, str]]:
    return [(ent.text, ent.label_) for ent in doc.ents]


def swapped(nlp: Language, at: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """What becomes of a text, all ways that were drawn."""
    examples = support(nlp)
    swap = build_mention_swap_v1(1.0).among(examples)
    found = {}
    for seed in range(40):
        random.seed(seed)
        first, *rest = swap(nlp, examples[at])
        assert first is examples[at]
        for example in rest:
            doc = example.reference
            assert example.predicted.text == doc.text
            assert [t.text for t in example.predicted] == [t.text for t in doc]
            assert not example.predicted.has_annotation("ENT_IOB")
            assert all(token.ent_iob_ in ("B", "I", "O") for token in doc)
            found[doc.text] = said(doc)
    return sorted(found.items())


def test_each_mention_gives_way_to_another_of_its_label(nlp: Language) -> None:
    # Its inner spaces are its own; what stands behind it is the place's.
    assert swapped(nlp, 0) == [
        ("Bert Brown lives in Rome.", [("Bert Brown", "PER"), ("Rome", "LOC")])
    ]
    assert swapped(nlp, 2) == [("It is New  York", [("New  York", "LOC")])]
    # Anna stood twice in the support set, and is one mention.
    assert swapped(nlp, 1) == [
        ("('Anna' met Bert Brown)", [("Anna", "PER"), ("Bert Brown", "PER")])
    ]


def test_every_other_mention_is_as_likely(nlp: Language) -> None:
    names = ["Anna", "Bert", "Carl Cox", "Dora"]
    examples = [
        gold(nlp, name, [(0, len(name.split()), "PER")]) for name in (*names, "Bert")
    ]
    swap = build_mention_swap_v1(1.0).among(examples)
    random.seed(0)
    counts = Counter(
        made.text
        for _ in range(3000)
        if (made := swap.swapped(examples[0].reference)) is not None
    )
    assert set(counts) == {"Bert", "Carl Cox", "Dora"}
    assert min(counts.values()) > 900


def test_where_there_is_no_other_nothing_is_added(nlp: Language) -> None:
    assert swapped(nlp, 3) == [] and swapped(nlp, 4) == []


def test_tokens_are_kept_as_they_were(nlp: Language) -> None:
    """Also those that the pipeline's tokenizer would cut otherwise."""
    doc = Doc(nlp.vocab, words=["don't", "C++", "!"], spaces=[True, False, False])
    doc.set_ents([Span(doc, 1, 2, label="X")], default="outside")
    other = Doc(nlp.vocab, words=["see", "node.", "js"], spaces=[True, False, False])
    other.set_ents([Span(other, 1, 3, label="X")], default="outside")
    examples = [Example(without_annotation(each), each) for each in (doc, other)]
    swap = build_mention_swap_v1(1.0).among(examples)
    one, two = (swap.swapped(each) for each in (doc, other))
    assert one is not None and two is not None
    assert [t.text for t in one] == ["don't", "node.", "js", "!"]
    assert one.text == "don't node.js!" and said(one) == [("node.js", "X")]
    assert [t.text for t in two] == ["see", "C++"]
    assert two.text == "see C++" and said(two) == [("C++", "X")]


def test_what_is_not_annotated_stays_so(nlp: Language) -> None:
    doc = nlp.make_doc("we saw Anna Brown at home , or so")
    doc.set_ents(
        [Span(doc, 2, 4, label="PER")],
        blocked=[doc[5:6]],
        missing=[doc[0:1], doc[7:9]],
        default="outside",
    )
    examples = [
        Example(without_annotation(doc), doc),
        gold(nlp, "Bert", [(0, 1, "PER")]),
    ]
    made = build_mention_swap_v1(1.0).among(examples).swapped(doc)
    assert made is not None and made.text == "we saw Bert at home , or so"
    assert [(t.ent_iob_, t.ent_type_) for t in made] == [
        ("", ""),
        ("O", ""),
        ("B", "PER"),
        ("O", ""),
        # Blocked: it begins an entity of no type.
        ("B", ""),
        ("O", ""),
        ("", ""),
        ("", ""),
    ]
    plain = nlp.make_doc("nothing is known")
    assert build_mention_swap_v1(1.0).among(examples).swapped(plain) is None


@pytest.mark.parametrize("level,copies", [(0.0, 1), (0.3, 1), (0.5, 4), (1.0, 3)])
def test_how_many_copies_there_are(nlp: Language, level: float, copies: int) -> None:
    examples = support(nlp)
    swap = build_mention_swap_v1(level, copies).among(examples)
    random.seed(0)
    counts = [len(list(swap(nlp, examples[0]))) - 1 for _ in range(2000)]
    assert max(counts) <= copies and min(counts) >= (copies if level == 1.0 else 0)
    assert sum(counts) / 2000 == pytest.approx(level * copies, abs=0.1)


def write(nlp: Language, path: Path) -> Path:
    DocBin(docs=[eg.reference for eg in support(nlp)]).to_disk(path)
    return path


def read(path: Path, augmenter: MentionSwap | None, **draw: object) -> list[str]:
    reader = build_few_shot_corpus_v1(path, augmenter=augmenter, **draw)  # type: ignore[arg-type]
    return [example.reference.text for example in reader(spacy.blank("en"))]


def test_the_reader_adds_copies_behind_each_text(nlp: Language, tmp_path: Path) -> None:
    path = write(nlp, tmp_path / "a.spacy")
    texts = [example.reference.text for example in support(nlp)]
    assert read(path, None) == texts
    assert read(path, build_mention_swap_v1(1.0)) == [
        texts[0],
        "Bert Brown lives in Rome.",
        texts[1],
        "('Anna' met Bert Brown)",
        texts[2],
        "It is New  York",
        *texts[3:],
    ]


@pytest.mark.long
def test_only_mentions_of_the_draw_are_taken(nlp: Language, tmp_path: Path) -> None:
    path = write(nlp, tmp_path / "a.spacy")
    for seed in range(20):
        drawn = read(path, None, protocol="sentences", k=2, seed=seed)
        together = " ".join(drawn)
        swap = build_mention_swap_v1(1.0)
        changed = read(path, swap, protocol="sentences", k=2, seed=seed)
        assert [text for text in changed if text in drawn] == drawn
        for name in ("Anna", "Bert", "York", "Rome", "ACME"):
            assert name in together or not any(name in text for text in changed)


def test_spacys_seed_gives_the_same_copies(nlp: Language, tmp_path: Path) -> None:
    path = write(nlp, tmp_path / "a.spacy")
    runs = []
    for seed in (0, 0, 1, 2, 3):
        fix_random_seed(seed)
        runs.append(read(path, build_mention_swap_v1(0.4, copies=3)))
    assert runs[0] == runs[1]
    assert len({tuple(run) for run in runs}) > 2


def test_the_reader_takes_spacys_augmenters(nlp: Language, tmp_path: Path) -> None:
    path = write(nlp, tmp_path / "a.spacy")
    lower = read(path, create_lower_casing_augmenter(1.0))  # type: ignore[arg-type]
    assert lower[0] == "anna lives in new  york." and len(lower) == 5


def test_a_reader_that_says_no_mentions_is_refused(
    nlp: Language, tmp_path: Path
) -> None:
    corpus = Corpus(write(nlp, tmp_path / "a.spacy"), augmenter=MentionSwap(1.0))
    with pytest.raises(
        ValueError, match="as `augmenter` of spacy-instructner.FewShotCorpus.v1"
    ):
        list(corpus(nlp))


@pytest.mark.parametrize(
    "level,copies,message", [(1.1, 1, "level"), (-0.1, 1, "level"), (1.0, 0, "copies")]
)
def test_bad_settings_are_refused(level: float, copies: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"`{message}` must be"):
        build_mention_swap_v1(level, copies)


def test_it_is_switched_on_on_the_command_line(
    nlp: Language, registered: None, tmp_path: Path
) -> None:
    path = write(nlp, tmp_path / "a.spacy")
    config = load_config(
        CONFIG,
        overrides={
            "paths.train": str(path),
            "corpora.train.protocol": "all",
            "corpora.train.augmenter": {"@augmenters": NAME, "level": 1.0},
        },
        interpolate=True,
    )
    corpora = registry.resolve(config["corpora"])
    assert len(list(corpora["train"](nlp))) == 8
    # What is measured on is not changed.
    assert len(list(corpora["dev"](nlp))) == 5


def test_copies_are_learned_from(make_nlp: MakeNLP) -> None:
    nlp = make_nlp(labels=["PER", "LOC"])
    pipe = nlp.get_pipe("instruction_ner")
    examples = support(nlp)
    swap = build_mention_swap_v1(1.0).among(examples)
    _, changed = swap(nlp, examples[0])
    (main,) = (r for r in pipe.records([changed]) if r.task == "main")
    decode = pipe.model.shims[0]._model.tokenizer.decode
    said = " Bert Brown is a person, Rome is a location.<|end|>"
    assert decode(main.answer) == said
