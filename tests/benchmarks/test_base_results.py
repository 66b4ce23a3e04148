"""What a base knows and forgets, as it was measured."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import base


def lines(*rows: str) -> str:
    return "\n".join(rows)


def test_a_base_is_asked_for_other_labels_than_it_learned(make_nlp: Callable) -> None:
    meanings = {"PERSON": "somebody", "PLACE": "somewhere"}
    own, other = make_nlp(), make_nlp(labels=["DISH", "PRICE"])
    own.get_pipe("instruction_ner").set_labels(list(meanings), definitions=meanings)
    docs = list(own.pipe(["Anna met Bert in Rome", "the Rhine near Basel"]))
    assert any(doc.ents for doc in docs)
    assert base.f1(other, docs, meanings) == 1.0


def test_what_a_base_knows_and_forgets() -> None:
    def cell(data: str, method: str, f1: float, seen: bool = False) -> dict[str, Any]:
        return {"data": data, "method": method, "f1": f1, "seen": seen}

    assert base.zero_shot([cell("films", "minilm", 0.5)]) == "Not measured yet."
    told = base.zero_shot(
        [
            cell("films", "zero-shot-base", 0.3456),
            cell("films", "zero-shot-raw", 0.02),
            cell("posts", "zero-shot-base", 0.5, seen=True),
        ]
    )
    assert told == lines(
        "| Asked | films | posts, train split seen |",
        "| --- | --- | --- |",
        "| base, CLLMFS's prompts, names of labels | 34.6 | 50.0 |",
        "| the same, with what labels mean |  |  |",
        "| base, InstructionNER's prompts, names of labels |  |  |",
        "| raw model, CLLMFS's prompts, names of labels | 2.0 |  |",
    )
    assert base.forgetting([]) == "Not measured yet."
    pairs = [(0.2, 0.1), (0.4, 0.2)]
    records = [
        {"learned": "films", "asked": "posts", "before": one, "after": other}
        for one, other in pairs
    ]
    assert base.forgetting(records).splitlines()[-1] == (
        "| films | posts | 30.0 | 15.0 | 2 |"
    )
    dev = {"ents_p": 0.5, "ents_r": None, "ents_f": 0.25}
    log = [
        {"step": 0, "texts": 0, "ids": 0, "seconds": 0.0, "loss": None, "dev": dev},
        {"step": 9, "texts": 72, "ids": 45e4, "seconds": 90.0, "loss": 1.5, "dev": dev},
    ]
    rows = base.curve(log).splitlines()
    assert rows[2] == "| 0 | 0 | 0.00 | 0 |  | 50.0 | 0.0 | 25.0 |"
    assert rows[3] == "| 9 | 72 | 0.45 | 2 | 1.500 | 50.0 | 0.0 | 25.0 |"
    assert len(rows) == 4
    assert base.chained([log]) == log
    later = base.chained([log, log])
    assert [line["step"] for line in later] == [0, 9, 18]
    assert later[2] == {
        **log[1],
        "step": 18,
        "texts": 144,
        "ids": 9e5,
        "seconds": 180.0,
    }


def test_tables_and_the_plot_of_a_page() -> None:
    curve = base.section("base curve", "../plots")
    assert curve.count("\n| ") > 10
    assert curve.endswith("](../plots/base-curve.svg)")
    assert base.section("base forgetting", "").count("| 3 |") == 2
    with pytest.raises(KeyError):
        base.section("base curves", "")
