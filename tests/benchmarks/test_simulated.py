"""The annotation loop with gold annotation: what it chooses, learns, keeps and continues."""

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import spacy

from benchmarks import simulated_tables
from benchmarks.simulated import (
    SEEDS,
    SimulatedRun,
    chosen_runs,
    left_said,
    rows_of,
    simulate,
    trainings_left,
)
from benchmarks.simulated_tables import COUNTS, curves, results_table
from benchmarks.simulated_texts import (
    SETS,
    PoolText,
    SimulatedTexts,
    marked,
    read_simulated,
)
from benchmarks.text_orders import ORDERS
from helpers.taught_texts import taught_spans
from spacy_instructner.fewshot.study import Record, Study
from spacy_instructner.formats.rows import Row
from spacy_instructner.serving import finetune
from spacy_instructner.serving.project.findings import queue
from spacy_instructner.serving.project.project_state import (
    Decision,
    ProjectState,
    ProjectText,
    TextFinding,
)

TEXTS = [f"{a} Anna {b} in Paris." for a in ("Today", "Here") for b in "wxyz"]


# The orders.


def state_of(*scores: Sequence[float]) -> ProjectState:
    """Texts of ten words, with spans of these scores and a threshold of 0.4."""
    state = ProjectState(base_threshold=0.4)
    for number, own in enumerate(scores, 1):
        state.texts[number] = ProjectText(number, "x " * 10)
        spans = tuple((at, at + 1, "A", score) for at, score in enumerate(own))
        state.found.setdefault(0, {})[number] = TextFinding("", spans)
    return state


def ordered(name: str, state: ProjectState, seed: int = 0) -> list[int]:
    return ORDERS[name][0](state, random.Random(seed))


def test_orders_differ_in_what_they_look_at() -> None:
    # One span at the threshold beside a sure one and a doubtful one; two near it; many
    # spans, none of them near; nothing.
    state = state_of([0.4, 0.6, 1.0], [0.38, 0.42], [0.15] * 8, [])
    assert ordered("uncertainty", state) == queue(state) == [1, 2, 3, 4]
    assert ordered("mean", state) == [2, 1, 3, 4]
    # 0.15 is three eighths of the threshold: together, three spans at it.
    assert ordered("per-word", state) == [3, 2, 1, 4]
    # Of a text that is a tenth as long, the same spans weigh ten times as much.
    state.texts[1] = ProjectText(1, "x")
    assert ordered("per-word", state) == [1, 3, 2, 4]


def test_chance_is_of_the_seed() -> None:
    state = state_of(*([0.1 * n] for n in range(10)))
    first = ordered("random", state, 3)
    assert sorted(first) == list(range(1, 11)) != first
    assert ordered("random", state, 3) == first != ordered("random", state, 4)


def test_every_fourth_text_of_a_mixed_order_is_drawn() -> None:
    state = state_of(*([0.4 * n / 40] for n in range(40, 0, -1)))
    found = ordered("mixed", state)
    assert sorted(found) == queue(state) == list(range(1, 41))
    assert found[:3] == [1, 2, 3]
    drawn = [text for at, text in enumerate(found[:20]) if at % 4 == 3]
    others = [text for text in found[:20] if text not in drawn]
    assert others == sorted(others) and max(drawn) > 25


@pytest.mark.parametrize("name", ORDERS)
def test_decided_texts_are_not_asked_again_and_unread_ones_come_last(name: str) -> None:
    state = state_of([0.4], [0.39], [0.38])
    state.layers[1] = (Decision(1, "accept", (), 0, False),)
    state.found[0][2] = TextFinding("", error="too long")
    found = ordered(name, state)
    assert sorted(found) == [2, 3]
    assert found == [3, 2] or name == "random"


# The texts.


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


def row_of(text: str, *spans: tuple[int, int, str]) -> dict[str, Any]:
    own = [{"start": a, "end": b, "label": label} for a, b, label in spans]
    return {"text": text, "spans": own}


