"""The file of a study: what is added stays, whatever happens."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fewshot_cases import record_of, write_grid
from filelock import FileLock, Timeout

from spacy_instructner.fewshot import runs as fewshot_runs
from spacy_instructner.fewshot.runs import measure
from spacy_instructner.fewshot.study import Study, hash_of, left


def test_runs_come_back_and_what_they_share_stands_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "study.jsonl"
    study = Study(path)
    assert study.records() == [] and study.names() == set()
    machine, other = {"cpu": "fast", "threads": 1}, {"cpu": "slow"}
    for name, on in (("a", machine), ("b", other), ("c", machine)):
        study.add({"name": name, "f1": 0.5, "config": {"x": [1]}, "machine": on})
    rows = study.lines()
    kinds = [row["kind"] for row in rows]
    assert kinds == ["machine", "config", "run", "machine", "run", "run"]
    assert rows[1] == {
        "kind": "config",
        "id": hash_of({"x": [1]}),
        "config": {"x": [1]},
    }
    records = study.records()
    assert [record["name"] for record in records] == ["a", "b", "c"]
    assert [record["machine"] for record in records] == [machine, other, machine]
    assert {record["config"] for record in records} == {rows[1]["id"]}
    # Nothing of what is there is written again.
    before = path.read_bytes()
    study.add({"name": "d", "machine": other})
    assert path.read_bytes().startswith(before)
    assert "config" not in study.records()[-1]


def test_what_a_hash_is_of() -> None:
    assert hash_of({"a": 1, "b": [2.0]}) == hash_of({"b": [2.0], "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": 2}) and len(hash_of("")) == 12


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_line_that_was_cut_off_is_left_out_and_taken_away(
    tmp_path: Path, cut: int
) -> None:
    study = Study(tmp_path / "study.jsonl")
    for name in ("a", "b"):
        study.add({"name": name, "f1": 0.5, "text": "é" * 9})
    study.path.write_bytes(study.path.read_bytes()[:-cut])
    assert study.names() == {"a"}
    assert study.once("b", lambda: {"f1": 0.25}) == {"name": "b", "f1": 0.25}
    assert [(r["name"], r["f1"]) for r in study.records()] == [("a", 0.5), ("b", 0.25)]
    assert study.path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize(
    "line,message",
    [
        ("{", "line 2 is of no study"),
        ("[1]", "line 2 is of no study"),
        ('{"name": "a"}', "line 2 is of no study: 'kind'"),
        ('{"kind": "run", "format": 1}', "line 2 is of no study: its format is not 2"),
    ],
)
def test_what_is_no_study_is_named(tmp_path: Path, line: str, message: str) -> None:
    study = Study(tmp_path / "study.jsonl")
    study.add({"name": "a"})
    before = study.path.read_text() + line + "\n"
    study.path.write_text(before)
    for call in (study.records, study.names, lambda: study.add({"name": "b"})):
        with pytest.raises(ValueError, match=message):
            call()
    assert study.path.read_text() == before


def test_a_fault_of_making_is_no_sign_of_somebody_else(tmp_path: Path) -> None:
    """Making a record may wait for a lock in vain, too."""

    def make() -> dict[str, Any]:
        raise Timeout("another lock")

    study = Study(tmp_path / "study.jsonl")
    with pytest.raises(Timeout, match="another lock"):
        study.once("a", make)
    assert study.once("a", lambda: {"f1": 0.5}) == {"name": "a", "f1": 0.5}
    assert study.once("a", make) is None


def test_many_write_at_once(tmp_path: Path) -> None:
    def write(number: int) -> Any:
        # Each of ten, from four sides, through objects of their own.
        own = {"number": number % 10, "machine": {"cpu": "fast"}}
        return Study(tmp_path / "study.jsonl").once(f"run {number % 10}", lambda: own)

    with ThreadPoolExecutor(4) as pool:
        made = [record for record in pool.map(write, range(40)) if record]
    study = Study(tmp_path / "study.jsonl")
    assert sorted(r["number"] for r in study.records()) == list(range(10))
    assert len(made) == 10 and len(study.lines()) == 11


def test_runs_are_measured_once_and_a_fault_stops_only_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = write_grid(tmp_path)
    asked: list[str] = []

    def fake(run: Any) -> dict[str, Any]:
        asked.append(run.name)
        if run.seed == 1 and asked.count(run.name) == 1:
            raise ValueError("no luck")
        return {"f1": 0.5}

    monkeypatch.setattr(fewshot_runs, "measured", fake)
    # It takes half a second where models lie about.
    monkeypatch.setattr(fewshot_runs.gc, "collect", lambda: 0)
    study = Study(tmp_path / "study.jsonl")
    found = list(measure(grid.runs, study))
    assert [run.name for run, _ in found] == asked
    bad = [run.name for run, own in found if isinstance(own, ValueError)]
    assert bad == [run.name for run in grid.runs if run.seed == 1]
    assert study.names() == set(asked) - set(bad)
    # Somebody else is at one of them.
    with FileLock(study.lock_of(bad[0])):
        assert [run.name for run, _ in measure(grid.runs, study)] == bad[1:]
    assert [run.name for run, _ in measure(grid.runs, study)] == bad[:1]
    assert len(study.records()) == 17
    assert list(measure(grid.runs, study)) == []


def test_a_run_that_is_broken_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(run: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(fewshot_runs, "measured", stop)
    study = Study(tmp_path / "out" / "study.jsonl")
    with pytest.raises(KeyboardInterrupt):
        list(measure(write_grid(tmp_path).runs, study))
    assert study.records() == [] and not study.path.exists()


def test_what_is_left(tmp_path: Path) -> None:
    runs = write_grid(tmp_path).matching(["workshop.at-least-k-1.*"])
    assert left(runs, []) == (4, None)
    slow = {"train": 1000.0, "annotate": 0.0}
    records = [record_of(runs[0], 0.5), record_of(runs[1], 0.5, seconds=slow)]
    assert left(runs, records) == (2, 1080.0)
    # Of other data, the method's; of another method, the mean of all.
    rest = write_grid(tmp_path).matching(["one-file.at-least-k-1.0.*"])
    assert left(rest, records) == (2, 1080.0)
    assert left(rest, records[:1]) == (2, 160.0)
