"""How the base that scores spans is trained, and its curve."""

from pathlib import Path

import pytest
import srsly

from benchmarks import second_base
from benchmarks.held_out import Found
from benchmarks.second_base import ADAPTER, STAGES, HeldOut, commands, curve, train
from spacy_instructner.evaluation.metrics import Counts

LAST = Counts(6, 10, 8)


def test_every_run_draws_other_texts_and_begins_from_the_mean(tmp_path: Path) -> None:
    runs = [
        command
        for stage in range(1, len(STAGES) + 1)
        for command in commands(tmp_path, Path("data"), stage)
    ]

    def values(setting: str) -> list[str]:
        return [run[run.index(setting) + 1] for run in runs if setting in run]

    seeds = values("--corpora.train.seed")
    assert len(set(seeds)) == len(seeds) == 2 * len(STAGES)
    starts = values("--components.instruction_ner.model.start")
    # The first two begin from what the config names.
    before = [n for n in range(1, len(STAGES)) for _ in range(2)]
    assert starts == [str(tmp_path / f"mean-{n}") for n in before]
    # The last two stages learn labels that hold one another.
    assert values("--corpora.train.nested") == ["0.5", "0.5", "0.6", "0.6"]
    assert ["--corpora.train.nested" in run for run in runs] == 8 * [False] + 4 * [True]
    assert len({run[run.index("pretrain") + 2] for run in runs}) == len(runs)


def test_the_learn_rate_falls_from_stage_to_stage_and_rises_for_what_is_new() -> None:
    *first, new, again = STAGES
    rates = [each.rate for each in first]
    assert rates == sorted(rates, reverse=True)
    assert all(each.steps < each.zero for each in first[:-1])
    assert first[-1].steps == first[-1].zero
    # And falls again, twice.
    for each in (new, again):
        assert each.rate > first[-1].rate and each.settings
        assert each.steps == pytest.approx(each.zero, rel=0.1)
    assert set(new.settings) < set(again.settings)


def test_the_adapter_is_the_mean_of_the_last_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], check: bool) -> None:
        assert check
        ran.append(command)

    # All stages are done.
    for stage in range(1, len(STAGES) + 1):
        mean = tmp_path / f"mean-{stage}"
        mean.mkdir()
        (mean / "info.json").write_text("{}")
    monkeypatch.setattr(second_base.subprocess, "run", run)
    train(tmp_path, Path("data"))
    names = ["adapter", "mean-5", "mean-6"]
    assert [each[-3:] for each in ran] == [[str(tmp_path / name) for name in names]]
    # Nor is it made twice.
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "info.json").write_text("{}")
    train(tmp_path, Path("data"))
    assert len(ran) == 1


def test_the_curve_and_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in range(1, len(STAGES) + 1):
        for run in (0, 1):
            log = [
                {
                    "step": step, "ids": 1000 * step * (run + 1),
                    "loss": 0.5 if step else None,
                    "dev": {"ents_p": 0.1 * stage, "ents_r": 0.2, "ents_f": 0.3},
                }
                for step in (0, 100)
            ]  # fmt: skip
            folder = second_base.run_folder(tmp_path, stage, run)
            folder.mkdir()
            srsly.write_jsonl(folder / "log.jsonl", log)
    rows = curve(tmp_path, LAST, Counts(8, 10, 8))
    assert [row["what"] for row in rows[:6]] == [
        "1a", "1b", "mean of 1", "2a", "2b", "mean of 2",
    ]  # fmt: skip
    # Ids of all runs before, and of the run itself.
    assert [row["ids"] for row in rows if "ids" in row][:4] == [
        100_000, 200_000, 400_000, 500_000,
    ]  # fmt: skip
    # What runs begin with is what the mean is worth.
    assert rows[2]["p"] == pytest.approx(0.2)
    *_, last, adapter = rows
    assert last["ids"] == len(STAGES) * 300_000 and last["p"] == pytest.approx(0.6)
    assert adapter == {"what": ADAPTER, "p": 0.8, "r": 1.0, "f": pytest.approx(8 / 9)}
    monkeypatch.setattr(second_base, "RESULTS", tmp_path / "results.json")
    found = HeldOut([Found(0.25, LAST, LAST), Found(0.4, LAST, LAST)], {"law": LAST})
    assert found.at(0.4) == LAST
    held_out = {asked: second_base.as_json(found) for asked in second_base.ASKED}
    nested = [
        {"what": f"mean of {stage}", "f1": 0.1 * stage, "whatever": 0.75,
         "sources": {"law": 0.5, "news": 0.25}}
        for stage in (4, 5)
    ]  # fmt: skip
    results = {"machine": {}, "curve": rows, "held_out": held_out, "nested": nested}
    srsly.write_json(tmp_path / "results.json", results)
    lines = second_base.section("second_base", "plots").splitlines()
    assert lines[2] == "| 1a | 100 | 0.10 | 0.500 | 10.0 | 20.0 | 30.0 |"
    assert lines[-2] == "| mean of 6 |  | 1.80 |  | 60.0 | 75.0 | 66.7 |"
    assert lines[-1].startswith("| the adapter: mean of 5 and 6 |  |  |  | 80.0 |")
    lines = second_base.section("second_base nested", "plots").splitlines()
    assert lines[0] == "| Adapter | F1 | Whatever the label | law | news |"
    assert lines[-1] == "| mean of 5 | 50.0 | 75.0 | 50.0 | 25.0 |"
    lines = second_base.section("second_base thresholds", "plots").splitlines()
    assert lines[0] == "| Asked for | 0.25 | 0.4 |"
    assert lines[2] == "| names alone | 66.7 | 66.7 |"
    lines = second_base.section("second_base sources", "plots").splitlines()
    assert lines[-1] == "| law | 8 | 66.7 | 66.7 |"
    with pytest.raises(KeyError):
        second_base.section("second_base of what", "plots")