def test_the_pool_and_what_is_scored_share_no_text(tmp_path: Path) -> None:
    rows = [row_of(f"Bo {n}", (0, 2, "Some_Name")) for n in range(8)]
    write_rows(tmp_path / "mit_movie_trivia" / "train.jsonl.gz", [*rows, rows[0]])
    write_rows(tmp_path / "mit_movie_trivia" / "test.jsonl.gz", rows[:2])
    (tmp_path / "names.json").write_text("{}")
    found = [read_simulated(tmp_path, "mit_movie_trivia", n, 4, 3) for n in (0, 0, 1)]
    assert found[0].pool == found[1].pool != found[2].pool
    assert found[0].labels == ("some name",)
    for own in found:
        pool, scored = (
            [each.text for each in own.pool],
            [d.text for d in own.scored],
        )
        assert len(set(pool)) == 4 and len(set(scored)) == 3
        assert not set(pool) & set(scored) and {"Bo 0", "Bo 1"} < set(scored)
        assert [own.pool[0].spans] == [((0, 2, "some name"),)]
        assert scored == [doc.text for doc in found[0].scored]
    with pytest.raises(ValueError, match="3 and 9 are needed"):
        read_simulated(tmp_path, "mit_movie_trivia", 0, 9, 3)


def test_labels_of_a_source_of_the_base_are_worded(tmp_path: Path) -> None:
    own = tmp_path / "base" / "bionlp13cg"
    for name in ("train", "dev"):
        texts = [row_of(f"{name} {n}", (0, len(name), "Cancer")) for n in range(3)]
        write_rows(own / f"{name}.jsonl.gz", texts)
    wording = {"bionlp13cg/Cancer": {"names": ["tumour", "cancer"]}}
    (tmp_path / "base" / "wording.json").write_text(json.dumps(wording))
    found = read_simulated(tmp_path, "bionlp13cg", 0, 2, 3)
    assert found.labels == ("tumour",)
    assert {ent.label_ for doc in found.scored for ent in doc.ents} == {"tumour"}


def test_a_person_marks_whole_words() -> None:
    row = Row("", "the anti-tumour effects", None, ((9, 18, "A"), (9, 15, "B")))
    nlp = spacy.blank("en")
    assert marked(nlp, row) == PoolText(row.text or "", ((9, 23, "A"),))


# The loop.


@pytest.fixture
def brief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = finetune.SETTINGS.read_text(encoding="utf8")
    assert text.count("max_steps = 80\n") == 1 and text.count("= 0.001\n") == 1
    own = tmp_path / "training.cfg"
    text = text.replace("= 0.001\n", "= 0.01\n")
    own.write_text(text.replace("max_steps = 80\n", "max_steps = 60\n"))
    monkeypatch.setattr(finetune, "SETTINGS", own)


def texts_of(few: int = 8) -> SimulatedTexts:
    nlp = spacy.blank("en")
    scored = []
    for text in ("Anna saw Paris.", "Nobody."):
        doc = nlp.make_doc(text)
        doc.ents = [
            span
            for start, end, label in taught_spans(text)
            if (span := doc.char_span(start, end, label))
        ]
        scored.append(doc)
    pool = tuple(PoolText(text, taught_spans(text)) for text in TEXTS[:few])
    return SimulatedTexts(("PERSON", "PLACE"), pool, tuple(scored))


def config_of(folder: Path) -> dict[str, Any]:
    return {
        "model": {"name": str(folder), "precision": "float32"},
        "task": {"@misc": "spacy-instructner.InstructionNER.v1"},
    }


def compared(row: Record) -> Record:
    return {key: row[key] for key in row if key not in ("seconds", "machine")}


@pytest.mark.long
@pytest.mark.usefixtures("brief")
def test_a_run_goes_on_where_it_stopped(tiny_causal: Path, tmp_path: Path) -> None:
    config, texts = config_of(tiny_causal), texts_of()
    for order in ("uncertainty", "random"):
        run = SimulatedRun("mit_restaurant", 1, order)

        def rows(
            name: str, done: Sequence[Record], run: SimulatedRun = run
        ) -> list[Record]:
            folder = tmp_path / f"{run.order}-{name}"
            folder.mkdir()
            return list(simulate(folder, run, texts, done, config, (2, 4)))

        every = rows("whole", [])
        assert [row["texts"] for row in every] == [0, 2, 4]
        assert [len(row["chosen"]) for row in every] == [0, 2, 2]
        places = [place for row in every for place in row["chosen"]]
        assert len(set(places)) == 4 and every[-1]["entities"] == 8
        assert every[-1]["words"] == 20 and every[0]["scored"] == 2
        assert every[1]["name"] == f"mit_restaurant:1:{order}:2"
        # What was learned shows, and whoever goes on finds the same.
        assert every[0]["f1"] < every[2]["f1"] <= 1.0
        for done in (2, 3):
            rest = rows(f"from-{done}", every[:done])
            assert list(map(compared, rest)) == list(map(compared, every[done:]))


