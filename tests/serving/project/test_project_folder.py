"""A project on disk: what is written is what is there, and undoing restores it."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_instructner.serving.project.annotated_imports import DecidedText
from spacy_instructner.serving.project.imports import ImportedText
from spacy_instructner.serving.project.project_folder import (
    COLOURS,
    ProjectConflict,
    ProjectFolder,
    replayed,
)
from spacy_instructner.serving.project.project_state import (
    ProjectLabel,
    ProjectState,
    asked_of,
)

MEANINGS = {"PERSON": "somebody's name", "PLACE": ""}
TEXTS = ("Anna 👩‍👩‍👧 lives in Paris.", "Bo left.", "أنا في باريس", "เขาอยู่ที่ปารีส")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ProjectFolder]:
    own = ProjectFolder(tmp_path / "project")
    own.set_base("en_x-0.0.0", "abc", 0.4, MEANINGS)
    own.add_texts([ImportedText(text, str(at)) for at, text in enumerate(TEXTS)], "a")
    yield own
    own.close()


def same(state: ProjectState) -> dict[str, Any]:
    """All of a state, but for what counts how often it changed."""
    return {k: v for k, v in vars(deepcopy(state)).items() if k not in COUNTERS}


COUNTERS = ("revision", "changed")
Act = Callable[[ProjectFolder], object]


def decide(text: int, answer: Any, start: int, label: str) -> Act:
    return lambda own: own.decide(
        text, answer, [(start, start + 2, label)], True, own.state.changed[text]
    )


def found(model: int, text: int, score: float) -> Act:
    row = {"id": text, "spans": [[0, 2, "PERSON", score]], "fixed": [], "error": ""}
    return lambda own: own.add_found(model, own.state.asked, [row])


def labelled(first: str) -> Act:
    def act(own: ProjectFolder) -> None:
        names = list(own.state.labels)
        named = [ProjectLabel(n, "", COLOURS[0]) for n in (first, "PLACE")]
        own.set_labels(named, {names[0]: first})

    return act


TEXT = st.integers(1, len(TEXTS))
ACTS = st.lists(
    st.one_of(
        st.builds(
            decide,
            TEXT,
            st.sampled_from(["accept", "reject"]),
            st.integers(0, 4),
            st.just("PLACE"),
        ),
        st.builds(found, st.integers(0, 2), TEXT, st.floats(0, 1)),
        st.builds(labelled, st.sampled_from(["A", "B"])),
        st.builds(
            lambda text, added: lambda own: own.mark({text: [(0, 2, "PLACE")]}, added),
            TEXT,
            st.booleans(),
        ),
        st.builds(lambda value: lambda own: own.set_threshold(value), st.floats(0, 1)),
        st.builds(
            lambda text: lambda own: own.add_texts([ImportedText(text, "1")], "b"),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        ),
        st.builds(
            lambda text, label: (
                lambda own: own.add_decided(
                    [DecidedText(text, "1", ((0, 2, label),))], "c"
                )
            ),
            st.sampled_from([*TEXTS, "Cy came."]),
            st.sampled_from(["PLACE", "C"]),
        ),
        st.builds(
            lambda n: lambda own: own.add_training(n, 2, ["PLACE"], [1.5], 2.0),
            st.integers(1, 3),
        ),
    ),
    max_size=8,
)
tried = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=40,
)


@tried
@given(acts=ACTS, at=st.floats(0, 1))
def test_replay_equals_the_live_state(
    tmp_path_factory: pytest.TempPathFactory, acts: list[Act], at: float
) -> None:
    folder = tmp_path_factory.mktemp("project")
    own = ProjectFolder(folder / "own")
    own.set_base("en_x-0.0.0", "abc", 0.4, MEANINGS)
    own.add_texts([ImportedText(text, "1") for text in TEXTS], "a")
    states = [ProjectState(), *[deepcopy(own.state)] * 3]
    for act in acts:
        before = own.state.revision
        act(own)
        assert own.state.revision in (before, before + 1)
        if own.state.revision > before:
            states.append(deepcopy(own.state))
    own.close()
    path = folder / "own" / "journal.jsonl"
    content = path.read_bytes()
    again = ProjectFolder(folder / "own")
    assert again.state == own.state == states[-1] and again.torn == 0
    again.close()
    # Killed at any byte: the state after the last event that was whole.
    cut = round(at * len(content))
    path.write_bytes(content[:cut])
    again = ProjectFolder(folder / "own")
    whole = content[:cut].count(b"\n")
    assert again.state == (states[whole] if whole not in (1, 2) else again.state)
    assert again.state.revision == whole
    again.close()


@tried
@given(acts=ACTS)
def test_undo_restores(
    tmp_path_factory: pytest.TempPathFactory, acts: list[Act]
) -> None:
    own = ProjectFolder(tmp_path_factory.mktemp("project") / "own")
    own.set_base("en_x-0.0.0", "abc", 0.4, MEANINGS)
    own.add_texts([ImportedText(text, "1") for text in TEXTS], "a")
    for act in acts:
        act(own)
    before = same(own.state)
    number = own.decide(2, "reject", [], False, own.state.changed[2])
    assert same(own.state) != before
    seen = own.state.changed[2]
    assert own.undo(number) == [2]
    assert same(own.state) == before and own.state.changed[2] > seen
    with pytest.raises(ValueError, match="nothing to undo"):
        own.undo(number)
    number = own.mark({1: [(0, 2, "PLACE")], 2: [(0, 2, "PLACE")]}, True)
    assert own.undo() == [1, 2] and same(own.state) == before
    own.close()


def test_layers(project: ProjectFolder) -> None:
    shown = [(0, 4, "PERSON")]
    assert project.state.decided(1, shown) == shown
    project.mark({1: [(18, 23, "PLACE")]}, True)
    assert project.state.decided(1, shown) == [(0, 4, "PERSON"), (18, 23, "PLACE")]
    first = project.decide(1, "accept", [(0, 4, "PLACE")], True, 4)
    assert project.state.decided(1, shown) == [(0, 4, "PLACE")]
    project.mark({1: [(0, 4, "PERSON")]}, False)
    assert project.state.decided(1, shown) == []
    # What is under it shows again, and what is over it stays.
    project.undo(first)
    assert project.state.decided(1, shown) == [(18, 23, "PLACE")]


def test_two_tabs_do_not_overwrite_each_other(project: ProjectFolder) -> None:
    seen = project.state.changed[1]
    project.decide(1, "accept", [(0, 4, "PERSON")], False, seen)
    with pytest.raises(ProjectConflict, match="another tab"):
        project.decide(1, "reject", [], True, seen)
    assert project.state.decision(1).answer == "accept"  # type: ignore[union-attr]
    names = list(project.state.labels)
    own = [ProjectLabel("TOWN", "", COLOURS[0])]
    project.set_labels(own, {}, names)
    with pytest.raises(ProjectConflict, match="another tab"):
        project.set_labels(own, {}, names)


def test_renamed_labels_take_decisions_along(project: ProjectFolder) -> None:
    project.decide(1, "accept", [(0, 4, "PERSON"), (18, 23, "PLACE")], True, 3)
    before = project.state.asked
    named = [ProjectLabel("WHO", "", COLOURS[0]), ProjectLabel("PLACE", "", COLOURS[1])]
    project.set_labels(named, {"PERSON": "WHO", "PLACE": "nowhere"})
    assert project.state.decided(1, []) == [(0, 4, "WHO"), (18, 23, "PLACE")]
    assert project.state.asked == asked_of({"PLACE": "", "WHO": ""}) != before
    # A label that is removed is not shown, and comes back with its name.
    project.set_labels(named[:1], {})
    assert project.state.decided(1, []) == [(0, 4, "WHO")]
    project.set_labels(named, {})
    assert project.state.decided(1, []) == [(0, 4, "WHO"), (18, 23, "PLACE")]


@pytest.mark.parametrize(
    "names, renamed, expected",
    [
        # A chain: the old name of one is the new name of another.
        (("PLACE", "TOWN"), {"PERSON": "PLACE", "PLACE": "TOWN"}, ("PLACE", "TOWN")),
        # A swap.
        (
            ("PLACE", "PERSON"),
            {"PERSON": "PLACE", "PLACE": "PERSON"},
            ("PLACE", "PERSON"),
        ),
        # The old name is given to a new label.
        (("WHO", "PLACE", "PERSON"), {"PERSON": "WHO"}, ("WHO", "PLACE")),
        # A name that stays.
        (("PERSON", "PLACE"), {"PERSON": "PERSON"}, ("PERSON", "PLACE")),
    ],
)
def test_labels_that_take_each_others_names(
    project: ProjectFolder,
    names: tuple[str, ...],
    renamed: dict[str, str],
    expected: tuple[str, str],
) -> None:
    project.decide(1, "accept", [(0, 4, "PERSON"), (18, 23, "PLACE")], True, 3)
    project.set_labels([ProjectLabel(n, "", COLOURS[0]) for n in names], renamed)
    shown = [(0, 4, expected[0]), (18, 23, expected[1])]
    assert project.state.decided(1, []) == shown
    project.close()
    again = ProjectFolder(project.folder)
    assert again.state.decided(1, []) == shown
    again.close()


def test_findings_are_of_a_model_and_of_labels(project: ProjectFolder) -> None:
    found(0, 1, 0.5)(project)
    assert project.state.finding(1).spans == ((0, 2, "PERSON", 0.5),)  # type: ignore[union-attr]
    assert project.state.finding(2) is None
    project.add_training(1, 1, ["PERSON"], [0.5], 1.0)
    assert project.state.finding(1) is None and project.state.finding(1, 0) is not None
    project.use(0)
    # With another meaning, it has to be asked again; a colour changes nothing.
    own = project.state.labels["PERSON"], project.state.labels["PLACE"]
    project.set_labels([ProjectLabel(x.name, x.meaning, "#000000") for x in own], {})
    assert project.state.finding(1) is not None
    project.set_labels([ProjectLabel(x.name, "other", x.colour) for x in own], {})
    assert project.state.finding(1) is None
    # What another pipeline found does not count.
    project.set_labels(list(own), {})
    project.set_base("en_y-0.0.0", "def", 0.3, {})
    assert project.state.finding(1) is None and project.state.least == 0.3


@pytest.mark.parametrize(
    "act, error, said",
    [
        (lambda p: p.decide(9, "accept", [], True, 0), KeyError, "no text 9"),
        (decide(1, "accept", 40, "PLACE"), ValueError, "no place"),
        (decide(1, "accept", 0, "TOWN"), ValueError, "no label 'TOWN'"),
        (
            lambda p: p.decide(
                1, "accept", [(0, 4, "PLACE"), (2, 6, "PERSON")], True, 3
            ),
            ValueError,
            "overlaps",
        ),
        (lambda p: p.set_threshold(1.5), ValueError, "from 0 to 1"),
        (lambda p: p.use(3), KeyError, "no model 3"),
        (lambda p: p.undo(1), ValueError, "nothing to undo"),
        (lambda p: p.mark({1: []}, True), ValueError, "No text"),
        (
            lambda p: p.set_labels([ProjectLabel("", "", COLOURS[0])], {}),
            ValueError,
            "a name",
        ),
        (
            lambda p: p.set_labels([ProjectLabel("A", "", COLOURS[0])] * 2, {}),
            ValueError,
            "Two labels",
        ),
        (
            lambda p: p.set_labels([ProjectLabel("A", "", "red")], {}),
            ValueError,
            "colour",
        ),
        (
            lambda p: p.set_labels([ProjectLabel("A\nB", "", COLOURS[0])], {}),
            ValueError,
            "one line",
        ),
    ],
)
def test_what_is_refused_changes_nothing(
    project: ProjectFolder, act: Act, error: type[Exception], said: str
) -> None:
    before = (project.folder / "journal.jsonl").read_bytes()
    with pytest.raises(error, match=said):
        act(project)
    assert (project.folder / "journal.jsonl").read_bytes() == before


def test_folders(tmp_path: Path, project: ProjectFolder) -> None:
    with pytest.raises(ValueError, match="open in another server"):
        ProjectFolder(project.folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("x")
    with pytest.raises(ValueError, match="not a project"):
        ProjectFolder(tmp_path / "other")
    assert [each.name for each in (tmp_path / "other").iterdir()] == ["letter.txt"]
    with pytest.raises(ValueError, match="newer version"):
        replayed([{"kind": "unknown"}])
    with pytest.raises(ValueError, match="Event 1"):
        replayed([{"kind": "threshold"}])


def test_projects_are_told_apart(tmp_path: Path, project: ProjectFolder) -> None:
    own = project.id
    other = ProjectFolder(tmp_path / "other")
    other.set_base("en_x-0.0.0", "abc", 0.4, MEANINGS)
    assert other.id != own
    other.close()
    project.close()
    again = ProjectFolder(project.folder)
    assert again.id == own
    again.close()


def test_the_same_text_comes_once(project: ProjectFolder) -> None:
    more = [ImportedText(text, "1") for text in (TEXTS[0], "new", "new")]
    assert project.add_texts(more, "b.txt") == (1, 2)
    assert project.state.texts[5].source == "b.txt"
    assert project.add_texts(more, "b.txt") == (0, 3)


def test_decided_texts_come_and_go_together(project: ProjectFolder) -> None:
    own = [
        DecidedText("Bo left.", "1", ((0, 2, "PERSON"),)),
        DecidedText("Cy came.", "2", ((0, 2, "GUEST"),)),
        DecidedText("Nobody.", "3", None),
    ]
    before = deepcopy(project.state)
    assert project.add_decided(own, "b") == {
        "new": 2, "again": 1, "accepted": 2, "decided": 0,
    }  # fmt: skip
    state = project.state
    assert list(state.labels) == ["PERSON", "PLACE", "GUEST"]
    assert state.revision == before.revision + 1 and state.asked != before.asked
    number = max(state.texts)
    assert [state.texts[n].text for n in (number - 1, number)] == [
        "Cy came.",
        "Nobody.",
    ]
    decision = state.decision(number - 1)
    assert decision is not None and decision.spans == ((0, 2, "GUEST"),)
    assert (decision.answer, decision.changed) == ("accept", False)
    assert state.decision(number) is None
    # The same again changes nothing, not even the journal.
    assert project.add_decided(own, "b") == {
        "new": 0, "again": 3, "accepted": 0, "decided": 2,
    }  # fmt: skip
    assert state.revision == before.revision + 1
    assert project.undo() == [2, number - 1] and state.decision(2) is None


def test_labels_that_cannot_be_leave_nothing_behind(project: ProjectFolder) -> None:
    before = same(project.state)
    own = [DecidedText("Bo.", "1", ((0, 2, "x" * 81),))]
    with pytest.raises(ValueError, match="at most 80 characters"):
        project.add_decided(own, "b")
    assert same(project.state) == before
    assert project.add_texts([ImportedText("Bo.", "1")], "c") == (1, 0)
