"""Tasks side by side."""

import random
from collections import Counter
from typing import Any

import pytest
from spacy.language import Language
from spacy.training import Example

from helpers.pipelines import MakeNLP
from spacy_instructner.tasks.cllmfs import build_cllmfs_v1
from spacy_instructner.tasks.instruction_ner import build_instruction_ner_v1
from spacy_instructner.tasks.mixture import build_mixture_v1


def mixture(**more: Any) -> Any:
    tasks = {"one": build_cllmfs_v1(), "all": build_instruction_ner_v1()}
    return build_mixture_v1(
        **{"tasks": tasks, "shares": {"one": 3, "all": 1}, "asks": "one", **more}
    )


def test_a_mixture_learns_all_and_asks_one(make_nlp: MakeNLP) -> None:
    given = {
        "one": {"@misc": "spacy-instructner.CLLMFS.v1"},
        "all": {"@misc": "spacy-instructner.InstructionNER.v1"},
    }
    task = {
        "@misc": "spacy-instructner.Mixture.v1",
        "tasks": given,
        "shares": {"one": 3.0, "all": 1.0},
    }
    definitions = {"PERSON": "a human", "PLACE": "a town"}

    def made(**more: Any) -> Language:
        return make_nlp(label_definitions=definitions, **more)

    nlp = made(task={**task, "asks": "one"})
    texts = ["Anna met Bert in Paris.", "Rome is an old place."]
    for asks in ("one", "all"):
        mixed, alone = made(task={**task, "asks": asks}), made(task=given[asks])
        for doc, other in zip(mixed.pipe(texts), alone.pipe(texts)):
            assert [
                (s.start, s.end, s.label_) for s in doc.spans["instruction_ner"]
            ] == [(s.start, s.end, s.label_) for s in other.spans["instruction_ner"]]
    doc = nlp.make_doc(texts[0])
    doc.set_ents([doc.char_span(0, 4, label="PERSON")], default="outside")
    random.seed(0)
    kinds = Counter[str]()
    for _ in range(200):
        records = nlp.get_pipe("instruction_ner").records(
            [Example(nlp.make_doc(doc.text), doc)]
        )
        kinds["all" if "main" in {r.task for r in records} else "one"] += 1
    assert 125 < kinds["one"] < 175


@pytest.mark.parametrize(
    "config,message",
    [
        ({"shares": {"one": 1}}, "must name all `tasks`"),
        ({"asks": "none"}, "`asks` .'none'. one of them"),
        ({"shares": {"one": 0, "all": 0}}, "not all of them 0"),
        ({"shares": {"one": -1, "all": 2}}, "must not be negative"),
    ],
)
def test_mixtures_that_make_no_sense(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture(**config)
    shows = build_instruction_ner_v1(examples=lambda nlp: [])
    with pytest.raises(ValueError, match="show no examples; take them out of ..all"):
        mixture(tasks={"one": build_cllmfs_v1(), "all": shows})