@pytest.mark.long
@pytest.mark.usefixtures("brief")
def test_the_first_texts_are_those_of_the_page(
    tiny_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spacy_instructner.serving.project_models import ProjectModels

    asked: list[list[int]] = []
    trained: list[int] = []

    def train(models: ProjectModels) -> Any:
        state = models.project.state
        trained.append(sum(state.decision(text) is not None for text in state.texts))
        asked.append(queue(state))
        yield {"trained": 1}

    monkeypatch.setattr(ProjectModels, "train", train)
    run = SimulatedRun("mit_restaurant", 0, "uncertainty")
    config = config_of(tiny_causal)
    rows = list(simulate(tmp_path, run, texts_of(), [], config, (3, 6)))
    assert trained == [3, 6]
    # What the page showed next, with nothing learned in between, is what came next.
    assert [place + 1 for place in rows[2]["chosen"]] == asked[0][:3]


# Which runs there are, and what is left.


def records_of(data: str, order: str, seed: int, *f1: float) -> list[Record]:
    run = SimulatedRun(data, seed, order)
    return [
        {
            "name": run.row_name(texts), "data": data, "order": order, "seed": seed,
            "texts": texts, "f1": own, "entities": 3 * texts, "words": 20 * texts,
            "seconds": {"train": 0.0 if not texts else 240.0},
        }
        for texts, own in zip(COUNTS, f1)
    ]  # fmt: skip


def test_what_is_left_is_counted() -> None:
    runs = chosen_runs(("uncertainty", "random"), [])
    assert len(runs) == len(SETS) * len(SEEDS) * 2 and trainings_left(runs, []) == 48
    assert "48 trainings left: about 4.0 CPU hours with 5.0" in left_said(runs, [])
    done = records_of("mit_restaurant", "random", 0, 0.1, 0.2, 0.3)
    # Two of four are done; where a model is asked, one of them is done again.
    assert trainings_left(runs, done) == 46
    assert "3.1 CPU hours with 4.0 minutes each (the mean of 2)" in left_said(
        runs, done
    )
    done = records_of("mit_restaurant", "uncertainty", 0, 0.1, 0.2, 0.3)
    assert trainings_left(runs, done) == 47
    done = records_of("mit_restaurant", "uncertainty", 0, *[0.1] * 5)
    assert trainings_left(runs, done) == 44
    assert [row["texts"] for row in rows_of(runs[4], done[::-1])] == list(COUNTS)
    assert rows_of(runs[0], done) == []


def test_a_part_of_the_runs() -> None:
    orders = ("uncertainty", "random")
    names = [run.name for run in chosen_runs(orders, ["mit_restaurant:1"])]
    assert names == ["mit_restaurant:1:uncertainty", "mit_restaurant:1:random"]
    own = chosen_runs(orders, ["bionlp13cg:0:random", "bionlp13cg:0"])
    assert [run.order for run in own] == list(orders)
    for wrong in ("mit", "mit_restaurant:1:mean", "mit_restaurant:"):
        with pytest.raises(ValueError, match="No run is called"):
            chosen_runs(orders, [wrong])


# The tables and plots.


def test_the_table_and_the_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [
        *records_of("mit_restaurant", "random", 0, 0.5, 0.6),
        *records_of("mit_restaurant", "random", 1, 0.5, 0.65, 0.7),
        *records_of("bionlp13cg", "mean", 0, 0.3),
    ]
    said, _, _, _, *lines = results_table(records).splitlines()
    assert said.startswith("5 of 60 measurements of uncertainty and random")
    assert lines == [
        "| mit_restaurant | random | 0 | 50.0 | 60.0 |  |  |  | 30 | 200 |",
        "| mit_restaurant | random | 1 | 50.0 | 65.0 | 70.0 |  |  | 60 | 400 |",
        "| mit_restaurant | random | mean | 50.0 | 62.5 |  |  |  |  |  |",
        "| bionlp13cg | mean | 0 | 30.0 |  |  |  |  | 0 | 0 |",
    ]
    (plot,) = curves(records).values()
    (series,) = plot.series
    assert (series.name, series.places) == ("random", (0, 10, 20))
    assert series.values == ((50.0, 50.0), (60.0, 65.0), (70.0,))
    path = tmp_path / "simulated.jsonl"
    monkeypatch.setattr(simulated_tables, "RESULTS", path)
    for record in records:
        Study(path).add(record)
    assert simulated_tables.section("simulated", "plots") == results_table(records)
    assert simulated_tables.section("simulated plots", "plots") == (
        "![mit_restaurant: F1 (%)](plots/simulated-mit_restaurant.svg)"
    )
    assert list(simulated_tables.plots()) == ["simulated-mit_restaurant.svg"]
    with pytest.raises(KeyError):
        simulated_tables.section("simulated what", "plots")
